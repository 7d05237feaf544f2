# SPDX-License-Identifier: Apache-2.0
"""Real docker and containerd with oci-egress-runtime as their runtime: what runs and what is exec'd is covered, and what
has no policy is left alone."""
import os
import shutil
import subprocess
import unittest

import harness
from test_wrapper import SECRET, Covered
from wrapped import wrapper

IMAGE = "probe"


class Daemon:
    """dockerd, and the containerd that it brings, on the host of a world. Its runtimes: one as it is installed, and one
    that fixes the policy."""

    def __init__(self, world, runtime="runc"):
        for program in ("dockerd", "docker", "containerd", "ctr", "runc"):
            if not shutil.which(program):
                raise unittest.SkipTest(f"no {program}")
        self.world = world
        self.directory, self.exec_root = world.path("docker"), os.path.join(world.volatile, "docker")
        os.mkdir(self.directory)
        self.sock = os.path.join(self.directory, "docker.sock")
        self.runtime, self.wrapper = runtime, wrapper(world, runtime)
        self.process = self.start()
        archive = world.path("image.tar")
        harness.sh("tar", "-C", world.rootfs, "-cf", archive, ".")
        self.docker("import", archive, IMAGE)
        # What docker and containerd keep after their first container is theirs, not ours.
        for network in ("none", "host"):
            self.docker("run", "--rm", "--network", network, IMAGE, "/bin/true")
        world.before = world.inventory()

    def start(self):
        fixed, nowhere = (wrapper(self.world, self.runtime, "--policy", policy) for policy in ("veth", "nowhere"))
        with open(os.path.join(self.directory, "log"), "ab") as log:
            process = subprocess.Popen(self.world.host.enter(
                "dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "-s", "vfs", "--data-root",
                self.directory + "/data", "--exec-root", self.exec_root, "-H", "unix://" + self.sock, "--pidfile",
                self.directory + "/pid", "--add-runtime", "oci-egress=" + self.wrapper, "--add-runtime", "fixed=" + fixed,
                "--add-runtime", "nowhere=" + nowhere),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with harness.Watch(self.directory) as watch:
            if not harness.wait_for(lambda: os.path.exists(self.sock), [watch], 60):
                process.kill()
                raise AssertionError("dockerd does not come up: " + self.log())
        return process

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def command(self, *argv):
        return self.world.host.enter("docker", "-H", "unix://" + self.sock, *argv)

    def docker(self, *argv):
        done = subprocess.run(self.command(*argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"docker {argv}: {done.stderr}")
        return done.stdout.strip()

    def ctr(self, *argv):
        return self.world.host.enter("ctr", "--address", self.exec_root + "/containerd/containerd.sock", *argv)

    def close(self):
        self.process.terminate()
        self.process.wait(60)


class Docker(Covered):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = Daemon(cls.world)
        cls.addClassCleanup(cls.daemon.close)

    def talk(self, *argv):
        talk = harness.Talk(argv, self.world.path("talk-stderr"))
        self.addCleanup(talk.drop)
        return talk

    def run_container(self, *options, runtime="oci-egress"):
        """A container whose program is the probe. Its id, and the talk with it."""
        name = f"c{next(harness.number)}"
        argv = self.daemon.command("run", "--rm", "-i", "--network", "none", "--name", name, "--runtime", runtime, *options,
                                   IMAGE, "/probe")
        return name, self.talk(*argv)

    def end(self, name):
        self.daemon.docker("rm", "--force", name)
        self.assertClean()

    def test_a_policy_that_is_fixed(self):
        name, talk = self.run_container("-e", f"https_proxy={SECRET}", "-e", "MINE=kept", runtime="fixed")
        self.assertEqual(self.assertCovered(talk)["MINE"], "kept")
        exec_talk = self.talk(*self.daemon.command("exec", "-i", "-e", f"https_proxy={SECRET}", name, "/probe"))
        self.assertCovered(exec_talk)
        self.assertEqual(self.daemon.docker("exec", name, "/bin/sh", "-c", "echo $no_proxy").split(",")[0], "localhost")
        self.end(name)
        self.assertNothingSeen()

    def test_unconfined(self):
        """Without docker's own profile there is still ours."""
        name, talk = self.run_container("--security-opt", "seccomp=unconfined", runtime="fixed")
        self.assertCovered(talk)
        self.assertCovered(self.talk(*self.daemon.command("exec", "-i", name, "/probe")))
        self.end(name)

    def test_stop_and_start(self):
        name, talk = self.run_container("--rm=false", runtime="fixed")
        self.assertCovered(talk)
        self.daemon.docker("kill", name)
        self.assertClean()
        self.assertCovered(self.talk(*self.daemon.command("start", "-ai", name)))
        self.end(name)

    def test_no_policy(self):
        name, talk = self.run_container("-e", f"https_proxy={SECRET}")
        self.assertIn("hunter2", str(talk.ask("env")))
        self.assertEqual(self.world.status(), {})
        self.end(name)

    def test_a_failure_is_said(self):
        """In docker's own words: the message comes through the runtime's log."""
        for network, runtime, message in (("none", "nowhere", "policy nowhere"), ("host", "fixed", "host's own network namespace")):
            done = subprocess.run(self.daemon.command("run", "--rm", "--network", network, "--runtime", runtime, IMAGE, "/probe"),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(message, done.stderr)
        self.assertClean()

    def test_containerd(self):
        name = f"c{next(harness.number)}"
        talk = self.talk(*self.daemon.ctr("run", "--rm", "--runc-binary", self.daemon.wrapper, "--annotation",
                                          "oci-egress.policy=socket", "--env", f"https_proxy={SECRET}", "--rootfs",
                                          self.world.rootfs, name, "/probe"))
        self.assertCovered(talk, "http://127.0.0.1:3128")
        self.assertCovered(self.talk(*self.daemon.ctr("task", "exec", "--exec-id", "second", name, "/probe")),
                           "http://127.0.0.1:3128")
        subprocess.run(self.daemon.ctr("task", "kill", "--signal", "SIGKILL", name), check=True, capture_output=True)
        self.assertClean()


if __name__ == "__main__":
    harness.main()
