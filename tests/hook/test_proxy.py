# SPDX-License-Identifier: Apache-2.0
"""`oci-egress proxy`, run by a user who is not root, in a network namespace of the test's own. Needs root to be that.

usage: test_proxy.py OCI_EGRESS KEEPER
"""
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

WAIT = 20
USER = 65534
CLONE_NEWNET = 0x40000000


def lines(pipe, n):
    """The next n lines, within WAIT seconds each."""
    found = []
    while len(found) < n:
        line = b''
        while not line.endswith(b'\n'):
            if not select.select([pipe], [], [], WAIT)[0]:
                raise TimeoutError(f'after {found} {line}')
            byte = os.read(pipe.fileno(), 1)
            if not byte:
                raise EOFError(f'after {found} {line}')
            line += byte
        found.append(line.decode().rstrip('\n'))
    return found


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Copies, since the build may be where only root gets to."""
        cls.dir = tempfile.mkdtemp(prefix='oci-egress-proxy-')
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        os.chmod(cls.dir, 0o755)
        cls.program, cls.keeper = (shutil.copy(path, cls.dir) for path in PROGRAMS)

    def setUp(self):
        self.origin = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(self.origin.close)
        self.origin.settimeout(WAIT)
        self.target = f'127.0.0.1:{self.origin.getsockname()[1]}'
        self.policy = self.write('web.json', json.dumps({'allow': [self.target], 'networks': ['127.0.0.1']}))

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def command(self, *args):
        return [self.program, 'proxy', '--keeper', self.keeper, *args]

    def start(self, listen):
        """The address that it prints."""
        self.process = subprocess.Popen(self.command('--policy', self.policy, '--listen', listen), user=USER,
                                        group=USER, extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end)
        match = re.fullmatch(r'listening on (?:\[(.*)\]|([^[:]*)):([1-9]\d*)', lines(self.process.stdout, 1)[0])
        return match[1] or match[2], int(match[3])

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close(), self.process.stderr.close()

    def ask(self, address, target):
        sock = socket.create_connection(address, timeout=WAIT)
        self.addCleanup(sock.close)
        sock.sendall(b'CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (target.encode(), target.encode()))
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            head += sock.recv(1) or self.fail(f'no answer: {head}')
        return int(head.split(b' ')[1]), sock

    def logged(self):
        return json.loads(lines(self.process.stderr, 1)[0])

    def serves(self, listen):
        address = self.start(listen)
        self.assertEqual(address[0], listen.rsplit(':', 1)[0].strip('[]'))
        with open(f'/proc/{self.process.pid}/status', encoding='latin-1') as f:
            self.assertIn('\nUid:' + f'\t{USER}' * 4 + '\n', f.read())

        status, sock = self.ask(address, 'denied.test:443')
        self.assertEqual(status, 403)
        sock.close()
        line = self.logged()
        self.assertEqual((line['host'], line['verdict'], line['reason'], line['policy']),
                         ('denied.test', 'denied', 'not-listed', 'web'))

        status, sock = self.ask(address, self.target)
        self.assertEqual(status, 200)
        with self.origin.accept()[0] as origin:
            sock.sendall(b'up')
            self.assertEqual(origin.recv(2, socket.MSG_WAITALL), b'up')
            origin.sendall(b'down')
        self.assertEqual(sock.recv(4, socket.MSG_WAITALL), b'down')
        sock.close()
        line = self.logged()
        self.assertEqual((line['address'], line['verdict'], line['bytes_up'], line['bytes_down'], line['rule']),
                         ('127.0.0.1', 'allowed', 2, 4, self.target))

        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(WAIT), 0)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(address, timeout=WAIT)

    def test_ipv4(self):
        self.serves('127.0.0.1:0')

    def test_ipv6(self):
        self.serves('[::1]:0')

    def test_a_port_of_ones_own(self):
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        self.assertEqual(self.start(f'127.0.0.1:{port}'), ('127.0.0.1', port))

    def refuses(self, says, *args):
        result = subprocess.run(self.command(*args), user=USER, group=USER, extra_groups=[], capture_output=True,
                                text=True, timeout=WAIT)
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(result.stderr, f'oci-egress proxy: {says}\n')
        self.assertEqual(result.stdout, '')

    def test_bad_addresses(self):
        taken = f'127.0.0.1:{self.origin.getsockname()[1]}'
        for listen, says in (
                ('localhost:3128', '--listen localhost:3128: expected an address, not a name'),
                ('127.0.0.1', '--listen 127.0.0.1: there is no port'),
                ('[::1]', '--listen [::1]: there is no port'),
                ('127.0.0.1:65536', '--listen 127.0.0.1:65536: the port is not a decimal number from 1 to 65535'),
                ('::1:3128',
                 '--listen ::1:3128: there is more than one colon: an IPv6 address stands between brackets'),
                (':0', '--listen :0: the host is empty'),
                ('', '--listen : the host is empty'),
                ('192.0.2.1:0', 'listen at 192.0.2.1:0: Cannot assign requested address'),
                (taken, f'listen at {taken}: Address already in use'),
                ('127.0.0.1:80', 'listen at 127.0.0.1:80: Permission denied')):
            with self.subTest(listen):
                self.refuses(says, '--policy', self.policy, '--listen', listen)

    def test_bad_policies(self):
        for text, says in (
                ('{\n  "alow": []\n}', ':2:3: alow: unknown key, did you mean "allow"?'),
                ('{"proxy": {"command": ["/bin/true"]}}',
                 ': has an external proxy: there is nothing for the builtin one to serve')):
            with self.subTest(text):
                policy = self.write('bad.json', text)
                self.refuses(policy + says, '--policy', policy, '--listen', '127.0.0.1:0')
        missing = os.path.join(self.dir, 'missing.json')
        self.refuses(f'{missing}: No such file or directory', '--policy', missing, '--listen', '127.0.0.1:0')

    def test_bad_command_lines(self):
        both = 'expected --policy FILE and --listen ADDR:PORT'
        self.refuses(both)
        self.refuses(both, '--policy', self.policy)
        self.refuses(both, '--listen', '127.0.0.1:0')
        self.refuses('unexpected "more"', '--policy', self.policy, '--listen', '127.0.0.1:0', 'more')
        self.refuses('option --listen needs a value: --listen ADDR:PORT', '--policy', self.policy, '--listen')

    def test_no_program_to_serve(self):
        """Said before an address is printed that nobody serves."""
        missing = os.path.join(self.dir, 'missing')
        self.refuses(f'{missing}: No such file or directory', '--policy', self.policy, '--listen', '127.0.0.1:0',
                     '--keeper', missing)


if __name__ == '__main__':
    PROGRAMS = [sys.argv.pop(1) for _ in range(2)]
    if os.getuid() != 0:
        print('needs root', file=sys.stderr)
        sys.exit(77)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) < 0:
        sys.exit('unshare: ' + os.strerror(ctypes.get_errno()))
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    unittest.main(verbosity=2)
