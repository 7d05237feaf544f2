# SPDX-License-Identifier: Apache-2.0
"""podman as root, with runc and with crun, unmodified, by hooks.d alone: what each container gets, that exec does not get
out either, and that nothing is left however a container ends."""
import concurrent.futures
import json
import os
import random
import signal
import subprocess

import harness
from harness import PORT, PROXY, Gone, Talk
from caller import CallerTest, Init, Places
from podman import IMAGE, SUBIDS, PodmanTest, both_runtimes

EXEC = ("--env", f"https_proxy=http://{PROXY}:{PORT}")
MANY = int(os.environ.get("OCI_EGRESS_MANY", "16"))
SLEEP = ("sh", "-c", "sleep 1000")


class Podman:
    def test_run_and_exec(self):
        with self.podman.start("--cap-add", "NET_RAW") as container:
            self.assertGuarded(container)
            self.assertEqual(self.podman.call("inspect", "--format", "{{.State.Status}}", container.name).strip(), "running")
            other = container.exec()
            self.assertWalls(other, filtered=False)
            self.assertTrue(other.ask("fetch allowed.test:443")["ok"])
            verdicts = [line["verdict"] for line in self.log_of(container, 3)]
            self.assertEqual(sorted(verdicts), ["allowed", "allowed", "denied"])
            self.assertEqual(container.end(), 0)
        self.assertNothingSeen()
        self.assertClean()

    def test_every_end(self):
        ends = {"stop": lambda c: self.podman.call("stop", "--time=0", c.name),
                "kill": lambda c: self.podman.call("kill", c.name),
                "rm": lambda c: self.podman.call("rm", "--force", "--time=0", c.name),
                "init killed": lambda c: os.kill(c.pid, signal.SIGKILL),
                "its own": lambda c: c.process.stdin.close()}
        for name, end in ends.items():
            with self.subTest(end=name), self.podman.start() as container:
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                end(container)
                container.netns.close()
                self.assertClean()

    def test_failed_start(self):
        for args in (("/nowhere",), ("/etc/passwd",)):
            self.assertIn(self.podman.run(args=args).returncode, (126, 127))
            self.assertClean()
        done = self.podman.run(policy="nobody")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nobody", self.world.host.syslog()[-1])
        self.assertNotIn('"uid"', done.stdout)
        self.assertClean()

    def test_restart(self):
        """The same container, another init: it is guarded anew."""
        self.podman.call("run", "-d", "--name", "again", *self.podman.run_arguments(), IMAGE, *SLEEP)
        for _ in range(2):
            talk = Talk(self.podman.command("exec", "-i", *EXEC, "again", "/probe"), self.world.path("again.stderr"))
            self.addCleanup(talk.drop)
            self.assertEgress(talk)
            talk.end()
            self.podman.call("restart", "--time=0", "again")
        self.podman.call("rm", "--force", "--time=0", "again")
        self.assertClean()

    def test_pod(self):
        """The infra container owns the namespace, and is none of our business; the others share link and keeper."""
        self.world.policy("wider", {**harness.POLICY, "allow": ["allowed.test", "other.test"]})
        self.podman.call("pod", "create", "--name", "p", "--infra-image", IMAGE, "--infra-command", "/bin/sleep 1000",
                         "--network", "none")
        first = self.podman.start("--pod", "p", network=None)
        second = self.podman.start("--pod", "p", network=None)
        for container in (first, second):
            self.assertGuarded(container)
        self.assertEqual(first.netns.links(), ["lo", "oe0"])
        with self.assertRaises(Gone):
            self.podman.start("--pod", "p", network=None, policy="wider")
        self.assertIn("policy", self.world.host.syslog()[-1])
        first.remove()
        self.assertEgress(second)
        third = self.podman.start("--pod", "p", network=None)
        second.remove()
        self.assertGuarded(third)
        self.podman.call("pod", "rm", "--force", "--time=0", "p")
        third.forget()
        self.assertNothingSeen()
        self.assertClean()

    def test_shared_namespaces(self):
        with self.podman.start() as first:
            with self.podman.start(network="container:" + first.id) as second:
                self.assertGuarded(second)
            self.assertEgress(first)
            with self.podman.start(network=f"ns:/proc/{first.pid}/ns/net") as third:
                self.assertGuarded(third)
                first.remove()
                self.assertEgress(third)
        self.assertClean()

    def test_user_namespaces(self):
        for option in ("--userns=auto", f"--uidmap=0:{SUBIDS + 100000}:65536"):
            with self.subTest(option), self.podman.start(option) as container:
                self.assertGuarded(container)
                self.assertWalls(container.exec(), filtered=False)
                self.assertEqual(container.end(), 0)
            self.assertClean()

    def test_refused(self):
        """The host's own network."""
        done = self.podman.run(network="host")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("network namespace", self.world.host.syslog()[-1])
        self.assertNotIn('"uid"', done.stdout)
        self.assertClean()

    def test_many_and_whatever_dies(self):
        """Inits, keepers, workers, conmons and podman itself are killed at random: who runs is guarded, and in the end all is gone."""
        chance = random.Random(1)
        fates = [(f"m{i}", chance.choice(("lives", "init", "keeper", "worker", "conmon", "podman", "removed")), chance.random())
                 for i in range(MANY)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda fate: self.live_and_die(*fate), fates))
        alive = json.loads(self.podman.call("ps", "--format", "json") or "[]")
        if not any(fate == "lives" for _, fate, _ in fates):
            self.fail("nobody was to live")
        self.assertGreaterEqual(len(alive), sum(fate == "lives" for _, fate, _ in fates))
        for row in alive:
            with open(f"/proc/{row['Pid']}/status", encoding="latin-1") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
            self.assertEqual((status["Seccomp"], status["TracerPid"]), ("2", "0"), row["Names"])
            netns = harness.Netns(row["Pid"])
            self.addCleanup(netns.close)
            self.assertLessEqual(set(netns.links()), {"lo", "oe0"}, row["Names"])
            netns.close()
        self.podman.close()
        self.bury_orphans()
        self.world.status()
        self.assertNothingSeen()
        self.assertClean(30)

    def bury_orphans(self):
        """Containers that podman has made and does not know: it was killed before it had written them down. Their conmons
        end with them."""
        for words in map(str.split, self.world.processes().values()):
            if words[1] == "conmon:" and "-c" in words:
                self.world.on_host(self.runtime, "delete", "--force", words[words.index("-c") + 1])

    def live_and_die(self, name, fate, chance):
        run = subprocess.Popen(self.podman.command("run", "-d", "--name", name, *self.podman.run_arguments(
            "--security-opt", "seccomp=unconfined"), IMAGE, *SLEEP), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        try:
            run.wait(chance * 1.5 if fate == "podman" else 120)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            return
        if fate == "removed":
            self.podman.try_("rm", "--force", "--time=0", name)
        elif fate in ("init", "conmon"):
            field = "Pid" if fate == "init" else "ConmonPid"
            harness.kill(int(self.podman.call("inspect", "--format", "{{.State.%s}}" % field, name)))
        elif fate in ("keeper", "worker"):
            container = self.podman.call("inspect", "--format", "{{.Id}}", name).strip()
            worker = self.world.status()[container]["worker_pid"]
            harness.kill(worker if fate == "worker" else harness.parent(worker))

    def test_what_has_no_policy(self):
        """The hook is called for every container ("always"), and for an image's build; it leaves them as they are."""
        done = self.podman.run(policy=None, args=("sh", "-c", "ip link; env"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("oe0", done.stdout)
        self.assertNotIn("198.18.0.2", done.stdout)
        context = self.world.path("context")
        os.makedirs(context, exist_ok=True)
        self.world.write("context/Containerfile", f"FROM {IMAGE}\nRUN [\"/bin/busybox\", \"touch\", \"/built\"]\n")
        # Where CAP_SYS_RESOURCE is missing, crun cannot give a build's steps the limits that buildah asks for.
        how = ["--isolation=oci", "--network=none"] if self.runtime == "runc" else ["--isolation=chroot"]
        self.podman.call("build", *how, "-t", "localhost/built", context)
        self.podman.call("run", "--rm", *self.podman.run_arguments(policy=None), "localhost/built", "cat", "/built")
        self.assertClean()


class BundleOfCrun(CallerTest):
    """crun gives "/" for a container whose user namespace it has entered: the bundle is where it was told."""

    def test_it_is_found(self):
        for told in (("--bundle", self.bundle), ("--bundle=" + self.bundle,), ()):
            with self.subTest(told=told), Init() as init:
                command = f'shift {len(told)}; "$@"; exit $?'
                done = subprocess.run(self.world.host.enter("sh", "-c", command, "crun", *told, harness.PROGRAM,
                                                            *Places(self.world).arguments("createRuntime")),
                                      input=json.dumps(self.state(init, bundle="/")), capture_output=True, text=True)
                self.assertEqual(done.returncode, 0 if told else 1, done.stderr)
                self.assertEqual(init.guarded(), bool(told))
                if told:
                    self.assertLives(init)
                else:
                    self.assertIn("/config.json", done.stderr)


class Precreate:
    """A private directory with a hook that edits config.json, which podman hands to the runtime then."""

    def setUp(self):
        for stage in ("createRuntime", "poststop"):
            os.unlink(os.path.join(self.podman.hooks, f"oci-egress-{stage}.json"))
        self.podman.hook(self.podman.places, ["precreate"])
        self.addCleanup(self.podman.hook, self.podman.places)
        self.addCleanup(os.unlink, os.path.join(self.podman.hooks, "oci-egress-precreate.json"))

    def test_run_and_exec(self):
        for options in ((), ("--security-opt", "seccomp=unconfined")):
            with self.subTest(options=options), self.podman.start(*options, "--cap-add", "NET_RAW") as container:
                self.assertGuarded(container)
                shown = json.loads(self.podman.call("inspect", "--format", "{{json .Config.Env}}", container.name))
                self.assertIn("https_proxy=http://198.18.0.2:3128", shown)
                other = container.exec()
                self.assertWalls(other)  # the filter is config.json's, and so holds here too
                self.assertTrue(other.ask("fetch allowed.test:443")["ok"])
                self.assertEqual(container.end(), 0)
            self.assertClean()
        self.assertNothingSeen()

    def test_refused_and_left_alone(self):
        self.assertNotEqual(self.podman.run(policy="nobody").returncode, 0)
        self.assertIn("nobody", self.world.host.syslog()[-1])
        done = self.podman.run(policy=None, args=("sh", "-c", "ip link; env"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("oe0", done.stdout)
        self.assertClean()


class Bridge(PodmanTest):
    """podman's own network: the container has an eth0 and a default route, behind the gate."""

    runtime = "runc"

    def test_closed(self):
        for option in ("--userns=host", "--userns=auto"):  # eth0 is there before the hooks, and after them
            with self.subTest(option), self.podman.start("--cap-add", "NET_RAW", option, network="bridge") as container:
                self.assertIn("eth0", container.netns.links())
                self.assertGuarded(container)
                other = container.exec()
                self.assertWalls(other, filtered=False)
                self.assertTrue(other.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(self.world.seen()[0], [], "seen on the Internet")


globals().update(both_runtimes("Podman", Podman))
globals().update(both_runtimes("Precreate", Precreate))
del Podman, Precreate, PodmanTest

if __name__ == "__main__":
    harness.main()
