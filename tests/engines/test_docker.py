# SPDX-License-Identifier: Apache-2.0
"""Real docker and containerd with oci-egress-runtime as their runtime: what runs and what is exec'd is covered, what has
no policy is left alone, and nothing is left whatever dies."""
import concurrent.futures
import os
import random
import shutil
import signal
import subprocess
import unittest

import harness
from test_wrapper import SECRET, Covered
from wrapped import wrapper

IMAGE = "probe"
MANY = int(os.environ.get("OCI_EGRESS_MANY", "8"))


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
                self.directory + "/pid", "--live-restore", "--add-runtime", "oci-egress=" + self.wrapper, "--add-runtime", "fixed=" + fixed,
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

    def docker(self, *argv, timeout=120):
        done = subprocess.run(self.command(*argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise AssertionError(f"docker {argv}: {done.stderr}")
        return done.stdout.strip()

    def ctr(self, *argv):
        return self.world.host.enter("ctr", "--address", self.exec_root + "/containerd/containerd.sock", *argv)

    def restart(self, signum):
        """Ended by a signal, and started again. Containers run on (--live-restore); what is there anew is docker's own."""
        before = self.world.inventory()
        self.process.send_signal(signum)
        self.process.wait(60)
        containerd = [pid for pid, text in self.world.processes().items() if text.split()[2:3] == ["containerd"]]
        if harness.wait_ended(containerd, 30):
            raise AssertionError("containerd does not end with dockerd")
        # What it leaves when it is killed. A containerd that nobody has reaped yet would be taken for one that runs.
        for path in (self.sock, self.directory + "/pid", self.exec_root + "/containerd/containerd.pid"):
            if os.path.exists(path):
                os.unlink(path)
        self.process = self.start()
        self.docker("ps")
        self.world.before |= {item for item in self.world.inventory() - before
                              if item.startswith("unix: ") or item.split()[3:4] in (["dockerd"], ["containerd"])}

    def remove_all(self):
        names = self.docker("ps", "--all", "--quiet").split()
        if names:
            self.docker("rm", "--force", *names, timeout=600)

    def close(self):
        self.remove_all()
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

    # -- many

    def test_many_and_whatever_dies(self):
        """Inits, shims, keepers, workers and clients are killed at random, and dockerd twice: who runs is guarded, before
        and after, and in the end all is gone."""
        chance = random.Random(2)
        fates = [(f"m{i}", chance.choice(("lives", "init", "shim", "keeper", "worker", "client", "removed")), chance.random())
                 for i in range(MANY)]
        for part, signum in ((fates[:MANY // 2], signal.SIGTERM), (fates[MANY // 2:], signal.SIGKILL)):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda fate: self.live_and_die(*fate), part))
            wanted = sum(fate == "lives" for _, fate, _ in part)
            self.assertAllGuarded(wanted)
            self.daemon.restart(signum)
            self.assertAllGuarded(wanted)
        self.daemon.remove_all()
        self.world.status()
        self.assertNothingSeen()
        self.assertClean(30)

    def live_and_die(self, name, fate, chance):
        run = subprocess.Popen(self.daemon.command("run", "-d", "--network", "none", "--name", name, "--runtime", "fixed", IMAGE,
                                                   "/bin/sleep", "1000"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        try:
            run.wait(chance * 1.5 if fate == "client" else 120)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            return
        if fate == "removed":
            self.daemon.docker("rm", "--force", name)
        elif fate != "lives":
            harness.kill(self.victim(name, fate))

    def victim(self, name, fate):
        container, init = self.daemon.docker("inspect", "--format", "{{.Id}} {{.State.Pid}}", name).split()
        if fate == "init":
            return int(init)
        if fate == "shim":
            return harness.parent(int(init))
        worker = self.world.status()[container]["worker_pid"]
        return worker if fate == "worker" else harness.parent(worker)

    def assertAllGuarded(self, at_least):
        """But for those that docker has not yet seen to be dead."""
        rows, guarded = self.world.status(), 0
        for name in self.daemon.docker("ps", "--quiet").split():
            container, pid = self.daemon.docker("inspect", "--format", "{{.Id}} {{.State.Pid}}", name).split()
            try:
                netns = harness.Netns(int(pid))
                with open(f"/proc/{pid}/status", encoding="latin-1") as file:
                    status = dict(row.rstrip("\n").split(":\t", 1) for row in file)
            except (FileNotFoundError, ProcessLookupError):
                continue
            links = set(netns.links())
            netns.close()
            if status["State"][0] == "Z":
                continue
            self.assertEqual((status["Seccomp"], status["TracerPid"]), ("2", "0"), container)
            self.assertLessEqual(links, {"lo", "oe0"}, container)
            self.assertIn(rows[container]["state"], ("guarded", "closed"))
            guarded += 1
        self.assertGreaterEqual(guarded, at_least)


if __name__ == "__main__":
    harness.main()
