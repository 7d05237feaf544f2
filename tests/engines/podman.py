# SPDX-License-Identifier: Apache-2.0
"""Real podman on the host of a world, as root or as a user of that host, with hooks.d alone.

The image is the harness's rootfs, imported: no registry. Storage, state and configuration are the test's own."""
import collections
import itertools
import json
import os
import shutil
import subprocess
import unittest

import harness
from harness import KEEPER, PORT, PROGRAM, PROXY, Netns, Talk, WorldTest
from test_environment import VARIABLES
from test_walls import connects

IMAGE = "localhost/probe"
USER = 64999  # on the test's host; nobody's on the machine
SUBIDS = 3000000
numbers = itertools.count(1)

# crun takes the unified tree and no other; podman is told to leave it alone then.
UNIFIED = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"


class Podman:
    """podman with one runtime, for root or for USER."""

    def __init__(self, world, runtime, user=False):
        self.world, self.runtime, self.user = world, runtime, user
        for program in ("podman", runtime):
            if not shutil.which(program):
                raise unittest.SkipTest(f"no {program}")
        self.hooks = world.path("hooks.d")
        os.mkdir(self.hooks)
        os.chmod(world.volatile, 0o711)
        self.options = ["--storage-driver", "vfs", "--events-backend", "file", "--cgroup-manager", "cgroupfs",
                        "--hooks-dir", self.hooks, "--runtime", runtime]
        containers = 'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        if runtime == "crun":
            self.on_host("sh", "-c", UNIFIED)
            containers += 'cgroups = "disabled"\n'
        self.conf = world.write("containers.conf", "[containers]\n" + containers)
        self.make_etc()
        if user:
            # slirp4netns opens it as the user: before the first podman, which keeps its view of mounts.
            tun = world.path("tun")
            self.on_host("sh", "-c", f"mknod -m 666 {tun} c 10 200 && mount --bind {tun} /dev/net/tun")
            self.hook(["--keeper", KEEPER])
        else:
            self.options += ["--root", world.path("storage"), "--runroot", os.path.join(world.volatile, "runroot"),
                             "--tmpdir", os.path.join(world.volatile, "libpod")]
            self.hook([*world.places(), "--state", world.state, "--keeper", KEEPER])
        archive = world.path("image.tar")
        harness.sh("tar", "-C", world.rootfs, "-cf", archive, ".")
        self.call("import", archive, IMAGE)

    def hook(self, places, stages=("createRuntime", "poststop")):
        self.places = places
        for stage in stages:
            hook = {"version": "1.0.0", "when": {"always": True}, "stages": [stage],
                    "hook": {"path": PROGRAM, "args": ["oci-egress", "hook", stage, *places], "timeout": 30}}
            with open(os.path.join(self.hooks, f"oci-egress-{stage}.json"), "w", encoding="utf-8") as file:
                json.dump(hook, file)

    def on_host(self, *argv):
        done = self.world.on_host(*argv)
        if done.returncode:
            raise AssertionError(f"{argv}: {done.stderr}")

    def make_etc(self):
        """The test's host has an /etc of its own over the machine's, and a user in it."""
        self.home, self.runtime_dir = self.world.path("home"), os.path.join(self.world.volatile, "user")
        for directory in (self.home, self.runtime_dir):
            os.mkdir(directory, 0o700)
            os.chown(directory, USER, USER)
        etc, work = (os.path.join(self.world.volatile, name) for name in ("etc", "etc-work"))
        os.mkdir(etc)
        os.mkdir(work)
        self.on_host("mount", "-t", "overlay", "-o", f"lowerdir=/etc,upperdir={etc},workdir={work}", "overlay", "/etc")
        ids = f"containers:{SUBIDS + 100000}:655360\ntester:{SUBIDS}:65536\n"
        for name, text in (("subuid", ids), ("subgid", ids), ("passwd", f"tester:x:{USER}:{USER}::{self.home}:/bin/sh\n"),
                           ("group", f"tester:x:{USER}:\n")):
            with open("/etc/" + name, encoding="utf-8") as file:
                self.write_etc(name, file.read() + text if name in ("passwd", "group") else text)
        for name in ("resolv.conf", "hosts"):
            self.on_host("cp", self.world.path(name), "/etc/" + name)

    def write_etc(self, name, text):
        self.on_host("install", "-D", "-m", "644", self.world.write("etc-file", text), "/etc/" + name)

    def user_policy(self, name, policy):
        """One of the user's own, in the user's own place."""
        path = os.path.join(self.home, ".config", "oci-egress", "policies", name + ".json")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(policy, file)
        for directory, _, files in os.walk(os.path.join(self.home, ".config")):
            for entry in (".", *files):
                os.chown(os.path.join(directory, entry), USER, USER)
        return path

    def as_user(self, *argv):
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "-i", "PATH=" + os.environ["PATH"],
                "CONTAINERS_CONF=" + self.conf, "HOME=" + self.home, "XDG_RUNTIME_DIR=" + self.runtime_dir, *argv]

    def command(self, *argv):
        command = ["podman", *self.options, *argv]
        return self.world.host.enter(*(self.as_user(*command) if self.user else ["env", "CONTAINERS_CONF=" + self.conf, *command]))

    def try_(self, *argv, timeout=60):
        return subprocess.run(self.command(*argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def call(self, *argv, **kw):
        done = self.try_(*argv, **kw)
        if done.returncode:
            raise AssertionError(f"podman {' '.join(argv)}: status {done.returncode}: {done.stderr}")
        return done.stdout

    def run_arguments(self, *options, policy="veth", network="none"):
        arguments = [*(["--network", network] if network else []), *options]
        return arguments + (["--annotation", "oci-egress.policy=" + policy] if policy else [])

    def run(self, *options, args=("/probe", "ids"), **kw):
        """A whole container. The CompletedProcess."""
        return self.try_("run", "--rm", *self.run_arguments(*options, **kw), IMAGE, *args)

    def start(self, *options, **kw):
        return PodmanContainer(self, *options, **kw)

    def close(self):
        self.try_("pod", "rm", "--all", "--force", "--time=0")
        self.try_("rm", "--all", "--force", "--time=0")


class PodmanContainer(Talk):
    """A container that podman runs in the foreground; its program is the probe."""

    def __init__(self, podman, *options, **kw):
        self.podman, self.world = podman, podman.world
        self.name = f"c{next(numbers)}"
        self.netns, self.talks = None, []
        super().__init__(podman.command("run", "-i", "--name", self.name, *podman.run_arguments(*options, **kw), IMAGE, "/probe"),
                         self.world.path(self.name + ".stderr"))
        self.world.containers.append(self)
        try:
            self.ask("ids")
        except AssertionError:
            self.destroy()
            raise
        self.id, pid = podman.call("inspect", "--format", "{{.Id}} {{.State.Pid}}", self.name).split()
        self.pid = int(pid)
        self.netns = Netns(self.pid)

    def exec(self, *options):
        """Another probe in it, by podman exec: without our filter, with no variable but one that it is told."""
        options = ["--env", f"https_proxy=http://{PROXY}:{PORT}", *options]
        talk = Talk(self.podman.command("exec", "-i", *options, self.name, "/probe"), self.world.path(self.name + ".exec"))
        self.talks.append(talk)
        return talk

    def status(self, field):
        with open(f"/proc/{self.pid}/status", encoding="latin-1") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(field + ":")), None)

    def remove(self):
        self.podman.call("rm", "--force", "--time=0", self.name)
        self.forget()

    def forget(self):
        for talk in [*self.talks, self]:
            talk.drop()
        if self.netns:
            self.netns.close()
        if self in self.world.containers:
            self.world.containers.remove(self)

    def destroy(self):
        self.podman.try_("rm", "--force", "--time=0", "--ignore", self.name)
        self.forget()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()


class PodmanTest(WorldTest):
    """A world with a podman of the class's own; what stands there before the first container may stand there after."""

    runtime, user = None, False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.podman = Podman(cls.world, cls.runtime, cls.user)
        cls.addClassCleanup(cls.podman.close)
        cls.world.before = cls.world.inventory()

    def tearDown(self):
        for container in list(self.world.containers):
            container.destroy()
        self.podman.close()

    def assertVariables(self, container):
        shown = collections.Counter(v.split("=", 1)[0] for v in container.ask("env")["env"])
        self.assertEqual({name: shown[name] for name in VARIABLES}, dict.fromkeys(VARIABLES, 1))

    def assertEgress(self, talk):
        """What is listed works, the rest is refused with the reason."""
        allowed = talk.ask("fetch allowed.test:443")
        self.assertTrue(allowed["ok"], allowed)
        denied = talk.ask("fetch other.test:443")
        self.assertEqual(denied["status"], 403, denied)
        self.assertIn("does not list this host", denied["head"])

    def assertWalls(self, talk, filtered=True):
        """Whatever goes round the proxy fails at once. UDP that nothing filters may be sent; where to, nobody sees."""
        for attempt in connects(3000 if filtered else 50):
            result = talk.ask(attempt)
            self.assertFalse(result["ok"], f"{attempt}: {result}")
            if filtered or attempt.startswith("connect"):
                self.assertLess(result["ms"], 100, f"{attempt}: {result}")
            if filtered and attempt.startswith("udp"):
                self.assertIn(result["errno"], ("EPERM", "ENOSYS"), attempt)  # ENOSYS: by a profile that it is merged with

    def assertGuarded(self, container):
        self.assertVariables(container)
        self.assertEgress(container)
        self.assertWalls(container)
        self.assertTrue(container.netns.has_link())

    def log_of(self, container, wanted=1):
        return self.world.log_lines(container.id, wanted)


def both_runtimes(name, base, **members):
    """A test case per runtime."""
    return {f"{name}With{runtime.capitalize()}": type(f"{name}With{runtime.capitalize()}", (base, PodmanTest),
                                                      {"runtime": runtime, **members}) for runtime in harness.RUNTIMES}
