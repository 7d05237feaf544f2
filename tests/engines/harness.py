# SPDX-License-Identifier: Apache-2.0
"""A host, an Internet and containers to try things with, made of namespaces that die with this process.

The host H and the Internet I are network namespaces, each with a station in it (station.py). Nothing here uses or
changes the machine's network, files or /dev, and any number of worlds can stand side by side.

    I  198.51.100.10 "allowed", .20 "other", 203.0.113.7 "direct"; everything without a better route goes to I
    H  198.51.100.1, 203.0.113.1; its names come from its own name server on 127.0.0.1

OCI_EGRESS_BUILD names the build directory; with OCI_EGRESS_MUST_RUN=1 a skip is a failure."""
import contextlib
import ctypes
import functools
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("OCI_EGRESS_BUILD", "build/plain"))
MUST_RUN = os.environ.get("OCI_EGRESS_MUST_RUN") == "1"
PROGRAM = os.path.join(BUILD, "hook", "oci-egress")
KEEPER = os.path.join(BUILD, "proxy", "oci-egress-keeper")
PROBE = os.path.join(BUILD, "tests", "engines", "probe")

ALLOWED, OTHER, DIRECT = "198.51.100.10", "198.51.100.20", "203.0.113.7"
HOST, HOST_TOO, GATEWAY = "198.51.100.1", "203.0.113.1", "198.51.100.254"
PROXY, CONTAINER, PORT = "198.18.0.2", "198.18.0.3", 3128
NAMES = {"allowed.test": [ALLOWED], "other.test": [OTHER], "denied.test": [DIRECT], "loopback.test": ["127.0.0.1"]}
POLICY = {"allow": ["allowed.test"], "networks": ["198.51.100.0/24"], "on_failure": "closed"}

# What Docker and podman give a container that asks for nothing.
DEFAULT_CAPS = ["CAP_" + c for c in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
                "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()]
NET_CAPS = DEFAULT_CAPS + ["CAP_NET_ADMIN"]

RUNTIMES = ("runc", "crun")
LINKS = ("veth", "socket")  # each also the name of a policy with that link
CLONE_NEWNET = 0x40000000
RTMGRP_LINK = 1
IN_EVENTS = 0x3c6  # modify, attrib, move, create, delete
libc = ctypes.CDLL(None, use_errno=True)
number = itertools.count(1)


class Gone(AssertionError):
    """A container, or a process in one, has ended while a test was talking to it."""


def sh(*argv, **kw):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **kw)
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


# -- waiting for events

def wait_for(predicate, files=(), timeout=5.0):
    """Until predicate() is true; it is asked again whenever one of the files has something to read. Its last value."""
    deadline = time.monotonic() + timeout
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    while True:
        value = predicate()
        left = deadline - time.monotonic()
        if value or left <= 0:
            return value
        for fd, _ in poll.poll(left * 1000):
            try:
                if not os.read(fd, 65536):
                    poll.unregister(fd)
            except BlockingIOError:
                pass
            except OSError:  # a pidfd: it has ended, and stays readable
                poll.unregister(fd)


def readable(files, deadline):
    """Until one of them has something to read, or the deadline. Has one?"""
    poll = select.poll()  # select(2) ends at descriptor 1024
    for file in files:
        poll.register(file, select.POLLIN)
    return bool(poll.poll(max(0, deadline - time.monotonic()) * 1000))


def wait_ended(pids, timeout=5.0):
    """Until all of these processes have ended. Those that have not."""
    deadline = time.monotonic() + timeout
    left = []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if not readable([fd], deadline):
            left.append(pid)
        os.close(fd)
    return left


def kill(pid):
    """With SIGKILL. What is not running any more has 0 for a pid with engines, and that would be our own group."""
    if pid <= 0:
        raise AssertionError("what is to be killed does not run")
    os.kill(pid, signal.SIGKILL)


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


class Watch:
    """Says (by being readable) that something has happened to files: inotify(7)."""

    def __init__(self, *paths):
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            libc.inotify_add_watch(self.fd, os.fsencode(path), IN_EVENTS)

    def fileno(self):
        return self.fd

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)


def wait_file(path, predicate, timeout=5.0):
    """Until predicate(text of the file) is true. Its value. The directory need not be there yet, its parent must."""
    directory = os.path.dirname(path)

    def look():
        try:
            with open(path, encoding="utf-8") as file:
                return predicate(file.read())
        except FileNotFoundError:
            return None

    deadline = time.monotonic() + timeout
    while not os.path.isdir(directory):
        with Watch(os.path.dirname(directory)) as watch:
            if not wait_for(lambda: os.path.isdir(directory), [watch], deadline - time.monotonic()):
                return look()
    with Watch(directory) as watch:
        return wait_for(look, [watch], deadline - time.monotonic())


class Netns:
    """Somebody's network namespace, kept open, and looked at from inside."""

    def __init__(self, pid):
        self.fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def inside(self, fn):
        """fn() by a thread that has entered; what it opens belongs to the namespace."""
        result = []

        def run():
            if libc.setns(self.fd, CLONE_NEWNET):
                result.append(OSError(ctypes.get_errno(), "setns"))
            else:
                result.append(fn())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(result[0], OSError):
            raise result[0]
        return result[0]

    def links(self):
        return self.inside(lambda: [name for _, name in socket.if_nameindex()])

    def has_link(self, name="oe0"):
        return name in self.links()

    def wait_link(self, name, there, timeout=5.0):
        """Until the link is there, or gone. True when it is as wanted."""
        def monitor():
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            s.bind((0, RTMGRP_LINK))
            return s
        with self.inside(monitor) as s:
            return wait_for(lambda: (name in self.links()) == there, [s], timeout)


# -- the world

class Station:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "station.py"), *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        if not self.process.stdout.readline():
            raise RuntimeError("no namespace of our own can be made here (root?)")

    def __getattr__(self, op):
        def ask(**arguments):
            self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the station has ended ({op})")
            answer = json.loads(line)
            if isinstance(answer, dict) and "error" in answer:
                raise AssertionError(f"station: {op} {arguments}: {answer['error']}")
            return answer
        return ask

    def enter(self, *argv, mounts=True):
        """The command, run in this station's namespaces."""
        how = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        if mounts:
            how.append(f"--mount=/proc/{self.pid}/ns/mnt")
        return how + list(argv)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class World:
    def __init__(self):
        os.umask(0o022)
        self.dir = tempfile.mkdtemp(prefix="oci-egress-test-")
        os.chmod(self.dir, 0o711)  # external proxies run as somebody else
        # In memory, as /run is; but what is in /dev/shm can be without set-user-ID.
        self.volatile = tempfile.mkdtemp(prefix="oci-egress-test-", dir="/dev/shm" if os.path.ismount("/dev/shm") else self.dir)
        self.containers = []
        self.stations = []
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def build(self):
        self.policies, self.log, self.state = (self.path(n) for n in ("policies", "log", "state"))
        self.run = os.path.join(self.volatile, "run")
        os.mkdir(self.policies, 0o755)
        for link in LINKS:
            self.policy(link, {**POLICY, "link": link})
        self.write("config.json", "{}\n")
        self.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
        self.write("hosts", "127.0.0.1 localhost\n198.51.100.10 inhosts.test\n")
        self.make_rootfs()

        self.host = Station("mounts", self.path("resolv.conf"), self.path("hosts"))
        self.stations.append(self.host)
        self.internet = Station()
        self.stations.append(self.internet)
        self.make_network()
        self.make_services()
        self.before = self.inventory()

    def make_network(self):
        host = lambda *argv: sh(*self.host.enter("ip", *argv, mounts=False))
        internet = lambda *argv: sh(*self.internet.enter("ip", *argv, mounts=False))
        host("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(self.internet.pid))
        for ip, addresses in ((host, (HOST, HOST_TOO)), (internet, (ALLOWED, OTHER, GATEWAY, DIRECT))):
            ip("link", "set", "eth0", "addrgenmode", "none")  # no router solicitations to be told from a leak
            for address in addresses:
                ip("addr", "add", address + "/24", "dev", "eth0")
            ip("link", "set", "eth0", "up")
        host("route", "add", "default", "via", GATEWAY)
        internet("route", "add", "default", "via", HOST)  # answers to a leak find their way
        self.sysctl("net.ipv4.ip_forward", 0)

    def make_services(self):
        for address, name in ((ALLOWED, "allowed"), (OTHER, "other"), (DIRECT, "direct"), (GATEWAY, "elsewhere")):
            for port in (80, 443):
                self.internet.listen(addr=address, port=port, name=name)
        self.internet.listen(addr=ALLOWED, port=7, mode="echo")
        self.internet.listen(addr=ALLOWED, port=19, mode="sink")
        for port in (53, 4444):
            self.internet.udp(addr="0.0.0.0", port=port)
        self.internet.listen(addr="0.0.0.0", port=4444, name="internet")
        # What a host has listening, and what a container would find if it got there.
        for port in (22, 80, 443, PORT, 6443, 8080):
            self.host.listen(addr="0.0.0.0", port=port, name="host")
            self.host.listen(addr="::", port=port, name="host6")
        self.host.udp(addr="0.0.0.0", port=4444)
        self.host.dns(addr="127.0.0.1", port=53, names=NAMES)
        self.host.syslog_open()
        # Of the host's traffic only this is the proxy's own: from the host's address to the one that is listed.
        ours = [{"src": HOST, "dst": ALLOWED, "proto": 6, "dport": port} for port in (80, 443, 7, 19)]
        answers = [{"src": ALLOWED, "dst": HOST, "proto": 6, "sport": port} for port in (80, 443, 7, 19)]
        arp = [{"type": "0x0806", "src": a} for a in (HOST, HOST_TOO, GATEWAY, ALLOWED, OTHER, DIRECT)]
        dns = [{"if": "lo", "src": "127.0.0.1", "dst": "127.0.0.1", "proto": 17, "dport": 53},
               {"if": "lo", "src": "127.0.0.1", "dst": "127.0.0.1", "proto": 17, "sport": 53}]
        self.internet.sniff(expected=ours + answers + arp)
        self.expected = ours + answers + arp + dns
        self.host.sniff(expected=self.expected)

    def make_rootfs(self):
        self.rootfs = self.path("rootfs")
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root", "home"):
            os.makedirs(os.path.join(self.rootfs, name))
        os.chmod(os.path.join(self.rootfs, "tmp"), 0o1777)
        busybox = shutil.which("busybox")
        if not busybox:
            raise unittest.SkipTest("no busybox")
        shutil.copy(busybox, os.path.join(self.rootfs, "bin/busybox"))
        for applet in ("sh", "ip", "cat", "env", "id", "su", "sleep", "kill", "true", "wget", "nc", "mkfifo"):
            os.symlink("busybox", os.path.join(self.rootfs, "bin", applet))
        shutil.copy(PROBE, os.path.join(self.rootfs, "probe"))
        shutil.copy(PROBE, os.path.join(self.rootfs, "setuid-probe"))
        os.chmod(os.path.join(self.rootfs, "setuid-probe"), 0o4755)
        with open(os.path.join(self.rootfs, "script"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexec /probe\n")
        os.chmod(os.path.join(self.rootfs, "script"), 0o755)
        for file, text in (("passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n"),
                           ("group", "root:x:0:\nuser:x:1000:\n"), ("resolv.conf", ""), ("hosts", "127.0.0.1 localhost\n")):
            with open(os.path.join(self.rootfs, "etc", file), "w", encoding="utf-8") as f:
                f.write(text)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def policy(self, name, policy):
        """Writes a policy file: a dictionary, or the text itself."""
        return self.write(f"policies/{name}.json", policy if isinstance(policy, str) else json.dumps(policy, indent=1))

    def sysctl(self, key, value, in_internet=False):
        station = self.internet if in_internet else self.host
        sh(*station.enter("sh", "-c", f"echo {value} > /proc/sys/{key.replace('.', '/')}", mounts=False))

    def on_host(self, *argv, **kw):
        """Runs a command on H. The CompletedProcess."""
        kw.setdefault("timeout", 60)
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.host.enter(*argv), capture_output=True, text=True, **kw)

    def oci_egress(self, *argv, **kw):
        return self.on_host(PROGRAM, *argv, **kw)

    def hook_args(self, stage):
        return ["oci-egress", "hook", stage, *self.places(), "--state", self.state, "--keeper", KEEPER]

    def places(self):
        return ["--policies", self.policies, "--run", self.run, "--log", self.log, "--config", self.path("config.json")]

    def status(self):
        """`oci-egress status`: a dictionary per container."""
        done = self.oci_egress("status", "--json", *self.places())
        if done.returncode:
            raise AssertionError(f"status: {done.stderr}")
        return {row["container"]: row for row in map(json.loads, done.stdout.splitlines())}

    def log_lines(self, container, wanted=1, timeout=5.0):
        """The container's log, waited for until it has that many lines."""
        def lines(text):
            complete = [json.loads(line) for line in text.split("\n")[:-1]]
            return complete if len(complete) >= wanted else None
        path = os.path.join(self.log, container + ".log")
        result = wait_file(path, lines, timeout)
        if result is None:
            raise AssertionError(f"{path} has not {wanted} lines after {timeout} s: {wait_file(path, str, 0)}")
        return result

    # -- what was seen, and what is left

    def seen(self):
        """Every packet so far that nobody had any business to send: of the Internet and of the host's own stack."""
        token = f"mark {next(number)}"
        self.host.mark(addr=GATEWAY, token=token)
        self.host.mark(addr="127.0.0.1", token=token)
        self.internet.await_mark(token=token)
        self.host.await_mark(token=token)
        internet, host = self.internet.seen(), self.host.seen()
        if internet["lost"] or host["lost"]:
            raise AssertionError("the sniffers were too slow: packets went by unseen")
        return internet["unexpected"], host["unexpected"]

    def processes(self):
        """Processes in H's network namespace that are not the test's own: "PID COMM: COMMAND"."""
        inode = os.stat(f"/proc/{self.host.pid}/ns/net").st_ino
        result = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino != inode or int(pid) == self.host.pid:
                    continue
                with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
                    text = file.read()
                if text[text.rindex(")") + 2] in "ZX":
                    continue
                with open(f"/proc/{pid}/cmdline", encoding="latin-1") as file:
                    command = file.read().replace("\0", " ").strip()
            except OSError:
                continue
            result[int(pid)] = f"{pid} {text[text.index('(') + 1:text.rindex(')')]}: {command}"
        return result

    def inventory(self):
        """Everything that a container must not leave behind on H."""
        host = f"/proc/{self.host.pid}"

        def table(name, keep=lambda fields: True):
            try:
                with open(f"{host}/net/{name}", encoding="latin-1") as file:
                    rows = [line.split() for line in file.readlines()[1:]]
            except FileNotFoundError:
                return set()
            return {f"{name}: {' '.join(row)}" for row in rows if keep(row)}

        items = {f"process: {p}" for p in self.processes().values()}
        with open(f"{host}/mountinfo", encoding="latin-1") as file:
            items |= {"mount: " + line.split(" - ")[0].split(" ", 2)[2] for line in file}
        for family in ("tcp", "tcp6"):  # listening, by address: closing states are the kernel's own
            items |= {" ".join(t.split()[:3]) for t in table(family, lambda row: row[3] == "0A")}
        items |= {" ".join(t.split()[:3]) for t in table("udp")}
        # Named or listening unix sockets; the test's own talk is in neither.
        items |= {"unix: " + t.split()[-1] for t in table("unix", lambda row: len(row) > 7)}
        items |= {f"link: {link}" for link in self.host_links()}
        items |= {"route: " + r for r in sh(*self.host.enter("ip", "route", "show", "table", "all", mounts=False)).splitlines()}
        items |= {"rule: " + r for r in sh(*self.host.enter("ip", "rule", mounts=False)).splitlines()}
        return items

    def host_links(self):
        return [link["ifname"] for link in json.loads(sh(*self.host.enter("ip", "-j", "link", mounts=False)))]

    def run_files(self):
        """But for compiled policies and merged profiles, which outlive containers."""
        return sorted(n for n in os.listdir(self.run) if n not in ("images", "profiles")) if os.path.isdir(self.run) else []

    def left(self, files=True):
        left = sorted(self.inventory() - self.before)
        if files:
            left += ["file: " + name for name in self.run_files()]
        return left

    def wait_clean(self, timeout=5.0, files=True):
        """Until nothing is left of any container. What is left all the same."""
        deadline = time.monotonic() + timeout
        while True:
            left = self.left(files)
            remaining = deadline - time.monotonic()
            if not left or remaining <= 0:
                return left
            fds = []
            for pid in self.processes():
                try:
                    fds.append(os.pidfd_open(pid))
                except ProcessLookupError:
                    pass
            with Watch(self.run) as watch:
                now = self.left(files)
                if now:  # not gone between looking and watching
                    readable(fds + [watch], deadline)
            for fd in fds:
                os.close(fd)

    @contextlib.contextmanager
    def containers_of_one_test(self):
        try:
            yield
        finally:
            for container in list(self.containers):
                container.destroy()

    def close(self):
        with self.containers_of_one_test():
            pass
        if self.stations:
            leftover = self.processes()
            for pid in leftover:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            wait_ended(leftover)
        for station in self.stations:
            station.close()
        for directory in (self.volatile, self.dir):
            shutil.rmtree(directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# -- containers

class Bundle:
    """A bundle in the world: runc's own spec, with changes. A container's id is its own."""

    spec = None

    def __init__(self, world, *, args=("/probe",), uid=0, caps=None, env=(), policy="veth", annotations=None, hooks=True,
                 no_new_privs=False, netns=None, edit=None, rootfs=None):
        self.world = world
        self.id = f"t{os.getpid()}-{next(number)}"
        self.dir = world.path("bundles", self.id)
        os.makedirs(self.dir)
        config = self.load_spec()
        process = config["process"]
        process.update({"terminal": False, "args": list(args), "user": {"uid": uid, "gid": uid}, "cwd": "/",
                        "env": ["PATH=/bin", "TERM=dumb", *env], "noNewPrivileges": no_new_privs})
        process.pop("rlimits", None)
        caps = DEFAULT_CAPS if caps is None else caps
        process["capabilities"] = {kind: list(caps) for kind in ("bounding", "effective", "permitted")}
        config["root"] = {"path": rootfs or world.rootfs, "readonly": False}
        config["hostname"] = "container"
        config["annotations"] = dict(annotations or {})
        if policy:
            config["annotations"]["oci-egress.policy"] = policy
        if netns:
            next(n for n in config["linux"]["namespaces"] if n["type"] == "network")["path"] = netns
        if hooks:
            config["hooks"] = {stage: [{"path": PROGRAM, "args": world.hook_args(stage), "timeout": 30}]
                               for stage in ("createRuntime", "poststop")}
        if edit:
            edit(config)
        self.config = config
        with open(os.path.join(self.dir, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file, indent=1)

    @classmethod
    def load_spec(cls):
        if cls.spec is None:
            with tempfile.TemporaryDirectory() as directory:
                sh("runc", "spec", "--bundle", directory)
                with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
                    cls.spec = file.read()
        return json.loads(cls.spec)


# crun refuses a hybrid cgroup tree: it gets the unified one, in a mount namespace of its own.
UNIFIED = ('mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && '
           'exec "$@"')


class Runtime:
    def __init__(self, world, name):
        self.world, self.name = world, name
        if not shutil.which(name):
            raise unittest.SkipTest(f"no {name}")
        self.root = os.path.join(world.volatile, "root-" + name)

    def command(self, *argv):
        command = [self.name, "--root", self.root]
        if self.name == "crun":
            command += ["--cgroup-manager=disabled"]
            if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
                command = ["unshare", "-m", "sh", "-c", UNIFIED, "sh"] + command
        return self.world.host.enter(*command, *argv)

    def call(self, *argv, timeout=60, **kw):
        """Runs the runtime to its end. The CompletedProcess."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=timeout, **kw)

    def run(self, bundle, timeout=60, **kw):
        """A whole container, from start to end. The CompletedProcess."""
        return self.call("run", "--bundle", bundle.dir, bundle.id, timeout=timeout, **kw)

    def start(self, bundle, **kw):
        """A container that runs, with a probe to talk to."""
        return Container(self, bundle, **kw)


class Talk:
    """A probe's stdin and stdout."""

    def __init__(self, argv, stderr):
        self.stderr = stderr
        with open(stderr, "wb") as file:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file)
        self.buffer = b""

    def ask(self, command, timeout=30.0):
        """Has the probe do something. What came of it."""
        self.send(command)
        return self.receive(command, timeout)

    def send(self, command):
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gone(f"{command}: {self.complaint()}") from None

    def receive(self, command="", timeout=30.0):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            if not readable([self.process.stdout], deadline):
                raise AssertionError(f"no answer to {command!r} after {timeout} s: {self.complaint()}")
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise Gone(f"{command}: {self.complaint()}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def complaint(self):
        with open(self.stderr, encoding="utf-8", errors="replace") as file:
            return file.read().strip()

    def end(self, timeout=10):
        """The end of its input, and its own. The exit status."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        status = self.process.wait(timeout)
        self.process.stdout.close()
        return status

    def drop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


class Container(Talk):
    """A container whose program is the probe. Made by `run` in the foreground; known to run when the probe answers."""

    def __init__(self, runtime, bundle):
        self.runtime, self.bundle, self.world, self.id = runtime, bundle, runtime.world, bundle.id
        self.talks = []
        self.netns = None
        pid_file = os.path.join(bundle.dir, "pid")
        with contextlib.suppress(FileNotFoundError):  # of the container that the bundle had before
            os.unlink(pid_file)
        super().__init__(runtime.command("run", "--pid-file", pid_file, "--bundle", bundle.dir, bundle.id),
                         os.path.join(bundle.dir, "stderr"))
        self.world.containers.append(self)
        try:
            self.ask("ids")
        except AssertionError:
            self.destroy()
            raise
        self.pid = int(wait_file(pid_file, lambda text: text.strip().isdigit() and text))
        self.netns = Netns(self.pid)

    def exec(self, *, caps=(), env=()):
        """Another probe in the container, by the runtime's exec: without our filter, without our environment."""
        flags = [f"--cap={c}" for c in caps] + [f"--env={variable}" for variable in env]
        talk = Talk(self.runtime.command("exec", *flags, self.id, "/probe"), os.path.join(self.bundle.dir, "exec-stderr"))
        self.talks.append(talk)
        return talk

    def status(self, field):
        """A field of init's /proc/PID/status."""
        with open(f"/proc/{self.pid}/status", encoding="latin-1") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(field + ":")), None)

    def keeper(self):
        """The pids of the keepers and workers in the world, by role."""
        roles = {"keeper": [], "worker": [], "tracer": []}
        for pid, text in self.world.processes().items():
            words = text.split(": ", 1)[1].split()
            role = words[1] if len(words) > 1 and "keeper" in words[0] else None
            if role in roles:
                roles[role].append(pid)
        return roles

    def kill(self, signum="KILL"):
        self.runtime.call("kill", self.id, signum)

    def end(self, timeout=10):
        status = super().end(timeout)
        self.forget()
        return status

    def forget(self):
        for talk in self.talks:
            talk.drop()
        if self.netns:
            self.netns.close()
        if self in self.world.containers:
            self.world.containers.remove(self)

    def destroy(self):
        """Whatever state it is in: away with it."""
        if self.process.poll() is None or os.path.isdir(os.path.join(self.runtime.root, self.id)):
            self.runtime.call("delete", "--force", self.id)
        self.drop()
        self.forget()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()


def each_runtime(test):
    """A test method that gets a runtime: run for each, in a subtest."""
    @functools.wraps(test)
    def run(self):
        for name in RUNTIMES:
            with self.subTest(runtime=name):
                with self.world.containers_of_one_test():
                    test(self, Runtime(self.world, name))
    return run


def each_link(test):
    """A test method that gets a runtime and a link (a policy's name): run for each, in a subtest."""
    @functools.wraps(test)
    def run(self):
        for name, link in itertools.product(RUNTIMES, LINKS):
            with self.subTest(runtime=name, link=link):
                with self.world.containers_of_one_test():
                    test(self, Runtime(self.world, name), link)
    return run


class WorldTest(unittest.TestCase):
    """A test in a world of its class's own."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        for program in (PROGRAM, KEEPER, PROBE) if cls.needs_product() else (PROBE,):
            if not os.access(program, os.X_OK):
                raise AssertionError(f"not built: {program} (OCI_EGRESS_BUILD)")
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    @classmethod
    def needs_product(cls):
        return True

    def assertNothingSeen(self, what=""):
        internet, host = self.world.seen()
        self.assertEqual(internet, [], f"seen on the Internet {what}")
        self.assertEqual(host, [], f"seen on the host {what}")

    def assertClean(self, timeout=5.0, files=True):
        self.assertEqual(self.world.wait_clean(timeout, files), [], f"left after {timeout} s")


def main():
    """unittest.main() for meson: 77 where all was skipped; a skip is a failure where OCI_EGRESS_MUST_RUN says so."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful() or (MUST_RUN and result.skipped):
        sys.exit(1)
    sys.exit(77 if result.testsRun == len(result.skipped) and result.skipped else 0)
