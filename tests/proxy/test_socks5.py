# SPDX-License-Identifier: Apache-2.0
"""SOCKS5 through the real worker: every row of the corpus, in three ways of sending, each reply, and a real client."""
import http.server
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time
import unittest

import harness
from harness import ORIGINS, PROXY, SERVED, SILENT, WAIT, Origin, Worker, read_all, read_exactly

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'corpus', 'socks5.jsonl')
NAMES = None
GREETING, GREETED = b'\x05\x01\x00', b'\x05\x00'
DEADLINE_MS = 500


def reply(code):
    return bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0])


def connect(name, port, command=1):
    name = name.encode()
    return bytes([5, command, 0, 3, len(name)]) + name + struct.pack('!H', port)


def connect_address(address, port):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    return bytes([5, 1, 0, 4 if ':' in address else 1]) + socket.inet_pton(family, address) + struct.pack('!H', port)


def rows():
    with open(CORPUS) as f:
        policy = json.loads(next(f))['policy']
        return policy, [json.loads(line) for line in f]


def wanted(row, writes):
    """(method, replies): what a server without authentication on a port that also speaks HTTP may answer."""
    if writes[0][0] != 5:
        return {'http'}, {'close'}
    if 'auth' not in row:
        return {row['expect_method']}, {row['expect_rep'], *row.get('also_ok_rep', [])}
    if 0 not in writes[0][2:]:
        return {'ff'}, {'close'}
    return {'00'}, {'01' if len(writes) > 1 else 'timeout'}


class Case(unittest.TestCase):
    def setUp(self):
        NAMES.answers.clear()
        NAMES.asked.clear()
        NAMES.answers['origin.test'] = [SERVED]
        self.origin = Origin()
        self.target = f'origin.test:{self.origin.port}'
        self.worker = None

    def tearDown(self):
        self.origin.close()
        if self.worker:
            self.worker.stop()

    def start(self, allow=None, **policy):
        self.worker = Worker({'allow': allow or [self.target], 'networks': ORIGINS, **policy})

    def ask(self, request):
        """A client that has been greeted and has asked."""
        client = self.worker.connect()
        client.sendall(GREETING)
        self.assertEqual(read_exactly(client, 2), GREETED)
        client.sendall(request)
        return client

    def refused(self, request, code, reason, verdict='failed'):
        with self.ask(request) as client:
            self.assertEqual(read_all(client), reply(code))  # and its end, in good order
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict'], line['via']), (reason, verdict, 'socks5'))
        return line


class Rows(Case):
    def at_once(self, client, writes):
        client.sendall(b''.join(writes))

    def by_message(self, client, writes):
        for data in writes:
            client.sendall(data)

    def by_byte(self, client, writes):
        for byte in b''.join(writes)[:600]:  # more is sent by no row that is answered
            client.sendall(bytes([byte]))

    def outcome(self, client, row):
        """(method, reply) as the corpus writes them; 'close' may turn out to be 'timeout'."""
        method = client.recv(2)
        if method.startswith(b'H'):
            head = method + read_all(client)
            self.assertIn(head.split(b' ')[1], (b'400', b'403', b'405'))
            return 'http', 'close'
        if not method:
            return 'close', 'close'
        method += read_exactly(client, 2 - len(method))
        self.assertEqual(method[0], 5)
        first = client.recv(1)
        if not first:
            return f'{method[1]:02x}', 'close'
        answer = first + read_exactly(client, 9)
        self.assertEqual(answer, reply(answer[1]))
        if answer[1] == 0:
            with self.origin.accept() as origin:
                if row.get('then') == 'FIN':
                    self.assertEqual(read_all(origin), b'')
            client.close()
        else:
            self.assertEqual(read_all(client), b'', 'a second reply')
        return f'{method[1]:02x}', f'{answer[1]:02x}'

    def judge(self, row, send):
        NAMES.asked.clear()
        NAMES.answers['api.example.com'] = row.get('resolve', {}).get('api.example.com', [SERVED])
        writes = [bytes.fromhex(data) for data in row['writes']]
        with self.worker.connect() as client:
            try:
                send(client, writes)
                if row.get('then') == 'FIN':
                    client.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was refused before all was sent
            method, rep = self.outcome(client, row)
        line = self.worker.line()
        if line['reason'] == 'head-timeout':
            method, rep = ('timeout', 'close') if method == 'close' else (method, 'timeout')
        methods, reps = wanted(row, writes)
        self.assertIn(method, methods, line)
        self.assertIn(rep, reps, line)
        self.assertIn(line['via'], ('connect', 'http') if method == 'http' else ('socks5',))
        verdict = {'00': 'allowed', '01': 'bad-request', '02': 'denied', '07': 'bad-request', '08': 'bad-request'}
        if rep in verdict:
            self.assertEqual(line['verdict'], verdict[rep])
        if row.get('must') == 'no resolver call' or rep not in ('00', '02'):
            self.assertEqual(NAMES.asked, [])

    def test_rows(self):
        policy, corpus = rows()
        self.origin.close()
        self.origin = Origin(port=443)
        other = Origin(port=80)
        self.start(policy['allow'], deny=policy['deny'], ports=policy['ports'], limits={'head_timeout_ms': DEADLINE_MS})
        n = 0
        for send in (self.at_once, self.by_message, self.by_byte):
            for row in corpus:
                if row['name'] == 'ok-port-80':
                    self.origin, other = other, self.origin
                with self.subTest(row['id'], send=send.__name__, why=row['why']):
                    self.judge(row, send)
                    n += 1
                if row['name'] == 'ok-port-80':
                    self.origin, other = other, self.origin
        self.assertEqual(n, 3 * len(corpus))
        self.assertGreater(len(corpus), 70)
        for origin in (self.origin, other):
            self.assertFalse(select.select([origin.sock], [], [], 0)[0], 'dialled for a row that was refused')
        other.close()


class Replies(Case):
    def test_network_unreachable(self):
        self.start(['far.test'], networks=['203.0.113.0/24'])
        NAMES.answers['far.test'] = ['203.0.113.9']
        self.refused(connect('far.test', 443), 3, 'connect-unreachable')

    def test_host_unreachable(self):
        self.start(['nobody.test', 'slow.test'], limits={'connect_timeout_ms': 300, 'resolve_timeout_ms': 300})
        self.refused(connect('nobody.test', 443), 4, 'resolve-failed')
        NAMES.answers['nobody.test'] = None
        self.refused(connect('nobody.test', 443), 4, 'resolve-timeout')
        NAMES.answers['slow.test'] = [SILENT]
        self.refused(connect('slow.test', 443), 4, 'connect-timeout')

    def test_refused(self):
        self.start()
        self.origin.close()
        line = self.refused(connect('origin.test', self.origin.port), 5, 'connect-refused')
        self.assertEqual((line['host'], line['port'], line['address']), ('origin.test', self.origin.port, SERVED))

    def test_not_allowed_by_address(self):
        self.start(['inside.test'])
        NAMES.answers['inside.test'] = ['127.0.0.1']
        self.refused(connect('inside.test', 443), 2, 'address-forbidden', 'denied')
        self.refused(connect('inside.test', 22), 2, 'port-not-listed', 'denied')

    def test_other_commands(self):
        self.start()
        for command in (0, 2, 3, 4, 0xf0):
            self.refused(connect('origin.test', self.origin.port, command), 7, 'method-not-allowed', 'bad-request')

    def test_addresses_where_listed(self):
        self.start([f'{SERVED}:{self.origin.port}'])
        with self.ask(connect_address(SERVED, self.origin.port)) as client:
            self.assertEqual(read_exactly(client, 10), reply(0))
            self.origin.accept().close()
        self.assertEqual(self.worker.line()['address'], SERVED)
        self.refused(connect_address('198.51.100.8', self.origin.port), 2, 'not-listed', 'denied')
        self.refused(connect_address('::ffff:' + SERVED, self.origin.port), 2, 'not-listed', 'denied')

    def test_told_why_though_it_sends_on(self):
        """What a refused client still sends does not cost it the reply."""
        self.start()
        with self.ask(connect('evil.test', 443) + b'x' * 100000) as client:
            self.assertEqual(read_exactly(client, 10), reply(2))
            self.assertEqual(read_all(client), b'')
        self.assertEqual(self.worker.line()['reason'], 'not-listed')


class Tunnels(Case):
    def test_bytes_behind_the_request_are_the_tunnels(self):
        self.start()
        early = b'GET / HTTP/1.1\r\n\r\n' + GREETING + connect('evil.test', 443) + b'\0' * 100000
        with self.worker.connect() as client:
            client.sendall(GREETING + connect('origin.test', self.origin.port) + early)
            self.assertEqual(read_exactly(client, 12), GREETED + reply(0))
            with self.origin.accept() as origin:
                self.assertEqual(read_exactly(origin, len(early)), early)
                origin.sendall(b'down')
                self.assertEqual(read_exactly(client, 4), b'down')
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(origin), b'')
                origin.sendall(b'late')
            self.assertEqual(read_all(client), b'late')
        line = self.worker.line()
        self.assertEqual((line['verdict'], line['reason'], line['via'], line['bytes_up'], line['bytes_down']),
                         ('allowed', 'allowed', 'socks5', len(early), 8))

    def test_deadline_is_absolute(self):
        """However slowly bytes come, it counts from accept."""
        self.start(limits={'head_timeout_ms': 1000})
        request = connect('origin.test', self.origin.port) + b'x'
        started = time.monotonic()
        with self.worker.connect() as client:
            client.sendall(GREETING)
            self.assertEqual(read_exactly(client, 2), GREETED)
            for at in range(len(request) - 2):
                client.sendall(request[at:at + 1])
                if select.select([client], [], [], 0.15)[0]:
                    break
            self.assertEqual(read_all(client), b'')
        took = time.monotonic() - started
        self.assertGreater(took, 0.9)
        self.assertLess(took, 0.15 * (len(request) - 3))
        self.assertEqual(self.worker.line()['reason'], 'head-timeout')

    def test_clients_that_leave(self):
        """In the middle of it, with an end of file and with a reset."""
        self.start()
        whole = GREETING + connect('origin.test', self.origin.port)
        for n in range(1, len(whole)):
            for reset in (False, True):
                client = self.worker.connect()
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                client.sendall(whole[:n])
                client.close()
                self.assertEqual(self.worker.line()['reason'], 'client-closed')


class Clients(Case):
    def serve(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header('Content-Length', '5')
                self.end_headers()
                self.wfile.write(b'hello')

            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer((SERVED, 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_port

    def curl(self, option, host, port):
        return subprocess.run(['curl', '-sS', '--max-time', str(WAIT), option, f'{PROXY}:{self.worker.port}',
                               f'http://{host}:{port}/'], capture_output=True, env={'PATH': os.environ['PATH']})

    def test_curl(self):
        port = self.serve()
        self.start([f'origin.test:{port}'])
        result = self.curl('--socks5-hostname', 'origin.test', port)
        self.assertEqual((result.stdout, result.returncode), (b'hello', 0), result.stderr)
        self.assertEqual(self.worker.line()['via'], 'socks5')
        result = self.curl('--socks5-hostname', 'evil.test', port)
        self.assertEqual(result.returncode, 97)
        self.assertIn(b'(2)', result.stderr)
        self.assertEqual(self.worker.line()['reason'], 'not-listed')
        # it looks the name up by itself, and asks for an address
        result = self.curl('--socks5', SERVED, port)
        self.assertEqual(result.returncode, 97)
        self.assertEqual(self.worker.line()['reason'], 'not-listed')


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
