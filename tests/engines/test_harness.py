# SPDX-License-Identifier: Apache-2.0
"""The control experiment: a container that does have a way out is seen, by every eye that the other tests rely on."""
import os
import socket
import struct
import unittest

import harness
from harness import ALLOWED, DIRECT, HOST, OTHER, Bundle, Netns, WorldTest, each_runtime, sh


class Eyes(WorldTest):
    @classmethod
    def needs_product(cls):
        return False

    def open_link(self, container):
        """The link of an engine that guards nothing: into the host's own stack, which forwards."""
        ip = self.world.host.enter("ip", mounts=False)
        sh(*ip, "link", "add", "leak0", "type", "veth", "peer", "name", "oe0", "netns", str(container.pid))
        sh(*ip, "addr", "add", "198.18.0.2/31", "dev", "leak0")
        sh(*ip, "link", "set", "leak0", "up")
        self.world.sysctl("net.ipv4.ip_forward", 1)
        for interface in ("all", "leak0"):
            self.world.sysctl(f"net.ipv4.conf.{interface}.rp_filter", 0)  # so that spoofed sources pass
        for command in ("addr add 198.18.0.3/31 dev oe0", "link set oe0 up", "route add default via 198.18.0.2"):
            self.assertTrue(container.ask(f"sh ip {command}")["ok"], command)

    def close_link(self):
        sh(*self.world.host.enter("ip", "link", "del", "leak0", mounts=False))
        self.world.sysctl("net.ipv4.ip_forward", 0)

    @each_runtime
    def test_a_leak_is_seen(self, runtime):
        with runtime.start(Bundle(self.world, hooks=False, policy=None, caps=harness.NET_CAPS)) as container:
            self.assertNothingSeen("before there was a link")
            self.open_link(container)
            self.world.sysctl("net.ipv4.tcp_synack_retries", 0, in_internet=True)  # answers to forgeries are not repeated later
            self.addCleanup(self.world.seen)
            probes = {
                f"connect {DIRECT} 443": "internet", f"udp {DIRECT} 4444 1000": "internet",
                f"raw syn 192.0.0.99 {DIRECT} 4444": "internet", f"frame oe0 udp 198.18.0.3 {ALLOWED} 53": "internet",
                f"connect {HOST} 6443": "host", "connect 198.18.0.2 3128": "host",
            }
            for probe, where in probes.items():
                result = container.ask(probe)
                internet, host = self.world.seen()
                self.assertTrue(result["ok"], f"{probe}: {result}")
                self.assertTrue(internet if where == "internet" else host, f"{probe} was not seen")
            link = Netns(container.pid)
            self.close_link()
            self.assertTrue(link.wait_link("oe0", there=False))
            link.close()
            self.assertFalse(container.ask(f"connect {DIRECT} 443 200")["ok"])
            self.world.seen()

    def test_a_proxy_that_goes_elsewhere_is_seen(self):
        """The host's own connection, as a proxy's would be, to what no policy lists."""
        host = Netns(self.world.host.pid)
        self.addCleanup(host.close)
        for address, name in ((ALLOWED, "allowed"), (OTHER, "other"), (DIRECT, "direct")):
            self.world.internet.connections()
            with host.inside(lambda address=address: socket.create_connection((address, 443), 5)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no packets later
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.assertIn(name.encode(), connection.recv(4096))
            internet, host_too = self.world.seen()
            self.assertEqual((bool(internet), bool(host_too)), (name != "allowed",) * 2, name)
            self.assertEqual([c["name"] for c in self.world.internet.connections()], [name])

    def test_what_is_left_is_seen(self):
        self.assertClean()
        sleeper = harness.subprocess.Popen(self.world.host.enter("cat"), bufsize=0, stdin=harness.subprocess.PIPE,
                                           stdout=harness.subprocess.PIPE)
        sleeper.stdin.write(b".")
        self.assertEqual(sleeper.stdout.read(1), b".")  # it is in the namespace
        os.makedirs(self.world.run, exist_ok=True)
        record = os.path.join(self.world.run, "left.json")
        with open(record, "w", encoding="utf-8"):
            pass
        left = self.world.wait_clean(timeout=0.2)
        self.assertTrue(any("left.json" in item for item in left), left)
        self.assertTrue(any("process" in item for item in left), left)
        os.unlink(record)
        sleeper.communicate(b"")
        self.assertClean()

    @each_runtime
    def test_runtime_without_hook(self, runtime):
        with runtime.start(Bundle(self.world, hooks=False, policy=None)) as container:
            self.assertEqual(container.status("Seccomp"), "0")
            talk = container.exec()
            self.assertTrue(talk.ask("sh id -u")["ok"])
            self.assertEqual(talk.end(), 0)
            self.assertEqual(container.end(), 0)
        self.assertClean()

    @each_runtime
    def test_true_as_a_hook(self, runtime):
        def true(config):
            config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
        done = runtime.run(Bundle(self.world, hooks=False, args=["/probe", "env"], edit=true))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("PATH=/bin", done.stdout)


if __name__ == "__main__":
    harness.main()
