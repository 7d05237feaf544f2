# SPDX-License-Identifier: Apache-2.0
"""A network namespace as engines make them for pods: pinned by a process, with eth0 and a default route to the host,
which forwards for it to the Internet, in both families."""
import json
import os
import subprocess

from harness import DIRECT, HOST, POLICY, Netns, WorldTest, sh

POD, GATEWAY, NEIGHBOUR = "10.88.0.2", "10.88.0.1", "10.88.0.3"
POD6, GATEWAY6, TARGET6 = "2001:db8:88::2", "2001:db8:88::1", "2001:db8:1::7"
DEVICE = "pod0"  # the host's end
HERE = os.path.dirname(os.path.abspath(__file__))


class Pod:
    def __init__(self, world, attach=True):
        self.world = world
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.take(self.holder.pid)
        world.sysctl("net.ipv4.ip_forward", 1)
        world.sysctl("net.ipv6.conf.all.forwarding", 1)
        if attach:
            self.attach()

    def take(self, pid):
        """The namespace of this process."""
        self.pid, self.path, self.netns = pid, f"/proc/{pid}/ns/net", Netns(pid)

    def attach(self, name="eth0"):
        """The interface, as an engine moves it in: no packet leaves it by itself."""
        host, pod = self.on_host, self.inside
        host("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", name, "netns", str(self.pid))
        for ip, device, four, six in ((host, DEVICE, GATEWAY, GATEWAY6), (pod, name, POD, POD6)):
            ip("ip", "link", "set", device, "addrgenmode", "none")
            ip("ip", "addr", "add", four + "/24", "dev", device)
            ip("ip", "addr", "add", six + "/64", "dev", device, "nodad")
            ip("ip", "link", "set", device, "up")
        host("ip", "addr", "add", NEIGHBOUR + "/24", "dev", DEVICE)
        host("ip", "-6", "addr", "add", "fe80::1/64", "dev", DEVICE, "nodad")
        pod("ip", "-6", "addr", "add", "fe80::2/64", "dev", name, "nodad")
        pod("ip", "link", "set", "lo", "up")
        pod("ip", "route", "add", "default", "via", GATEWAY)
        pod("ip", "-6", "route", "add", "default", "via", GATEWAY6)

    def on_host(self, *argv):
        return sh(*self.world.host.enter(*argv, mounts=False))

    def inside(self, *argv):
        return sh("nsenter", f"--net={self.path}", *argv)

    def gateway_mac(self):
        return json.loads(self.on_host("ip", "-j", "link", "show", DEVICE))[0]["address"]

    def without_rights(self, *argv, caps=("net_raw",)):
        """As a process of the pod that no filter holds: root, but for its capabilities. The CompletedProcess."""
        keep = ",".join(["-all", *("+" + c for c in caps)])
        return subprocess.run(["nsenter", f"--net={self.path}", "setpriv", f"--bounding-set={keep}", f"--inh-caps={keep}", *argv],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    def ways_out(self, *without):
        """Every way of wayout.py: what became of each."""
        done = self.without_rights("python3", os.path.join(HERE, "wayout.py"), POD, GATEWAY, self.gateway_mac(), DIRECT, TARGET6,
                                   *without)
        if done.returncode:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout)

    def close(self):
        self.netns.close()
        self.holder.communicate()
        subprocess.run(self.world.host.enter("ip", "link", "del", DEVICE, mounts=False), capture_output=True)


class PodTest(WorldTest):
    """A world with both families, in which the host's end of the pod's interface is watched: see watch."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        for station, address, gateway, local in ((world.host, "2001:db8:1::1", None, "fe80::11"),
                                                 (world.internet, TARGET6, "2001:db8:1::1", "fe80::17")):
            sh(*station.enter("ip", "-6", "addr", "add", local + "/64", "dev", "eth0", "nodad", mounts=False))
            sh(*station.enter("ip", "-6", "addr", "add", address + "/64", "dev", "eth0", "nodad", mounts=False))
            if gateway:
                sh(*station.enter("ip", "-6", "route", "add", "default", "via", gateway, mounts=False))
        world.internet.listen(addr=TARGET6, port=443, name="direct6")
        world.policy("pod", POLICY)
        world.sysctl("net.ipv6.conf.all.forwarding", 1)

    def watch(self, *more):
        """What the host itself sends to the pod is nobody's way out, nor is what the two say to be neighbours."""
        neighbours = [{"if": DEVICE, "type": "0x0806", "src": POD, "dst": GATEWAY}, {"if": DEVICE, "type": "0x0806", "src": POD, "dst": NEIGHBOUR}]
        discovery = [{"if": DEVICE, "proto": 58, "src": "fe80::2", "dst": "ff02::2"}]  # a router is asked for, by the kernel
        reports = [{"if": "eth0", "type": "0x86dd", "proto": 58}, {"if": "eth0", "dst": "ff02::16"}]  # of the other link
        self.world.host.sniff(expected=self.world.expected + [{"if": DEVICE, "out": True}] + neighbours + discovery + reports + list(more))
        self.world.seen()
        self.world.host.connections()
        self.world.internet.connections()

    def assertNothingLeaves(self, what=""):
        internet, host = self.world.seen()
        self.assertEqual(host, [], f"seen on the pod's interface {what}")
        others = [c for c in self.world.internet.connections() if (c["name"], c["from"][0]) != ("allowed", HOST)]
        self.assertEqual(others, [], f"connections that the proxy did not make {what}")
        self.assertEqual(self.world.host.connections(), [], f"connections to the host {what}")

    def assertShut(self, talk, attempts, what):
        """At once, not by time-out."""
        for attempt in attempts:
            result = talk.ask(attempt)
            self.assertFalse(result["ok"], f"{what}: {attempt}: {result}")
            self.assertLess(result["ms"], 200, f"{what}: {attempt}: {result}")
