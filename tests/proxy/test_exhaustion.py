# SPDX-License-Identifier: Apache-2.0
"""What runs out: descriptors, ports, memory. Open tunnels live, accepting pauses and goes on, the log says so once."""
import contextlib
import os
import resource
import socket
import struct
import unittest

import harness
from harness import (ORIGINS, PROXY, SERVED, WAIT, Origin, Worker, connect_request, read_all, read_exactly, read_head,
                     until)

NAMES = None
SANITIZED = 1 << 40  # bytes of address space: with a sanitizer's shadow it is more, and no limit can be set


class Case(unittest.TestCase):
    def setUp(self):
        NAMES.answers.clear()
        NAMES.answers['origin.test'] = [SERVED]
        self.origin = Origin()
        self.target = f'origin.test:{self.origin.port}'
        self.worker = Worker({'allow': [self.target, f'{SERVED}:{self.origin.port}'], 'networks': ORIGINS,
                              'limits': {'connections': 1000, 'connections_per_second': 0}})

    def tearDown(self):
        self.origin.close()
        self.worker.stop()

    def connect(self, source=0):
        """From a port of its own, outside of those that the kernel may choose from."""
        sock = socket.socket()
        sock.settimeout(WAIT)
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((SERVED, source))
        sock.connect((PROXY, self.worker.port))
        return sock

    def tunnel(self, source=0):
        client = self.connect(source)
        client.sendall(connect_request(self.target))
        status, head = read_head(client)
        self.assertEqual(status, 200, head)
        return client, self.origin.accept()

    def lives(self, client, origin):
        client.sendall(b'up')
        self.assertEqual(read_exactly(origin, 2), b'up')
        origin.sendall(b'down')
        self.assertEqual(read_exactly(client, 4), b'down')

    def limit(self, what, n):
        return resource.prlimit(self.worker.process.pid, what, (n, resource.prlimit(self.worker.process.pid, what)[1]))

    def lowest_free(self):
        """The number that the worker's next descriptor would have."""
        used = {int(fd) for fd in os.listdir(f'/proc/{self.worker.process.pid}/fd')}
        return min(set(range(len(used) + 1)) - used)

    def reset(self, *socks):
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            sock.close()


class Exhaustion(Case):
    def test_descriptors(self):
        """Not those of the policy's connections, which are counted beforehand: the host's own limit on files, say."""
        pair = self.tunnel()
        pid = self.worker.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        self.limit(resource.RLIMIT_NOFILE, self.lowest_free())
        waiting = [self.connect() for _ in range(3)]
        line = self.worker.line()
        self.assertEqual((line['event'], line['reason']), ('accept-paused', 'limit-resources'))
        self.lives(*pair)
        cpu = self.worker.cpu_ticks()
        with self.assertRaises(TimeoutError):  # it looks again now and then, and does not spin
            waiting[0].settimeout(1)
            waiting[0].recv(1)
        self.assertLess(self.worker.cpu_ticks() - cpu, os.sysconf('SC_CLK_TCK') / 2)
        self.lives(*pair)
        self.limit(resource.RLIMIT_NOFILE, before)
        for sock in waiting:
            sock.settimeout(WAIT)
            sock.sendall(connect_request('evil.test:443'))
            self.assertEqual(read_head(sock)[0], 403)
            sock.close()
            self.assertEqual(self.worker.line()['reason'], 'not-listed')  # and no second line of the pause
        self.lives(*pair)
        for sock in pair:
            sock.close()

    def refused(self, target):
        client = self.connect()
        until(lambda: self.has_accepted(client), 'accepted')
        before = self.limit(resource.RLIMIT_NOFILE, self.lowest_free())[0]
        client.sendall(connect_request(target))
        status, head = read_head(client)
        self.assertEqual(status, 503, head)
        self.assertIn(b'details="limit-resources"', head)
        client.close()
        self.limit(resource.RLIMIT_NOFILE, before)

    def test_no_descriptor_for_the_way_out(self):
        pair = self.tunnel()
        self.refused(f'{SERVED}:{self.origin.port}')
        self.lives(*pair)
        self.refused(self.target)  # to ask a name server with
        self.lives(*pair)
        again = self.tunnel()
        for sock in (*pair, *again):
            sock.close()

    def has_accepted(self, client):
        """Whether the other end belongs to a process, proc_net_tcp(5): before that its inode is 0."""
        port = f'{client.getsockname()[1]:04X}'
        with open('/proc/self/net/tcp') as f:
            return any(row.split()[2].endswith(':' + port) and row.split()[9] != '0' for row in f.readlines()[1:])

    def test_ports(self):
        """Four for the worker's way to the one origin; the clients of the test bring their own."""
        with open('/proc/sys/net/ipv4/ip_local_port_range') as f:
            before = f.read()
        self.addCleanup(self.set_ports, before)
        self.set_ports('40000 40003')
        pairs = [self.tunnel(20000 + i) for i in range(4)]
        for i in range(3):
            client = self.connect(20010 + i)
            client.sendall(connect_request(self.target))
            self.assertEqual(read_head(client)[0], 503)
            self.assertIn(b'descriptors, memory or ports', read_all(client))
            client.close()
            line = self.worker.line()
            self.assertEqual((line['reason'], line['verdict']), ('limit-resources', 'failed'))
        for pair in pairs:
            self.lives(*pair)
        self.reset(pairs[0][1])
        self.assertEqual(self.worker.line()['reason'], 'origin-reset')
        pairs[0] = self.tunnel(20020)
        for pair in pairs:
            self.lives(*pair)
            self.reset(*pair)

    @staticmethod
    def set_ports(text):
        with open('/proc/sys/net/ipv4/ip_local_port_range', 'w') as f:
            f.write(text)

    def test_memory(self):
        pair = self.tunnel()
        with open(f'/proc/{self.worker.process.pid}/statm') as f:
            size = int(f.read().split()[0]) * resource.getpagesize()
        if size > SANITIZED:
            self.skipTest('a sanitizer has taken all the address space')
        before = resource.prlimit(self.worker.process.pid, resource.RLIMIT_AS)[0]
        self.limit(resource.RLIMIT_AS, size)
        clients = []
        for _ in range(250):
            with contextlib.suppress(ConnectionError):  # one for which there was nothing is closed
                clients.append(self.connect())
                clients[-1].sendall(b'C')  # the buffers for the heads take what is left
        line = {}
        while 'event' not in line:  # heads that found none are answered, and logged
            line = self.worker.line()
            self.assertEqual(line['reason'], 'limit-resources')
        self.lives(*pair)
        self.limit(resource.RLIMIT_AS, before)
        self.lives(*pair)
        for client in clients:
            self.reset(client)
        client, origin = self.tunnel()
        self.lives(client, origin)
        for sock in (*pair, client, origin):
            sock.close()


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
