# SPDX-License-Identifier: Apache-2.0
"""Every row of the requests corpus against the real worker: the class of each answer, and what may arrive at the origin.

Rows about proxy credentials are not ours.
"""
import json
import os
import queue
import re
import socket
import sys
import threading
import unittest

import harness
from harness import SERVED, WAIT, Origin, Worker, read_all, read_exactly, read_head

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'differential'))
from recorder import Recorder  # noqa: E402

CORPUS = os.path.join(HERE, '..', 'corpus', 'requests')
NAMES = None
PSEUDONYM = b'oci-egress'
HOSTS = {'r014': b'a.cdn.example.com'}
# Content that must arrive, where there is any.
CONTENTS = {**dict.fromkeys(['r004', 'r008', 'r016', 'r017', 'r144', 'r145', 'r185', 'r237', 'r241', 'r242', 'r243', 'r244'],
                            b'hello'),
            'r212': b'x' * 400, 'r248': b'x' * 5000, 'r266': b'GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n'}
NEVER = re.compile(rb'(?im)^(proxy-|te:|upgrade|http2-settings|trailer|keep-alive)|x-sum|^[ \t]')


def rows():
    with open(os.path.join(CORPUS, 'index.jsonl')) as f:
        policy = json.loads(next(f))['policy']
        return policy, [json.loads(line) for line in f]


class Recorded:
    """An origin that keeps what arrives, connection by connection."""

    def __init__(self, port):
        self.port, self.kept = port, queue.Queue()
        listener = harness.listen(SERVED, port)
        self.stop, stopped = socket.socketpair()
        self.thread = threading.Thread(target=Recorder(listener, lambda *of: self.kept.put(of)).serve, args=(stopped,))
        self.thread.start()

    def take(self):
        """What has come since, (bytes, requests, problem) of each connection. All that came before this call is in."""
        with socket.create_connection((SERVED, self.port), timeout=WAIT) as sock:
            sock.sendall(b'GET /marker HTTP/1.1\r\nHost: x\r\n\r\n')
            read_exactly(sock, len(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
        taken = []
        while True:
            of = self.kept.get(timeout=WAIT)
            if of[0].startswith(b'GET /marker '):
                return taken
            taken.append(of)

    def close(self):
        self.stop.close()
        self.thread.join()


def length_of(head):
    match = re.search(rb'(?i)\r\ncontent-length: *([0-9]+)\r\n', head)
    return int(match[1]) if match else 0


class Requests(unittest.TestCase):
    def send(self, sock, row, data):
        if row.get('timing', '').startswith('1 byte'):
            gap = .05 if 'second' in row['timing'] else 0
            for i in range(len(data)):
                if gap and harness.select.select([sock], [], [], gap)[0]:
                    return
                sock.sendall(data[i:i + 1])
        else:
            sock.sendall(data)
        if row.get('then') == 'FIN' or not data:
            sock.shutdown(socket.SHUT_WR)

    def ask(self, row, data):
        """The classes of the answers, 'close' last where the connection has ended."""
        n, answers = len(row['expect']), []
        with self.worker.connect() as sock:
            self.send(sock, row, data)
            while True:
                try:
                    status, head = read_head(sock)
                    content = read_exactly(sock, length_of(head)) if status else b''
                except ConnectionResetError:
                    status = 0
                if status == 0:
                    return [*answers, 'close']
                if status == 200 and content == b'':
                    if not head.startswith(b'HTTP/1.1 200 Connection established'):
                        answers.append('200-self')
                        continue
                    self.tunnels.accept().close()
                    return [*answers, 'tunnel']
                answers.append('forward' if status == 200 and content == b'ok' else str(status))
                if len(answers) == n:
                    try:
                        sock.shutdown(socket.SHUT_WR)  # whatever else comes, comes now
                    except OSError:
                        pass

    @staticmethod
    def passes(row, answers):
        for wanted in [row['expect'], *row.get('also_ok', [])]:
            if answers in (wanted, [*wanted, 'close']):
                return True
        return False

    def judge_arrived(self, row, answers):
        n = 0
        for data, requests, problem in self.origin.take():
            self.assertIn(problem, (None, 'torn'))
            n += len(requests)
            for head in [data.split(b'\r\n\r\n')[0]] if requests else []:
                self.assertEqual(head.lower().count(b'\r\nhost: ' + HOSTS.get(row['id'], b'api.example.com') + b'\r\n'), 1)
                self.assertEqual(len(re.findall(rb'(?im)^host:', head)), 1)
                self.assertNotRegex(head, NEVER)
                self.assertRegex(head, rb'\r\nVia: [^\r]*' + PSEUDONYM)
            for method, target, content in requests:
                self.assertEqual(content, CONTENTS.get(row['id'], b''), (method, target))
        self.assertEqual(n, answers.count('forward'))

    def test_rows(self):
        policy, corpus = rows()
        self.worker = Worker({**policy, 'networks': harness.ORIGINS,
                              'limits': {'head_timeout_ms': 1000, 'idle_timeout_ms': 1000}})
        self.tunnels = Origin(port=443)
        self.origin = Recorded(80)
        NAMES.answers.update({'api.example.com': [SERVED], 'a.cdn.example.com': [SERVED]})
        n = 0
        for row in corpus:
            if row['group'] == 'auth':
                continue
            with open(os.path.join(CORPUS, row['file']), 'rb') as f:
                data = f.read().replace(b'@PROXY_PSEUDONYM@', PSEUDONYM)
            with self.subTest(row['id'], why=row['why']):
                answers = self.ask(row, data)
                self.assertTrue(self.passes(row, answers), (answers, row['expect'], row.get('also_ok')))
                self.judge_arrived(row, answers)
                n += 1
        self.assertGreater(n, 150)
        self.assertEqual(set(NAMES.asked), {'api.example.com', 'a.cdn.example.com'})
        self.tunnels.sock.settimeout(0)
        with self.assertRaises(BlockingIOError):
            self.tunnels.sock.accept()
        self.origin.close()
        self.worker.stop()


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
