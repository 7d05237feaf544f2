# SPDX-License-Identifier: Apache-2.0
"""Names through the running worker, in its sandbox: servers that are silent, truncate, stall and refuse. Needs root."""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

import harness
from harness import (CHANNEL_READY, FD_CHANNEL, FD_CONTAINER, FD_LOG, FD_ROOT, FD_SCOREBOARD, ORIGINS, SERVED, SERVED6, WAIT,
                     Names, Origin, Worker, connect_request, memfd, read_exactly, read_head, until)
from test_isolated import SCOREBOARD_VERSION, UID

FIRST = SECOND = LINK_LOCAL = None
TCP = None
RESOLV_CONF = b'nameserver 127.0.0.1\nnameserver 127.0.0.2\n'


class LinkLocal(Names):
    """The first server, on a link of its own."""

    def __init__(self):
        self.answers, self.asked, self.kinds, self.held, self.ttl = {}, [], [], [], 0
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.bind(('fe80::53%hole', 53, 0, socket.if_nametoindex('hole')))
        threading.Thread(target=self.serve, daemon=True).start()


class Truncated(bytes):
    """What stands behind the id in an answer that has no room for records."""

    def __new__(cls, name, kind):
        labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
        return super().__new__(cls, struct.pack('!HHHHH', 0x8380, 1, 0, 0, 0) + labels + b'\0' + struct.pack('!HH', kind, 1))


class Lookups(unittest.TestCase):
    def setUp(self):
        for names in (FIRST, SECOND, LINK_LOCAL):
            names.answers, names.asked, names.kinds, names.held, names.ttl = {}, [], [], [], 0
        self.origin = Origin()

    def tearDown(self):
        self.channel.close()
        self.assertEqual(self.worker.process.wait(WAIT), 0)
        self.worker.listener.close()
        self.origin.close()

    def start(self, resolv_conf=RESOLV_CONF, limits=None, networks=ORIGINS):
        limits = {'connections': 50, **(limits or {})}
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(WAIT)
        board = memfd(struct.pack('=II', SCOREBOARD_VERSION, limits['connections']) + bytes(1 << 16), seal=False)
        empty = tempfile.mkdtemp()
        root = os.open(empty, os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(empty)
        with tempfile.TemporaryFile(buffering=0) as log:
            self.worker = Worker(
                {'allow': [f'*.some.test:{self.origin.port}'], 'networks': networks, 'limits': limits},
                resolv_conf=resolv_conf, role=('isolated', str(UID), '0'),
                fds={FD_CHANNEL: theirs.fileno(), FD_SCOREBOARD: board, FD_ROOT: root, FD_CONTAINER: memfd(b'box'),
                     FD_LOG: log.fileno()})
        for fd in (board, root):
            os.close(fd)
        theirs.close()
        self.assertEqual(struct.unpack('=II', self.channel.recv(64)), (CHANNEL_READY, 0))

    def ask(self, name):
        client = self.worker.connect()
        client.sendall(connect_request(f'{name}:{self.origin.port}'))
        return client

    def tunnel(self, name):
        with self.ask(name) as client:
            self.assertEqual(read_head(client)[0], 200)
            self.origin.accept().close()

    def refused(self, name, status, words):
        with self.ask(name) as client:
            got, head = read_head(client)
            self.assertEqual(got, status)
            self.assertIn(words, head)

    def test_a_question_that_stays_open_holds_no_port(self):
        """Else who asks for a name of a server that is silent would know the port of all that are asked meanwhile."""
        self.start(resolv_conf=b'nameserver 127.0.0.1\n')
        names = [f'n{i}.some.test' for i in range(20)]
        FIRST.answers.update(dict.fromkeys(names))
        clients = [self.ask(name) for name in names]
        until(lambda: len(FIRST.held) >= 2 * len(names), 'a question for each name and family')
        ports = [client[1] for _, client in FIRST.held[:2 * len(names)]]
        self.assertLessEqual(max(ports.count(port) for port in ports), 8)
        for client in clients:
            client.close()

    def test_what_is_known_is_not_asked_for(self):
        self.start()
        FIRST.answers['a.some.test'] = [SERVED, SERVED6]
        FIRST.ttl = 600
        for _ in range(5):
            self.tunnel('a.some.test')
        self.assertEqual(sorted(FIRST.kinds), [1, 28])
        for _ in range(5):
            self.refused('b.some.test', 502, b'dns_error')
        self.assertEqual(FIRST.asked.count('b.some.test'), 2)
        self.assertEqual(SECOND.asked, [])

    def test_what_is_known_is_checked_at_each_use(self):
        self.start(networks=[])
        FIRST.answers['a.some.test'] = [SERVED]
        FIRST.ttl = 600
        for _ in range(3):
            self.refused('a.some.test', 403, b'destination_ip_prohibited')
        self.assertEqual(len(FIRST.asked), 2)

    def test_a_silent_server(self):
        self.start()
        FIRST.answers['a.some.test'] = FIRST.answers['b.some.test'] = None
        SECOND.answers['a.some.test'] = SECOND.answers['b.some.test'] = [SERVED]
        self.tunnel('a.some.test')
        self.tunnel('b.some.test')
        self.assertIn('a.some.test', FIRST.asked)
        self.assertNotIn('b.some.test', FIRST.asked)

    def test_a_silent_family(self):
        self.start()
        FIRST.answers['a.some.test'] = None
        with self.ask('a.some.test') as client:
            until(lambda: len(FIRST.held) >= 2, 'both families')
            held = [pair for pair in FIRST.held if FIRST.question(pair[0])[1] == 1]
            FIRST.reply(*held[0], [SERVED])
            self.assertEqual(read_head(client)[0], 200)
            self.origin.accept().close()

    def test_a_server_that_nobody_is(self):
        self.start(b'nameserver 127.0.0.9\nnameserver 127.0.0.2\n')
        SECOND.answers['a.some.test'] = [SERVED]
        self.tunnel('a.some.test')
        self.refused('b.some.test', 502, b'dns_error')

    def truncate(self, name):
        """AAAA says that there is nothing, A comes truncated. The connection over which it is asked again."""
        FIRST.answers[name] = None
        client = self.ask(name)
        until(lambda: len([1 for query, _ in FIRST.held if FIRST.question(query)[0] == name]) >= 2, 'both families')
        for query, peer in [pair for pair in FIRST.held if FIRST.question(pair[0])[0] == name]:
            kind = FIRST.question(query)[1]
            FIRST.reply(query, peer, Truncated(name, 1) if kind == 1 else [])
        sock, _ = TCP.accept()
        sock.settimeout(WAIT)
        return client, sock

    def test_a_server_that_truncates(self):
        self.start(b'nameserver 127.0.0.1\n')
        client, sock = self.truncate('a.some.test')
        query = read_exactly(sock, struct.unpack('!H', read_exactly(sock, 2))[0])
        question = FIRST.question(query)[2]
        records = b''.join(b'\xc0\x0c' + struct.pack('!HHIH4s', 1, 1, 60, 4, socket.inet_aton(SERVED)) for _ in range(100))
        answer = query[:2] + struct.pack('!HHHHH', 0x8180, 1, 100, 0, 0) + question + records
        sock.sendall(struct.pack('!H', len(answer)) + answer)
        self.assertEqual(read_head(client)[0], 200)
        self.origin.accept().close()
        self.assertEqual(sock.recv(1), b'')
        client.close(), sock.close()

    def test_a_server_that_truncates_and_stalls(self):
        self.start(b'nameserver 127.0.0.1\n', limits={'resolve_timeout_ms': 3000})
        FIRST.answers['b.some.test'] = [SERVED]
        client, sock = self.truncate('a.some.test')
        for _ in range(20):
            self.tunnel('b.some.test')
        self.assertEqual(read_head(client)[0], 504)
        client.close(), sock.close()

    def test_a_server_of_the_link(self):
        self.start(b'nameserver fe80::53%hole\n')
        LINK_LOCAL.answers['a.some.test'] = [SERVED]
        self.tunnel('a.some.test')
        self.assertEqual(FIRST.asked, [])

    def test_names_at_a_time(self):
        self.start(limits={'lookups': 2})
        names = ['a.some.test', 'b.some.test']
        for name in names:
            FIRST.answers[name] = SECOND.answers[name] = None
        FIRST.answers['c.some.test'] = [SERVED]
        waiting = [self.ask(name) for name in names]
        until(lambda: set(names) <= set(FIRST.asked), 'both names')
        self.refused('c.some.test', 429, b'connection_limit_reached')
        again = self.ask('a.some.test')
        for name in names:
            FIRST.release(name, [SERVED])
            SECOND.release(name, [SERVED])
            FIRST.answers[name] = [SERVED]
        for client in (*waiting, again):
            self.assertEqual(read_head(client)[0], 200)
            self.origin.accept().close()
            client.close()
        self.tunnel('c.some.test')


if __name__ == '__main__':
    if os.getuid() != 0:
        print('needs root', file=sys.stderr)
        sys.exit(77)
    harness.enter_namespace()
    subprocess.run(['ip', 'addr', 'add', 'fe80::53/64', 'dev', 'hole', 'nodad'], check=True)
    FIRST, SECOND, LINK_LOCAL = Names(), Names('127.0.0.2'), LinkLocal()
    TCP = harness.listen('127.0.0.1', 53)
    TCP.settimeout(WAIT)
    unittest.main(warnings='ignore')
