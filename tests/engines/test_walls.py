# SPDX-License-Identifier: Apache-2.0
"""Nothing else is reachable: whoever asks, however the host is set, whatever happens to the keeper or the firewall.

What a container tries is watched from outside: not one packet of it may be seen on the Internet or in the host's own
stack (harness.World.seen; test_harness.py proves that a leak would be)."""
import itertools
import os
import signal
import subprocess

import harness
from harness import ALLOWED, CONTAINER, DIRECT, HOST, HOST_TOO, PROXY, Bundle, WorldTest, each_link, each_runtime

# A firewall as hosts have one: forwards nothing. Flushed, it forwards everything.
RULESET = """
table inet host {
	chain forward { type filter hook forward priority 0; policy drop; }
	chain input { type filter hook input priority 0; policy accept; }
}
"""
METADATA = "169.254.169.254"


def connects(timeout_ms):
    """Attempts that need nothing but a TCP or UDP socket."""
    tcp = [(DIRECT, 443), (DIRECT, 4444), (ALLOWED, 443), (HOST, 22), (HOST, 3128), (HOST_TOO, 443), (METADATA, 80),
           (PROXY, 22), (PROXY, 443), (PROXY, 6443), (PROXY, 8080), ("127.0.0.1", 6443), ("127.0.0.1", 22), ("::1", 22),
           ("198.18.0.1", 3128), ("198.18.0.4", 3128), ("fe80::1%oe0", 22), ("ff02::1%oe0", 22), ("2001:db8::1", 443),
           ("::ffff:" + DIRECT, 443)]
    attempts = [f"connect {host} {port} {timeout_ms}" for host, port in tcp]
    udp = [(DIRECT, 4444), (ALLOWED, 53), (HOST, 4444), (PROXY, 53), (PROXY, 4444), ("fe80::1%oe0", 4444)]
    return attempts + [f"udp {host} {port} {timeout_ms}" for host, port in udp]


# Sockets bound to the link's device need no route; what they send is dropped on the other side without a word.
BOUND = [f"connect {host} {port} 20 oe0" for host, port in (("127.0.0.1", 6443), (DIRECT, 443), (HOST, 22), (METADATA, 80))]


def forgeries():
    """Packets of a container's own making. Most are sent; none may be seen."""
    for kind, source, target in itertools.product(("syn", "udp", "echo"), (CONTAINER, HOST, "10.99.0.1", "198.18.0.9"),
                                                  (DIRECT, HOST, PROXY, "127.0.0.1")):
        yield f"raw {kind} {source} {target} 4444 oe0"
        yield f"frame oe0 {kind} {source} {target} 4444"
    yield f"frame oe0 udp {CONTAINER} {DIRECT} 53 broadcast"
    yield "frame oe0 ra"


# What NET_ADMIN can do about its own namespace.
ROUTES = [
    f"ip route add default via {PROXY} dev oe0", f"ip route add {DIRECT}/32 dev oe0", f"ip route add {HOST}/32 via {PROXY} dev oe0",
    "ip addr add 203.0.113.50/24 dev oe0", f"ip addr add {HOST}/32 dev lo", "ip -6 addr add fe80::2/64 dev oe0",
    f"ip neigh replace {DIRECT} lladdr 02:00:00:00:00:01 dev oe0", f"ip neigh replace {HOST} lladdr ff:ff:ff:ff:ff:ff dev oe0",
    "ip route add table local 198.51.100.0/24 dev oe0", "ip link set oe0 promisc on", "ip link set oe0 mtu 9000",
]


class Walls(WorldTest):
    def setUp(self):
        for key, value in (("ip_forward", 0), ("conf.all.rp_filter", 0), ("conf.all.route_localnet", 0)):
            self.world.sysctl("net.ipv4." + key, value)
        self.load_ruleset()
        self.world.host.connections()
        self.world.internet.connections()
        self.world.seen()

    def load_ruleset(self):
        subprocess.run(self.world.host.enter("nft", "-f", "-", mounts=False), input=RULESET, text=True, check=True)

    def loosen(self):
        """What a host can have set that makes leaks easier."""
        self.world.sysctl("net.ipv4.ip_forward", 1)
        for interface in ("all", "default"):
            self.world.sysctl(f"net.ipv4.conf.{interface}.rp_filter", 2)
            self.world.sysctl(f"net.ipv4.conf.{interface}.route_localnet", 1)

    def assertUnreached(self, what):
        self.assertNothingSeen(what)
        self.assertEqual(self.world.host.connections(), [], f"connections to the host {what}")
        others = [c for c in self.world.internet.connections() if (c["name"], c["from"][0]) != ("allowed", HOST)]
        self.assertEqual(others, [], f"connections to the Internet that the proxy did not make {what}")

    def assertShut(self, talk, attempts, what, within_ms=None):
        """All at once, then all answers: none may have got anywhere."""
        for attempt in attempts:
            talk.send(attempt)
        for attempt in attempts:
            result = talk.receive(attempt)
            self.assertFalse(result["ok"], f"{what}: {attempt}: {result}")
            if within_ms:
                self.assertLess(result["ms"], within_ms, f"{what}: {attempt}: {result}")
                self.assertNotEqual(result["errno"], "ETIMEDOUT", f"{what}: {attempt}: {result}")

    def forge(self, talk):
        self.assertShut(talk, BOUND, "bound to the device")
        attempts = list(forgeries())
        for attempt in attempts:
            talk.send(attempt)
        return [talk.receive(attempt) for attempt in attempts]

    @each_link
    def test_default_capabilities(self, runtime, link):
        """Direct attempts fail at once, not by time-out, with the filter and (by exec) without."""
        for uid in (0, 1000):
            with runtime.start(Bundle(self.world, policy=link, uid=uid)) as container:
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                self.assertShut(container, connects(3000), f"uid {uid}", within_ms=100)
                self.assertTrue(all(r["errno"] == "EPERM" for r in self.forge(container)))
                other = container.exec()
                self.assertEqual(other.ask("sh cat /proc/self/status")["ok"], True)
                tcp = [a for a in connects(3000) if a.startswith("connect")]
                self.assertShut(other, tcp, f"exec, uid {uid}", within_ms=100)
                self.assertShut(other, [a for a in connects(50) if a.startswith("udp")], f"exec, uid {uid}")
                self.forge(other)
                self.assertUnreached(f"uid {uid}")
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_link
    def test_net_admin(self, runtime, link):
        """Routes, addresses, neighbours and forged packets, from a process that the filter does not hold."""
        for forward, rp_filter in itertools.product((0, 1), (0, 1, 2)):
            what = f"ip_forward {forward}, rp_filter {rp_filter}"
            with self.subTest(what):
                self.world.sysctl("net.ipv4.ip_forward", forward)
                for interface in ("all", "default"):
                    self.world.sysctl(f"net.ipv4.conf.{interface}.rp_filter", rp_filter)
                    self.world.sysctl(f"net.ipv4.conf.{interface}.route_localnet", 1)
                with runtime.start(Bundle(self.world, policy=link, caps=harness.NET_CAPS)) as container:
                    talk = container.exec()
                    self.assertShut(talk, connects(20), what)
                    for command in ROUTES:
                        talk.ask("sh " + command)
                    # 127.0.0.1 and the container's own new addresses answer for themselves: what counts is who saw it
                    for attempt in connects(20):
                        talk.send(attempt)
                    for attempt in connects(20):
                        talk.receive(attempt)
                    sent = self.forge(talk)
                    if link == "veth":
                        self.assertTrue(any(r["ok"] for r in sent), "nothing could be forged, so nothing was tested")
                    self.assertUnreached(what)

    @each_runtime
    def test_net_admin_of_the_program_itself(self, runtime):
        """Routes by ioctl(2) on a socket that the filter grants, for whom it may hold otherwise."""
        self.loosen()
        with runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as container:
            for target, gateway in (("0.0.0.0/0", PROXY), (DIRECT, PROXY), (HOST, "0.0.0.0")):
                added = container.ask(f"route {target.partition('/')[0]} {gateway} oe0")
                self.assertTrue(added["ok"], f"{target}: {added}")
            routes = container.ask("file /proc/net/route")["text"]
            self.assertEqual(routes.count("oe0"), 4, routes)
            self.assertShut(container, connects(20), "with routes of its own")
            self.assertShut(container, BOUND, "bound to the device")
            self.assertUnreached("with routes of its own")
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_runtime
    def test_settings_changed_later(self, runtime):
        """The host begins to forward when the container runs already."""
        with runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as container:
            talk = container.exec()
            talk.ask("sh " + ROUTES[0])
            for key, value in (("ip_forward", 1), ("conf.all.route_localnet", 1), ("conf.all.accept_local", 1)):
                self.world.sysctl("net.ipv4." + key, value)
            self.assertShut(talk, connects(20), "later")
            self.forge(talk)
            self.assertUnreached("later")
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_link
    def test_flush_ruleset(self, runtime, link):
        """Before, during and after: no rule is what holds the container."""
        self.loosen()
        with runtime.start(Bundle(self.world, policy=link, caps=harness.NET_CAPS)) as container:
            talk = container.exec()
            talk.ask("sh " + ROUTES[0])
            self.assertShut(talk, connects(20), "before the flush")
            script = "for i in $(seq 100); do nft flush ruleset; done"
            with subprocess.Popen(self.world.host.enter("sh", "-c", script, mounts=False)) as flusher:
                rounds = 0
                while flusher.poll() is None or rounds == 0:
                    self.assertShut(talk, connects(5), "during the flush")
                    self.forge(talk)
                    rounds += 1
            self.assertEqual(flusher.returncode, 0)
            self.assertShut(talk, connects(20), "after the flush")
            self.forge(talk)
            self.assertUnreached("around the flush")
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_link
    def test_keeper_killed(self, runtime, link):
        """No keeper: no egress, rather than open egress."""
        self.loosen()
        with runtime.start(Bundle(self.world, policy=link, caps=harness.NET_CAPS)) as container:
            keepers = container.keeper()["keeper"]
            self.assertEqual(len(keepers), 1, self.world.processes())
            talk = container.exec()
            talk.ask("sh " + ROUTES[0])
            workers = container.keeper()["worker"]
            os.kill(keepers[0], signal.SIGKILL)
            self.assertEqual(harness.wait_ended(keepers + workers, 1.0), [], "the worker ends with the keeper")
            if link == "veth":
                self.assertTrue(container.netns.wait_link("oe0", there=False, timeout=1.0))
            for probe in ("fetch allowed.test:443 500", f"connect {PROXY} 3128 100", "connect 127.0.0.1 3128 100"):
                self.assertFalse(container.ask(probe)["ok"], probe)
            subprocess.run(self.world.host.enter("nft", "flush", "ruleset", mounts=False), check=True)
            for who in (container, talk):
                self.assertShut(who, connects(20), "without a keeper")
            self.forge(talk)
            self.assertUnreached("without a keeper")

    @each_runtime
    def test_another_container(self, runtime):
        """Two containers have the same addresses, and nothing of each other."""
        with runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as one, \
                runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as two:
            talk = one.exec()
            self.assertShut(one, BOUND, "bound to the device")
            self.assertTrue(two.ask("fetch allowed.test:443")["ok"])
            counters = [f"file /sys/class/net/oe0/statistics/{name}" for name in ("rx_packets", "tx_packets")]
            before = [two.ask(counter)["text"] for counter in counters]
            for command in ("ip addr del 198.18.0.3/31 dev oe0", "ip addr add 198.18.0.77/16 dev oe0", ROUTES[0]):
                talk.ask("sh " + command)
            for target in (CONTAINER, "198.18.0.1", "198.18.0.4"):
                self.assertFalse(talk.ask(f"connect {target} 5555 100")["ok"])
                talk.ask(f"frame oe0 udp 198.18.0.77 {target} 4444 broadcast")
            self.assertEqual([two.ask(counter)["text"] for counter in counters], before)
            self.assertTrue(two.ask("fetch allowed.test:443")["ok"], "the other one's egress is its own")
            self.assertUnreached("between containers")

    @each_runtime
    def test_nothing_in_the_hosts_namespace(self, runtime):
        """No interface, address, route or rule of ours on the host while a container runs."""
        kinds = ("link:", "route:", "rule:", "mount:", "tcp", "udp")
        with runtime.start(Bundle(self.world)):
            ours = [item for item in self.world.left(files=False) if item.startswith(kinds)]
            self.assertEqual(ours, [])


if __name__ == "__main__":
    harness.main()
