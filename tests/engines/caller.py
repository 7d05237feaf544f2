# SPDX-License-Identifier: Apache-2.0
"""The hook as a runtime calls it, without one: an init that waits as runc's does, a state on stdin, and what came of it.

What no runtime would do is done with this; what only a runtime can do is in other tests."""
import ctypes
import json
import os
import re
import subprocess

import harness
from harness import KEEPER, PROGRAM, WorldTest, libc, wait_ended

CLONE_NEWNS = 0x20000
DEADLINE = 30

# Waits in read(2) with all its capabilities, in a network namespace of its own; then becomes its program.
INIT = "echo ready; read line || exit 0; exec env"
STRANGE = {"https_proxy": "http://user:secret@203.0.113.7:1", "NO_PROXY": "*"}


class Init:
    """A container's init, which waits to be told to start its program: that prints its environment."""

    def __init__(self, netns=None):
        """In a network namespace of its own, or in that of a process."""
        way = ["nsenter", f"--net=/proc/{netns}/ns/net"] if netns else ["unshare", "--net"]
        self.process = subprocess.Popen(way + ["sh", "-c", INIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={"PATH": os.environ["PATH"], **STRANGE})
        self.pid = self.process.pid
        self.process.stdout.readline()
        self.netns = harness.Netns(self.pid)
        self.before = self.netns.links()

    def status(self, *fields):
        """Of /proc/PID/status; None where it has ended."""
        try:
            with open(f"/proc/{self.pid}/status", encoding="latin-1") as file:
                rows = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        except OSError:
            return None
        return tuple(rows.get(field, "").strip() for field in fields)

    def guarded(self):
        return self.process.poll() is None and self.status("Seccomp") == ("2",)

    def untouched(self):
        """As if there were no hook."""
        return self.process.poll() is None and self.status("Seccomp", "TracerPid") == ("0", "0") and \
            self.netns.links() == self.before

    def start(self):
        """Starts its program and waits for its end. The program's environment, as a list of lines."""
        lines = self.process.communicate("go\n", timeout=DEADLINE)[0].splitlines()
        self.netns.close()
        return lines

    def kill(self):
        if self.netns.fd >= 0:
            self.process.kill()
            self.process.communicate()
            self.netns.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Places:
    """Where the hook finds things: the world's places, but for those given."""

    def __init__(self, world, **changes):
        self.world = world
        self.paths = {"policies": world.policies, "run": world.run, "log": world.log, "state": world.state,
                      "config": world.path("config.json"), "keeper": KEEPER, **changes}

    def arguments(self, stage):
        return ["hook", *(word for name, path in self.paths.items() for word in ("--" + name, path)), stage]


class Result:
    def __init__(self, process, out, complaint):
        self.pid, self.status, self.out, self.complaint = process.pid, process.returncode, out, complaint


def enter(world, then=lambda: None):
    """For preexec_fn: enters the world's host, and there does something more."""
    net, mounts = (os.open(f"/proc/{world.host.pid}/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt"))

    def run():
        if libc.setns(mounts, CLONE_NEWNS) or libc.setns(net, harness.CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.chdir("/")
        then()
    return run, (net, mounts)


def popen(world, stage="createRuntime", places=None, before=lambda: None, env=None, program=PROGRAM, **kw):
    """The hook's process, its own and nobody's between, that still waits for its stdin."""
    how, fds = enter(world, before)
    places = places or Places(world)
    try:
        return subprocess.Popen([program, *places.arguments(stage)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=env or {}, preexec_fn=how, **kw)
    finally:
        for fd in fds:
            os.close(fd)


def finish(process, state):
    out, complaint = process.communicate(state, timeout=DEADLINE)
    return Result(process, out.decode("latin-1"), complaint.decode("latin-1"))


class CallerTest(WorldTest):
    """With a policy "row" and a bundle of the class's own."""

    def setUp(self):
        self.bundle = self.world.path("bundle")
        os.makedirs(self.bundle, exist_ok=True)
        self.config({"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "network"}]}})
        self.world.policy("row", {**harness.POLICY, "link": "veth"})

    def tearDown(self):
        self.world.status()
        self.assertClean()

    def config(self, config):
        """Writes the bundle's config.json: a dictionary, or the bytes themselves."""
        text = config if isinstance(config, bytes) else json.dumps(config).encode()
        with open(os.path.join(self.bundle, "config.json"), "wb") as file:
            file.write(text)

    def state(self, init=None, policy="row", **changes):
        state = {"ociVersion": "1.0.2", "id": "c1", "status": "creating", "bundle": self.bundle,
                 "annotations": {} if policy is None else {"oci-egress.policy": policy}}
        if init:
            state["pid"] = init.pid
        return {**state, **changes}

    def call(self, state, **kw):
        """The hook, from start to end. A Result."""
        if isinstance(state, dict):
            state = json.dumps(state)
        return finish(popen(self.world, **kw), state if isinstance(state, bytes) else state.encode("latin-1"))

    def syslog(self, pid):
        """What this process has told syslog."""
        self.world.host.syslog()  # what was there before this question is read before the next
        lines = (re.match(r"<\d+>.{15} oci-egress\[(\d+)\]: (.*)", line, re.S) for line in self.world.host.syslog())
        return [m[2].rstrip("\0\n") for m in lines if m and int(m[1]) == pid]

    def logs(self):
        return sorted(os.listdir(self.world.log)) if os.path.isdir(self.world.log) else []

    def things(self):
        return self.world.run_files(), self.logs(), self.world.processes()

    def assertComplaint(self, result, pattern="."):
        """One line, of printable characters, on stderr and in syslog."""
        self.assertEqual(result.status, 1, result.complaint[:1000])
        self.assertRegex(result.complaint, r"\Aoci-egress: [ -~]+\n\Z")
        self.assertEqual(result.out, "")
        self.assertRegex(result.complaint, pattern)
        self.assertEqual(self.syslog(result.pid), [result.complaint[len("oci-egress: "):-1]])

    def assertRejected(self, state, init=None, pattern=".", *, may_log=False, **kw):
        """Refused, in words, and nothing is left and nothing was done; but where a keeper was at work already it may have
        opened the log. The complaint."""
        before = self.things()
        result = self.call(state, **kw)
        self.assertComplaint(result, pattern)
        files, logs, processes = self.things()
        self.assertEqual((files, before[1] if may_log else logs, processes), before)
        if init:
            self.assertTrue(init.untouched(), (init.status("Seccomp", "TracerPid"), init.netns.links()))
        return result.complaint

    def assertGuards(self, state, init, link="veth", **kw):
        """Accepted without a word, and guarded."""
        result = self.call(state, **kw)
        self.assertEqual((result.status, result.complaint, result.out), (0, "", ""))
        self.assertTrue(init.guarded(), init.status("State", "Seccomp"))
        self.assertEqual(init.netns.has_link(), link == "veth")
        return result

    def assertLives(self, init, link="veth"):
        """A guarded container's program runs with our environment, and when it ends all goes."""
        address = harness.PROXY if link == "veth" else "127.0.0.1"
        lines = init.start()
        mine = [line for line in lines if line.lower().startswith("https_proxy=")]
        self.assertEqual(sorted(mine), [f"{name}=http://{address}:3128" for name in ("HTTPS_PROXY", "https_proxy")])
        self.assertNotIn("secret", "".join(lines))
        self.assertGone()

    def assertGone(self):
        """No process of ours is left, and no file. The rest that there could be is looked for after each test."""
        self.assertEqual(wait_ended(self.world.processes()), [])
        self.assertEqual(self.world.run_files(), [])

    def assertUnguarded(self, init):
        """As it was, or dead, or about to be: never half armed."""
        if init.status("Seccomp") != ("0",):
            init.process.wait(5)

    def assertUntouched(self, state, init, **kw):
        """None of our business: not a word, not a file."""
        before = self.things()
        result = self.call(state, **kw)
        self.assertEqual((result.status, result.complaint, result.out), (0, "", ""))
        self.assertEqual(self.things(), before)
        self.assertTrue(init.untouched())

    def roles(self):
        """The pids of keepers and workers, by role."""
        roles = {"keeper": [], "worker": []}
        for pid, text in self.world.processes().items():
            words = text.split(": ", 1)[1].split()
            if len(words) > 1 and "keeper" in words[0] and words[1] in roles:
                roles[words[1]].append(pid)
        return roles
