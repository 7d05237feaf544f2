# SPDX-License-Identifier: Apache-2.0
"""Hooks that are called in hostile surroundings, rootfs and files that are traps, states that lie."""
import json
import os
import shutil
import stat
import subprocess

import harness
from harness import PROGRAM, Bundle, WorldTest, each_runtime

ENVIRONMENTS = {
    "ld-library-path": {"LD_LIBRARY_PATH": "."}, "gconv": {"GCONV_PATH": "."}, "locpath": {"LOCPATH": "/proc/self/cwd"},
    "resolv": {"RES_OPTIONS": "debug", "HOSTALIASES": "./h", "LOCALDOMAIN": "evil.test"},
    "malloc": {"MALLOC_TRACE": "/etc/x", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=65535"},
    "tmpdir": {"TMPDIR": "/run/b/c1/rootfs/tmp"}, "openssl": {"OPENSSL_CONF": "./o.cnf", "SSLKEYLOGFILE": "/tmp/keys"},
    "proxies": {"https_proxy": "http://198.51.100.20:80", "no_proxy": "*", "OCI_EGRESS_POLICY": "nothing"},
    "carriage": {"CARES_SERVERS": "203.0.113.7", "HOSTS_FILE": "/tmp/h"}, "empty": {},
}

# Run in the hook's place, as runtimes run it: opens, blocks and closes what it can, then becomes the hook.
ODD = """
import os, resource, signal, sys
how, program, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
if how == "signals":
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    for n in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGALRM):
        signal.signal(n, signal.SIG_IGN)
elif how == "umask":
    os.umask(0)
elif how == "descriptors":
    for n in range(3, 200):
        os.dup2(os.open("/etc/shadow", os.O_RDONLY), n)
        os.set_inheritable(n, True)
elif how == "stdout-stderr-closed":
    os.close(1)
    os.close(2)
elif how == "cwd":
    os.chdir(os.environ["TRAP"])
elif how == "nice":
    os.nice(10)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
os.execve(program, arguments, {"TRAP": os.environ.get("TRAP", "/")})
"""


class Surroundings(WorldTest):
    def tearDown(self):
        self.world.status()
        self.assertClean()

    def hook(self, program, args, env=()):
        return lambda config: config["hooks"].update(createRuntime=[{"path": program, "args": args, "timeout": 30,
                                                                     "env": list(env)}])

    def assertGuarded(self, container):
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(container.ask("fetch other.test:443")["status"], 403)
        self.assertFalse(container.ask("connect 203.0.113.7 443")["ok"])
        self.assertEqual(container.status("Seccomp"), "2")

    @each_runtime
    def test_environments(self, runtime):
        for name, variables in ENVIRONMENTS.items():
            with self.subTest(name):
                env = [f"{k}={v}" for k, v in variables.items()]
                edit = self.hook(PROGRAM, self.world.hook_args("createRuntime"), env)
                with runtime.start(Bundle(self.world, edit=edit)) as container:
                    self.assertGuarded(container)
                    for role in ("keeper", "worker"):
                        with open(f"/proc/{container.keeper()[role][0]}/environ", "rb") as file:
                            self.assertEqual(file.read(), b"", role)

    @each_runtime
    def test_odd_callers(self, runtime):
        trap = self.world.path("trap")
        os.makedirs(trap, exist_ok=True)
        for name in ("libc.so.6", "resolv.conf", "hosts", "oci-egress-keeper", "config.json"):
            with open(os.path.join(trap, name), "w", encoding="utf-8") as file:
                file.write("trap")
        for how in ("signals", "umask", "descriptors", "stdout-stderr-closed", "cwd", "nice"):
            with self.subTest(how):
                args = ["python3", "-c", ODD, how, PROGRAM, *self.world.hook_args("createRuntime")]
                with runtime.start(Bundle(self.world, edit=self.hook("/usr/bin/python3", args, ["TRAP=" + trap]))) as container:
                    self.assertGuarded(container)
                    self.check_processes(container)
                    self.check_files()

    def check_processes(self, container):
        """Keeper and worker have of their birth only what they were given."""
        for role in ("keeper", "worker"):
            pid = container.keeper()[role][0]
            with open(f"/proc/{pid}/status", encoding="latin-1") as file:
                status = {key: value.strip() for key, value in (line.split(":", 1) for line in file)}
            self.assertEqual(int(status["Umask"], 8) & 0o77, 0o77, f"{role}: umask")
            if role == "worker":
                self.assertEqual(int(status["CapEff"], 16), 0)
                self.assertEqual(int(status["CapBnd"], 16) & int(status["CapPrm"], 16), 0)
                self.assertEqual(status["NoNewPrivs"], "1")
                self.assertEqual(status["Seccomp"], "2")
                self.assertGreaterEqual(int(status["Uid"].split()[0]), 0x70000000)
            with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
                self.assertEqual(file.read().rsplit(")", 1)[1].split()[16], "0", f"{role}: nice")
            targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            self.assertNotIn("/etc/shadow", targets, role)
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
            if role == "worker":
                self.assertEqual(len(os.listdir(f"/proc/{pid}/root/")), 0, "the worker's root is empty")

    def check_files(self):
        for directory in (self.world.run, self.world.log):
            for name in [".", *os.listdir(directory)]:
                mode = os.stat(os.path.join(directory, name)).st_mode
                self.assertEqual(stat.S_IMODE(mode) & 0o077, 0, f"{directory}/{name}: {mode:o}")

    @each_runtime
    def test_nothing_is_inherited(self, runtime):
        """No descriptor of ours or of the runtime's is open in the program."""
        with runtime.start(Bundle(self.world)) as container:
            fds = os.listdir(f"/proc/{container.pid}/fd")
            self.assertEqual(sorted(fds, key=int), ["0", "1", "2"])
            self.assertEqual(container.status("TracerPid"), "0")
            with open(f"/proc/{container.pid}/maps", encoding="latin-1") as file:
                for line in file:
                    self.assertFalse(line.split()[1].startswith("rwx"), f"a mapping that we left: {line}")


class Files(WorldTest):
    def tearDown(self):
        self.world.status()
        self.assertClean()

    def state(self, **changes):
        return {"ociVersion": "1.0.2", "id": "state", "status": "creating", "bundle": self.world.dir, "annotations":
                {"oci-egress.policy": "veth"}, **changes}

    def hook(self, stage, text, arguments=None, **kw):
        command = self.world.host.enter(PROGRAM, *(arguments or self.world.hook_args(stage)[1:]))
        return subprocess.run(command, input=text if isinstance(text, bytes) else text.encode("latin-1"), capture_output=True,
                              timeout=60, check=False, **kw)

    @each_runtime
    def test_rootfs_of_symlinks(self, runtime):
        """Nothing of ours follows or writes them."""
        rootfs = self.world.path("hostile-" + runtime.name)
        shutil.copytree(self.world.rootfs, rootfs, symlinks=True)
        victim = self.world.write("victim", "untouched\n")
        for name in ("etc/resolv.conf", "etc/hosts", "etc/passwd"):
            path = os.path.join(rootfs, name)
            os.unlink(path)
            os.symlink(victim, path)
        os.makedirs(os.path.join(rootfs, "etc/ssl/certs"))
        os.symlink("/etc/shadow", os.path.join(rootfs, "etc/ssl/certs/ca-certificates.crt"))
        os.symlink("../../../../run", os.path.join(rootfs, "run"))
        os.mkfifo(os.path.join(rootfs, "etc/ssl/cert.pem"))
        before = os.stat(victim)
        with runtime.start(Bundle(self.world, rootfs=rootfs)) as container:
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "untouched\n")
        self.assertEqual(os.stat(victim).st_mtime_ns, before.st_mtime_ns)

    def test_states_that_are_no_states(self):
        live = os.getpid()
        good = self.state(pid=live)
        deep = '{"a":' * 100000 + "1" + "}" * 100000
        texts = {
            "empty": "", "truncated": json.dumps(good)[:-5], "not an object": "[]", "deep": deep, "null": "null",
            "not utf-8": json.dumps(good).replace("creating", "creat\xff\xfe"), "twice": '{"id":"a",' + json.dumps(good)[1:],
            "id is a number": json.dumps({**good, "id": 5}), "pid is a string": json.dumps({**good, "pid": str(live)}),
            "no id": json.dumps({k: v for k, v in good.items() if k != "id"}), "no pid": json.dumps(self.state()),
            "pid 0": json.dumps({**good, "pid": 0}), "pid -1": json.dumps({**good, "pid": -1}),
            "pid gone": json.dumps({**good, "pid": 4194303}), "pid too large": json.dumps({**good, "pid": 1 << 40}),
            "annotations are a list": json.dumps({**good, "annotations": []}), "bundle is relative": json.dumps({**good, "bundle": "x"}),
            "host's namespace": json.dumps({**good, "pid": self.world.host.pid}), "larger than any": " " * (17 << 20),
        }
        for name in ("../../etc/x", "a/b", "", ".", "..", "a..b", "x" * 300, "a\nb", "a b", "-a", "\x00a"):
            texts["id " + repr(name)] = json.dumps({**good, "id": name})
        for what, text in texts.items():
            with self.subTest(what):
                done = self.hook("createRuntime", text)
                self.assertGreater(done.returncode, 0, done.stderr)
                message = done.stderr.decode("latin-1")
                self.assertEqual(message.count("\n"), 1, message[:500])
                self.assertTrue(all(0x20 <= ord(c) <= 0x7e for c in message.rstrip("\n")), message[:500])
                self.assertFalse(any(f.endswith(".json") for f in self.world.run_files()))

    def test_stdio_closed(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed):
                script = f'"$@" {closed}'
                command = self.world.host.enter("sh", "-c", script, "sh", PROGRAM, *self.world.hook_args("createRuntime")[1:])
                done = subprocess.run(command, input=b"{}", capture_output=True, timeout=60, check=False)
                self.assertGreater(done.returncode, 0)

    def test_poststop_for_strangers(self):
        for name in ("never-was", "another"):
            done = self.hook("poststop", json.dumps(self.state(id=name, status="stopped")))
            self.assertEqual(done.returncode, 0, done.stderr)

    @each_runtime
    def test_directories_that_are_traps(self, runtime):
        """The run directory must be root's own: no symlink, no other owner, not writable by others."""
        elsewhere = self.world.path("elsewhere")
        os.makedirs(elsewhere, exist_ok=True)
        real = self.world.run
        for name in ("symlink", "owner", "mode"):
            trap = self.world.path("run-" + name + runtime.name)
            if name == "symlink":
                os.symlink(elsewhere, trap)
            else:
                os.mkdir(trap, 0o700)
                os.chown(trap, 1000 if name == "owner" else 0, 0)
                os.chmod(trap, 0o777 if name == "mode" else 0o700)
            with self.subTest(name):
                self.world.run = trap
                try:
                    bundle = Bundle(self.world, args=["/probe", "ids"])
                finally:
                    self.world.run = real
                done = runtime.run(bundle)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn('"euid"', done.stdout)
                self.assertEqual(os.listdir(elsewhere), [])
                runtime.call("delete", "--force", bundle.id)

    @each_runtime
    def test_policy_files_that_are_traps(self, runtime):
        """Only what is root's word counts."""
        policies = self.world.policies
        target = self.world.write("elsewhere.json", json.dumps(harness.POLICY))
        os.symlink(target, os.path.join(policies, "link.json"))
        os.mkfifo(os.path.join(policies, "fifo.json"))
        os.mkdir(os.path.join(policies, "dir.json"))
        os.chmod(self.world.policy("writable", harness.POLICY), 0o666)
        os.chown(self.world.policy("strange", harness.POLICY), 1000, 1000)
        try:
            for name in ("link", "fifo", "dir", "writable", "strange"):
                with self.subTest(name):
                    bundle = Bundle(self.world, policy=name, args=["/probe", "ids"])
                    done = runtime.run(bundle, timeout=20)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertNotIn('"euid"', done.stdout)
                    runtime.call("delete", "--force", bundle.id)
        finally:
            for name in ("link", "fifo", "writable", "strange"):
                os.unlink(os.path.join(policies, name + ".json"))
            os.rmdir(os.path.join(policies, "dir.json"))

    @each_runtime
    def test_port_is_taken_in_the_container(self, runtime):
        """The socket link's port: no other address, no other port in its place."""
        script = ("import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 3128)); s.listen(); print('ready', flush=True); "
                  "sys.stdin.read()")
        with subprocess.Popen(["unshare", "-n", "sh", "-c", f'ip link set lo up; exec python3 -c "{script}"'],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdout.readline()
            bundle = Bundle(self.world, policy="socket", args=["/probe", "ids"], netns=f"/proc/{holder.pid}/ns/net")
            done = runtime.run(bundle)
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn('"euid"', done.stdout)
            runtime.call("delete", "--force", bundle.id)
            holder.stdin.close()

    @each_runtime
    def test_hook_killed_at_every_moment(self, runtime):
        """SIGKILL of the hook, earlier and later: no guard, no container, and nothing left."""
        for milliseconds in (0.2, 0.5, 1, 1.5, 2, 3, 4, 6, 8):
            with self.subTest(after=milliseconds):
                def edit(config, after=milliseconds):
                    args = ["timeout", "-s", "KILL", f"{after / 1000}", PROGRAM, *self.world.hook_args("createRuntime")[1:]]
                    config["hooks"]["createRuntime"] = [{"path": "/usr/bin/timeout", "args": args}]
                bundle = Bundle(self.world, args=["/probe", "file", "/proc/self/status"], edit=edit)
                done = runtime.run(bundle)
                if done.returncode == 0:
                    self.assertIn("Seccomp:\\u00092", done.stdout, "started without its filter")
                runtime.call("delete", "--force", bundle.id)
                self.world.status()
                self.assertClean()


if __name__ == "__main__":
    harness.main()
