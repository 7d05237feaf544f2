# SPDX-License-Identifier: Apache-2.0
"""`oci-egress install` and `uninstall`, on what they may find: the result is what is expected, and taken back it is what
was there, byte for byte. Needs root, for a file system that is read-only.

usage: test_install.py OCI_EGRESS
With OCI_EGRESS_MUST_RUN=1 a skip is a failure.
"""
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

import yaml

WAIT = 60
PACKAGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../packaging')
MUST_RUN = os.environ.get('OCI_EGRESS_MUST_RUN') == '1'
SHARED = 'usr/share/containers/oci/hooks.d/'
OURS = 'etc/oci-egress/hooks.d/'
NAMES = ('oci-egress.json', 'oci-egress-poststop.json')
DROPIN = 'etc/crio/crio.conf.d/99-oci-egress.conf'
CONTAINERD, DAEMON = 'etc/containerd/config.toml', 'etc/docker/daemon.json'
CRI = {2: 'io.containerd.grpc.v1.cri', 3: 'io.containerd.cri.v1.runtime'}


def hook(stage):
    return json.dumps({'version': '1.0.0', 'hook': {'path': '/usr/bin/oci-egress', 'args': ['oci-egress', 'hook', stage],
                                                    'timeout': 30}, 'when': {'always': True}, 'stages': [stage]})


def block(version=2, systemd=False):
    table = f'plugins."{CRI[version]}".containerd.runtimes.oci-egress'
    return (f'[{table}]\n  runtime_type = "io.containerd.runc.v2"\n  pod_annotations = ["oci-egress.*"]\n'
            f'  container_annotations = ["oci-egress.*"]\n  [{table}.options]\n'
            '    BinaryName = "/usr/bin/oci-egress-runtime"\n' + ('    SystemdCgroup = true\n' if systemd else ''))


def dropin(*dirs):
    text = ', '.join(f'"{d}"' for d in dirs)
    return ('# By oci-egress install crio. hooks_dir replaces what other files say, and so repeats it.\n'
            f'[crio.runtime]\nhooks_dir = [{text}]\n')


RUNTIME = {'path': '/usr/bin/oci-egress-runtime'}


class Install(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix='oci-egress-install-')
        self.addCleanup(shutil.rmtree, self.root)
        self.home, self.xdg = f'/home/{os.getuid()}', ''
        os.makedirs(self.path(self.home[1:]))
        self.write('usr/bin/oci-egress', '#!/bin/true\n', 0o755)
        os.symlink('oci-egress', self.path('usr/bin/oci-egress-runtime'))

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), 'w', encoding='utf-8', newline='') as f:
            f.write(text)
        os.chmod(self.path(name), mode)

    def read(self, name):
        with open(self.path(name), encoding='utf-8', newline='') as f:
            return f.read()

    def tree(self):
        """Everything there is, but for the journal: kind, mode, owner and content of each."""
        found = {}
        for top, dirs, files in os.walk(self.root):
            for name in dirs + files:
                path = os.path.join(top, name)
                st = os.lstat(path)
                relative = os.path.relpath(path, self.root)
                if relative == 'var' or re.match(r'var/|home/\d+/\.local', relative):
                    continue
                content = None
                if stat.S_ISLNK(st.st_mode):
                    content = os.readlink(path)
                elif stat.S_ISREG(st.st_mode):
                    with open(path, 'rb') as f:
                        content = f.read()
                found[relative] = (st.st_mode, st.st_uid, st.st_gid, content)
        return found

    def run_it(self, command, *args, status=0, prefix=()):
        done = subprocess.run([*prefix, PROGRAM, command, '--root', self.root, '--programs', '/usr/bin', *args],
                              env={**os.environ, 'HOME': self.home, 'XDG_CONFIG_HOME': self.xdg}, capture_output=True,
                              text=True, timeout=WAIT)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def both_ways(self, *args, expected=None):
        """Installs twice, checks the files that are expected, and takes all back."""
        before = self.tree()
        self.run_it('install', *args)
        after = self.tree()
        for name, text in (expected or {}).items():
            if callable(text):
                text(self.read(name))
            else:
                self.assertEqual(self.read(name), text)
        self.assertIn('nothing to change', self.run_it('install', *args))
        self.assertEqual(self.tree(), after)
        back = [a for a in args if a in ('--user', 'podman', 'docker', 'crio', 'containerd')]
        out = self.run_it('uninstall', *back)
        self.assertEqual(self.tree(), before)
        return out

    def refused(self, pattern, *args):
        before = self.tree()
        self.assertRegex(self.run_it('install', *args, status=2), pattern)
        self.assertEqual(self.tree(), before)

    def need(self, program):
        if not shutil.which(program):
            self.assertFalse(MUST_RUN, f'no {program}')
            self.skipTest(f'no {program}')

    def hooks(self, where):
        return {where + name: lambda text, s=stage: self.assertEqual(json.loads(text), json.loads(hook(s)))
                for name, stage in zip(NAMES, ('createRuntime', 'poststop'))}


class Podman(Install):
    CONF = 'etc/containers/containers.conf'

    def setUp(self):
        super().setUp()
        self.user_conf = f'{self.home[1:]}/.config/containers/containers.conf'
        self.user_hooks = f'{self.home}/.config/containers/oci/hooks.d'

    def test_nothing_there(self):
        self.both_ways('podman', expected=self.hooks(SHARED))

    def test_foreign_hooks(self):
        self.write(SHARED + 'other.json', '{"version": "1.0.0"}')
        self.both_ways('podman', expected={**self.hooks(SHARED), SHARED + 'other.json': '{"version": "1.0.0"}'})

    def test_ours_already(self):
        """By hand, or by an image: install leaves it, and so does uninstall."""
        for name, stage in zip(NAMES, ('createRuntime', 'poststop')):
            self.write(SHARED + name, hook(stage))
        self.both_ways('podman')
        self.run_it('install', 'podman')
        text = self.read(SHARED + NAMES[0])
        os.unlink(self.path('var/lib/oci-egress/install/podman'))
        self.write(SHARED + NAMES[0], text)
        self.assertIn('was there before', self.both_ways('podman'))

    def test_without_a_journal(self):
        """Files of our names go where they call our program, from wherever it is; those of others stay."""
        ours = [hook('poststop'), hook('poststop').replace('/usr/bin', '/opt/b'), hook('poststop').replace('/', '\\/')]
        others = [hook('poststop').replace('/usr/bin/oci-egress', path) for path in ('/usr/bin/not-oci-egress', '/usr/bin/oci-egress2', 'oci-egress')]
        others += ['', 'no JSON', '{"hook": []}', '{"hook": {"path": 1}}', hook('poststop') + '}']
        for text, stays in [(t, False) for t in ours] + [(t, True) for t in others]:
            with self.subTest(text):
                self.run_it('install', 'podman')
                shutil.rmtree(self.path('var'))
                self.write(SHARED + NAMES[1], text)
                before = self.tree()
                self.run_it('uninstall', 'podman', '--dry-run')
                self.assertEqual(self.tree(), before)
                out = self.run_it('uninstall', 'podman')
                self.assertFalse(os.path.exists(self.path(SHARED + NAMES[0])))
                self.assertEqual(os.path.exists(self.path(SHARED + NAMES[1])), stays)
                self.assertEqual(f'/{SHARED}{NAMES[1]}: not by oci-egress install: left as it is\n' in out, stays)
                if stays:
                    self.assertEqual(self.read(SHARED + NAMES[1]), text)
                    self.assertIn('nothing to take back', self.run_it('uninstall', 'podman'))

    def test_hooks_dir_set(self):
        """The last of the last file that sets it is where a hook is masked by none."""
        self.write(self.CONF, '[engine]\nhooks_dir = ["/not/this"]\n')
        self.write('etc/containers/containers.conf.d/10.conf', 'engine.hooks_dir = [ # two\n  "/a",\n  \'/srv/hooks\',\n]\n')
        self.write('etc/containers/containers.conf.d/20.no', '[engine]\nhooks_dir = ["/nor/this"]\n')
        self.both_ways('podman', expected=self.hooks('srv/hooks/'))

    def test_broken(self):
        for text, where in (('[engine\n', ':1:8: expected ] behind'), ('[engine]\nhooks_dir = ["/a" "/b"]\n', ':2:19: expected a comma'),
                            ('[engine]\nhooks_dir = "/a\n', ':2:13: a string without an end'), ('a = \n', ':1:5: expected a value'),
                            ('[engine]\nhooks_dir = "/a"\n', ':2:13: hooks_dir: expected an array'), ('a = "\\q"\n', ':1:7: unknown escape'),
                            ('a = ' + '[' * 40, ':1:37: too many levels'), ('[engine]\nhooks_dir=["/a"]\nhooks_dir=["/b"]\n', ':3:1: stands here a second'),
                            ('a = 1 b = 2\n', ':1:7: expected the end'), ('a = "\1"', ':1:6: control byte 0x01')):
            with self.subTest(text):
                self.write(self.CONF, text)
                self.refused(f'^oci-egress install: /{self.CONF}' + re.escape(where), 'podman')

    def test_user(self):
        line = f'hooks_dir = ["/usr/share/containers/oci/hooks.d", "{self.user_hooks}"]\n'
        self.both_ways('podman', '--user', expected={**self.hooks(self.user_hooks[1:] + '/'), self.user_conf: '[engine]\n' + line})
        for start, end in (('[engine]\nruntime = "crun" # mine\n', '[engine]\n' + line + 'runtime = "crun" # mine\n'),
                           ('[containers]\r\n# all\r\n', ('[containers]\n# all\n\n[engine]\n' + line).replace('\n', '\r\n')),
                           ('[engine.runtimes]\nx = []', '[engine.runtimes]\nx = []\n\n[engine]\n' + line),
                           ('[engine]', '[engine]\n' + line)):
            with self.subTest(start):
                self.write(self.user_conf, start)
                self.both_ways('podman', '--user', expected={self.user_conf: end})

    def test_user_has_hooks_dir(self):
        ours = self.user_hooks
        for start, end in ((' ["/a"] # b', f' ["/a", "{ours}"] # b'), (' []', f' ["{ours}"]'),
                           ('[\n\t"/a", # first\n]', f'[\n\t"/a",\n\t"{ours}", # first\n]'),
                           ("[\n  '/a'\n]", f"[\n  '/a',\n  \"{ours}\"\n]"),
                           (' ["/a", {append = true}]', f' ["/a", {{append = true}}, "{ours}"]'),
                           (f' ["{ours}", "/z"]', f' ["{ours}", "/z"]')):
            with self.subTest(start):
                self.write(self.user_conf, '[engine]\nhooks_dir =' + start + '\n[network]\n')
                self.both_ways('podman', '--user', expected={self.user_conf: '[engine]\nhooks_dir =' + end + '\n[network]\n'})

    def test_user_keeps_the_hosts(self):
        self.write(self.CONF, '[engine]\nhooks_dir = ["/srv/\\u0061", "/b"]\n')
        self.both_ways('podman', '--user', expected={
            self.user_conf: f'[engine]\nhooks_dir = ["/srv/a", "/b", "{self.user_hooks}"]\n',
            self.CONF: '[engine]\nhooks_dir = ["/srv/\\u0061", "/b"]\n'})

    def test_user_table_without_header(self):
        for text in ('engine = {runtime = "crun"}\n', 'engine.runtime = "crun"\n', '[[engine]]\n'):
            with self.subTest(text):
                self.write(self.user_conf, text)
                self.refused('containers.conf:1:1: engine is written without a header', 'podman', '--user')

    def test_edited_since(self):
        ours = f'"{self.user_hooks}"'
        for start, now, end in (('hooks_dir = ["/a"]\n', f'hooks_dir = ["/a", {ours}, "/b"]\n', 'hooks_dir = ["/a", "/b"]\n'),
                                ('hooks_dir = ["/a"]\n', f'hooks_dir = [{ours}, "/b"]\n', 'hooks_dir = ["/b"]\n'),
                                ('hooks_dir = ["/a"]\n', f'hooks_dir = ["/a", # a\n {ours} # b\n]\n', 'hooks_dir = ["/a", # a\n  # b\n]\n'),
                                ('hooks_dir = ["/a"]\n', f'x = 1\nhooks_dir = [{ours}]\n', 'x = 1\n'),
                                ('x = 1\n', 'x = 1\nhooks_dir = ["/b"]\n', 'x = 1\nhooks_dir = ["/b"]\n')):
            with self.subTest(now):
                self.write(self.user_conf, '[engine]\n' + start)
                self.run_it('install', 'podman', '--user')
                self.write(self.user_conf, '[engine]\n' + now)
                out = self.run_it('uninstall', 'podman', '--user')
                self.assertEqual(self.read(self.user_conf), '[engine]\n' + end)
                self.assertEqual(ours in now, 'edited by others since' in out)

    def test_home_of_somebody_else(self):
        os.chown(self.path(self.home[1:]), 12345, 12345)
        self.refused('the home of somebody else', 'podman', '--user')
        os.chown(self.path(self.home[1:]), 0, 0)
        os.makedirs(self.path('srv/xdg'))
        self.xdg = '/srv/xdg'
        self.both_ways('podman', '--user', expected=self.hooks('srv/xdg/containers/oci/hooks.d/'))
        os.chown(self.path('srv/xdg'), 12345, 12345)
        self.refused('XDG_CONFIG_HOME, /srv/xdg: not a directory of yours', 'podman', '--user')

    def test_symlinks_stay_and_do_not_lead_out(self):
        """A file that is a link is edited where that leads, which is below the root."""
        text = '[engine]\nruntime = "crun"\n'
        os.makedirs(self.path(os.path.dirname(self.user_conf)))
        self.write('srv/dotfiles/c.conf', text, 0o640)
        os.chown(self.path('srv/dotfiles/c.conf'), 77, 78)
        os.symlink('/srv/link', self.path(self.user_conf))
        os.symlink('../../../../../../../srv/dotfiles/c.conf', self.path('srv/link'))
        self.run_it('install', 'podman', '--user')
        self.assertTrue(os.path.islink(self.path(self.user_conf)))
        self.assertIn('hooks_dir', self.read('srv/dotfiles/c.conf'))
        st = os.stat(self.path('srv/dotfiles/c.conf'))
        self.assertEqual((st.st_mode & 0o7777, st.st_uid, st.st_gid), (0o640, 77, 78))
        self.run_it('uninstall', 'podman', '--user')
        self.both_ways('podman', '--user')

    def test_no_program(self):
        os.unlink(self.path('usr/bin/oci-egress'))
        self.refused('/usr/bin/oci-egress: no program there', 'podman')

    def test_read_only(self):
        """All or nothing: where the second file cannot be written the first is taken back."""
        os.makedirs(self.path(os.path.dirname(self.user_conf)))
        self.write(self.user_conf, '[engine]\n')
        before = self.tree()
        frozen = f'mount --bind {self.path(self.user_conf)} {self.path(self.user_conf)} && exec "$@"'
        err = self.run_it('install', 'podman', '--user', status=2, prefix=['unshare', '-m', 'sh', '-c', frozen, 'sh'])
        self.assertIn(f'write /{self.user_conf}: Device or resource busy', err)
        self.assertEqual(self.tree(), before)
        self.assertIn('nothing to take back', self.run_it('uninstall', 'podman', '--user'))
        frozen = f'mount --bind {self.root} {self.root} && mount -o remount,bind,ro {self.root} && exec "$@"'
        err = self.run_it('install', 'podman', status=2, prefix=['unshare', '-m', 'sh', '-c', frozen, 'sh'])
        self.assertIn('Read-only file system', err)
        self.assertEqual(self.tree(), before)

    def test_real(self):
        self.need('podman')
        self.write(self.user_conf, '[engine]\nhooks_dir = ["/a"]\n')
        self.run_it('install', 'podman', '--user')
        text = subprocess.run(['podman', '--help'], env={**os.environ, 'CONTAINERS_CONF': self.path(self.user_conf)},
                              capture_output=True, text=True, timeout=WAIT).stdout
        self.assertIn(f'[/a,{self.user_hooks}]', text)


class Docker(Install):
    def is_json(self, **wanted):
        return lambda text: self.assertEqual(json.loads(text), wanted)

    def test_nothing_there(self):
        self.both_ways('docker', expected={DAEMON: json.dumps({'runtimes': {'oci-egress': RUNTIME}}, indent=4) + '\n'})

    def test_layouts(self):
        for text in ('{}', '{ }\n', '{"debug":true}', '{\n\t"debug": true,\n\t"x": {"y": [1.50, 1e400]}\n}\n', '{\r\n  "debug": true\r\n}\r\n'):
            with self.subTest(text):
                self.write(DAEMON, text)
                start = json.loads(text)

                def check(now, text=text, start=start):
                    self.assertEqual(json.loads(now), {**start, 'runtimes': {'oci-egress': RUNTIME}})
                    self.assertEqual('\r\n' in text, '\r\n' in now and '\n' not in now.replace('\r\n', ''))
                    self.assertTrue(now.startswith(text.rstrip().rstrip('}').rstrip()))
                self.both_ways('docker', expected={DAEMON: check})
        for text in ('', ' \n'):
            self.write(DAEMON, text)
            self.both_ways('docker', expected={DAEMON: self.is_json(runtimes={'oci-egress': RUNTIME})})

    def test_other_runtimes(self):
        kata = {'path': '/opt/kata', 'runtimeArgs': ['--debug']}
        for runtimes in ({}, {'kata': kata}, {'oci-egress': {'path': '/old'}, 'kata': kata}, {'oci-egress': {**RUNTIME, 'runtimeArgs': ['a']}}):
            for indent in (None, 2):
                with self.subTest(runtimes, indent=indent):
                    self.write(DAEMON, json.dumps({'runtimes': runtimes, 'debug': True}, indent=indent))
                    self.both_ways('docker', expected={DAEMON: self.is_json(runtimes={**runtimes, 'oci-egress': RUNTIME}, debug=True)})

    def test_ours_already(self):
        self.write(DAEMON, json.dumps({'runtimes': {'oci-egress': RUNTIME}}))
        self.assertIn('was there before', self.both_ways('docker'))

    def test_policy_and_default(self):
        self.write(DAEMON, '{"default-runtime": "kata"}')
        fixed = {'oci-egress': RUNTIME, 'oci-egress-web': {'path': '/usr/bin/oci-egress-runtime@web'}}
        link = lambda _: self.assertEqual(os.readlink(self.path('usr/bin/oci-egress-runtime@web')), 'oci-egress-runtime')
        self.both_ways('docker', '--policy', 'web', expected={
            DAEMON: self.is_json(**{'default-runtime': 'kata', 'runtimes': fixed}), 'usr/bin/oci-egress-runtime@web': link})
        self.both_ways('docker', '--default', expected={
            DAEMON: self.is_json(**{'default-runtime': 'oci-egress', 'runtimes': {'oci-egress': RUNTIME}})})
        self.both_ways('docker', '--default', '--policy', 'web', expected={
            DAEMON: self.is_json(**{'default-runtime': 'oci-egress-web', 'runtimes': fixed})})
        for name in ('../x', 'a b', '.x'):
            self.refused('not the name of a policy', 'docker', '--policy', name)
        self.write('usr/bin/oci-egress-runtime@mine', 'a file')
        self.refused('not a symbolic link', 'docker', '--policy', 'mine')

    def test_one_after_the_other(self):
        """Each adds; one uninstall takes all back, also where somebody has edited in between."""
        self.write(DAEMON, '{"debug": true}\n')
        before = self.tree()
        self.run_it('install', 'docker')
        self.run_it('install', 'docker', '--policy', 'web')
        self.run_it('install', 'docker', '--policy', 'db', '--default')
        self.assertEqual(sorted(json.loads(self.read(DAEMON))['runtimes']), ['oci-egress', 'oci-egress-db', 'oci-egress-web'])
        self.run_it('uninstall', 'docker')
        self.assertEqual(self.tree(), before)
        self.run_it('install', 'docker')
        self.write(DAEMON, self.read(DAEMON).replace('true', 'false'))
        self.run_it('install', 'docker', '--policy', 'web')
        self.run_it('uninstall', 'docker')
        self.assertEqual(json.loads(self.read(DAEMON)), {'debug': False})
        self.assertFalse(os.path.lexists(self.path('usr/bin/oci-egress-runtime@web')))

    def test_edited_since(self):
        for edit, end in ((lambda c: c.update(x=1), {'debug': True, 'x': 1}), (lambda c: c['runtimes'].update(kata=1), {'debug': True, 'runtimes': {'kata': 1}}),
                          (lambda c: c.pop('debug'), {}), (lambda c: c.pop('runtimes'), {'debug': True})):
            self.write(DAEMON, '{"debug": true}')
            self.run_it('install', 'docker', '--policy', 'web', '--default')
            now = json.loads(self.read(DAEMON))
            edit(now)
            self.write(DAEMON, json.dumps(now, indent=1))
            out = self.run_it('uninstall', 'docker')
            with self.subTest(end):
                self.assertEqual(json.loads(self.read(DAEMON)), end)
                self.assertIn('edited by others since', out)

    def test_edited_since_what_others_had(self):
        """The default of before is it again, unless its runtime is gone; of our name is not ours."""
        nvidia, own, old = {'path': '/usr/bin/nvidia'}, {'path': '/opt/mine'}, {'path': '/old'}
        near = {f'oci-egress-{i}': {'path': path} for i, path in enumerate(
            ('/opt/oci-egress-runtime2', '/opt/oci-egress-runtime@', 'oci-egress-runtime', '/oci-egress-runtime/x', ''))}
        others = {**near, 'oci-egress-own': own, 'oci-egress-shim': {'runtimeType': 'x'}, 'mine': RUNTIME}
        args = ['--default', '--policy', 'web']
        for start, edit, end in (
                ({'default-runtime': 'nvidia', 'runtimes': {'nvidia': nvidia, **others}}, lambda c: None,
                 {'default-runtime': 'nvidia', 'runtimes': {'nvidia': nvidia, **others}}),
                ({'default-runtime': 'nvidia', 'runtimes': {'nvidia': nvidia, **others}}, lambda c: c['runtimes'].pop('nvidia'), {'runtimes': others}),
                ({'default-runtime': 'nvidia'}, lambda c: c.update({'default-runtime': 'kata'}), {'default-runtime': 'kata'}),
                ({'default-runtime': 'nvidia'}, lambda c: c.pop('default-runtime'), {}),
                ({'default-runtime': 'runc'}, lambda c: c.pop('runtimes'), {'default-runtime': 'runc'}),
                ({'default-runtime': 'oci-egress-own', 'runtimes': {'oci-egress-own': own}}, lambda c: c.update({'default-runtime': 'oci-egress-own'}),
                 {'default-runtime': 'oci-egress-own', 'runtimes': {'oci-egress-own': own}}),
                ({'default-runtime': 'oci-egress', 'runtimes': {'oci-egress': old}}, lambda c: None,
                 {'default-runtime': 'oci-egress', 'runtimes': {'oci-egress': old}}),
                ({'runtimes': {'oci-egress': RUNTIME}}, lambda c: None, {'runtimes': {'oci-egress': RUNTIME}})):
            for again in (False, True):
                with self.subTest(start, end=end, again=again):
                    self.write(DAEMON, json.dumps(start, indent=2))
                    self.run_it('install', 'docker', *args)
                    now = json.loads(self.read(DAEMON))
                    edit(now)
                    self.write(DAEMON, json.dumps({**now, 'x': 1}, indent=2))
                    if again:
                        self.run_it('install', 'docker', *args)
                    self.run_it('uninstall', 'docker')
                    self.assertEqual(json.loads(self.read(DAEMON)), {**end, 'x': 1})

    def test_without_a_journal(self):
        self.write(DAEMON, '{"debug": true}')
        self.run_it('install', 'docker')
        shutil.rmtree(self.path('var'))
        self.assertIn('without a journal', self.run_it('uninstall', 'docker'))
        self.assertEqual(self.read(DAEMON), '{"debug": true}')

    def test_broken(self):
        for text, where in (('{"debug": true', ''), ('{"debug": true,}', ':1:16'), ('// c\n{}', ':1:1'), ('[]', ':1:1'), ('{"a":1,"a":2}', ':1:8'),
                            ('{"runtimes": []}', ':1:14'), ('\ufeff{}', ':1:1')):
            with self.subTest(text):
                self.write(DAEMON, text)
                self.refused(f'^oci-egress install: /{DAEMON}{where}', 'docker')
        self.write(DAEMON, '{}')
        self.run_it('install', 'docker')
        self.write(DAEMON, '{')
        before = self.tree()
        self.run_it('uninstall', 'docker', status=2)
        self.assertEqual(self.tree(), before)

    def test_what_is_no_file(self):
        os.makedirs(self.path(DAEMON))
        self.refused('Is a directory', 'docker')
        os.rmdir(self.path(DAEMON))
        os.mkfifo(self.path(DAEMON))
        self.refused('Invalid argument', 'docker')
        os.unlink(self.path(DAEMON))
        os.symlink('daemon.json', self.path(DAEMON))
        self.refused('Too many levels', 'docker')

    def test_bad_journal(self):
        self.run_it('install', 'docker')
        self.write('var/lib/oci-egress/install/docker', 'docker\n/etc/x\n\n99\n')
        self.assertIn('not a journal', self.run_it('uninstall', 'docker', status=2))
        os.chmod(self.path('var/lib/oci-egress/install'), 0o770)
        self.assertIn('only owner', self.run_it('install', 'docker', status=2))

    def test_wrong_words(self):
        for args, why in ((('frob',), 'expected podman, docker'), ((), 'expected an engine'), (('docker', '--user'), 'only podman'),
                          (('podman', '--default'), 'are for docker'), (('docker', '--programs', 'usr'), 'an absolute path in ASCII'),
                          (('docker', '--programs', '/\u00e9'), 'an absolute path in ASCII')):
            self.refused(why, *args)


    def test_dry_run(self):
        """Shows what would be done, and does nothing."""
        self.write(DAEMON, '{\n "a": "\x7f",\n "b": 1\n}\n')
        before = self.tree()
        shown = ('/etc/docker/daemon.json (changed)\n@@ line 3 @@\n- "b": 1\n+ "b": 1,\n+ "runtimes": {\n+  "oci-egress": {\n'
                 '+   "path": "/usr/bin/oci-egress-runtime"\n+  }\n+ }\n')
        self.assertEqual(self.run_it('install', 'docker', '--dry-run'), shown + 'docker: nothing was changed: --dry-run\n')
        self.assertEqual((self.tree(), os.path.exists(self.path('var'))), (before, False))
        self.assertTrue(self.run_it('install', 'docker').startswith(shown + 'to reload: systemctl reload docker'))
        after = self.tree()
        self.assertIn('+ "b": 1\ndocker: nothing was changed', self.run_it('uninstall', 'docker', '--dry-run'))
        self.assertEqual(self.tree(), after)


class Crio(Install):
    def test_nothing_there(self):
        self.both_ways('crio', expected={**self.hooks(OURS), DROPIN: dropin('/usr/share/containers/oci/hooks.d', '/etc/oci-egress/hooks.d')})

    def test_hooks_dir_set(self):
        self.write('etc/crio/crio.conf', '[crio.runtime]\nhooks_dir = ["/a"]\n')
        self.both_ways('crio', expected={DROPIN: dropin('/a', '/etc/oci-egress/hooks.d')})
        self.write('etc/crio/crio.conf.d/50', '[crio]\n[crio.runtime]\nhooks_dir = [\n"/b"]\n')
        self.both_ways('crio', expected={DROPIN: dropin('/b', '/etc/oci-egress/hooks.d')})
        self.write('etc/crio/crio.conf.d/99-z.conf', '[crio.runtime]\nhooks_dir = ["/c"]\n')
        self.both_ways('crio', expected={'etc/crio/crio.conf.d/99-z.conf': '[crio.runtime]\nhooks_dir = ["/c", "/etc/oci-egress/hooks.d"]\n'})

    def test_podmans_stays(self):
        self.run_it('install', 'podman')
        self.both_ways('crio')

    def test_ours_by_somebody_else(self):
        self.write(DROPIN, '# mine\n')
        self.both_ways('crio')
        self.run_it('install', 'crio')
        self.write(DROPIN, '# edited\n')
        self.assertIn('taken back all the same', self.run_it('uninstall', 'crio'))
        self.assertEqual(self.read(DROPIN), '# mine\n')

    def test_without_a_journal(self):
        """A drop-in of ours is known by its first line: it repeats what other files said when it was written."""
        for text, stays in ((dropin('/before', '/etc/oci-egress/hooks.d'), False), ('# mine\n', True)):
            with self.subTest(text):
                self.write(DROPIN, text)
                out = self.run_it('uninstall', 'crio')
                self.assertEqual(os.path.exists(self.path(DROPIN)), stays)
                self.assertEqual(f'/{DROPIN}: not by oci-egress install: left as it is\n' in out, stays)

    def test_broken(self):
        self.write('etc/crio/crio.conf', '[crio.runtime\n')
        self.refused('/etc/crio/crio.conf:1:14: ', 'crio')


class Containerd(Install):
    def test_nothing_there(self):
        self.both_ways('containerd', expected={CONTAINERD: 'version = 2\n\n' + block()})

    def test_versions(self):
        for version in (2, 3):
            for systemd in (False, True):
                start = (f'# c\nversion = {version}\n[plugins]\n  [plugins."{CRI[version]}".containerd]\n    snapshotter = "overlayfs" # o\n'
                         f"  [plugins.'{CRI[version]}'.containerd.runtimes.runc.options]\n    SystemdCgroup = {str(systemd).lower()}")
                with self.subTest(start):
                    self.write(CONTAINERD, start)
                    self.both_ways('containerd', expected={CONTAINERD: start + '\n\n' + block(version, systemd)})
        for text, where in (('root = "/x"\n', ':1:1: no version'), ('\nversion = 1\n', ':2:11: a version'), ('version = 20', ':1:11: a version')):
            self.write(CONTAINERD, text)
            self.refused(f'/{CONTAINERD}{where}', 'containerd')

    def test_crlf(self):
        self.write(CONTAINERD, 'version = 2\r\n')
        self.both_ways('containerd', expected={CONTAINERD: ('version = 2\n\n' + block()).replace('\n', '\r\n')})

    def test_ours_already(self):
        for end in ('', '\n[debug]\n  level = "info"\n'):
            self.write(CONTAINERD, 'version = 2\n\n' + block() + end)
            self.both_ways('containerd', expected={CONTAINERD: 'version = 2\n\n' + block() + end})
        self.write(CONTAINERD, 'version = 2\n\n' + block().replace('/usr/bin', '/old') + '\n[debug]\n')
        self.both_ways('containerd', expected={CONTAINERD: 'version = 2\n\n[debug]\n\n' + block()})

    def test_edited_since(self):
        self.write(CONTAINERD, 'version = 2\n')
        self.run_it('install', 'containerd')
        self.write(CONTAINERD, self.read(CONTAINERD).replace('version', '# mine\nversion') + '\n[debug]\nlevel = "info"\n')
        self.assertIn('edited by others since', self.run_it('uninstall', 'containerd'))
        self.assertEqual(self.read(CONTAINERD), '# mine\nversion = 2\n\n[debug]\nlevel = "info"\n')

    def test_written_otherwise(self):
        cri = CRI[2]
        for text in (f'[plugins]\n"{cri}" = {{}}\n', f'[plugins."{cri}".containerd]\nruntimes = {{}}\n',
                     f'[plugins."{cri}".containerd.runtimes]\noci-egress.runtime_type = "x"\n'):
            with self.subTest(text):
                self.write(CONTAINERD, 'version = 2\n' + text)
                self.refused(':3:1: .* is written without a header', 'containerd')

    def test_broken(self):
        for text, where in (('version = 2\n[plugins.]\n', ':2:10'), ('version = 2\nx = """a\n""', ':2:5'), ('version = 2\nversion = 2\n', ':2:1')):
            self.write(CONTAINERD, text)
            self.refused(f'/{CONTAINERD}{where}', 'containerd')

    def test_real(self):
        self.need('containerd')
        self.write(CONTAINERD, f'version = 2\n[plugins."{CRI[2]}"]\n  sandbox_image = "registry.invalid/pause:1"\n')
        self.run_it('install', 'containerd')
        done = subprocess.run(['containerd', '-c', self.path(CONTAINERD), 'config', 'dump'], capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('registry.invalid/pause:1', done.stdout)
        self.assertRegex(done.stdout, r'runtimes.oci-egress\][^[]*container_annotations = \["oci-egress.\*"\]')
        self.assertIn('BinaryName = "/usr/bin/oci-egress-runtime"', done.stdout)


class Node(Install):
    """What the DaemonSet does, with a directory in the place of a node's /."""

    def test_script(self):
        programs = self.path('image')
        os.makedirs(os.path.join(programs, 'bin'))
        os.symlink(PROGRAM, os.path.join(programs, 'bin/oci-egress'))
        self.write('image/bin/oci-egress-runtime', 'the program', 0o755)
        node = self.path('node')
        os.mkdir(node)
        env = {'PATH': os.environ['PATH'], 'OCI_EGRESS_HOST': node, 'OCI_EGRESS_PROGRAMS': programs, 'OCI_EGRESS_NO_RESTART': '1'}
        for said in ('to restart: systemctl restart containerd', 'nothing to change'):
            done = subprocess.run([os.path.join(PACKAGING, 'node.sh'), 'containerd'], env=env, capture_output=True, text=True, timeout=WAIT)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(said, done.stdout)
        self.assertIn(f'BinaryName = "{programs}/bin/oci-egress-runtime"', self.read('node/' + CONTAINERD))
        copy = 'node' + programs + '/bin/oci-egress-runtime'
        self.assertEqual((self.read(copy), os.stat(self.path(copy)).st_mode & 0o777), ('the program', 0o755))

    def test_manifests(self):
        for engine, kinds in (('crio', ['DaemonSet']), ('containerd', ['DaemonSet', 'RuntimeClass'])):
            with open(os.path.join(PACKAGING, engine + '.yaml'), encoding='utf-8') as f:
                documents = list(yaml.safe_load_all(f))
            self.assertEqual([d['kind'] for d in documents], kinds)
            pod = documents[0]['spec']['template']['spec']
            self.assertEqual(pod['initContainers'][0]['args'], [engine])
            self.assertEqual(pod['initContainers'][0]['volumeMounts'][0]['name'], pod['volumes'][0]['name'])
            self.assertEqual(documents[0]['spec']['selector']['matchLabels'], documents[0]['spec']['template']['metadata']['labels'])
        self.assertEqual(documents[1]['handler'], 'oci-egress')


if __name__ == '__main__':
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if os.getuid() != 0:
        sys.exit('needs root')
    unittest.main()
