# SPDX-License-Identifier: Apache-2.0
"""What docker does from 28 on, with the docker that there is: a container's namespace is its runtime's, and empty while
all hooks run; then, before it is started, an interface with addresses and a default route is moved in. Real dockerd,
containerd, shim and oci-egress-runtime; behind that a runtime that waits for the interface when it is told to start."""
import os
import shutil

import harness
from harness import DIRECT
from pod import GATEWAY, NEIGHBOUR, POD, TARGET6, Pod, PodTest
from test_docker import IMAGE, Daemon

ATTEMPTS = [f"connect {DIRECT} 443", f"connect {GATEWAY} 22", f"connect {NEIGHBOUR} 80", f"connect {TARGET6} 443"]
DATAGRAMS = [f"udp {DIRECT} 4444 100", f"udp {GATEWAY} 53 100", f"udp {TARGET6} 4444 100", f"raw udp {POD} {DIRECT} 4444"]
IPV6 = ("--sysctl", "net.ipv6.conf.all.disable_ipv6=0")  # without a network docker closes it

# Called as runc: --root R --log L --log-format json COMMAND ... ID
RUNTIME = """#!/bin/sh
if [ "$7" = start ]; then
	{runc} --root "$2" state "$8" | sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' > {asks}
	read answer < {answers}
fi
exec {runc} "$@"
"""


class Moved(Pod):
    """The namespace of a container that has been made, to be given an interface."""

    def __init__(self, world, pid):
        self.world = world
        self.take(pid)

    def close(self):
        self.netns.close()


class Docker28(PodTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        cls.asks, cls.answers = world.path("asks"), world.path("answers")
        for fifo in (cls.asks, cls.answers):
            os.mkfifo(fifo)
        runtime = world.write("later-runc", RUNTIME.format(runc=os.path.realpath(shutil.which("runc")), asks=cls.asks, answers=cls.answers),
                              0o755)
        world.sysctl("net.ipv4.ip_forward", 1)
        cls.daemon = Daemon(world, runtime)
        cls.addClassCleanup(cls.daemon.close)

    def fifo(self, path):
        """Both its ends: nobody waits for the other to open it, or sees an end."""
        return open(path, "r+b", buffering=0)

    def run_container(self):
        """A container that has got its interface before its program runs. The talk with it, and the namespace."""
        name = f"c{next(harness.number)}"
        argv = self.daemon.command("run", "--rm", "-i", "--network", "none", "--name", name, "--runtime", "fixed", *IPV6, IMAGE, "/probe")
        with self.fifo(self.asks) as asks, self.fifo(self.answers) as answers:
            talk = harness.Talk(argv, self.world.path("talk-stderr"))
            self.addCleanup(talk.drop)
            self.assertTrue(harness.readable([asks], harness.time.monotonic() + 30), talk.complaint())
            pod = Moved(self.world, int(asks.readline()))
            self.addCleanup(pod.close)
            self.assertEqual(sorted(pod.netns.links()), ["lo", "oe0"], "while hooks run there is nothing else")
            pod.attach()
            self.watch()
            answers.write(b"there\n")
        return name, talk, pod

    def test_the_gate_holds(self):
        """From the moment when the interface is there: for the container's program, for exec, and for who has no filter."""
        name, talk, pod = self.run_container()
        self.assertTrue(talk.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(talk.ask("fetch denied.test:443")["status"], 403)
        self.assertShut(talk, ATTEMPTS + DATAGRAMS, "run")
        exec_ = harness.Talk(self.daemon.command("exec", "-i", name, "/probe"), self.world.path("exec-stderr"))
        self.addCleanup(exec_.drop)
        self.assertTrue(exec_.ask("fetch allowed.test:443")["ok"])
        self.assertShut(exec_, ATTEMPTS + DATAGRAMS, "exec")
        ways = pod.ways_out("a ring past the stack")
        self.assertNotIn("sent", [ways[way] for way in ("tcp", "udp", "raw udp")])
        self.assertNothingLeaves("by an interface that came after all hooks")
        self.daemon.docker("rm", "--force", name)
        pod.close()  # the interface goes with its namespace
        self.assertClean()


if __name__ == "__main__":
    harness.main()
