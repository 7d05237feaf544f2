# SPDX-License-Identifier: Apache-2.0
"""When the guard cannot be set up: closed does not start, open starts as if we were not installed, and says so."""
import contextlib
import json
import os
import signal
import subprocess

import harness
from harness import KEEPER, PROGRAM, Bundle, WorldTest, each_runtime, sh, wait_ended

# Run by the runtime in place of the hook: takes something away first, then becomes the hook. Ours to mend: on_failure.
WITHOUT = {
    "no network namespace to be had": "exec python3 {refuse} unshare 28 {hook}",  # ENOSPC, as of user.max_net_namespaces
    "no ptrace, by a seccomp profile": "exec python3 {refuse} ptrace 1 {hook}",
    # fork(2) fails: at the first process that the hook starts, at the second, and inside the second
    **{f"out of processes: {n} in all": f"echo {n} >{{pids}}/pids.max && echo $$ >{{pids}}/cgroup.procs && exec {{hook}}" for n in (1, 2, 3)},
    **{f"out of descriptors: {n}": f"ulimit -n {n}; exec {{hook}}" for n in (12, 16)},
}
# So little that the hook cannot tell what container it is called for: that does not start.
WITHOUT_EYES = {
    "no capability to enter a namespace": "exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin {hook}",
    "no capability to look into init": "exec setpriv --bounding-set -sys_ptrace,-sys_admin --inh-caps -sys_ptrace,-sys_admin {hook}",
    "out of descriptors": "ulimit -n 6; exec {hook}",
}

# refuse.py SYSCALL ERRNO PROGRAM...: a seccomp profile around the hook. Load the number, compare, errno, allow.
REFUSE = """
import ctypes, os, struct, sys
number = {"x86_64": {"ptrace": 101, "unshare": 272}, "aarch64": {"ptrace": 117, "unshare": 97}}[os.uname().machine][sys.argv[1]]
rules = struct.pack("=" + "HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x50000 | int(sys.argv[2]), 0x06, 0, 0, 0x7fff0000)
rules = ctypes.create_string_buffer(rules)
program = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(rules)))
if ctypes.CDLL(None).prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    sys.exit("no seccomp")
os.execv(sys.argv[3], sys.argv[3:])
"""


class OnFailure(WorldTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pids = cls.make_pids_cgroup()
        cls.refuse = cls.world.write("refuse.py", REFUSE)

    @classmethod
    def make_pids_cgroup(cls):
        """A control group that bounds its processes' number, seen from H; of either version of cgroups(7)."""
        tree = cls.world.path("cgroup")
        os.mkdir(tree)
        with open("/proc/self/mounts", encoding="utf-8") as file:
            version1 = any(line.split()[2] == "cgroup" and "pids" in line.split()[3].split(",") for line in file)
        sh(*cls.world.host.enter("mount", "-t", "cgroup" if version1 else "cgroup2", *(["-o", "pids"] if version1 else []), "cgroup", tree))
        seen = f"/proc/{cls.world.host.pid}/root{tree}"
        if not version1:
            with open(f"{seen}/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write("+pids")
        name = os.path.basename(cls.world.dir)
        os.mkdir(f"{seen}/{name}")
        cls.addClassCleanup(os.rmdir, f"{seen}/{name}")  # before the world is closed
        cls.world.before = cls.world.inventory()
        return f"{tree}/{name}"

    def setUp(self):
        for mode in ("open", "closed"):
            self.world.policy(mode, {**harness.POLICY, "on_failure": mode})

    def tearDown(self):
        self.world.status()
        self.assertClean()

    def hooked(self, script):
        """An edit of config.json that runs the hook through a shell script."""
        hook = " ".join([PROGRAM, *self.world.hook_args("createRuntime")[1:]])

        def edit(config):
            config["hooks"]["createRuntime"] = [{"path": "/bin/sh", "timeout": 30, "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                                                 "args": ["sh", "-c", script.format(hook=hook, pids=self.pids, refuse=self.refuse)]}]
        return edit

    def assertStartsOpen(self, runtime, edit, policy="open", logged=True):
        before = len(self.world.host.syslog())
        with runtime.start(Bundle(self.world, policy=policy, edit=edit)) as container:
            self.assertEqual(container.status("Seccomp"), "0")
            self.assertFalse(container.netns.has_link())
            env = str(container.ask("env")["env"])
            self.assertNotIn("proxy", env.lower())
            self.assertNotIn("OCI_EGRESS", env)
            row = self.world.status()[container.id]
            self.assertEqual(row["state"], "open", row)
            self.assertTrue(row["reason"], row)
            syslog = "\n".join(self.world.host.syslog()[before:])
            self.assertIn("WITHOUT A GUARD", syslog)
            self.assertIn(container.id, syslog)
            if logged:
                line = self.world.log_lines(container.id, 1)[0]
                self.assertEqual((line["verdict"], line["policy"]), ("open", policy))
                self.assertTrue(line["reason"])
            self.assertEqual(container.end(), 0)
        self.world.status()
        self.assertClean()

    def assertDoesNotStart(self, runtime, edit, policy="closed", **arguments):
        bundle = Bundle(self.world, policy=policy, args=["/probe", "ids"], edit=edit, **arguments)
        done = runtime.run(bundle)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn('"euid"', done.stdout)
        runtime.call("delete", "--force", bundle.id)
        self.world.status()
        self.assertClean()
        return done

    @each_runtime
    def test_a_keeper_that_is_not_there(self, runtime):
        def edit(config):
            args = config["hooks"]["createRuntime"][0]["args"]
            args[args.index(KEEPER)] = "/nowhere/keeper"
        self.assertDoesNotStart(runtime, edit)
        self.assertStartsOpen(runtime, edit)

    @each_runtime
    def test_a_keeper_that_is_never_ready(self, runtime):
        """The proxy starts, ends at once, or hangs."""
        for name, program in (("ends", "/bin/true"), ("hangs", "/bin/cat")):
            with self.subTest(keeper=name):
                for mode in ("open", "closed"):
                    self.world.policy(mode, {**harness.POLICY, "on_failure": mode, "startup_timeout_ms": 500})

                def edit(config, program=program):
                    args = config["hooks"]["createRuntime"][0]["args"]
                    args[args.index(KEEPER)] = program
                self.assertDoesNotStart(runtime, edit)
                self.assertStartsOpen(runtime, edit)

    @each_runtime
    def test_without_what_it_needs(self, runtime):
        for mode, check in (("closed", self.assertDoesNotStart), ("open", self.assertStartsOpen)):
            self.world.policy(mode, {**harness.POLICY, "link": "veth", "on_failure": mode})
            for name, script in WITHOUT.items():
                with self.subTest(name, mode=mode):
                    check(runtime, self.hooked(script))
        with self.subTest("without eyes"):
            for name, script in WITHOUT_EYES.items():
                for mode in ("closed", "open"):
                    self.assertDoesNotStart(runtime, self.hooked(script), policy=mode)

    @each_runtime
    def test_auto_without_a_network_namespace(self, runtime):
        """The socket link needs none."""
        with runtime.start(Bundle(self.world, policy="closed", edit=self.hooked(WITHOUT["no network namespace to be had"]))) as container:
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
            self.assertEqual(self.world.status()[container.id]["link"], "socket")
            self.assertEqual(container.status("Seccomp"), "2")

    @each_runtime
    def test_external_command_that_fails(self, runtime):
        for mode, check in (("closed", self.assertDoesNotStart), ("open", self.assertStartsOpen)):
            self.world.policy("external-" + mode, {"proxy": {"command": ["/bin/false"]}, "on_failure": mode})
            check(runtime, None, policy="external-" + mode)

    @contextlib.contextmanager
    def full(self, option, space, filler=False):
        """An edit that gives the hook a directory with next to no room, on H."""
        path = self.world.path("full-" + option)
        os.makedirs(path, exist_ok=True)
        sh(*self.world.host.enter("mount", "-t", "tmpfs", "-o", f"mode=700,{space}", "tmpfs", path))
        if filler:
            with open(f"/proc/{self.world.host.pid}/root{path}/filler", "wb") as file:
                file.write(b"x" * 4096)

        def edit(config):
            for hooks in config["hooks"].values():
                hooks[0]["args"][hooks[0]["args"].index("--" + option) + 1] = path
        before = self.world.before
        self.world.before = self.world.inventory()
        try:
            yield edit
        finally:
            self.assertEqual(wait_ended(self.world.processes()), [])
            sh(*self.world.host.enter("umount", path))
            self.world.before = before

    @each_runtime
    def test_log_is_full(self, runtime):
        """Ours to mend: on_failure. That there is no log does not keep syslog and status from saying so."""
        with self.full("log", "size=64k,nr_inodes=1") as edit:
            self.assertDoesNotStart(runtime, edit)
            self.assertStartsOpen(runtime, edit, logged=False)

    @each_runtime
    def test_record_cannot_be_written(self, runtime):
        """What nobody could find out about later does not start."""
        for space, filler in (("size=64k,nr_inodes=1", False), ("size=4k", True)):
            with self.full("run", space, filler) as edit:
                for mode in ("open", "closed"):
                    with self.subTest(space, mode=mode):
                        self.assertDoesNotStart(runtime, edit, policy=mode)
                        self.assertIn("No space left", self.world.host.syslog()[-1])

    @each_runtime
    def test_tracer_killed(self, runtime):
        """From the seize on there is no way back to open: init dies with its tracer."""
        for mode in ("open", "closed"):
            with self.subTest(mode=mode):
                bundle = Bundle(self.world, policy=mode)
                with open(os.path.join(bundle.dir, "out"), "wb") as out:
                    subprocess.run(runtime.command("create", "--bundle", bundle.dir, bundle.id), stdout=out, stderr=out,
                                   stdin=subprocess.DEVNULL, timeout=30, check=True)
                pid = json.loads(runtime.call("state", bundle.id).stdout)["pid"]
                with open(f"/proc/{pid}/status", encoding="latin-1") as file:
                    tracer = int(next(line.split()[1] for line in file if line.startswith("TracerPid")))
                self.assertGreater(tracer, 0)
                os.kill(tracer, signal.SIGKILL)
                self.assertEqual(wait_ended([pid]), [])
                self.assertNotEqual(runtime.call("start", bundle.id).returncode, 0)
                runtime.call("delete", "--force", bundle.id)
                self.world.status()
                self.assertClean()

    @each_runtime
    def test_another_policy_in_the_namespace(self, runtime):
        """A sibling's doing: closed, and the sibling stays guarded by what it has."""
        for mode in ("open", "closed"):
            self.world.policy("wider", {**harness.POLICY, "allow": ["allowed.test", "other.test"], "on_failure": mode})
            with self.subTest(mode=mode), subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec cat"],
                                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
                self.assertEqual(holder.stdout.readline(), b"ready\n")
                netns = f"/proc/{holder.pid}/ns/net"
                with runtime.start(Bundle(self.world, policy="open", netns=netns)) as first:
                    bundle = Bundle(self.world, policy="wider", netns=netns, args=["/probe", "ids"])
                    done = runtime.run(bundle)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertNotIn('"euid"', done.stdout)
                    self.assertIn("another policy", "\n".join(self.world.host.syslog()[-2:]))
                    runtime.call("delete", "--force", bundle.id)
                    self.assertEqual(list(self.world.status()), [first.id])
                    self.assertEqual(first.ask("fetch other.test:443")["status"], 403)
                    self.assertTrue(first.ask("fetch allowed.test:443")["ok"])
                self.assertClean()
                holder.stdin.close()

    @each_runtime
    def test_what_the_container_side_can_cause_is_closed(self, runtime):
        """Whatever on_failure says: a name that is taken, the host's own namespace."""
        with self.subTest("oe0 is taken"):
            with subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link add oe0 type bridge && echo ready && exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
                self.assertEqual(holder.stdout.readline(), b"ready\n")
                for mode in ("open", "closed"):
                    self.assertDoesNotStart(runtime, None, policy=mode, netns=f"/proc/{holder.pid}/ns/net")
                holder.stdin.close()

        def host_network(config):
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
            config["mounts"] = [m for m in config["mounts"] if m["type"] != "sysfs"]
        for mode in ("open", "closed"):
            with self.subTest("host network", mode=mode):
                self.assertDoesNotStart(runtime, host_network, policy=mode)


if __name__ == "__main__":
    harness.main()
