# SPDX-License-Identifier: Apache-2.0
"""What the tests of plain HTTP share: a worker with an origin, and requests and responses on their connections."""
import re
import unittest

import harness
from harness import ORIGINS, SERVED, Origin, Worker, read_all, read_exactly, read_head

NAMES = None
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'


def read_until(sock, mark):
    data = b''
    while mark not in data:
        more = sock.recv(65536)
        if not more:
            raise EOFError(data)
        data += more
    return data


def read_request(sock):
    return read_until(sock, b'\r\n\r\n')


def read_message(sock, to=b'GET'):
    """Status, head and content of a response that says where it ends."""
    status, head = read_head(sock)
    if status == 0:
        raise EOFError(head)
    if to == b'HEAD' or status in (204, 304) or status < 200:
        return status, head, b''
    length = re.search(rb'(?i)\r\ncontent-length: *([0-9]+)\r\n', head)
    if length:
        return status, head, read_exactly(sock, int(length[1]))
    if b'\r\nTransfer-Encoding: chunked\r\n' not in head:
        return status, head, read_all(sock)
    content = b''
    while True:
        size = b''
        while not size.endswith(b'\r\n'):
            size += read_exactly(sock, 1)
        chunk = read_exactly(sock, int(size, 16) + 2)
        content += chunk[:-2]
        if int(size, 16) == 0:
            return status, head, content


class Case(unittest.TestCase):
    def setUp(self):
        NAMES.answers.clear()
        NAMES.answers.update({'origin.test': [SERVED], 'other.test': [SERVED]})
        NAMES.asked.clear()
        self.origin = Origin()
        self.worker = None

    def tearDown(self):
        if self.worker:
            self.worker.stop()
        self.origin.close()

    def start(self, limits=None, **kwargs):
        names = [f'{name}:{self.origin.port}' for name in ('origin.test', 'other.test')]
        self.worker = Worker({'allow': names, 'networks': ORIGINS, 'limits': limits or {}}, **kwargs)
        self.url = b'http://origin.test:%d/' % self.origin.port
        self.host = b'origin.test:%d' % self.origin.port

    def head(self, method=b'GET', path=b'', fields=b'', version=b'1.1'):
        return b'%s %s%s HTTP/%s\r\nHost: %s\r\n%s\r\n' % (method, self.url, path, version, self.host, fields)

    def ask(self, sock, **kwargs):
        sock.sendall(self.head(**kwargs))

    def exchange(self, client, server, response=OK, **kwargs):
        """One request and its response; server None: on a connection of its own. Returns (server, request, message)."""
        self.ask(client, **kwargs)
        server = server or self.origin.accept()
        request = read_request(server)
        server.sendall(response)
        return server, request, read_message(client, kwargs.get('method', b'GET'))


class Replay:
    """A socket with some bytes in front."""

    def __init__(self, data, sock):
        self.data, self.sock = data, sock

    def recv(self, n):
        if self.data:
            data, self.data = self.data[:n], self.data[n:]
            return data
        return self.sock.recv(n)


def main():
    global NAMES
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
