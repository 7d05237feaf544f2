# SPDX-License-Identifier: Apache-2.0
"""A network namespace with an interface of the engine's, as pods have it: the gate lets out what the policy says, and
nothing else, whoever tries. What a container sends is watched on the host's end of its interface: not one packet of it
may be seen there."""
import concurrent.futures
import fcntl
import glob
import json
import os
import signal
import socket
import subprocess
import time

import harness
from harness import ALLOWED, DIRECT, NET_CAPS, POLICY, Bundle, Gone, Runtime, each_runtime
from pod import DEVICE, GATEWAY, GATEWAY6, NEIGHBOUR, POD, POD6, TARGET6, Pod, PodTest

METADATA = "169.254.169.254"
TABLES = {"inet oci_egress", "netdev oci_egress", "arp oci_egress"}
TCP, UDP = 6, 17
KEEPS_LATER_SHUT = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 16)


class Gate(PodTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        world.policy("deny", {**POLICY, "inbound": "deny"})
        for gate in ("always", "never"):
            world.policy(gate, {**POLICY, "gate": gate})

    def setUp(self):
        self.pod = Pod(self.world)
        self.addCleanup(self.pod.close)
        self.watch()

    def start(self, runtime, policy="pod", **kw):
        container = runtime.start(Bundle(self.world, policy=policy, netns=self.pod.path, **kw))
        self.addCleanup(container.destroy)
        self.world.seen()  # what the kernel has said to the neighbours before the gate was there
        return container

    def tables(self):
        return {line.removeprefix("table ") for line in self.pod.inside("nft", "list", "tables").splitlines()}

    def ways_out(self, *without):
        tried = self.pod.ways_out(*without)
        self.assertGreaterEqual(len(tried), 70)
        return tried

    def test_without_a_gate(self):
        """The ways lead out where nothing holds them: else the other tests would say nothing."""
        tried = self.pod.ways_out()
        self.assertGreater(sum(result == "sent" for result in tried.values()), 50, tried)
        for way in ("udp", "raw udp", "packet", "packet, no queue", "the packet socket of old", "raw icmp", "udp, multicast"):
            self.assertEqual(tried[way], "sent", way)
        _, host = self.world.seen()
        self.assertGreater(len(host), 60)
        self.assertTrue(any(c["name"] == "direct" for c in self.world.internet.connections()))

    @each_runtime
    def test_what_gets_out(self, runtime):
        """By the proxy what is allowed; past it nothing, from run and from exec, before and after the keeper is killed."""
        container = self.start(runtime)
        self.assertEqual(self.tables(), TABLES)
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(container.ask("fetch denied.test:443")["status"], 403)
        direct = [f"connect {host} {port} 3000" for host, port in (
            (DIRECT, 443), (ALLOWED, 443), (GATEWAY, 22), (NEIGHBOUR, 80), (METADATA, 80), (TARGET6, 443), ("::ffff:" + DIRECT, 443))]
        datagrams = [f"udp {DIRECT} 4444 100", f"udp {GATEWAY} 53 100", f"udp {TARGET6} 4444 100", f"raw echo {POD} {DIRECT} 0",
                     f"frame eth0 udp {POD} {DIRECT} 4444"]
        exec_ = container.exec()
        self.assertShut(container, direct + datagrams, "run")
        self.assertShut(exec_, direct + datagrams, "exec")
        self.assertNothingLeaves("past the gate")
        tried = self.ways_out("a ring past the stack")
        self.assertNotIn("sent", [tried[way] for way in ("tcp", "udp", "raw udp", "packet", "packet, marked")])
        self.assertNothingLeaves("by one of the ways out")

        keepers = container.keeper()
        os.kill(keepers["keeper"][0], signal.SIGKILL)
        self.assertEqual(harness.wait_ended(keepers["keeper"] + keepers["worker"], 1.0), [])
        self.assertTrue(container.netns.wait_link("oe0", there=False))
        self.assertFalse(container.ask("fetch allowed.test:443 500")["ok"])
        self.assertShut(container, direct, "run, without a keeper")
        self.assertShut(exec_, direct + datagrams, "exec, without a keeper")
        self.ways_out("a ring past the stack")
        self.assertNothingLeaves("without a keeper")

    def serve(self, kind, port):
        """A service of the pod's that answers what it hears: a program that nothing but the gate holds."""
        script = ("import socket\ns = socket.socket(socket.AF_INET6, socket.%s)\ns.bind(('::', %d))\n"
                  % ("SOCK_STREAM" if kind == TCP else "SOCK_DGRAM", port))
        script += ("s.listen()\n" if kind == TCP else "") + "print('ready', flush=True)\n"
        script += ("while True:\n c, _ = s.accept()\n c.sendall(c.recv(64))\n c.close()\n" if kind == TCP else
                   "while True:\n d, a = s.recvfrom(64)\n s.sendto(d, a)\n")
        process = subprocess.Popen(["nsenter", f"--net={self.pod.path}", "python3", "-c", script], stdout=subprocess.PIPE)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        process.stdout.readline()
        return process

    def ask_from_host(self, kind, address, port):
        """What the service answers, None where it does not."""
        def ask():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM if kind == TCP else socket.SOCK_DGRAM) as s:
                s.settimeout(0.5)
                try:
                    s.connect((address, port))
                    s.send(b"hello")
                    return s.recv(64)
                except OSError as e:
                    return type(e).__name__
        netns = harness.Netns(self.world.host.pid)
        try:
            return netns.inside(ask)
        finally:
            netns.close()

    def test_inbound(self):
        """Who asks from outside is answered; "deny": is not. A connection that only seems to have come in is none."""
        runtime = Runtime(self.world, "runc")
        own = [{"if": DEVICE, "src": POD, "dst": GATEWAY}, {"if": DEVICE, "src": POD6}, {"if": DEVICE, "type": "0x86dd"}]
        for policy, answered in (("pod", True), ("deny", False)):
            with self.subTest(policy), self.world.containers_of_one_test():
                self.watch(*own)
                container = self.start(runtime, policy)
                for kind, port in ((TCP, 8080 + answered), (UDP, 8090 + answered)):
                    self.serve(kind, port)
                    for address in (POD, POD6):
                        answer = self.ask_from_host(kind, address, port)
                        self.assertEqual(answer == b"hello", answered, f"{kind} {address}: {answer}")
                    self.assertEqual(self.ask_from_host(TCP, POD, 9) == "ConnectionRefusedError", answered)
                self.ways_out("a ring past the stack")
                _, host = self.world.seen()
                self.assertEqual(host, [])
                container.destroy()

    def test_direct(self):
        """Opens what it names, on every port, for those who have the sockets; in NO_PROXY too; metadata stays closed."""
        runtime = Runtime(self.world, "runc")
        self.world.policy("direct", {**POLICY, "direct": ["10.88.0.0/24", "2001:db8:1::/64", "169.254.0.0/16"]})
        container = self.start(runtime, "direct")
        env = dict(v.split("=", 1) for v in container.ask("env")["env"])
        wanted = "localhost,127.0.0.1,127.0.0.0/8,::1,10.88.0.0/24,169.254.0.0/16,2001:db8:1::/64"
        self.assertEqual((env["no_proxy"], env["NO_PROXY"]), (wanted, wanted))
        for attempt in (f"connect {GATEWAY} 22", f"connect {NEIGHBOUR} 443", f"connect {TARGET6} 443"):
            self.assertTrue(container.ask(attempt)["ok"], attempt)
        other = container.exec()
        self.assertTrue(other.ask(f"udp {GATEWAY} 4444 1000")["ok"])
        self.world.internet.connections()
        self.world.host.connections()
        self.watch({"if": DEVICE, "src": POD, "dst": GATEWAY, "proto": UDP}, {"if": DEVICE, "src": POD, "dst": GATEWAY, "proto": TCP},
                   {"if": DEVICE, "src": POD6, "dst": TARGET6}, {"if": "eth0", "type": "0x86dd"}, {"if": DEVICE, "proto": 58})
        for talk in (container, other):
            self.assertShut(talk, [f"connect {DIRECT} 443", f"connect {METADATA} 80", "connect 10.88.1.1 80"], "not named")
        self.assertShut(other, [f"udp {DIRECT} 53 100", "udp 10.88.0.255 4444 100"], "not named")
        internet, host = self.world.seen()
        self.assertEqual(host, [])

    def test_fragments(self):
        """The kernel's own of what is permitted get there; a raw socket's do not even then."""
        self.world.policy("fragments", {**POLICY, "direct": [GATEWAY + "/32", GATEWAY6 + "/128"]})
        self.start(Runtime(self.world, "runc"), "fragments")
        command = self.world.host.enter("python3", "-c", COLLECT, mounts=False)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as collector:
            self.assertEqual(collector.stdout.readline(), "ready\n")
            done = self.pod.without_rights("python3", "-c", FRAGMENTS, POD, GATEWAY, GATEWAY6)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(collector.stdout.readline(), "[4000, 4000]\n")

    def test_lan(self):
        runtime = Runtime(self.world, "runc")
        self.world.policy("lan", {**POLICY, "direct": ["lan"]})
        self.world.policy("metadata", {**POLICY, "direct": ["169.254.169.254"]})
        metadata = [METADATA, "169.254.169.253", "169.254.0.23", "169.254.42.42"]
        metadata6 = "fe80::a9fe:a9fe"
        for address in [*metadata, "169.254.7.7", metadata6, "fe80::7:7"]:
            self.pod.on_host("ip", "addr", "add", address + ("/64" if ":" in address else "/32"), "dev", DEVICE, *["nodad"] * (":" in address))
        with self.world.containers_of_one_test():
            container = self.start(runtime, "lan")
            self.assertTrue(container.ask(f"connect {GATEWAY} 22")["ok"])
            self.assertTrue(container.ask("connect 169.254.7.7 80")["ok"])
            self.assertShut(container, [f"connect {address}" for address in (f"{DIRECT} 443", *(a + " 80" for a in metadata))], "not of the lan")
            self.assertEqual([self.connects6(address) for address in ("fe80::7:7", metadata6)], [True, False])
        container = self.start(runtime, "metadata")
        self.assertTrue(container.ask(f"connect {METADATA} 80")["ok"])
        self.assertShut(container, [f"connect {address}" for address in (f"{GATEWAY} 22", *(a + " 80" for a in metadata[1:]))], "not named")

    def connects6(self, address):
        """To a link-local address, from a program that nothing but the gate holds."""
        script = ("import socket, sys\ns = socket.socket(socket.AF_INET6)\ns.settimeout(3)\n"
                  "s.connect((sys.argv[1], 80, 0, socket.if_nametoindex('eth0')))")
        return self.pod.without_rights("python3", "-c", script, address).returncode == 0

    def test_the_secret(self):
        """What tells permitted packets from others is on none that a process in the namespace can see."""
        self.world.policy("direct", {**POLICY, "direct": ["10.88.0.0/24", "128.0.0.0/1"]})
        container = self.start(Runtime(self.world, "runc"), "direct")
        done = self.pod.without_rights("python3", "-c", SPY, GATEWAY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(json.loads(done.stdout)["seen"], 10)
        self.assertEqual(json.loads(done.stdout)["marked"], 0)
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_runtime
    def test_who_could_open_it(self, runtime):
        """NET_ADMIN or SYS_ADMIN over a namespace with an interface: refused, and nothing is left."""
        for capability in ("CAP_NET_ADMIN", "CAP_SYS_ADMIN"):
            with self.assertRaises(Gone):
                self.start(runtime, caps=harness.DEFAULT_CAPS + [capability])
            self.assertIn(f"{capability} over a network namespace with eth0", self.world.host.syslog()[-1])
            self.assertEqual(self.tables(), set())
        with self.assertRaises(Gone):
            self.start(runtime, "never")
        self.assertIn('namespace has eth0, and policy never has "gate": "never"', self.world.host.syslog()[-1])
        with self.assertRaises(Gone):
            runtime.start(Bundle(self.world, policy="always", caps=NET_CAPS))
        empty = Pod(self.world, attach=False)
        self.addCleanup(empty.close)
        with self.assertRaises(Gone):
            runtime.start(Bundle(self.world, policy="pod", netns=empty.path, caps=NET_CAPS))
        self.assertRegex(self.world.host.syslog()[-1], 'CAP_NET_ADMIN over a network namespace that may get .*"gate": "never" in policy pod')
        with runtime.start(Bundle(self.world, policy="never", netns=empty.path, caps=NET_CAPS)) as container:
            self.assertEqual(empty.inside("nft", "list", "tables"), "")
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        with runtime.start(Bundle(self.world, policy="always")) as container:
            self.assertEqual(container.netns.inside(lambda: subprocess.run(["nft", "list", "tables"], capture_output=True,
                                                                            text=True).stdout).count("oci_egress"), 3)
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_runtime
    def test_where_one_may_come(self, runtime):
        """There is a gate where an engine may add an interface when all hooks have run; a runtime by itself adds none."""
        def user_namespace(config):
            config["linux"]["namespaces"].append({"type": "user"})
            for maps in ("uidMappings", "gidMappings"):
                config["linux"][maps] = [{"containerID": 0, "hostID": 0, "size": 65536}]
        later = ("moby", "io.containerd.runtime.v2.task/default", "buildkit/executor")
        cases = [("", {}, False), *((place, {}, True) for place in later), ("", {"edit": user_namespace}, True),
                 ("", {"annotations": {"io.kubernetes.cri-o.ContainerType": "container"}}, True), ("", {"policy": "always"}, True)]
        for place, options, wanted in cases:
            with self.subTest(place, **options):
                bundle = Bundle(self.world, **{"policy": "pod", **options})
                moved = self.world.path("placed", place, bundle.id)
                os.makedirs(os.path.dirname(moved), exist_ok=True)
                bundle.dir = os.rename(bundle.dir, moved) or moved
                with runtime.start(bundle) as container:
                    rules = container.netns.inside(lambda: subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout)
                    self.assertEqual(rules.count("oci_egress {"), 3 * wanted)
                    self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                    if KEEPS_LATER_SHUT and wanted:
                        self.assertRegex(rules, '(?s)device "eth0".*device "tap0"')

    @each_runtime
    def test_shared(self, runtime):
        """One gate for all containers of a pod, between them too; one policy; an interface that comes later is shut."""
        self.world.policy("wider", {**POLICY, "allow": ["allowed.test", "other.test"]})
        first = self.start(runtime)
        second = self.start(runtime)
        for container in (first, second):
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        with self.assertRaises(Gone):
            self.start(runtime, "wider")
        self.assertRegex(self.world.host.syslog()[-1], f"{first.id}|{second.id}.*another policy, pod, than this one, wider")
        self.assertEqual(self.tables(), TABLES)
        for container in (first, second):
            os.kill(container.pid, signal.SIGKILL)
        self.assertEqual(harness.wait_ended([first.pid, second.pid]), [])
        self.assertTrue(self.pod.netns.wait_link("oe0", there=False))
        self.assertEqual(self.tables(), TABLES, "between two containers")
        third = self.start(runtime)
        self.assertTrue(third.ask("fetch allowed.test:443")["ok"])
        self.assertNothingLeaves("of a shared namespace")

    def test_an_interface_that_comes_later(self):
        """As Docker 28 does it: eth0 is moved in when all hooks have run."""
        self.pod.close()
        self.pod = Pod(self.world, attach=False)
        self.addCleanup(self.pod.close)
        container = self.start(Runtime(self.world, "runc"))
        self.pod.attach()
        self.watch()
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        self.assertShut(container, [f"connect {DIRECT} 443", f"connect {TARGET6} 443"], "later")
        self.assertShut(container.exec(), [f"connect {DIRECT} 443", f"udp {DIRECT} 4444 100", f"raw udp {POD} {DIRECT} 4444"], "later")
        if KEEPS_LATER_SHUT:
            self.ways_out("a ring past the stack")
        self.assertNothingLeaves("by an interface that came later")

    def test_another_version_of_the_policy(self):
        """The gate is that of the container that joined last, and who was overtaken does not put an older one back."""
        runtime = Runtime(self.world, "runc")
        open_ = lambda container: container.ask(f"connect {GATEWAY} 22 500")["ok"]
        needs = lambda: {id_: row["needs_new_container"] for id_, row in self.world.status().items()}
        changed = ["direct, inbound or gate"]
        wider = {**POLICY, "direct": ["10.88.0.0/24"]}

        def change(policy):
            self.world.policy("changing", policy)
            done = self.world.oci_egress("reload", "--run", self.world.run, "--config", self.world.path("config.json"))
            self.assertEqual(done.returncode, 0, done.stderr)

        self.world.policy("changing", POLICY)
        first = self.start(runtime, "changing")
        self.assertFalse(open_(first))
        change(wider)
        self.assertEqual((open_(first), needs()), (False, {first.id: changed}))
        second = self.start(runtime, "changing")
        self.assertEqual((open_(first), open_(second)), (True, True))
        self.assertEqual(needs(), {first.id: [], second.id: []})
        change(POLICY)
        self.assertEqual((open_(first), needs()), (True, {first.id: changed, second.id: changed}))
        third = self.start(runtime, "changing")
        self.assertEqual([open_(each) for each in (first, second, third)], [False] * 3)

        change(wider)
        fourth = self.start(runtime, "changing")
        self.assertTrue(open_(fourth))
        locks = glob.glob(os.path.join(self.world.run, "*.lock"))
        with open(max(locks, key=os.path.getmtime), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                late = pool.submit(self.start, runtime, "changing")
                deadline = time.monotonic() + 10
                while not waits_for(lock):  # which no event tells
                    self.assertLess(time.monotonic(), deadline)
                    os.sched_yield()
                change(POLICY)
                fcntl.flock(lock, fcntl.LOCK_UN)
                with self.assertRaises(Gone):
                    late.result()
        self.assertIn("direct, inbound or gate of policy changing was changed while", self.world.host.syslog()[-1])
        self.start(runtime, "changing")
        self.assertFalse(open_(fourth))

    def test_a_start_that_fails(self):
        """After the gate: it is taken away with all else, but not from others."""
        runtime = Runtime(self.world, "runc")
        self.world.policy("late", {"proxy": {"command": ["/bin/false"]}, "on_failure": "closed", "startup_timeout_ms": 500})
        with self.assertRaises(Gone):
            self.start(runtime, "late")
        self.assertEqual(self.tables(), set())
        self.start(runtime)
        with self.assertRaises(Gone):
            self.start(runtime, args=["/no/such/program"])
        self.assertEqual(self.tables(), TABLES)

    def test_no_nft(self):
        """The hook says so, and the container does not start, whatever on_failure says."""
        self.world.policy("open", {**POLICY, "on_failure": "open"})
        hide = "for f in /usr/sbin/nft /sbin/nft; do mount --bind /dev/null $f 2>/dev/null; done; exec \"$@\""
        bundle = Bundle(self.world, policy="open", netns=self.pod.path)
        runtime = Runtime(self.world, "runc")
        command = self.world.host.enter("unshare", "-m", "sh", "-c", hide, "sh", *runtime.command("run", "--bundle", bundle.dir, bundle.id)[3:])
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nft", self.world.host.syslog()[-1])
        runtime.call("delete", "--force", bundle.id)


def waits_for(file):
    """Does anybody wait for the lock on this file? proc_locks(5)"""
    with open("/proc/locks", encoding="ascii") as locks:
        return any("->" in line and f":{os.fstat(file.fileno()).st_ino} " in line for line in locks)


# Listens on the interface and on its own sockets for packets with a mark, while it sends what is permitted.
SPY = """
import ctypes, json, select, socket, struct, sys
def filter_marked(s):
    # accept where the mark is not 0: SKF_AD_OFF + SKF_AD_MARK
    code = b"".join(struct.pack("HBBI", *i) for i in ((0x20, 0, 0, 0xfffff000 + 20), (0x15, 1, 0, 0), (6, 0, 0, 0xffff), (6, 0, 0, 0)))
    buffer = ctypes.create_string_buffer(code)
    s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxQ", 4, ctypes.addressof(buffer)))
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
marked = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
filter_marked(marked)
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(("0.0.0.0", 4444))
filter_marked(own)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for i in range(20):
    out.sendto(b"permitted", (sys.argv[1], 4444))
    for address in ("10.88.0.255", "255.255.255.255", "224.0.0.1"):
        try:
            out.sendto(b"not permitted", (address, 4444))
        except PermissionError:
            pass
count = lambda s: sum(1 for _ in iter(lambda: select.select([s], [], [], 0.1)[0] and s.recv(2048), []))
print(json.dumps({"seen": count(tap), "marked": count(marked) + count(own)}))
"""


# Says how long the first two datagrams are that come.
COLLECT = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 5555))
s.settimeout(10)
print("ready", flush=True)
print([len(s.recv(65535)) for _ in range(2)], flush=True)
"""

# A datagram in two fragments of a raw socket's, and then one in each family that the kernel makes fragments of.
FRAGMENTS = """
import socket, struct, sys
own, gateway, gateway6 = sys.argv[1:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
datagram = struct.pack("!HHHH", 4444, 5555, 1600, 0) + b"r" * 1592
for offset, more, part in ((0, 0x2000, datagram[:800]), (100, 0, datagram[800:])):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(part), 7, more | offset, 64, 17, 0, socket.inet_aton(own), socket.inet_aton(gateway))
    try:
        raw.sendto(head + part, (gateway, 0))
    except PermissionError:
        pass
for family, address in ((socket.AF_INET, gateway), (socket.AF_INET6, gateway6)):
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"k" * 4000, (address, 5555))
"""


if __name__ == "__main__":
    harness.main()
