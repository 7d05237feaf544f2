# SPDX-License-Identifier: Apache-2.0
"""podman of a user who is not root, with runc and with crun, by hooks.d alone: the same walls, made by the user."""
import json
import os
import shutil
import signal

import harness
from harness import POLICY, PROGRAM
from podman import SUBIDS, USER, PodmanTest, both_runtimes


class Rootless:
    def setUp(self):
        self.podman.user_policy("veth", {**POLICY, "link": "veth"})
        self.world.log = os.path.join(self.podman.home, ".local/state/oci-egress/log")
        self.world.run = os.path.join(self.podman.runtime_dir, "oci-egress")

    def status_of(self):
        done = self.world.on_host(*self.podman.as_user(PROGRAM, "status", "--json"))
        self.assertEqual(done.returncode, 0, done.stderr)
        return {row["container"]: row for row in map(json.loads, done.stdout.splitlines())}

    def proc(self, pid):
        with open(f"/proc/{pid}/status", encoding="latin-1") as file:
            rows = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        return {key: value.split()[0] for key, value in rows.items() if value.strip()}

    def assertIsNobody(self, worker):
        last = str(SUBIDS + 65535)
        expected = {"Uid": last, "Gid": last, "CapEff": "0" * 16, "CapPrm": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
        shown = self.proc(worker)
        self.assertEqual({key: shown[key] for key in expected}, expected)
        self.assertEqual(os.listdir(f"/proc/{worker}/root"), [])

    def test_run_and_exec(self):
        for option in ("--userns=host", "--userns=keep-id", "--userns=auto"):
            with self.subTest(option), self.podman.start("--cap-add", "NET_RAW", option) as container:
                self.assertGuarded(container)
                other = container.exec()
                self.assertWalls(other, filtered=False)
                self.assertTrue(other.ask("fetch allowed.test:443")["ok"])
                self.assertEqual(len(self.log_of(container, 3)), 3)
                self.assertEqual(self.status_of()[container.id]["state"], "guarded")
                self.assertEqual(container.end(), 0)
            self.assertClean()
        self.assertNothingSeen()

    def test_who_serves(self):
        """Keeper and worker are the user's; the worker has nothing: no capability, no root, one of the subordinate ids."""
        with self.podman.start() as container:
            status = self.status_of()[container.id]
            self.assertIsNobody(status["worker_pid"])
            keeper = self.proc(status["worker_pid"])["PPid"]
            self.assertEqual(self.proc(keeper)["Uid"], str(USER))
            os.kill(status["worker_pid"], signal.SIGKILL)
            self.assertEgress(container)
            again = self.status_of()[container.id]["worker_pid"]
            self.assertNotEqual(again, status["worker_pid"])
            self.assertIsNobody(again)
            os.kill(int(keeper), signal.SIGKILL)
            self.assertTrue(container.netns.wait_link("oe0", there=False))
            self.assertWalls(container)
            self.assertWalls(container.exec(), filtered=False)
        self.status_of()  # sweeps what a killed keeper has left
        self.assertNothingSeen()
        self.assertClean()

    def test_every_end(self):
        ends = {"stop": lambda c: self.podman.call("stop", "--time=0", c.name),
                "rm": lambda c: self.podman.call("rm", "--force", "--time=0", c.name),
                "init killed": lambda c: os.kill(c.pid, signal.SIGKILL)}
        for name, end in ends.items():
            with self.subTest(end=name), self.podman.start() as container:
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                end(container)
                container.netns.close()
                self.assertClean()
        self.assertIn(self.podman.run(args=("/nowhere",)).returncode, (126, 127))
        self.assertClean()

    def test_shared(self):
        with self.podman.start() as first, self.podman.start(network="container:" + first.id) as second:
            self.assertGuarded(second)
            os.kill(first.pid, signal.SIGKILL)
            harness.wait_ended([first.pid])
            self.assertEgress(second)
        self.assertClean()

    def test_whose_policy(self):
        """The user's own, the administrator's, and what has a name of both."""
        self.podman.write_etc("oci-egress/policies/admins.json", json.dumps({**POLICY, "link": "veth"}))
        with self.podman.start(policy="admins") as container:
            self.assertEgress(container)
        own = self.podman.user_policy("admins", {**POLICY, "link": "veth", "allow": ["allowed.test", "other.test"]})
        done = self.podman.run(policy="admins")
        self.assertNotEqual(done.returncode, 0)
        complaint = self.world.host.syslog()[-1]
        self.assertIn(own, complaint)
        self.assertIn("/etc/oci-egress/policies/admins.json", complaint)
        os.chmod(self.podman.user_policy("anybodys", POLICY), 0o666)
        for policy, reason in (("anybodys", "mode 0666"), ("nobody", "No such file")):
            self.assertNotEqual(self.podman.run(policy=policy).returncode, 0)
            self.assertIn(reason, self.world.host.syslog()[-1])
        self.assertClean()

    def test_external_proxy(self):
        conf = self.world.write("tinyproxy.conf", "Port 8899\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 10\n")
        command = [shutil.which("tinyproxy") or self.skipTest("no tinyproxy"), "-d", "-c", conf]
        self.podman.user_policy("external", {"proxy": {"command": command, "port": 8899}, "on_failure": "closed"})
        with self.podman.start(policy="external") as container:
            self.assertVariables(container)
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
            self.assertWalls(container)
        self.assertEqual(self.world.seen()[0], [], "seen on the Internet; on the host it is the proxy's loopback")
        self.assertClean()

    def test_without_a_policy(self):
        done = self.podman.run(policy=None, args=("sh", "-c", "ip link; env"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("oe0", done.stdout)
        self.assertClean()


class Slirp(PodmanTest):
    """A user's podman with the network that it has by default: tap0 and a default route, behind the gate."""

    runtime, user = "runc", True

    def test_closed(self):
        self.podman.user_policy("veth", {**POLICY, "link": "veth"})
        for option in ("--userns=host", "--userns=keep-id"):  # tap0 is there before the hooks, and after them
            with self.subTest(option), self.podman.start("--cap-add", "NET_RAW", option, network="slirp4netns") as container:
                self.assertIn("tap0", container.netns.links())
                self.assertGuarded(container)
                other = container.exec()
                self.assertWalls(other, filtered=False)
                self.assertTrue(other.ask("fetch allowed.test:443")["ok"])
        self.assertNothingSeen()


globals().update(both_runtimes("Rootless", Rootless, user=True))
del Rootless, PodmanTest

if __name__ == "__main__":
    harness.main()
