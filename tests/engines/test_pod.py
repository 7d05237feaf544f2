# SPDX-License-Identifier: Apache-2.0
"""A pod as CRI-O makes it, its calls replayed with real conmon, runc and crun: a pinned namespace with eth0 and a default
route, init containers one after the other, then others at once, and somebody in the namespace who never stops trying to
get out while they come and go."""
import concurrent.futures
import contextlib
import os
import signal
import subprocess

import harness
from crio import Crio, Pinned
from harness import DIRECT, POLICY, Gone
from pod import GATEWAY, NEIGHBOUR, TARGET6, PodTest
from test_environment import VARIABLES

# Datagrams and connections to each address, over and over, until it is told to end; how many they were.
RESTLESS = """
import select, socket, sys
tries = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    for address in sys.argv[1:]:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
                s.setblocking(False)
                try:
                    s.connect((address, 4444))
                    s.send(b"out")
                except OSError:
                    pass
                tries += 1
print(tries)
"""
ATTEMPTS = [f"connect {DIRECT} 443 3000", f"connect {GATEWAY} 22 3000", f"connect {TARGET6} 443 3000", f"udp {DIRECT} 4444 100"]


class Pods:
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.crio = Crio(cls.world, cls.runtime)
        cls.world.policy("wider", {**POLICY, "allow": ["allowed.test", "other.test"]})
        cls.without_pod = cls.world.inventory()

    def setUp(self):
        self.pod = Pinned(self.world)
        self.addCleanup(self.assertUnpinned)
        self.world.before = self.world.inventory()
        self.watch()

    def tearDown(self):
        for container in list(self.world.containers):
            container.destroy()

    def assertUnpinned(self):
        """Nobody holds the pod's namespace but its pin, and when that is gone nothing at all is left."""
        self.assertClean()
        self.assertTrue(self.pod.close(), "the pod's namespace is still there")
        self.world.before = self.without_pod
        self.assertClean()

    def assertGuarded(self, container):
        env = [v.split("=", 1)[0] for v in container.ask("env")["env"]]
        self.assertEqual({name: env.count(name) for name in VARIABLES}, dict.fromkeys(VARIABLES, 1))
        self.assertWorks(container)
        self.assertShut(container, ATTEMPTS, container.bundle.id)

    def assertWorks(self, container):
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(container.ask("fetch other.test:443")["status"], 403)

    def assertTold(self, complaint):
        """By the hook; conmon has its own to say after that."""
        lines = [line for line in self.world.host.syslog() if " oci-egress[" in line]
        self.assertIn(complaint, lines[-1])

    @contextlib.contextmanager
    def restless(self):
        """Somebody of the pod's whom no filter holds, and of whom nothing may be seen outside."""
        keep = "-all,+net_raw"
        process = subprocess.Popen(["nsenter", f"--net={self.pod.path}", "setpriv", f"--bounding-set={keep}", f"--inh-caps={keep}",
                                    "python3", "-c", RESTLESS, DIRECT, NEIGHBOUR, TARGET6], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        self.world.seen()
        try:
            yield
        finally:
            tries = process.communicate("\n", timeout=30)[0]
        self.assertGreater(int(tries), 500)
        self.assertNothingLeaves("while containers came and went")

    def together(self, *calls):
        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]

    def keepers(self):
        return [text for text in self.world.processes().values() if " keeper " in text and "oci-egress-keeper" in text]

    def test_a_pod_s_life(self):
        """Both orders in which one init container ends and the next one comes, then two others that start at once."""
        start = lambda name, **kw: self.crio.start(self.pod, name, **kw)
        first = start("init-1", stdin_once=True)
        with self.restless():
            self.assertGuarded(first)
            self.assertEqual(first.finish(), "0")
            first.delete()
            second = start("init-2", stdin_once=True)
            self.assertGuarded(second)
            self.assertEqual(second.finish(), "0")
            one, other = self.together(lambda: start("app"), lambda: start("sidecar"))
            second.delete()  # after those that follow have come: theirs is not taken away with it
            for container in (one, other):
                self.assertGuarded(container)
                exec_ = container.exec()
                self.assertShut(exec_, ATTEMPTS, "kubectl exec")
                self.assertEqual(container.exec_sync("/bin/sh", "-c", "echo alive"), (0, ["alive"]))
                self.assertEqual(container.exec_sync("/bin/nc", "-w", "3", DIRECT, "443")[0], 1)
            self.assertEqual(len(self.keepers()), 1)
            self.assertEqual(sorted(self.pod.netns.links()), ["eth0", "lo", "oe0"])
            rows = self.world.status()
            for container, name in ((one, "app"), (other, "sidecar")):
                row = rows[container.id]
                self.assertEqual((row["namespace"], row["pod"], row["name"], row["state"]), ("shop", "web-0", name, "guarded"))
            one.kill()
            again = start("app")
            one.delete()
            self.assertGuarded(again)
            self.assertWorks(other)
            self.together(again.delete, other.delete)

    def test_conmon_and_keeper_are_killed(self):
        container = self.crio.start(self.pod, args=("/bin/sleep", "1000"))  # it has no need of conmon's end of its stdin
        with self.restless():
            with open(os.path.join(container.bundle.dir, "conmon-pidfile"), encoding="ascii") as file:
                conmon = int(file.read())
            os.kill(conmon, signal.SIGKILL)
            self.assertEqual(harness.wait_ended([conmon]), [])
            exec_ = container.exec()
            self.assertShut(exec_, ATTEMPTS, "without conmon")
            keeper = int(self.keepers()[0].split()[0])
            os.kill(keeper, signal.SIGKILL)
            self.assertTrue(self.pod.netns.wait_link("oe0", there=False))
            self.assertShut(exec_, ATTEMPTS, "without keeper")
            # The next of the pod's containers brings a keeper again, for itself.
            following = self.crio.start(self.pod, "sidecar")
            self.assertGuarded(following)
            os.kill(container.pid, signal.SIGKILL)
            following.delete()
            container.delete()

    def test_another_policy(self):
        """One pod, one policy: refused, and both are named, where CRI-O shows it as well as it can."""
        first = self.crio.start(self.pod, "app")
        with self.assertRaises(Gone) as refusal:
            self.crio.start(self.pod, "sidecar", policy="wider")
        complaint = "another policy, pod, than this one, wider"
        self.assertTold(complaint)
        if self.runtime == "runc":  # crun gives its hooks no stderr
            self.assertIn(complaint, str(refusal.exception))
        self.assertWorks(first)
        first.delete()

    def test_two_policies_at_once(self):
        """Whichever is first; the other is refused."""
        def start(policy):
            try:
                return self.crio.start(self.pod, "app-" + policy, policy=policy)
            except Gone:
                return None
        for _ in range(3):
            started = [c for c in self.together(lambda: start("pod"), lambda: start("wider")) if c]
            self.assertEqual(len(started), 1)
            mine = started[0].bundle.config["annotations"]["oci-egress.policy"]
            other = {"pod": "wider", "wider": "pod"}[mine]
            self.assertTold(f"another policy, {mine}, than this one, {other}")
            self.assertEqual(started[0].ask("fetch other.test:443")["status"], 200 if mine == "wider" else 403)
            started[0].delete()
            self.assertClean()

    def test_a_start_that_fails(self):
        with self.restless_after_a_guard():
            for args in (("/nowhere",), ("/etc/passwd",)):
                with self.assertRaises(Gone):
                    self.crio.start(self.pod, "app", args=args)
                self.assertClean()

    @contextlib.contextmanager
    def restless_after_a_guard(self):
        """The gate stands from a pod's first container on: before that nobody has asked for it."""
        first = self.crio.start(self.pod, "init-1", stdin_once=True)
        first.finish()
        first.delete()
        with self.restless():
            yield

    def test_host_network(self):
        with self.assertRaises(Gone):
            self.crio.start(None)
        self.assertTold("the container would use the host's")


for name in harness.RUNTIMES:
    globals()[f"PodsWith{name.capitalize()}"] = type(f"PodsWith{name.capitalize()}", (Pods, PodTest), {"runtime": name})
del PodTest

if __name__ == "__main__":
    harness.main()
