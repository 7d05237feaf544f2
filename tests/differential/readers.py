# SPDX-License-Identifier: Apache-2.0
"""Readers of HTTP/1 requests: each is given whole connections, and says which messages it saw in each.

A reading is a list of (method, target, length of the content, CRC-32 of the content), and whether the reader took all
of the connection's bytes for messages ("complete") or refused some ("refused").
"""
import http.server
import io
import json
import os
import socket
import subprocess
import zlib

import h11

HERE = os.path.dirname(os.path.abspath(__file__))


def message(method, target, content):
    return [method, target, len(content), zlib.crc32(content)]


def read_with_h11(stream):
    seen, content, request = [], b'', None
    reader = h11.Connection(h11.SERVER)
    try:
        reader.receive_data(stream)
        reader.receive_data(b'')
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Request):
                request, content = event, b''
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                seen.append(message(request.method.decode(), request.target.decode('latin-1'), content))
                reader.send(h11.Response(status_code=200, headers=[('content-length', '0')]))
                reader.send(h11.EndOfMessage())
                if reader.our_state is h11.MUST_CLOSE:
                    return seen, 'complete' if not reader.trailing_data[0] else 'refused'
                reader.start_next_cycle()
            elif event is h11.PAUSED:
                return seen, 'refused'
            else:  # ConnectionClosed, NEED_DATA
                return seen, 'complete'
    except h11.ProtocolError:
        return seen, 'refused'


class StandardReader(http.server.BaseHTTPRequestHandler):
    """http.server leaves content to the handler; this one reads it as RFC 9112 section 6.3 says."""
    protocol_version = 'HTTP/1.1'

    def __init__(self, stream):
        self.rfile, self.wfile = io.BytesIO(stream), io.BytesIO()
        self.client_address, self.seen, self.refused = ('', 0), [], False
        self.close_connection = False
        while not self.close_connection:
            self.handle_one_request()

    def log_message(self, *_):
        pass

    def send_error(self, *_, **__):
        self.refused = self.close_connection = True

    def chunked(self):
        content = b''
        while True:
            size = int(self.rfile.readline().split(b';')[0], 16)
            if size == 0:
                break
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b'\r\n', b'\n', b''):
            pass
        return content

    def __getattr__(self, name):
        if name.startswith('do_'):
            return self.any
        raise AttributeError(name)

    def any(self):
        try:
            if 'chunked' in (self.headers.get('Transfer-Encoding') or '').lower():
                content = self.chunked()
            else:
                size = int(self.headers.get('Content-Length') or 0)
                content = self.rfile.read(size)
                self.refused = self.refused or len(content) < size
        except ValueError:
            self.refused = self.close_connection = True
            return
        target = self.requestline.split(' ')[1]  # .path has no double slash in front any more
        self.seen.append(message(self.command, target, content))


def read_with_http_server(stream):
    reader = StandardReader(stream)
    return reader.seen, 'refused' if reader.refused else 'complete'


class Program:
    """A reader in another language: streams go in with their length, one line of JSON comes out for each. Requests of
    (method, target) in unseen it answers without telling."""

    def __init__(self, *command, unseen=()):
        self.unseen = unseen
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, stream):
        self.process.stdin.write(len(stream).to_bytes(4, 'big') + stream)
        self.process.stdin.flush()
        seen, end = json.loads(self.process.stdout.readline())
        return seen, end


class Server:
    """A web server in front of the back end that says what it was handed on."""

    def __init__(self, address):
        self.address = address

    def __call__(self, stream):
        with socket.create_connection(self.address, timeout=20) as sock:
            sock.sendall(stream)
            sock.shutdown(socket.SHUT_WR)
            answers = sock.makefile('rb')
            seen, closing = [], False
            while True:
                try:
                    status = answers.readline().split()
                except TimeoutError:
                    return seen, 'no answer'
                if not status:
                    return seen, 'refused' if closing else 'complete'
                read = None
                for line in iter(answers.readline, b'\r\n'):
                    if not line:
                        return seen, 'refused'
                    closing = closing or line.lower() == b'connection: close\r\n'
                    if line.lower().startswith(b'x-read:'):
                        read = json.loads(line.split(b':', 1)[1])
                if status[1] == b'100':
                    continue
                if status[1] != b'200' or not read:
                    return seen, 'refused'
                seen.append(read)
