# SPDX-License-Identifier: Apache-2.0
"""The real worker, end to end: what it lets through, what it refuses and how, and what it says of it in the log."""
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

import harness
from harness import (ORIGINS, PROXY, SERVED, SERVED6, SILENT, SILENT6, WAIT, Origin, Worker, connect_request, memfd,
                     read_all, read_exactly, read_head, until)

NAMES = None
TEXT_MAX = 4096


def request(worker, data):
    """Sends it, and reads the answer to its end."""
    with worker.connect() as sock:
        sock.sendall(data)
        return read_all(sock)


class Case(unittest.TestCase):
    def setUp(self):
        NAMES.answers.clear()
        NAMES.asked.clear()
        NAMES.kinds.clear()
        NAMES.held.clear()
        NAMES.answers['origin.test'] = [SERVED]
        self.origin = Origin()
        self.target = f'origin.test:{self.origin.port}'
        self.worker = None

    def tearDown(self):
        self.origin.close()
        if self.worker:
            self.worker.stop()

    def start(self, allow=None, limits=None, networks=ORIGINS, **kwargs):
        policy = {'allow': allow or [self.target], 'networks': networks}
        if limits:
            policy['limits'] = limits
        self.worker = Worker(policy, **kwargs)
        return self.worker

    def tunnel(self, target=None, client=None):
        client = client or self.worker.connect()
        client.sendall(connect_request(target or self.target))
        status, head = read_head(client)
        self.assertEqual(status, 200, head)
        return client, self.origin.accept()

    def refused(self, target, status, reason, verdict, **fields):
        answer = request(self.worker, connect_request(target))
        self.assertEqual(int(answer.split(b' ')[1]), status, answer)
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict']), (reason, verdict), line)
        for name, value in fields.items():
            self.assertEqual(line[name], value, line)
        return answer


class Tunnels(Case):
    def test_bytes_pass_both_ways_and_the_line_says_so(self):
        self.start()
        client, origin = self.tunnel()
        client.sendall(b'up')
        self.assertEqual(read_exactly(origin, 2), b'up')
        origin.sendall(b'down!')
        self.assertEqual(read_exactly(client, 5), b'down!')
        client.close()
        self.assertEqual(read_all(origin), b'')
        origin.close()
        line = self.worker.line()
        self.assertRegex(line.pop('time'), r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
        self.assertGreaterEqual(line.pop('duration_ms'), 0)
        self.assertEqual(line, {
            'container': None, 'policy': 'test', 'via': 'connect', 'host': 'origin.test', 'port': self.origin.port,
            'address': SERVED, 'verdict': 'allowed', 'rule': self.target, 'rule_line': 1, 'reason': 'allowed',
            'bytes_up': 2, 'bytes_down': 5})

    def test_what_follows_the_head_belongs_to_the_tunnel(self):
        self.start()
        early = b'\x17\x16\x03\x01' + b'GET http://evil.test/ HTTP/1.1\r\n\r\n' * 2000
        client = self.worker.connect()
        client.sendall(connect_request(self.target) + early)
        self.assertEqual(read_head(client)[0], 200)
        origin = self.origin.accept()
        self.assertEqual(read_exactly(origin, len(early)), early)
        client.close(), origin.close()

    def test_half_close_both_ways(self):
        self.start()
        for first_is_client in (True, False):
            client, origin = self.tunnel()
            first, second = (client, origin) if first_is_client else (origin, client)
            first.sendall(b'question')
            first.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(second), b'question')
            second.sendall(b'answer' * 100000)
            second.close()
            self.assertEqual(read_all(first), b'answer' * 100000)
            first.close()
            self.assertEqual(self.worker.line()['reason'], 'allowed')

    def test_origin_reset_reaches_the_client(self):
        self.start()
        client, origin = self.tunnel()
        origin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        origin.close()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict']), ('origin-reset', 'allowed'))

    def test_client_reset_reaches_the_origin(self):
        self.start()
        client, origin = self.tunnel()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        client.close()
        with self.assertRaises(ConnectionResetError):
            origin.recv(1)
        self.assertEqual(self.worker.line()['reason'], 'client-reset')

    def test_reset_after_a_half_close_ends_the_tunnel(self):
        self.start()
        client, origin = self.tunnel()
        origin.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(1), b'')
        origin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        origin.close()
        self.assertEqual(self.worker.line()['reason'], 'origin-reset')
        client.close()

    def test_urgent_data_does_not_end_a_tunnel(self):
        self.start()
        client, origin = self.tunnel()
        client.sendall(b'ab')
        client.send(b'!', socket.MSG_OOB)
        client.sendall(b'cd')
        self.assertEqual(read_exactly(origin, 5), b'ab!cd')
        client.close(), origin.close()

    def test_backpressure_and_a_checksum(self):
        self.start()
        client, origin = self.tunnel()
        data = random.Random(7).randbytes(1 << 20) * 16
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        # the sender blocks while nobody reads, and the worker rests meanwhile
        sender.join(0.3)
        self.assertTrue(sender.is_alive())
        before = self.worker.cpu_ticks()
        sender.join(0.5)
        self.assertLess(self.worker.cpu_ticks() - before, 10)
        self.assertEqual(read_all(origin), data)
        sender.join(WAIT)
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['bytes_up'], len(data))

    def test_hundreds_at_once(self):
        self.start(limits={'connections': 400})
        pairs = [self.tunnel() for _ in range(300)]
        for i, (client, origin) in enumerate(pairs):
            client.sendall(b'%06d' % i)
            origin.sendall(b'%07d' % i)
        for i, (client, origin) in enumerate(pairs):
            self.assertEqual(read_exactly(origin, 6), b'%06d' % i)
            self.assertEqual(read_exactly(client, 7), b'%07d' % i)
        for client, origin in pairs:
            client.close(), origin.close()
        for _ in pairs:
            line = self.worker.line()
            self.assertEqual((line['bytes_up'], line['bytes_down']), (6, 7))

    def test_bulk_in_many_tunnels(self):
        """Tunnels that use up their turns again and again, and end while others do."""
        self.start()
        data = random.Random(3).randbytes(1 << 20) * 3
        pairs = [self.tunnel() for _ in range(12)]

        def send(sock):
            sock.sendall(data)
            sock.close()

        got = {}
        threads = [threading.Thread(target=send, args=(origin,)) for _, origin in pairs]
        threads += [threading.Thread(target=lambda i=i, c=c: got.update({i: read_all(c)}))
                    for i, (c, _) in enumerate(pairs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        self.assertTrue(all(got.get(i) == data for i in range(len(pairs))))
        for client, _ in pairs:
            client.close()
        for _ in pairs:
            line = self.worker.line()
            self.assertEqual((line['bytes_down'], line['reason']), (len(data), 'allowed'))

    def leave_behind(self, data):
        """A tunnel that is over, but for what its client has not read: its queue is too small for it."""
        self.worker.listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))  # as a hook's
        client = socket.socket()
        client.settimeout(WAIT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((PROXY, self.worker.port))
        _, origin = self.tunnel(client=client)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(origin.recv(1), b'')
        origin.sendall(data)
        origin.close()
        self.assertEqual(self.worker.line()['reason'], 'allowed')
        return client

    def test_what_is_left_for_a_slow_client(self):
        """The tunnel is over, and its client looks away for longer than a last answer would wait for it."""
        self.start()
        data = random.Random(8).randbytes(256 << 10)
        client = self.leave_behind(data)
        errors = select.poll()
        errors.register(client, 0)
        self.assertEqual(errors.poll(2500), [])
        self.assertEqual(read_all(client), data)
        client.close()

    def test_nothing_is_left_for_a_client_that_never_reads(self):
        self.start(limits={'idle_timeout_ms': 1000, 'connections': 1})
        client = self.leave_behind(bytes(256 << 10))
        for sock in self.tunnel():  # there is room for it when the first one is gone
            sock.close()
        client.close()

    def test_an_idle_tunnel_ends(self):
        self.start(limits={'idle_timeout_ms': 1000})
        client, origin = self.tunnel()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        line = self.worker.line()
        self.assertEqual(line['reason'], 'idle-timeout')
        self.assertGreaterEqual(line['duration_ms'], 1000)

    def test_a_worker_at_rest_rests(self):
        self.start()
        client, origin = self.tunnel()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(origin.recv(1), b'')
        before = self.worker.cpu_ticks()
        origin.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            client.settimeout(0.5)
            client.recv(1)
        self.assertLess(self.worker.cpu_ticks() - before, 5)
        client.close(), origin.close()


class Refusals(Case):
    def test_denied_names_are_not_looked_up(self):
        self.start()
        answer = self.refused('EVIL.test.:443', 403, 'not-listed', 'denied', host='evil.test', port=443, address=None,
                              rule=None, fix={'allow': ['evil.test']})
        self.assertIn(b'\r\nProxy-Status: oci-egress; error=http_request_denied; details="not-listed"\r\n', answer)
        self.assertIn(b'\r\nContent-Type: text/plain\r\n', answer)
        self.assertIn(b'\r\nConnection: close\r\n', answer)
        head, body = answer.split(b'\r\n\r\n', 1)
        self.assertIn(b'Content-Length: %d' % len(body), head)
        self.assertNotIn(b'EVIL', answer)  # in its canonical spelling, if at all
        lines = body.decode().splitlines()
        self.assertRegex(lines[0], r'^oci-egress: not-listed: The policy of this container .* will not help\. .*\.$')
        self.assertEqual(lines[1:], ['evil.test:443. To allow it: "allow": ["evil.test"] in policy "test".'])
        self.assertEqual(NAMES.asked, [])

    def test_other_ports_and_deny_entries(self):
        self.worker = Worker({'allow': ['*.origin.test'], 'deny': ['bad.origin.test']})
        self.refused('a.origin.test:25', 403, 'port-not-listed', 'denied')
        self.refused('bad.origin.test:443', 403, 'denied', 'denied', rule='bad.origin.test', rule_line=1)
        self.assertEqual(NAMES.asked, [])

    def test_json_for_who_asks_for_it(self):
        self.worker = Worker({'allow': ['origin.test'], 'deny': ['*.bad.test'], 'ports': [443]})
        accept = b'Accept: application/json, */*\r\n'
        for target, extra in (('a.bad.test:443', {'rule': '*.bad.test', 'error': 'denied'}),
                              ('evil.test:8443', {'fix': {'allow': ['evil.test:8443']}, 'error': 'not-listed'}),
                              ('origin.test:80', {'fix': {'allow': ['origin.test:80']}, 'error': 'port-not-listed',
                                                  'rule': 'origin.test'})):
            host, port = target.split(':')
            plain = b'GET http://%s/ HTTP/1.1\r\nHost: %s\r\n%s\r\n' % (target.encode(), target.encode(), accept)
            for text in (connect_request(target, accept), plain):
                head, body = request(self.worker, text).split(b'\r\n\r\n', 1)
                self.assertIn(b'\r\nContent-Type: application/json\r\n', head)
                answer = json.loads(body)
                self.assertIn('policy', answer.pop('message'))
                self.assertEqual(answer, {'host': host, 'port': int(port), 'policy': 'test', **extra})
                self.assertEqual(self.worker.line()['reason'], extra['error'])

    def test_answer_to_head(self):
        """No content, however long it would have been; and none of it sticks to the connection."""
        self.start()
        answer = request(self.worker, b'HEAD http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n')
        self.assertTrue(answer.startswith(b'HTTP/1.1 403 '), answer)
        self.assertEqual(answer.split(b'\r\n\r\n', 1)[1], b'')
        self.assertNotIn(b'Content-Length: 0', answer)

    def test_methods(self):
        self.start()
        answer = request(self.worker, b'TRACE http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n')
        self.assertEqual(answer.split(b' ')[1], b'405')
        self.assertIn(b'\r\nAllow: GET, ', answer)
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict'], line['host']), ('method-not-allowed', 'bad-request', None))

    def test_an_answer_survives_what_the_client_still_sends(self):
        self.start()
        with self.worker.connect() as sock:
            sock.sendall(b'POST https://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n' + b'x' * 500000)
            self.assertIn(b'400 Bad Request', read_all(sock))

    def test_malformed(self):
        self.start()
        for data in (b'\x16\x03\x01\x00', b'CONNECT /\r\n', b'CONNECT origin.test HTTP/1.1\r\nHost: origin.test\r\n\r\n',
                     b'CONNECT origin.test:1 HTTP/1.1\n'):
            self.assertEqual(request(self.worker, data).split(b' ')[1], b'400', data)
            line = self.worker.line()
            self.assertEqual((line['reason'], line['verdict']), ('bad-request', 'bad-request'))

    def test_head_limits(self):
        self.start()
        answer = request(self.worker, b'CONNECT ' + b'a' * 9000)
        self.assertEqual(answer.split(b' ')[1], b'431')
        self.assertEqual(self.worker.line()['reason'], 'head-too-large')
        answer = request(self.worker, connect_request(self.target, b'X: ' + b'a' * (1 << 20) + b'\r\n'))
        self.assertEqual(answer.split(b' ')[1], b'431')

    def test_head_deadline_is_absolute(self):
        self.start(limits={'head_timeout_ms': 1000})
        with self.worker.connect() as sock:
            sock.sendall(b'CONNECT origin.test:1 HTTP/1.1\r\n')
            sock.settimeout(0.3)
            answer = b''
            for _ in range(50):
                try:
                    answer += sock.recv(TEXT_MAX)
                    break
                except TimeoutError:
                    sock.sendall(b'X')
            self.assertEqual(answer.split(b' ')[1], b'408')
        line = self.worker.line()
        self.assertEqual(line['reason'], 'head-timeout')
        self.assertLess(line['duration_ms'], 2000)

    def test_a_client_that_says_nothing_gets_no_answer(self):
        self.start(limits={'head_timeout_ms': 1000})
        with self.worker.connect() as sock:
            self.assertEqual(read_all(sock), b'')
        self.assertEqual(self.worker.line()['reason'], 'head-timeout')

    def test_a_client_that_leaves(self):
        self.start()
        self.worker.connect().close()
        self.assertEqual(self.worker.line()['reason'], 'client-closed')
        sock = self.worker.connect()
        sock.sendall(b'CONNECT or')
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock).split(b' ')[1], b'400')


class Names(Case):
    def test_forbidden_answers(self):
        self.start(['*.some.test'], networks=[])
        for i, address in enumerate(('127.0.0.1', '10.0.0.1', '169.254.169.254', '::1', '::ffff:127.0.0.1',
                                     '64:ff9b::7f00:1', 'fe80::1', PROXY)):
            NAMES.answers[f'n{i}.some.test'] = [address]
            answer = request(self.worker, connect_request(f'n{i}.some.test:443'))
            self.assertEqual(answer.split(b' ')[1], b'403')
            self.assertIn(b'error=destination_ip_prohibited', answer)
            self.assertNotIn(address.encode(), answer)  # the log may know it, the container must not
            line = self.worker.line()
            self.assertEqual((line['reason'], line['verdict'], line['address']), ('address-forbidden', 'denied', None))
            fix = {'networks': [address + ('/128' if ':' in address else '/32')]}
            self.assertEqual(line.get('fix'), None if 'ffff' in address else fix)

    def test_one_forbidden_answer_forbids_all(self):
        self.start()
        NAMES.answers['origin.test'] = [SERVED, '127.0.0.1']
        self.refused(self.target, 403, 'address-forbidden', 'denied')
        NAMES.answers['origin.test'] = [SERVED, 'fd00::1']
        self.refused(self.target, 403, 'address-forbidden', 'denied')

    def test_what_was_checked_is_dialled(self):
        """A name that is asked for twice would have another address by then."""
        self.start()
        queries = []

        class Turning(dict):
            """A good answer for A and AAAA, which may come in either order, and loopback for whatever follows."""

            def get(self, name, default=None):
                queries.append(name)
                return [SERVED] if len(queries) <= 2 else ['127.0.0.1']

        trap = Origin('127.0.0.1', self.origin.port)
        self.addCleanup(trap.close)
        answers, NAMES.answers = NAMES.answers, Turning()
        self.addCleanup(setattr, NAMES, 'answers', answers)
        client, origin = self.tunnel()
        client.close(), origin.close()
        line = self.worker.line()
        self.assertEqual((line['reason'], line['address']), ('allowed', SERVED))
        self.assertEqual(sorted(NAMES.kinds), [1, 28])
        self.assertEqual(queries, ['origin.test'] * 2)
        self.refused(self.target, 403, 'address-forbidden', 'denied')  # the next one asks anew
        trap.sock.settimeout(0)
        with self.assertRaises(BlockingIOError):
            trap.sock.accept()

    def test_failures(self):
        self.start(['*.some.test'], limits={'resolve_timeout_ms': 500})
        self.refused('missing.some.test:443', 502, 'resolve-failed', 'failed', address=None)
        NAMES.answers['empty.some.test'] = []
        self.refused('empty.some.test:443', 502, 'resolve-failed', 'failed')
        NAMES.answers['broken.some.test'] = 2
        self.refused('broken.some.test:443', 502, 'resolve-error', 'failed')
        NAMES.answers['silent.some.test'] = None
        self.refused('silent.some.test:443', 504, 'resolve-timeout', 'failed')
        for junk in (b'', b'\x81', b'\x81\x80' + b'\xff' * 400, b'\x81\x80\0\1\0\1\0\0\0\0' + b'\xc0\x0c' * 100):
            NAMES.answers['junk.some.test'] = junk
            answer = request(self.worker, connect_request('junk.some.test:443'))
            self.assertIn(answer.split(b' ')[1], (b'502', b'504'))

    def test_names_are_absolute(self):
        NAMES.answers['host.corp.test'] = [SERVED]
        self.start([f'host:{self.origin.port}'], resolv_conf=b'search corp.test\nnameserver 127.0.0.1\n')
        self.refused(f'host:{self.origin.port}', 502, 'resolve-failed', 'failed')
        self.assertEqual(set(NAMES.asked), {'host'})

    def test_hosts_file_comes_first(self):
        self.start(hosts=b'# comment\n' + SERVED.encode() + b'\tother ORIGIN.test. # here\n')
        client, origin = self.tunnel()
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['reason'], 'allowed')
        self.assertEqual(NAMES.asked, [])

    def test_many_answers(self):
        self.start(limits={'connect_timeout_ms': 2000})
        NAMES.answers['origin.test'] = [f'198.51.100.{i}' for i in range(200, 228)]
        answer = request(self.worker, connect_request(self.target))
        self.assertEqual(answer.split(b' ')[1], b'502')
        self.assertEqual(self.worker.line()['reason'], 'connect-unreachable')

    def leave(self, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        sock.close()
        self.assertEqual(self.worker.line()['reason'], 'client-closed')

    def test_a_client_that_leaves_during_the_look_up(self):
        self.start(['*.some.test'], limits={'resolve_timeout_ms': 1000})
        for i in range(20):
            name = f'silent{i}.some.test'
            NAMES.answers[name] = None
            sock = self.worker.connect()
            sock.sendall(connect_request(f'{name}:443'))
            until(lambda: name in NAMES.asked, 'a query')
            self.leave(sock)
        NAMES.answers['loud.some.test'] = ['127.0.0.1']
        self.refused('loud.some.test:443', 403, 'address-forbidden', 'denied')

    def test_a_client_whose_request_and_end_come_in_one(self):
        self.start(['slow.test'])
        NAMES.answers['slow.test'] = None
        self.worker.process.send_signal(signal.SIGSTOP)
        sock = self.worker.connect()
        sock.sendall(connect_request('slow.test:443'))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        sock.close()
        self.worker.process.send_signal(signal.SIGCONT)
        self.assertEqual(self.worker.line()['reason'], 'client-closed')

    def test_a_name_is_asked_for_once_at_a_time(self):
        """Whoever asks meanwhile waits for the same answer; one who leaves takes it from nobody."""
        self.start(['slow.test'])
        NAMES.answers['slow.test'] = None
        clients = []
        for _ in range(100):
            clients.append(self.worker.connect())
            clients[-1].sendall(connect_request('slow.test:443'))
        self.refused('evil.test:443', 403, 'not-listed', 'denied')  # by now it has read what came before
        for i in (99, 50, 0):
            self.leave(clients.pop(i))
        until(lambda: len(NAMES.held) >= 2, 'two queries')
        NAMES.release('slow.test', ['127.0.0.1'])
        for client in clients:
            self.assertEqual(read_head(client)[0], 403)
            client.close()
            self.assertEqual(self.worker.line()['reason'], 'address-forbidden')
        self.assertEqual(NAMES.asked, ['slow.test'] * 2)  # A and AAAA
        NAMES.answers['slow.test'] = ['10.0.0.1']
        self.refused('slow.test:443', 403, 'address-forbidden', 'denied')
        self.assertEqual(len(NAMES.asked), 4)  # no answer is kept

    def test_a_look_up_that_all_have_left(self):
        self.start(['slow.test'])
        NAMES.answers['slow.test'] = None
        for _ in range(3):
            client = self.worker.connect()
            client.sendall(connect_request('slow.test:443'))
            until(lambda: len(NAMES.held) >= 2, 'two queries')
            self.leave(client)
        last = self.worker.connect()
        last.sendall(connect_request('slow.test:443'))
        self.refused('evil.test:443', 403, 'not-listed', 'denied')
        NAMES.release('slow.test', ['127.0.0.1'])
        self.assertEqual(read_head(last)[0], 403)
        last.close()
        self.assertEqual(len(NAMES.asked), 2)


class Origins(Case):
    def test_refused(self):
        self.start()
        port, self.origin.port = self.origin.port, 0
        self.origin.close()
        answer = self.refused(self.target, 502, 'connect-refused', 'failed', address=SERVED, port=port)
        self.assertIn(b'error=connection_refused', answer)

    def test_silent(self):
        self.start(limits={'connect_timeout_ms': 500})
        NAMES.answers['origin.test'] = [SILENT]
        self.refused(self.target, 504, 'connect-timeout', 'failed', address=SILENT)

    def test_the_next_address(self):
        self.start(limits={'connect_timeout_ms': 1000})
        NAMES.answers['origin.test'] = [SILENT, SERVED]
        client, origin = self.tunnel()
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['address'], SERVED)

    def test_a_broken_ipv6_costs_a_moment(self):
        """RFC 8305: the next address is dialled beside the one that is silent, whose time-out would be 20 s."""
        self.start(limits={'connect_timeout_ms': 20000})
        NAMES.answers['origin.test'] = [SERVED, SILENT6]
        client, origin = self.tunnel()
        client.close(), origin.close()
        line = self.worker.line()
        self.assertEqual((line['reason'], line['address']), ('allowed', SERVED))
        self.assertGreaterEqual(line['duration_ms'], 250)  # IPv6 had its moment
        self.assertLess(line['duration_ms'], 10000)

    def test_ipv6_comes_first(self):
        self.start()
        six = Origin(SERVED6, self.origin.port)
        self.addCleanup(six.close)
        NAMES.answers['origin.test'] = [SERVED, SERVED6]
        client = self.worker.connect()
        client.sendall(connect_request(self.target))
        self.assertEqual(read_head(client)[0], 200)
        origin = six.accept()
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['address'], SERVED6)

    def test_one_that_refuses_is_passed_over_at_once(self):
        """Nothing but its refusal can start the next one: the moment of each is longer than the time for all."""
        self.start(limits={'connect_timeout_ms': 249})
        NAMES.answers['origin.test'] = [SERVED, SERVED6]
        client, origin = self.tunnel()
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['address'], SERVED)

    def test_many_silent_addresses_before_one_that_answers(self):
        self.start(limits={'connect_timeout_ms': 4000})
        for i in range(5):
            harness.add_silent(f'198.51.100.{100 + i}')
        NAMES.answers['origin.test'] = [f'198.51.100.{100 + i}' for i in range(5)] + [SERVED]
        client, origin = self.tunnel()
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['address'], SERVED)

    def test_a_client_that_leaves_while_several_are_dialled(self):
        self.start()
        NAMES.answers['origin.test'] = [SILENT, SILENT6]
        client = self.worker.connect()
        client.sendall(connect_request(self.target))
        until(lambda: harness.connecting() == 2, 'two sockets to the origin')
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        client.close()
        self.assertEqual(self.worker.line()['reason'], 'client-closed')
        until(lambda: harness.connecting() == 0, 'both closed')

    def test_no_way_there(self):
        self.start()
        NAMES.answers['origin.test'] = ['198.51.100.200']
        self.refused(self.target, 502, 'connect-unreachable', 'failed')

    def test_literals(self):
        self.start([f'{SERVED}:{self.origin.port}'])
        client, origin = self.tunnel(f'{SERVED}:{self.origin.port}')
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['address'], SERVED)
        self.refused(f'{PROXY}:80', 403, 'not-listed', 'denied')
        self.assertEqual(NAMES.asked, [])


class Limits(Case):
    def test_connections(self):
        self.start(limits={'connections': 4})
        pairs = [self.tunnel() for _ in range(4)]
        waiting = self.worker.connect()
        waiting.sendall(connect_request(self.target))
        line = self.worker.line()
        self.assertEqual((line['event'], line['reason']), ('accept-paused', 'limit-connections'))
        waiting.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            waiting.recv(1)
        pairs[0][0].close(), pairs[0][1].close()
        waiting.settimeout(WAIT)
        self.assertEqual(read_head(waiting)[0], 200)
        for client, origin in pairs[1:]:
            client.sendall(b'alive')
            self.assertEqual(read_exactly(origin, 5), b'alive')
            client.close(), origin.close()
        waiting.close()

    def test_few_descriptors_mean_few_connections(self):
        self.start(limits={'connections': 1000}, nofile=448 + 2 * 2)
        pairs = [self.tunnel() for _ in range(2)]
        waiting = self.worker.connect()
        self.assertEqual(self.worker.line()['event'], 'accept-paused')
        for client, origin in pairs:
            client.sendall(b'alive')
            self.assertEqual(read_exactly(origin, 5), b'alive')
            client.close(), origin.close()
        waiting.sendall(connect_request(self.target))
        self.assertEqual(read_head(waiting)[0], 200)
        waiting.close()

    def test_lookups(self):
        """One more name is answered at once; the same name again, or an address, takes none of them."""
        self.start([self.target, '*.slow.test', f'{SERVED}:{self.origin.port}'], limits={'lookups': 2})
        waiting = []
        for name in ('a', 'b', 'b'):
            NAMES.answers[f'{name}.slow.test'] = None
            waiting.append(self.worker.connect())
            waiting[-1].sendall(connect_request(f'{name}.slow.test:443'))
        until(lambda: {'a.slow.test', 'b.slow.test'} <= set(NAMES.asked), 'both asked for')
        answer = self.refused('c.slow.test:443', 429, 'limit-lookups', 'failed')
        self.assertIn(b'\r\nRetry-After: 1\r\n', answer)
        self.assertNotIn('c.slow.test', NAMES.asked)
        client, origin = self.tunnel(f'{SERVED}:{self.origin.port}')
        client.close(), origin.close()
        self.assertEqual(self.worker.line()['reason'], 'allowed')
        NAMES.release('a.slow.test', ['127.0.0.1'])
        self.assertEqual(read_head(waiting[0])[0], 403)
        client, origin = self.tunnel()
        for sock in (client, origin, *waiting):
            sock.close()

    def test_connections_per_second(self):
        """Bursts of a quarter of a second's, then as many as the rate lets through; nobody is turned away."""
        self.start(limits={'connections_per_second': 20})
        started = time.monotonic()
        clients = [self.worker.connect() for _ in range(15)]
        for client in clients:
            client.sendall(connect_request('evil.test:443'))
        for client in clients:
            self.assertEqual(read_head(client)[0], 403)
            client.close()
        self.assertGreaterEqual(time.monotonic() - started, 10 / 20 - 0.01)  # 5 at once
        lines = [self.worker.line() for _ in range(16)]
        pauses = [line for line in lines if 'event' in line]
        self.assertEqual([(line['event'], line['reason']) for line in pauses], [('accept-paused', 'limit-rate')])

    def test_bytes_per_second(self):
        """A late tunnel with little to move is not stuck behind one with much; both together keep to the rate."""
        rate, burst, much, little = 400000, 100000, 1000000, 100000
        self.start(limits={'bytes_per_second_down': rate})
        big, big_origin = self.tunnel()
        sender = threading.Thread(target=lambda: big_origin.sendall(bytes(much)))
        sender.start()
        got = len(read_exactly(big, burst))
        started, cpu = time.monotonic(), self.worker.cpu_ticks()
        small, small_origin = self.tunnel()

        def drain():
            n = 0
            while select.select([big], [], [], 0)[0]:
                n += len(big.recv(1 << 20))
            return n
        got += drain()
        small_origin.sendall(bytes(little))
        read_exactly(small, little)
        meanwhile = drain()
        self.assertLess(meanwhile, 4 * little)
        self.assertLess(got + meanwhile, much)
        small.sendall(bytes(little))  # this way there is no limit
        read_exactly(small_origin, little)
        read_exactly(big, much - got - meanwhile)
        sender.join()
        took = time.monotonic() - started
        self.assertGreater(took, (much + little - 2 * burst) / rate * 0.95)
        self.assertLess(self.worker.cpu_ticks() - cpu, os.sysconf('SC_CLK_TCK') * took / 2)  # it sleeps, meanwhile
        for sock in (big, big_origin, small, small_origin):
            sock.close()
        self.assertEqual([self.worker.line()['bytes_down'] for _ in range(2)], [much, little])

    def test_bytes_per_second_up(self):
        self.start(limits={'bytes_per_second_up': 100000})
        pairs = [self.tunnel() for _ in range(4)]
        started = time.monotonic()
        for client, _ in pairs:
            client.sendall(bytes(20000))
        for client, origin in pairs:
            read_exactly(origin, 20000)
            client.close(), origin.close()
        self.assertGreater(time.monotonic() - started, 0.5)  # 80,000 bytes less a quarter of a second's
        for _ in pairs:
            self.assertEqual(self.worker.line()['reason'], 'allowed')

    def test_a_slow_tunnel_may_end_while_it_waits(self):
        self.start(limits={'bytes_per_second_up': 1000})
        client, origin = self.tunnel()
        client.sendall(bytes(20000))
        origin.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        client.close()
        client, second = self.tunnel()
        client.close(), origin.close(), second.close()
        reasons = {self.worker.line()['reason'] for _ in range(2)}
        self.assertEqual(reasons - {'client-reset', 'origin-reset'}, {'allowed'})

    def test_total_time(self):
        """A tunnel in which much moves, and a destination that does not answer."""
        self.start([self.target, 'slow.test'], limits={'total_timeout_ms': 600})
        client, origin = self.tunnel()
        sent = 0
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            while True:
                client.sendall(b'x')
                sent += len(read_exactly(origin, 1))
        line = self.worker.line()
        self.assertEqual((line['reason'], line['verdict']), ('total-timeout', 'allowed'))
        self.assertGreaterEqual(line['duration_ms'], 600)
        self.assertLess(line['duration_ms'], 5000)
        origin.close()
        NAMES.answers['slow.test'] = None
        self.refused('slow.test:443', 504, 'total-timeout', 'failed')
        with self.worker.connect() as silent:
            self.assertEqual(read_all(silent), b'')
        self.assertEqual(self.worker.line()['reason'], 'total-timeout')

    def test_a_tunnel_that_lasts_is_kept_alive(self):
        """Both sides, once it has lived for half its idle time; the byte between keeps it from being idle."""
        self.start(limits={'idle_timeout_ms': 2000})
        client, origin = self.tunnel()

        def kept():
            client.sendall(b'x')
            read_exactly(origin, 1)
            table = subprocess.run(['ss', '-tnoH'], stdout=subprocess.PIPE, check=True).stdout.decode()
            rows = [row.split() for row in table.splitlines() if 'timer:(keepalive' in row]
            return (any(local == f'{PROXY}:{self.worker.port}' for _, _, _, local, *_ in rows) and
                    any(peer == f'{SERVED}:{self.origin.port}' for _, _, _, _, peer, *_ in rows))
        until(kept, 'a keep-alive timer on either side')
        client.close(), origin.close()

    def test_shutdown_writes_the_lines(self):
        self.start()
        client, origin = self.tunnel()
        worker, self.worker = self.worker, None
        log = os.dup(worker.log)
        worker.stop()
        self.assertIn(b'"reason":"shutdown"', os.read(log, TEXT_MAX))
        os.close(log)


if __name__ == '__main__':
    harness.enter_namespace()
    NAMES = harness.Names()
    unittest.main(warnings='ignore')
