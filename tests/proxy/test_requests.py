# SPDX-License-Identifier: Apache-2.0
"""Every row of the requests corpus against the real worker.

The proxy carries CONNECT only: what a row would have forwarded, or refused for a reason that only a forwarding proxy
looks for, may be answered 405 where the method is another. Rows about proxy credentials are not ours yet.
"""
import json
import os
import socket
import unittest

import harness
from harness import SERVED, Origin, Worker, read_all, read_head

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'corpus', 'requests')
NAMES = None


def rows():
    with open(os.path.join(CORPUS, 'index.jsonl')) as f:
        policy = json.loads(next(f))['policy']
        return policy, [json.loads(line) for line in f]


def wanted(row, data):
    """The classes that the first answer may have."""
    classes = {answers[0] for answers in [row['expect'], *row.get('also_ok', [])]}
    if not data.startswith(b'CONNECT '):
        if data.split(b' ')[0].isalpha():
            classes.add('405')
        classes -= {'forward', 'tunnel', '200-self'}
    return classes


class Requests(unittest.TestCase):
    def ask(self, row, data):
        """The class of the first answer; a tunnel must lead to the origin, nothing else may reach it."""
        with self.worker.connect() as sock:
            sock.sendall(data)
            if row.get('then') == 'FIN' or not data:
                sock.shutdown(socket.SHUT_WR)
            try:
                status, _ = read_head(sock)
            except ConnectionResetError:
                status = 0
            if status == 200:
                self.origin.accept().close()
                return 'tunnel'
            read_all(sock)
            return str(status) if status else 'close'

    def test_rows(self):
        policy, corpus = rows()
        self.worker = Worker({**policy, 'networks': harness.ORIGINS, 'limits': {'head_timeout_ms': 1000}})
        self.origin = Origin(port=443)
        NAMES.answers['api.example.com'] = [SERVED]
        n = 0
        for row in corpus:
            if row['group'] == 'auth':
                continue
            with open(os.path.join(CORPUS, row['file']), 'rb') as f:
                data = f.read()
            with self.subTest(row['id'], why=row['why']):
                self.assertIn(self.ask(row, data), wanted(row, data))
                n += 1
        self.assertGreater(n, 150)
        self.assertEqual(set(NAMES.asked), {'api.example.com'})
        self.origin.sock.settimeout(0)
        with self.assertRaises(BlockingIOError):
            self.origin.sock.accept()
        self.worker.stop()


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
