# SPDX-License-Identifier: Apache-2.0
"""A network namespace as engines make them for pods: pinned by a process, with eth0 and a default route to the host,
which forwards for it to the Internet, in both families."""
import json
import os
import subprocess

import harness
from harness import DIRECT, Netns, sh

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
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.netns = Netns(self.holder.pid)
        world.sysctl("net.ipv4.ip_forward", 1)
        world.sysctl("net.ipv6.conf.all.forwarding", 1)
        if attach:
            self.attach()

    def attach(self, name="eth0"):
        """The interface, as an engine moves it in: no packet leaves it by itself."""
        host, pod = self.on_host, self.inside
        host("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", name, "netns", str(self.holder.pid))
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
