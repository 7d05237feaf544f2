# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP through a real worker: the responses corpus, and what requests, responses and connections may do."""
import json
import os
import re
import socket
import threading
import unittest

import harness
from harness import ORIGINS, SERVED, WAIT, Origin, Worker, read_all, read_exactly, read_head

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, '..', 'corpus', 'responses')
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


class Corpus(Case):
    """Each row's bytes as an origin's answer."""

    def classify(self, row, data):
        method = b'HEAD' if row['request'] == 'HEAD' else b'GET'
        with self.worker.connect() as client:
            self.ask(client, method=method)
            with self.origin.accept() as server:
                read_request(server)
                step = 1 if 'timing' in row else len(data)
                try:
                    for i in range(0, len(data), step):
                        server.sendall(data[i:i + step])
                except ConnectionError:
                    pass  # it has read enough
                if row.get('then') == 'FIN':
                    server.close()
                try:
                    status, head, content = read_message(client, method)
                except EOFError:
                    return 'close', b'', b''
                return ('relay' if status == int(data[9:12]) else str(status)), head, content

    def test_rows(self):
        self.start()
        with open(os.path.join(CORPUS, 'index.jsonl')) as f:
            corpus = [json.loads(line) for line in f]
        wanted = {'p003': b'hi', 'p007': b'hi', 'p029': b'hi'}
        for row in corpus:
            if row['request'] == 'none':
                continue
            with open(os.path.join(CORPUS, row['file']), 'rb') as f:
                data = f.read()
            with self.subTest(row['id'], why=row['why']):
                got, head, content = self.classify(row, data)
                self.assertIn(got, [row['expect'], *row.get('also_ok', [])])
                if got == 'relay':
                    self.assertEqual(content, wanted.get(row['id'], b''))
                    self.assertNotIn(b'Proxy-', head)
                    self.assertNotRegex(head.replace(b'\r\n', b''), b'[\r\n]')
                line = self.worker.line()
                self.assertEqual(line['verdict'], 'failed' if got == '502' else 'allowed')
        self.assertGreater(len(corpus), 10)

    def test_unsolicited(self):
        """An answer before its request is none."""
        self.start()
        with open(os.path.join(CORPUS, '008-unsolicited.resp'), 'rb') as f:
            evil = f.read()
        with self.worker.connect() as client:
            first, _, _ = self.exchange(client, None)
            first.sendall(evil)
            harness.until(lambda: self.is_read(first), 'the word that nobody asked for was taken back')
            second, _, message = self.exchange(client, None)
            self.assertEqual(message[2], b'ok')
            first.close()
            second.close()

    @staticmethod
    def is_read(sock):
        """The other side has closed its end."""
        try:
            return sock.recv(1, socket.MSG_DONTWAIT) == b''
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def test_poisoned_queue(self):
        """What follows a response does not answer the next request."""
        self.start()
        for response in (OK + b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
                         b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n' + OK,
                         b'HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil',
                         b'HTTP/1.1 204 No Content\r\n\r\n' + OK):
            with self.worker.connect() as client:
                first, _, _ = self.exchange(client, None, response)
                second, _, message = self.exchange(client, None)
                self.assertEqual((message[0], message[2]), (200, b'ok'))
                first.close()
                second.close()


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
