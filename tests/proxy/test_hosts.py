# SPDX-License-Identifier: Apache-2.0
"""Every row of a corpus of hosts, through every door that can ask for it, against real workers, one per policy.

All addresses but this namespace's own lead to a second one that owns each of them: a row that is allowed has a tunnel
there. What a row says of one door holds for all of them. usage: test_hosts.py FILE...
"""
import json
import os
import select
import re
import socket
import struct
import subprocess
import sys
import threading
import unittest

import harness
from harness import WAIT, Worker, connect_request, read_all, read_exactly, read_head

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'base'))
import refmodel  # noqa: E402

FILES = []
NAMES = None
INTERNET = None
PUBLIC = ['93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946']
PORTS = (80, 443, 8443)  # of the rows that are allowed
# Allowed, and yet nobody is there: a link-local address is none without its interface.
UNREACHABLE = {'n049'}


class Answers(dict):
    """What no row has an answer for is somewhere on the Internet."""

    def get(self, name, _default=None):
        return super().get(name, PUBLIC)


class Internet:
    """A network namespace where every address is local, and what listens there."""

    def __init__(self):
        self.listeners = {}
        self.answered = []  # connections that have been dealt with already
        self.failure = None
        maker = threading.Thread(target=self.make)
        maker.start()
        maker.join(WAIT)
        if self.failure or not self.listeners:
            raise AssertionError(f'no second namespace: {self.failure}')
        for command in ('addr add 192.0.2.1/32 dev out', '-6 addr add 2001:db8::1/128 dev out nodad',
                        'link set out up', 'route add default via 192.0.2.2 dev out onlink',
                        '-6 route add default via 2001:db8::2 dev out onlink'):
            subprocess.run(['ip', *command.split()], check=True)
        self.wait_up()
        self.listen()  # 127.0.0.1 leads nowhere else

    def make(self):
        """Only this thread goes there; the sockets keep the namespace when it has ended."""
        try:
            if harness.ctypes.CDLL(None, use_errno=True).unshare(harness.CLONE_NEWNET) < 0:
                raise OSError(harness.ctypes.get_errno(), 'unshare')
            for command in ('link set lo up', f'link add in type veth peer name out netns {os.getpid()}',
                            'addr add 192.0.2.2/32 dev in', '-6 addr add 2001:db8::2/128 dev in nodad',
                            'link set in up', 'route add 192.0.2.1/32 dev in', '-6 route add 2001:db8::1/128 dev in',
                            # behind those: the main table comes after the local one
                            'route add local 0.0.0.0/1 dev lo table main',
                            'route add local 128.0.0.0/1 dev lo table main',
                            '-6 route add local ::/1 dev lo table main',
                            '-6 route add local 8000::/1 dev lo table main'):
                subprocess.run(['ip', *command.split()], check=True)
            self.listen()
        except (OSError, subprocess.CalledProcessError) as failure:
            self.failure = failure

    def listen(self):
        for port in PORTS:
            for family, wildcard in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
                sock = socket.socket(family)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((wildcard, port))
                sock.listen(16)
                self.listeners[sock.fileno()] = sock

    @staticmethod
    def wait_up():
        """Before the link has a carrier, a first segment would be lost, and sent again after a second."""
        with socket.create_connection((PUBLIC[0], PORTS[0]), timeout=WAIT), \
             socket.create_connection((PUBLIC[1], PORTS[0]), timeout=WAIT):
            pass

    def accept(self, timeout=WAIT):
        """The next connection's address and port there."""
        if self.answered:
            return self.answered.pop(0)
        ready = select.select(list(self.listeners), [], [], timeout)[0]
        if not ready:
            return None
        with self.listeners[ready[0]].accept()[0] as sock:
            return sock.getsockname()[:2]

    def answer(self, client):
        """Answers what comes there, until client has something to read."""
        while True:
            ready = select.select([client, *self.listeners], [], [], WAIT)[0]
            if client in ready or not ready:
                return
            with self.listeners[ready[0]].accept()[0] as sock:
                sock.recv(65536)
                sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
                self.answered.append(sock.getsockname()[:2])

    def forget(self):
        while self.accept(0):
            pass


def raw(text):
    """Byte strings of the corpus are Latin-1, but for the few that cannot be."""
    return text.encode('utf-8' if max(text, default='') > '\xff' else 'latin-1')


def authority(row):
    """HOST:PORT of an http:// URL; '' where it is none."""
    match = re.fullmatch(r'http://([!-.0->@-~]*)(?:[/?][!"$-~]*)?', row['target'])
    return match[1] + ('' if re.search(r':[^\]]*$', match[1]) else ':80') if match else ''


def target(row):
    """(what stands for the host, without brackets, its address family or 0, port); None where a row's target has no
    such parts."""
    if row['via'] == 'http':
        row = {'via': 'connect', 'target': authority(row)}
    if row['via'] == 'socks5':
        return raw(row['target']), {1: socket.AF_INET, 4: socket.AF_INET6}.get(row.get('atyp'), 0), row['port']
    if row['via'] == 'connect':
        match = re.fullmatch(rb'(.*):([1-9][0-9]{0,4})', raw(row['target']), re.DOTALL)
        if match and int(match[2]) <= 65535:
            bracketed = re.fullmatch(rb'\[(.*)\]', match[1], re.DOTALL)
            if bracketed and refmodel.parse_bracketed(bracketed[1].decode('latin-1')) is not None:
                return bracketed[1], socket.AF_INET6, int(match[2])
            return match[1], 0, int(match[2])
    return None


class Connect:
    """A door: what asks for a row's target there, None where it cannot be asked for, and what an answer says."""
    name = 'connect'
    classes = {200: 'allow', 400: 'bad_request', 431: 'bad_request', 403: 'deny'}
    unreachable = 502

    @staticmethod
    def request(row):
        if row['via'] == 'connect':
            return connect_request(raw(row['target']))
        if not (parts := target(row)):
            return None
        host = b'[%s]' % parts[0] if parts[1] == socket.AF_INET6 else parts[0]
        return connect_request(b'%s:%d' % (host, parts[2]))

    @staticmethod
    def answer(client):
        return read_head(client)[0]


class Http:
    name = 'http'
    classes = {200: 'allow', 400: 'bad_request', 431: 'bad_request', 403: 'deny'}
    unreachable = 502

    @staticmethod
    def request(row):
        if row['via'] == 'http':
            return b'GET %s HTTP/1.1\r\nHost: x\r\n\r\n' % raw(row['target'])
        if not (parts := target(row)) or set(parts[0]) & set(b'/?'):  # there they end the host
            return None
        host = b'[%s]' % parts[0] if parts[1] == socket.AF_INET6 else parts[0]
        return b'GET http://%s:%d/ HTTP/1.1\r\nHost: x\r\n\r\n' % (host, parts[2])

    @staticmethod
    def answer(client):
        INTERNET.answer(client)
        return read_head(client)[0]


class Socks5:
    name = 'socks5'
    classes = {0: 'allow', 1: 'bad_request', 2: 'deny'}
    unreachable = 3

    @staticmethod
    def request(row):
        if not (parts := target(row)) or len(parts[0]) > 255:
            return None
        host, family, port = parts
        if family:
            address = bytes([1 if family == socket.AF_INET else 4]) + socket.inet_pton(family, host.decode())
        else:
            address = bytes([3, len(host)]) + host
        return b'\x05\x01\x00' + b'\x05\x01\x00' + address + struct.pack('!H', port)

    @staticmethod
    def answer(client):
        if read_exactly(client, 2) != b'\x05\x00':
            return None
        reply = read_exactly(client, 10)
        return reply[1] if reply[0] == 5 and reply[2:] == bytes([0, 1, 0, 0, 0, 0, 0, 0]) else None


DOORS = [Connect, Http, Socks5]


def load(path):
    with open(path, encoding='utf-8') as f:
        return [json.loads(line) for line in f if line.strip()]


def by_policy(rows):
    groups = {}
    for row in rows:
        groups.setdefault(json.dumps(row['policy'], sort_keys=True), []).append(row)
    return groups.values()


def complaint(policy):
    """What the compiler says of a policy; '' where it takes it."""
    result = subprocess.run([harness.COMPILE], input=json.dumps(policy).encode(), capture_output=True)
    if result.returncode not in (0, 1):
        raise AssertionError(f'the compiler ended with {result.returncode}: {result.stderr}')
    return result.stderr.decode() if result.returncode else ''


class Hosts(unittest.TestCase):
    def reached(self, row, wanted, client, line):
        """The tunnel leads to an address that the row's name has, or that the row says."""
        address, port = INTERNET.accept()
        host, wanted_port = wanted
        answers = row.get('resolve', {}).get(host, PUBLIC) if isinstance(host, str) else [str(host)]
        client.close()
        self.assertIn(address, answers)
        self.assertEqual(port, wanted_port)
        got = line()
        self.assertEqual((got['verdict'], got['address'], got['port']), ('allowed', address, port))
        return got

    @staticmethod
    def wanted(row):
        if row['via'] == 'connect':
            return refmodel.parse_authority(row['target'])
        if row['via'] == 'http':
            return refmodel.parse_authority(authority(row))
        parse = refmodel.parse_bracketed if row.get('atyp') == 4 else refmodel.parse_host
        return parse(row['target']), row['port']

    def judge(self, worker, door, row):
        """(class, line of the log)"""
        NAMES.asked.clear()
        NAMES.answers.clear()
        NAMES.answers.update({name.lower(): answer for name, answer in row.get('resolve', {}).items()})
        with worker.connect() as client:
            client.sendall(door.request(row))
            answer = door.answer(client)
            if door.classes.get(answer) == 'allow':
                return 'allow', self.reached(row, self.wanted(row), client, worker.line)
            read_all(client)
        line = worker.line()
        if row['id'] in UNREACHABLE:
            self.assertEqual((answer, line['verdict'], line['reason']),
                             (door.unreachable, 'failed', 'connect-unreachable'))
            return 'allow', line
        self.assertIn(answer, door.classes)
        return door.classes[answer], line

    def check(self, worker, door, row):
        got, line = self.judge(worker, door, row)
        self.assertIn(got, [row['expect'], *row.get('also_ok', [])], line)
        self.assertEqual(line['via'], door.name)
        self.assertEqual(row.get('reason', line['reason']), line['reason'])
        if got != 'allow':
            self.assertEqual(line['verdict'], {'deny': 'denied', 'bad_request': 'bad-request'}[got])
        if got == 'bad_request' or line['reason'] in ('not-listed', 'denied', 'port-not-listed'):
            self.assertEqual(NAMES.asked, [], 'asked before it was decided')
        elif got == 'deny':
            self.assertEqual(line['reason'], 'address-forbidden')
            self.assertIn('resolve', row)
        if row.get('must') == 'no resolver call':
            self.assertEqual(NAMES.asked, [])
        if got != 'allow':
            self.assertIsNone(INTERNET.accept(0), 'refused, and dialled all the same')

    def group(self, door, rows):
        """All rows of one policy. How many were judged."""
        broken = complaint(rows[0]['policy'])
        worker = None if broken else Worker(rows[0]['policy'])
        for row in rows:
            with self.subTest(row['id'], door=door.name, target=row['target'], why=row['why']):
                INTERNET.forget()
                if row['expect'] == 'bad_policy':
                    self.assertTrue(broken, 'the policy was taken')
                    self.assertIn(row.get('says', ''), broken)
                elif broken:
                    self.assertEqual(row['expect'], 'deny', broken)
                    self.assertTrue(refmodel.Policy(row['policy']).is_futile() and 'networks' in broken, broken)
                else:
                    self.check(worker, door, row)
        if worker:
            worker.stop()
        return len(rows)

    def test_rows(self):
        for path in FILES:
            rows = load(path)
            for door in DOORS:
                ours = [row for row in rows if door.request(row)]
                judged = sum(self.group(door, group) for group in by_policy(ours))
                left = [row['id'] for row in rows if not door.request(row)]
                print(f'{path}, {door.name}: {judged} judged of {len(rows)}, not to be asked for: {" ".join(left)}')
                self.assertEqual(judged, len(ours))
                self.assertGreater(judged, 50)
                self.assertLessEqual({'allow', 'deny', 'bad_request'}, {row['expect'] for row in ours})
                self.assertFalse([row['id'] for row in rows if row['via'] == door.name and row['id'] in left])


if __name__ == '__main__':
    FILES = [sys.argv.pop(1) for _ in sys.argv[1:]]
    harness.enter_namespace()
    NAMES = harness.Names()
    NAMES.answers = Answers()
    INTERNET = Internet()
    unittest.main(warnings='ignore')
