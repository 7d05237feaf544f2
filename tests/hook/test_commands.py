# SPDX-License-Identifier: Apache-2.0
"""What `oci-egress check`, `oci-egress status` and `oci-egress env` print, to the letter. Needs root, whose run directory it must be.

usage: test_commands.py OCI_EGRESS
"""
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

WAIT = 20
STATUS = 5  # proxy/control.h
MESSAGE = struct.Struct('=IiII1536s')
STATUS_FIELDS = struct.Struct('=IIiiII7Q')
POLICY_FIELDS = struct.Struct('=QqII512s')  # version, since, reloads, needs, error; behind them the reasons
STARTING, RUNNING, FAILED = range(1, 4)

NOT_LISTED = ('not-listed: The policy of this container does not list this host. There is no other way out: trying '
              'again, another port or another client will not help. Who administers the policy can add the host to '
              '"allow".')
WRONG_PORT = ('port-not-listed: The policy of this container lists this host, but not on this port. Use a port that is '
              'listed; another client will not help. Who administers the policy can add HOST:PORT to "allow", or the '
              'port to "ports".')
DENIED = ('denied: The policy of this container denies this host by an entry of its own. There is no other way out: '
          'trying again or another client will not help. Who administers the policy can take the entry out of "deny".')


class Command(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='oci-egress-commands-')
        self.addCleanup(shutil.rmtree, self.dir)

    def says(self, status, out, err, *args):
        result = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=WAIT)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (status, out, err))


class Check(Command):
    def setUp(self):
        super().setUp()
        self.file = self.policy('web.json', '{ "allow": [\n"allowed.test",\n  "*.wild.test:8443", "93.184.216.34"\n],\n'
                                            '"deny": ["bad.wild.test"] }\n')

    def policy(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def check(self, status, out, err, *targets, file=None):
        self.says(status, out, err, 'check', '--policy', file or self.file, *targets)

    def test_allowed(self):
        for target, line, rule in (('allowed.test', 2, 'allowed.test'), ('ALLOWED.test.:80', 2, 'allowed.test'),
                                   ('a.wild.test:8443', 3, '*.wild.test:8443'), ('93.184.216.34', 3, '93.184.216.34')):
            with self.subTest(target):
                self.check(0, f'{target}: allowed by {self.file}:{line}: "{rule}"\n', '', target)

    def test_denied(self):
        for target, why in (('other.test', NOT_LISTED), ('wild.test:8443', NOT_LISTED), ('127.0.0.1', NOT_LISTED)):
            with self.subTest(target):
                networks = ', "networks": ["127.0.0.1/32"]' if target == '127.0.0.1' else ''
                self.check(1, f'{target}: denied: {why} To allow it: "allow": ["{target}"]{networks} in policy "web".\n',
                           '', target)
        for target, line, rule, why, advice in (
                ('allowed.test:22', 2, 'allowed.test', WRONG_PORT, '"allow": ["allowed.test:22"] in'),
                ('bad.wild.test:8443', 5, 'bad.wild.test', DENIED, 'take "bad.wild.test" out of "deny" in')):
            with self.subTest(target):
                self.check(1, f'{target}: denied by {self.file}:{line}: "{rule}": {why} To allow it: {advice} policy '
                              '"web".\n', '', target)

    def test_no_target(self):
        self.check(0, f'{self.file}: good: 3 allowed, 1 denied entries\n', '')
        external = self.policy('external.json', '{"proxy": {"command": ["/bin/true"]}}')
        self.check(0, f'{external}: good: an external proxy decides\n', '', file=external)

    def test_the_worst_counts(self):
        allowed = f'allowed.test: allowed by {self.file}:2: "allowed.test"\n'
        denied = f'other.test: denied: {NOT_LISTED} To allow it: "allow": ["other.test"] in policy "web".\n'
        empty = 'oci-egress check: a..test: the name has an empty label\n'
        self.check(1, denied + allowed, '', 'other.test', 'allowed.test')
        self.check(2, denied + allowed, empty, 'other.test', 'a..test', 'allowed.test')

    def test_what_is_no_host(self):
        port = 'the port is not a decimal number from 1 to 65535'
        bytes_ = 'the host has a byte that no host name has: letters, digits, hyphen, underscore and dot'
        for target, shown, why in (('allowed.test:0', 'allowed.test:0', port),
                                   ('[::1', '[::1', 'there is no closing bracket'),
                                   ('a\033b.test', r'a\x1bb.test', bytes_)):
            with self.subTest(target):
                self.check(2, '', f'oci-egress check: {shown}: {why}\n', target)

    def test_bad_policies(self):
        bad = self.policy('bad.json', '{"allow": [],\n "alow": []}')
        self.check(2, '', f'oci-egress check: {bad}:2:2: alow: unknown key, did you mean "allow"?\n', file=bad)
        missing = os.path.join(self.dir, 'missing.json')
        self.check(2, '', f'oci-egress check: {missing}: No such file or directory\n', 'a.test', file=missing)
        external = self.policy('external.json', '{"proxy": {"command": ["/bin/true"]}}')
        self.check(2, '', f'oci-egress check: {external}: its external proxy is the policy: there is nothing here that '
                          'could tell\n', 'a.test', file=external)
        self.says(2, '', 'oci-egress check: expected --policy FILE\n', 'check', 'a.test')


class Keeper(threading.Thread):
    """Answers one question, on the control socket of a namespace."""

    def __init__(self, path, *fields, policy=(0, 0, 0, 0, b'')):
        super().__init__(daemon=True)
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.bind(path)
        self.sock.listen(8)
        self.answer = MESSAGE.pack(STATUS, 0, 0, 0, STATUS_FIELDS.pack(*fields[:13]) + POLICY_FIELDS.pack(*policy) +
                                   struct.pack(f'={len(fields) - 13}Q', *fields[13:]))
        self.start()

    def run(self):
        while True:
            try:
                client = self.sock.accept()[0]
            except OSError:
                return
            with client:
                if client.recv(4096):  # whoever only looks whether there is a keeper says nothing
                    client.send(self.answer)
                    client.recv(1)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.join(WAIT)
        self.sock.close()
        os.unlink(self.path)


class Status(Command):
    def setUp(self):
        super().setUp()
        self.run_dir = os.path.join(self.dir, 'run')
        os.mkdir(self.run_dir, 0o700)
        self.config = os.path.join(self.dir, 'config.json')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('{}')
        os.chmod(self.config, 0o644)

    def record(self, name, **fields):
        """Of a container whose init we are, so that it is alive."""
        with open('/proc/self/stat', encoding='latin-1') as f:
            start_time = int(f.read().rsplit(')', 1)[1].split()[19])
        record = {'id': name, 'policy': 'web', 'fingerprint': '0' * 16, 'key': '0' * 15 + '1', 'state': 'guarded',
                  'pid': os.getpid(), 'start_time': start_time, 'since': 1700000000, 'link': 'veth',
                  'proxy': '198.18.0.2', 'port': 3128, 'reason': '', **fields}
        with open(os.path.join(self.run_dir, name + '.json'), 'w', encoding='utf-8') as f:
            json.dump(record, f, separators=(',', ':'))

    def status(self, out, *args, err='', code=0):
        self.says(code, out, err, 'status', '--config', self.config, '--run', self.run_dir, *args)

    def keeper(self, state):
        path = os.path.join(self.run_dir, '0' * 15 + '1.sock')
        return contextlib.closing(Keeper(path, state, 1, 4711, 0, 2, 3, 10, 4, 5, 6, 700, 800, 0))

    def test_nobody(self):
        self.status('')
        os.rmdir(self.run_dir)
        self.status('')
        self.assertFalse(os.path.exists(self.run_dir))

    def test_with_a_keeper(self):
        where = 'policy web  link veth 198.18.0.2:3128  since 2023-11-14T22:13:20Z'
        counts = ('    3 open, 10 accepted: 4 allowed, 5 denied, 6 failed; 700 bytes up, 800 down; worker 4711, '
                  '2 restarts\n')
        for state, word in ((STARTING, 'starting'), (RUNNING, 'guarded'), (FAILED, 'failed')):
            with self.subTest(word), self.keeper(state):
                self.record('box')
                self.status(f'box  {word}  {where}\n{counts}')

    def test_reasons(self):
        """Those that came up, by their codes: the second of all is a tunnel that ended well."""
        path = os.path.join(self.run_dir, '0' * 15 + '1.sock')
        with contextlib.closing(Keeper(path, RUNNING, 1, 4711, 0, 0, 0, 10, 4, 5, 1, 0, 0, 0, 0, 4, 5)):
            self.record('box')
            command = [PROGRAM, 'status', '--config', self.config, '--run', self.run_dir]
            text = subprocess.run(command, capture_output=True, text=True, timeout=WAIT).stdout
            self.assertEqual(text.splitlines()[2], '    reasons: 4 allowed, 5 not-listed')
            text = subprocess.run([*command, '--json'], capture_output=True, text=True, timeout=WAIT).stdout
            self.assertEqual(json.loads(text)['reasons'], {'allowed': 4, 'not-listed': 5})

    def test_without_a_keeper(self):
        self.record('box', link='socket', proxy='127.0.0.1')
        self.status('box  closed  policy web  link socket 127.0.0.1:3128  since 2023-11-14T22:13:20Z\n')

    def test_without_a_guard(self):
        self.record('box', state='open', link='none', proxy='0.0.0.0', port=0, reason='no "veth", sorry')
        self.status('box  open  policy web  link none 0.0.0.0:0  since 2023-11-14T22:13:20Z\n'
                    '    WITHOUT A GUARD: no "veth", sorry\n')

    def test_bad_command_lines(self):
        self.status('', 'more', err='oci-egress status: unexpected "more"\n', code=2)
        self.says(2, '', 'oci-egress status: --run relative: expected an absolute path\n', 'status', '--config',
                  self.config, '--run', 'relative')


class Env(Command):
    def setUp(self):
        super().setUp()
        self.config = self.write('config.json', '{}')
        self.write('full.json', '{"link": "socket", "environment": {"profile": "full", "set": {"A": "it\'s $HOME"}}}')

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def env(self, *args):
        return subprocess.run([PROGRAM, 'env', '--config', self.config, '--policies', self.dir, *args], capture_output=True,
                              text=True, timeout=WAIT, check=True).stdout

    def test_table(self):
        lines = self.env().splitlines()
        self.assertEqual(lines[:2], [
            'http_proxy          http://198.18.0.2:3128               curl, wget, git, Go, Python, Ruby, Perl, more  curl(1)',
            '    curl reads this one alone, and no HTTP_PROXY'])
        self.assertIn('SSLKEYLOGFILE       (taken out)                          curl, Firefox, Chromium, Python                '
                      'https://firefox-source-docs.mozilla.org/security/nss/legacy/key_log_format/index.html', lines)
        self.assertEqual(lines[-1], '10 variables, 408 bytes')
        text = self.env('--policy', 'full', '--format', 'table')
        self.assertIn('JAVA_TOOL_OPTIONS         (behind its own) -Dhttp.proxyHost=127.0.0.1 ', text)
        self.assertIn(f'set by the policy                               {self.dir}/full.json\n', text)

    def test_file_or_name(self):
        self.assertEqual(self.env('--policy', 'full'), self.env('--policy', os.path.join(self.dir, 'full.json')))

    def test_json(self):
        found = {line['name']: line for line in json.loads(self.env('--policy', 'full', '--format', 'json'))}
        self.assertEqual(found['RSYNC_PROXY'], {
            'name': 'RSYNC_PROXY', 'action': 'set', 'value': '127.0.0.1:3128', 'kind': 'proxy', 'clients': 'rsync, of rsync:// and ::',
            'documented': 'rsync(1)', 'trap': 'host:port, no scheme; the policy has to allow port 873; not read over ssh'})
        self.assertEqual([found[name]['action'] for name in ('JAVA_TOOL_OPTIONS', 'FTP_PROXY', 'A')], ['append', 'remove', 'set'])
        self.assertEqual((found['A']['value'], found['A']['kind'], found['FTP_PROXY']['value']), ("it's $HOME", 'policy', None))
        none = self.write('none.json', '{"environment": {"profile": "none"}}')
        self.assertEqual(self.env('--policy', none, '--format', 'json'), '[]\n')

    def test_sh(self):
        """A shell that reads it has what the array says."""
        script = 'eval "$(' + ' '.join([PROGRAM, 'env', '--config', self.config, '--policies', self.dir, '--policy', 'full', '--format',
                                        'sh']) + ')" && env'
        before = {'PATH': os.environ['PATH'], 'JAVA_TOOL_OPTIONS': '-Xa', 'SSLKEYLOGFILE': '/keys', 'MINE': 'kept'}
        text = subprocess.run(['sh', '-euc', script], capture_output=True, text=True, timeout=WAIT, check=True, env=before).stdout
        found = dict(line.split('=', 1) for line in text.splitlines())
        for line in json.loads(self.env('--policy', 'full', '--format', 'json')):
            value = line['value']
            self.assertEqual(found.get(line['name']), '-Xa ' + value if line['action'] == 'append' else value, line)
        self.assertEqual(found['MINE'], 'kept')

    def test_errors(self):
        for args, err in ((('x',), 'x: expected no operand'), (('--format', 'yaml'), '--format yaml: expected sh, json or table'),
                          (('--policy', './none.json'), './none.json: No such file or directory'),
                          (('--config', '/nonexistent/c.json'), '/nonexistent/c.json: No such file or directory')):
            self.says(1, '', f'oci-egress env: {err}\n', 'env', *args)
        self.says(1, '', f'oci-egress env: policy other: {self.dir}/other.json: No such file or directory\n', 'env', '--config',
                  self.config, '--policies', self.dir, '--policy', 'other')


if __name__ == '__main__':
    PROGRAM = sys.argv.pop(1)
    if os.getuid() != 0:
        print('needs root', file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=2)
