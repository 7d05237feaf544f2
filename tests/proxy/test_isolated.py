# SPDX-License-Identifier: Apache-2.0
"""The worker as the keeper runs it: isolated, with a channel, a scoreboard and a log that is exchanged. Needs root."""
import array
import os
import select
import socket
import struct
import sys
import tempfile
import unittest

import harness
from harness import (CHANNEL_LOG, CHANNEL_LOG_FULL, CHANNEL_PROBE, CHANNEL_PROBE_ACK, CHANNEL_PROBED, CHANNEL_READY,
                     CHANNEL_LISTEN, FD_CHANNEL, FD_CONTAINER, FD_LISTENER, FD_LOG, FD_ROOT, FD_SCOREBOARD,
                     LISTENER_CLOSED, ORIGINS, PROXY, SERVED, WAIT, Origin, Worker, connect_request, memfd, read_all,
                     read_exactly, read_head, until)

NAMES = None
UID = 65534
SCOREBOARD_VERSION = 3
COUNTERS = ('accepted', 'allowed', 'denied', 'failed', 'bytes_up', 'bytes_down', 'lines_lost')


class Isolated(unittest.TestCase):
    def setUp(self):
        NAMES.answers.clear()
        NAMES.answers['origin.test'] = [SERVED]
        self.origin = Origin()
        self.target = f'origin.test:{self.origin.port}'
        self.logs = []
        self.status = 0
        self.dir = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.channel.close()
        self.assertEqual(self.worker.process.wait(WAIT), self.status)
        self.worker.listener.close()
        self.origin.close()
        self.dir.cleanup()

    def new_log(self):
        fd = os.open(f'{self.dir.name}/{len(self.logs)}', os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        self.logs.append(fd)
        return fd

    def start(self, external=0, limits=None, policy=None, listens=True):
        limits = {'connections': 50, **(limits or {})}
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(WAIT)
        self.board = memfd(struct.pack('=II', SCOREBOARD_VERSION, limits['connections']) + bytes(1 << 16), seal=False)
        empty = tempfile.mkdtemp()
        root = os.open(empty, os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(empty)
        self.worker = Worker(
            policy or {'allow': [self.target], 'networks': ORIGINS, 'limits': limits},
            role=('isolated', str(UID), str(external)),
            fds={**({} if listens else {FD_LISTENER: None}), FD_CHANNEL: theirs.fileno(), FD_SCOREBOARD: self.board, FD_ROOT: root,
                 FD_CONTAINER: memfd(b'box"\n1'), FD_LOG: self.new_log()})
        theirs.close()
        os.close(root)
        self.assertEqual(self.message(), (CHANNEL_READY, 0))

    def message(self):
        return struct.unpack('=II', self.channel.recv(64))

    def counters(self):
        return dict(zip(COUNTERS, struct.unpack_from('=7Q', os.pread(self.board, 64, 8))))

    def denied(self, n=1):
        for _ in range(n):
            with self.worker.connect() as sock:
                sock.sendall(connect_request('evil.test:443'))
                self.assertEqual(read_head(sock)[0], 403)
                read_all(sock)

    def text(self, i):
        return os.pread(self.logs[i], 1 << 20, 0)

    def test_is_confined_and_serves(self):
        self.start()
        with open(f'/proc/{self.worker.process.pid}/status') as f:
            status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        self.assertEqual(set(status['Uid'].split()), {str(UID)})
        self.assertEqual(status['Groups'].strip(), '')
        for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual((status['NoNewPrivs'], status['Seccomp']), ('1', '2'))

        client = self.worker.connect()
        client.sendall(connect_request(self.target))
        self.assertEqual(read_head(client)[0], 200)
        origin = self.origin.accept()
        client.sendall(b'x' * 100000)
        self.assertEqual(len(read_exactly(origin, 100000)), 100000)
        origin.close()
        self.assertEqual(read_all(client), b'')
        client.close()
        self.denied()
        until(lambda: self.counters()['bytes_up'] > 0, 'its counters')
        counters = self.counters()
        self.assertEqual((counters['accepted'], counters['allowed'], counters['denied'], counters['failed']),
                         (2, 1, 1, 0))
        self.assertEqual(counters['bytes_up'], 100000)
        self.assertIn(b'"container":"box\\u0022\\u000a1"', self.text(0))

    def tunnel(self, first):
        client = self.worker.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(connect_request(self.target))
        self.assertEqual(read_head(client)[0], 200)
        client.sendall(first)
        return client, self.origin.accept()

    def wakeups(self):
        with open(f'/proc/{self.worker.process.pid}/status') as f:
            return int(f.read().split('\nvoluntary_ctxt_switches:')[1].split()[0])

    def test_names_in_tunnels_are_counted(self):
        """Silent tunnels, one that begins with half a hello, and one whose hello comes in many pieces."""
        self.start(limits={'head_timeout_ms': 500})
        for n, reset in enumerate((False, True)):
            client, origin = self.tunnel(b'')
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', reset, 0))
            client.close(), origin.close()
            until(lambda: self.counters()['allowed'] == n + 1, 'the silent one')
        client, origin = self.tunnel(b'\x16\x03\x01')
        self.assertEqual(read_all(client)[:1], b'\x15')
        client.close(), origin.close()
        until(lambda: self.counters()['failed'] == 1, 'half a hello')
        self.channel.close()
        self.assertEqual(self.worker.process.wait(WAIT), 0)
        self.worker.listener.close()

        self.start(limits={'head_timeout_ms': 20000})
        rest = b'\1' + (2000).to_bytes(3, 'big') + b'\3\3' + bytes(1998)  # broken at its very end
        client, origin = self.tunnel(b'\x16\x03\x01' + struct.pack('!H', len(rest)) + rest[:4])
        woken = self.wakeups()
        for i in range(4, 104):
            client.send(rest[i:i + 1])
            select.select([client], [], [], 0.001)  # time for the worker to come and look
        self.assertLess(self.wakeups() - woken, 50, 'the kernel does not wait for the rest with it')
        client.sendall(rest[104:])
        self.assertEqual(read_all(client)[:1], b'\x15')
        client.close(), origin.close()
        counters = self.counters()
        self.assertEqual((counters['accepted'], counters['allowed'], counters['denied'], counters['failed']),
                         (1, 0, 1, 0))
        self.assertIn(b'"verdict":"denied"', self.text(1))
        self.assertIn(b'"reason":"sni-mismatch"', self.text(1))

    def test_the_hooks_connection_is_neither_logged_nor_counted(self):
        self.start()
        probe = socket.socket()
        probe.settimeout(WAIT)
        probe.bind((SERVED, 0))
        port = probe.getsockname()[1]
        self.channel.send(struct.pack('=II', CHANNEL_PROBE, port))
        self.assertEqual(self.message(), (CHANNEL_PROBE_ACK, port))
        self.denied()  # another's connection is none
        probe.connect((PROXY, self.worker.port))
        self.assertEqual(self.message(), (CHANNEL_PROBED, port))
        probe.close()
        self.assertEqual(self.counters()['accepted'], 1)
        self.assertEqual(self.text(0).count(b'\n'), 1)

    def announce(self, port):
        self.channel.send(struct.pack('=II', CHANNEL_PROBE, port))
        if port:
            self.assertEqual(self.message(), (CHANNEL_PROBE_ACK, port))

    def test_the_hooks_connection_gets_through_when_all_are_taken(self):
        """Whatever waits in front of it is turned away, so long as it is awaited and no longer."""
        self.start(limits={'connections': 4})
        held = [self.worker.connect() for _ in range(4)]
        for sock in held:
            sock.sendall(b'CONNECT ')
        before = [self.worker.connect() for _ in range(200)]
        with socket.socket() as probe:
            probe.settimeout(WAIT)
            probe.bind((SERVED, 0))
            self.announce(probe.getsockname()[1])
            probe.connect((PROXY, self.worker.port))
            self.assertEqual(self.message(), (CHANNEL_PROBED, probe.getsockname()[1]))
        for sock in before:
            self.assertEqual(read_all(sock), b'')
            sock.close()
        self.assertEqual((self.counters()['accepted'], self.counters()['failed']), (204, 200))
        self.assertEqual(self.text(0).count(b'"limit-connections"'), 1)
        waiting = self.worker.connect()
        for sock in held:
            sock.sendall(connect_request('evil.test:443')[len(b'CONNECT '):])
            self.assertEqual(read_head(sock)[0], 403)
            sock.close()
        waiting.sendall(connect_request('evil.test:443'))
        self.assertEqual(read_head(waiting)[0], 403)
        waiting.close()

    def test_the_hooks_connection_gets_through_when_too_many_come(self):
        """The rate waits for it: at one per second the 50 in front of it would take the better part of a minute."""
        self.start(limits={'connections': 100, 'connections_per_second': 1})
        before = [self.worker.connect() for _ in range(50)]
        with socket.socket() as probe:
            probe.settimeout(WAIT)
            probe.bind((SERVED, 0))
            self.announce(probe.getsockname()[1])
            probe.connect((PROXY, self.worker.port))
            self.assertEqual(self.message(), (CHANNEL_PROBED, probe.getsockname()[1]))
        for sock in before:
            sock.sendall(connect_request('evil.test:443'))
            self.assertEqual(read_head(sock)[0], 403)
            sock.close()
        self.assertEqual(self.counters()['accepted'], 50)
        self.assertEqual(self.text(0).count(b'"limit-rate"'), 1)

    def test_a_probe_that_is_taken_back(self):
        self.start()
        with socket.socket() as sock:
            sock.settimeout(WAIT)
            sock.bind((SERVED, 0))
            self.announce(sock.getsockname()[1])
            self.announce(0)
            self.denied()  # the message was read before this
            sock.connect((PROXY, self.worker.port))
            sock.sendall(connect_request('evil.test:443'))
            self.assertEqual(read_head(sock)[0], 403)

    def test_a_listener_that_listens_no_more(self):
        """As ss(8) -K leaves it, a worker that goes on accepting or is paused at its limit alike."""
        for connections in (50, 1):
            with self.subTest(connections=connections):
                self.start(limits={'connections': connections})
                held = self.worker.connect()
                if connections == 1:
                    waiting = self.worker.connect()
                    until(lambda: b'accept-paused' in self.text(len(self.logs) - 1), 'a pause')
                    waiting.close()
                self.worker.listener.shutdown(socket.SHUT_RDWR)
                self.assertEqual(self.worker.process.wait(WAIT), LISTENER_CLOSED)
                held.close()
        self.status = LISTENER_CLOSED

    def test_a_listener_that_blocks_is_refused(self):
        """One that comes by the channel cannot be made non-blocking any more."""
        for blocking in (False, True):
            with self.subTest(blocking=blocking):
                self.start(listens=False)
                self.worker.listener.setblocking(blocking)
                self.channel.sendmsg([struct.pack('=II', CHANNEL_LISTEN, 0)], [
                    (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [self.worker.listener.fileno()]))])
                if blocking:
                    self.assertEqual(self.worker.process.wait(WAIT), 0)
                else:
                    self.denied()

    def test_a_full_log_is_exchanged_and_no_line_is_lost(self):
        self.start(limits={'log_bytes': 65536})
        sent = 0
        while not select.select([self.channel], [], [], 0)[0]:
            self.assertLess(sent, 1000)
            self.denied()
            sent += 1
        self.assertEqual(self.message(), (CHANNEL_LOG_FULL, 0))
        self.denied(5)
        self.assertLessEqual(len(self.text(0)), 65536)
        self.channel.sendmsg([struct.pack('=II', CHANNEL_LOG, 0)],
                             [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [self.new_log()]))])
        self.denied(2)
        lines = self.text(0) + self.text(1)
        self.assertEqual(lines.count(b'"reason":"not-listed"'), sent + 7)
        self.assertEqual(lines.count(b'\n'), sent + 7)
        self.assertEqual(self.counters()['lines_lost'], 0)

    def test_lines_that_find_no_room_are_counted(self):
        self.start(limits={'log_bytes': 65536})
        n = 900
        self.denied(n)
        written = self.text(0).count(b'\n')
        lost = self.counters()['lines_lost']
        self.assertGreater(lost, 0)
        self.assertLessEqual(written + lost, n)

    def test_an_external_proxy_gets_every_byte(self):
        external = Origin('127.0.0.1')
        self.start(external=external.port, policy={
            'proxy': {'command': ['/bin/true']}, 'limits': {'connections': 50}})
        client = self.worker.connect()
        client.sendall(b'anything\x00 at all')
        sock = external.accept()
        self.assertEqual(read_exactly(sock, 16), b'anything\x00 at all')
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
        sock.close()
        self.assertEqual(read_all(client), b'HTTP/1.1 200 OK\r\n\r\n')
        client.close()
        until(lambda: self.text(0), 'a line in the log')
        self.assertIn(b'"host":null,"port":null,"address":"127.0.0.1","verdict":"allowed"', self.text(0))
        external.close()
        with self.assertRaises(ConnectionResetError):
            with self.worker.connect() as client:
                client.recv(1)


if __name__ == '__main__':
    if os.getuid() != 0:
        print('needs root', file=sys.stderr)
        sys.exit(77)
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
