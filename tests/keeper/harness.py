# SPDX-License-Identifier: Apache-2.0
"""A keeper without a hook: the descriptors of proxy/keeper.h, a listener on the loopback of a network namespace of the
test's own, sleeping children as containers' inits."""

import atexit
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

JOIN, PROBE, COMMIT, LEAVE, STATUS, OK, READY, ERROR, LISTEN, RELOAD, RELOADED, RESTART = range(1, 13)
STARTING, RUNNING, FAILED = range(1, 4)
MESSAGE = struct.Struct("=IiII1536s")
STATUS_FIELDS = struct.Struct("=IIiiII7QQqII512s")
STATUS_NAMES = ("state containers worker_pid external_pid restarts open accepted allowed denied failed bytes_up "
                "bytes_down lines_lost version version_since reloads needs reload_error").split()
TIMEOUT = 10
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
RESOLV_CONF = "nameserver 127.0.0.1\n"

PROGRAM = COMPILE = OCI_EGRESS = None
libc = ctypes.CDLL(None, use_errno=True)


def main():
    """Called by each test file: takes the programs off the command line and a network namespace of its own."""
    global PROGRAM, COMPILE, OCI_EGRESS
    PROGRAM, COMPILE, OCI_EGRESS = (os.path.abspath(p) for p in sys.argv[1:4])
    del sys.argv[1:4]
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    own_etc()
    unittest.main(verbosity=2)


def own_etc():
    """A directory of the test's own for /etc: keepers follow what is in it."""
    etc = tempfile.mkdtemp(prefix="oci-egress-etc-")
    atexit.register(shutil.rmtree, etc)
    os.chmod(etc, 0o755)
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime"):
        if os.path.exists("/etc/" + name):
            shutil.copy("/etc/" + name, etc)
    with open(os.path.join(etc, "resolv.conf"), "w") as file:
        file.write(RESOLV_CONF)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", etc, "/etc"], check=True)


def until(condition, what, timeout=TIMEOUT):
    """Polls what the kernel has no event for: files of others that go, processes that are nobody's children."""
    end = time.monotonic() + timeout
    poller = select.poll()
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within %s s: %s" % (timeout, what))
        poller.poll(2)


def wait_ended(pidfd, what, timeout=TIMEOUT):
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    start = time.monotonic()
    if not poller.poll(timeout * 1000):
        raise AssertionError("not within %s s: end of %s" % (timeout, what))
    return time.monotonic() - start


class ControlError(Exception):
    def __init__(self, code, closed, text):
        super().__init__(text)
        self.code, self.closed, self.text = code, closed, text


class Control:
    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(TIMEOUT)

    def send(self, kind, text=b"", value=0, fds=()):
        message = MESSAGE.pack(kind, 0, value, 0, text)
        if fds:
            socket.send_fds(self.sock, [message], list(fds))
        else:
            self.sock.send(message)

    def receive(self, kind):
        data = self.sock.recv(4096)
        if not data:
            raise ConnectionResetError("the keeper has ended")
        got, code, self.value, closed, text = MESSAGE.unpack(data)
        if got == ERROR:
            raise ControlError(code, bool(closed), text.split(b"\0")[0].decode())
        assert got == kind, (got, kind)
        return text

    def join(self, container, image, name=None):
        self.send(JOIN, (name or container.id).encode(), fds=(container.pidfd, image))
        self.receive(OK)

    def probe(self, address):
        """The hook's part of it: returns when the worker has seen the connection."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.send(PROBE, value=sock.getsockname()[1])
            self.receive(OK)
            sock.connect(address)
            self.receive(READY)

    def commit(self):
        self.send(COMMIT)
        self.receive(OK)

    def leave(self, name):
        self.send(LEAVE, name.encode())
        self.receive(OK)

    def status(self):
        self.send(STATUS)
        text = self.receive(STATUS)
        return dict(zip(STATUS_NAMES, STATUS_FIELDS.unpack(text[:STATUS_FIELDS.size])))

    def reload(self):
        """Returns whether the policy is another than before."""
        self.send(RELOAD)
        self.receive(RELOADED)
        return bool(self.value)

    def restart(self, program=None):
        fd = os.open(program or PROGRAM, os.O_PATH)
        self.send(RESTART, fds=(fd,))
        os.close(fd)
        self.receive(OK)

    def close(self):
        self.sock.close()


class Container:
    """An init: a process that sleeps until it is killed."""

    def __init__(self, name):
        self.id = name
        self.process = subprocess.Popen(["sleep", "1000"])
        self.pidfd = os.pidfd_open(self.process.pid)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        os.close(self.pidfd)


def memfd(name, data):
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


class Keeper:
    def __init__(self, policy, key="4711", home=False, before=None, shared=None, compiler=None):
        self.key = key
        self.dir = tempfile.mkdtemp(prefix="oci-egress-keeper-")
        os.chmod(self.dir, 0o755)
        self.run, self.log, self.home = (os.path.join(self.dir, d) for d in ("run", "log", "home"))
        self.policies = os.path.join(self.dir, "policies")
        if shared:  # another keeper of the same host
            self.run, self.policies = shared.run, shared.policies
        for path in (self.run, self.log, self.home, self.policies):
            os.makedirs(path, 0o700, exist_ok=True)
        self.compiler = compiler or OCI_EGRESS
        self.image = self.compile(policy)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.lock = None
        self.hook = None
        self.pid = 0
        self.containers = []
        if before:
            before(self)
        self.start(home)

    def write(self, policy, name="test"):
        """Replaces the policy's file. What is no text already becomes JSON."""
        path = os.path.join(self.policies, name + ".json")
        with open(path + ".new", "w") as file:
            file.write(policy if isinstance(policy, str) else json.dumps(policy))
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)
        return path

    def stamp(self, name="test"):
        """oci/stamp.h"""
        st = os.stat(os.path.join(self.policies, name + ".json"))
        return "-".join("%x" % n for n in (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns))

    def compile(self, policy, name="test"):
        path = self.write(policy, name)
        out = subprocess.run([COMPILE, path, name], stdout=subprocess.PIPE, check=True).stdout
        return memfd("image", out)

    def take_lock(self):
        self.lock = os.open(os.path.join(self.run, self.key + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def drop_lock(self):
        if self.lock is not None:
            os.close(self.lock)
        self.lock = None

    def start(self, home):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        control.bind(os.path.join(self.run, self.key + ".sock"))
        control.listen(64)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = os.path.join(self.run, "root")
        os.mkdir(root, 0o500)
        opened = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (self.run, self.log, root)]
        os.rmdir(root)
        program = os.open(PROGRAM, os.O_PATH)
        compiler = os.open(self.compiler, os.O_PATH)
        resolv = memfd("resolv.conf", RESOLV_CONF.encode())
        home_fd = None
        if home:
            os.chmod(self.home, 0o755)
            shutil.chown(self.home, "nobody")
            home_fd = os.open(self.home, os.O_PATH | os.O_DIRECTORY)
        fds = [None, control.fileno(), theirs.fileno(), opened[0], opened[1], self.image, resolv,
               None, opened[2], program, home_fd, compiler]

        high = [None if fd is None else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
        null = os.open("/dev/null", os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, 3 + i) if fd is not None else (os.POSIX_SPAWN_CLOSE, 3 + i)
                    for i, fd in enumerate(high)]
        for i, fd in enumerate(high):  # POSIX_SPAWN_CLOSE of a number that is not open fails
            if fd is None:
                actions.insert(2, (os.POSIX_SPAWN_DUP2, null, 3 + i))
        self.pid = os.posix_spawn(PROGRAM, ["oci-egress-keeper", "keeper", self.key, "c1", self.stamp(),
                                            "closed"], {}, file_actions=actions,
                                  setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])  # Python ignores them
        self.pidfd = os.pidfd_open(self.pid)
        for fd in [fd for fd in high if fd is not None] + opened + [program, compiler, resolv, null]:
            os.close(fd)
        if home_fd is not None:
            os.close(home_fd)
        control.close()
        theirs.close()
        self.hook = Control(ours)
        self.hook.send(LISTEN, fds=(self.listener.fileno(),))
        self.listener.close()

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(TIMEOUT)
        sock.connect(os.path.join(self.run, self.key + ".sock"))
        return Control(sock)

    def container(self, name):
        container = Container(name)
        self.containers.append(container)
        with open(os.path.join(self.run, name + ".json"), "w"):
            pass
        return container

    def begin(self, name="c1"):
        """A whole start, as a hook does it."""
        self.take_lock()
        container = self.container(name)
        self.hook.join(container, self.image)
        self.hook.probe(self.address)
        self.hook.commit()
        self.hook.close()
        self.drop_lock()
        return container

    def status(self):
        control = self.connect()
        try:
            return control.status()
        finally:
            control.close()

    def worker(self):
        return self.status()["worker_pid"]

    def ask(self, request=b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n"):
        """One request; returns the whole answer."""
        with socket.create_connection(self.address, timeout=TIMEOUT) as sock:
            sock.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = sock.recv(4096)
                if not more:
                    break
                answer += more
            return answer

    def wait_end(self, timeout=TIMEOUT):
        took = wait_ended(self.pidfd, "keeper", timeout)
        self.exit_status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return took

    def close(self):
        self.drop_lock()
        if self.hook:
            self.hook.close()
        for container in self.containers:
            container.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        os.close(self.image)
        shutil.rmtree(self.dir)


class KeeperTest(unittest.TestCase):
    policy = {"allow": ["listed.example"]}
    home = False

    def keeper(self, policy=None, **more):
        keeper = Keeper(policy or self.policy, home=self.home, **more)
        self.addCleanup(keeper.close)
        return keeper

    def assertEnded(self, keeper, timeout=TIMEOUT):
        took = keeper.wait_end(timeout)
        self.assertEqual(keeper.exit_status, 0)
        self.assertEqual(os.listdir(keeper.run), [])
        return took

    def assertRefused(self, address):
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(address, timeout=TIMEOUT).close()


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
