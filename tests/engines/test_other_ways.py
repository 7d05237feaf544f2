# SPDX-License-Identifier: Apache-2.0
"""A container whose namespace has an interface besides ours: it is a way out past the proxy, up or down, for who has
NET_ADMIN raises what is down, and opens any gate. Refused, closed, before anything is started for it."""
import contextlib
import os
import subprocess

import harness
from harness import DIRECT, NET_CAPS, Bundle, Netns, WorldTest, each_runtime, sh

GATEWAY, INSIDE = "198.18.77.1", "198.18.77.2"
# Both lead to x0 in the Internet's namespace; neither is up.
WAYS = {
    "veth": ["ip link add x0 type veth peer name net1 netns {pid}"],
    "macvlan": ["ip link add x0 type veth peer name x1", "ip link set x1 up", "ip link add link x1 name net1 netns {pid} type macvlan"],
}
RAISE = ["ip link set net1 up", f"ip addr add {INSIDE}/24 dev net1", f"ip route add default via {GATEWAY}"]


class OtherWays(WorldTest):
    def setUp(self):
        for mode in ("open", "closed"):
            self.world.policy(mode, {**harness.POLICY, "on_failure": mode})
            self.world.policy("socket-" + mode, {**harness.POLICY, "on_failure": mode, "link": "socket"})

    def in_internet(self, command):
        sh(*self.world.internet.enter(*command.split(), mounts=False))

    @contextlib.contextmanager
    def namespace(self, way):
        """One with a way out. Its path."""
        with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdout.readline()
            try:
                for command in [*WAYS[way], f"ip addr add {GATEWAY}/24 dev x0", "ip link set x0 up"]:
                    self.in_internet(command.format(pid=holder.pid))
                netns = Netns(holder.pid)
                self.assertEqual(sorted(netns.links()), ["lo", "net1"])
                netns.close()
                yield f"/proc/{holder.pid}/ns/net"
            finally:
                self.in_internet("ip link del x0")
                holder.stdin.close()

    def assertRefused(self, runtime, path, policy):
        before = self.world.run_files()
        bundle = Bundle(self.world, policy=policy, netns=path, caps=NET_CAPS, args=["/probe", "ids"])
        done = runtime.run(bundle)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn('"euid"', done.stdout)
        said = "\n".join(self.world.host.syslog())
        self.assertRegex(said, f"container {bundle.id} does not start: CAP_NET_ADMIN over a network namespace with net1 .*--network none")
        runtime.call("delete", "--force", bundle.id)
        self.assertEqual(self.world.run_files(), before)
        self.assertEqual(self.world.processes(), {})

    @each_runtime
    def test_interface_that_is_down(self, runtime):
        for way in WAYS:
            with self.subTest(way), self.namespace(way) as path:
                for policy in ("open", "closed", "socket-open", "socket-closed"):
                    self.assertRefused(runtime, path, policy)
                # Without us the container raises it and is out: else this would prove nothing.
                with runtime.start(Bundle(self.world, policy=None, netns=path, caps=NET_CAPS)) as container:
                    for command in RAISE:
                        self.assertTrue(container.ask("sh " + command)["ok"], command)
                    self.assertTrue(container.ask(f"connect {DIRECT} 443 3000")["ok"])

    @each_runtime
    def test_no_command_is_run_for_it(self, runtime):
        """An external proxy's command is not even started."""
        mark = self.world.path("ran")
        for mode in ("open", "closed"):
            self.world.policy("external", {"proxy": {"command": ["/bin/touch", mark], "user": "root"}, "on_failure": mode})
            bundle = Bundle(self.world, policy="external", args=["/probe", "ids"])
            runtime.run(bundle)
            self.assertTrue(os.path.exists(mark), "the command would leave its mark")
            os.unlink(mark)
            runtime.call("delete", "--force", bundle.id)
            self.world.status()
            self.assertClean()
            with self.namespace("veth") as path:
                self.assertRefused(runtime, path, "external")
            self.assertFalse(os.path.exists(mark))


if __name__ == "__main__":
    harness.main()
