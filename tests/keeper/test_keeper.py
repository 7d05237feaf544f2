# SPDX-License-Identifier: Apache-2.0
"""The keeper's life: joins, commits, ends, deaths."""

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness
from harness import ControlError, KeeperTest, alive, until, wait_ended


def waits_for_lock(pid):
    """/proc/locks: a waiter is shown with an arrow behind its number."""
    with open("/proc/locks") as file:
        return any(line.split()[1:3] == ["->", "FLOCK"] and int(line.split()[5]) == pid for line in file)


class Life(KeeperTest):
    def test_serves_until_init_ends(self):
        keeper = self.keeper()
        container = keeper.begin()
        self.assertIn(b" 403 ", keeper.ask())
        status = keeper.status()
        self.assertEqual((status["state"], status["containers"], status["restarts"]), (harness.RUNNING, 1, 0))
        self.assertEqual(status["denied"], 1)
        worker = status["worker_pid"]
        container.kill()
        self.assertLess(self.assertEnded(keeper), 1)
        self.assertFalse(alive(worker))
        self.assertRefused(keeper.address)
        self.assertEqual(os.listdir(keeper.log), ["c1.log"])

    def test_connection_lost_before_commit(self):
        keeper = self.keeper()
        container = keeper.container("c1")
        keeper.take_lock()
        keeper.hook.join(container, keeper.image)
        keeper.hook.probe(keeper.address)
        worker = keeper.worker()
        keeper.hook.close()
        keeper.drop_lock()
        keeper.wait_end()
        self.assertFalse(alive(worker))
        self.assertEqual(os.listdir(keeper.run), ["c1.json"])  # the hook's own, whose init lives

    def test_hook_that_never_joins(self):
        keeper = self.keeper()
        keeper.hook.close()
        self.assertEnded(keeper)

    def test_second_container(self):
        keeper = self.keeper()
        first = keeper.begin()
        second = keeper.container("c2")
        control = keeper.connect()
        control.join(second, keeper.image)
        control.probe(keeper.address)
        control.commit()
        control.close()
        self.assertEqual(keeper.status()["containers"], 2)
        first.kill()
        until(lambda: os.listdir(keeper.run).count("c1.json") == 0, "c1.json unlinked")
        self.assertIn(b" 403 ", keeper.ask())
        self.assertEqual(keeper.status()["containers"], 1)
        second.kill()
        self.assertEnded(keeper)

    def test_another_policy(self):
        keeper = self.keeper()
        keeper.begin()
        other = keeper.compile({"allow": ["other.example"]}, "other")
        control = keeper.connect()
        with self.assertRaises(ControlError) as caught:
            control.join(keeper.container("c2"), other)
        self.assertTrue(caught.exception.closed)
        self.assertIn("another policy", caught.exception.text)
        control.close()
        os.close(other)
        self.assertEqual(keeper.status()["containers"], 1)

    def test_same_id_twice(self):
        keeper = self.keeper()
        keeper.begin()
        control = keeper.connect()
        with self.assertRaises(ControlError) as caught:
            control.join(keeper.container("c1"), keeper.image)
        self.assertTrue(caught.exception.closed)
        control.close()

    def test_twenty_at_once(self):
        keeper = self.keeper()
        first = keeper.begin()
        controls = [keeper.connect() for _ in range(20)]
        containers = [keeper.container("n%d" % i) for i in range(20)]
        for control, container in zip(controls, containers):
            control.send(harness.JOIN, container.id.encode(), fds=(container.pidfd, keeper.image))
        for control in controls:
            control.receive(harness.OK)
        socks = []
        for control in controls:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            control.send(harness.PROBE, value=sock.getsockname()[1])
            socks.append(sock)
        for control, sock in zip(controls, socks):
            control.receive(harness.OK)
            sock.connect(keeper.address)
            control.receive(harness.READY)
            sock.close()
        for control in controls[:10]:
            control.commit()
        for control in controls:
            control.close()
        until(lambda: keeper.status()["containers"] == 11, "ten not committed are taken back")
        for container in containers + [first]:
            container.kill()
        keeper.wait_end()
        self.assertEqual(keeper.exit_status, 0)

    def test_init_ends_before_commit(self):
        keeper = self.keeper()
        keeper.take_lock()
        container = keeper.container("c1")
        keeper.hook.join(container, keeper.image)
        keeper.hook.probe(keeper.address)
        container.kill()
        with self.assertRaises(ControlError) as caught:
            keeper.hook.commit()
        self.assertTrue(caught.exception.closed)
        keeper.hook.close()
        keeper.drop_lock()
        self.assertEnded(keeper)

    def test_record_of_the_next_of_that_id(self):
        """The next container of an id may have its record before the keeper has seen the last one's end."""
        keeper = self.keeper()
        container = keeper.begin()
        os.unlink(os.path.join(keeper.run, "c1.json"))
        with open(os.path.join(keeper.run, "c1.json"), "w"):
            pass
        container.kill()
        keeper.wait_end()
        self.assertEqual(os.listdir(keeper.run), ["c1.json"])

    def test_record_that_a_hook_writes_meanwhile(self):
        """Under the lock of the directory, as hooks do it: the keeper looks at a record and unlinks it, or neither."""
        keeper = self.keeper()
        container = keeper.begin()
        lock = os.open(keeper.run, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        container.kill()
        until(lambda: waits_for_lock(keeper.pid), "the keeper waits")
        draft = os.path.join(keeper.run, ".c1.new")
        with open(draft, "w"):
            pass
        os.rename(draft, os.path.join(keeper.run, "c1.json"))
        os.close(lock)
        keeper.wait_end()
        self.assertEqual(os.listdir(keeper.run), ["c1.json"])

    def test_probe_of_a_hook_that_died(self):
        """A connection from its port is not the hook's any more."""
        keeper = self.keeper()
        keeper.begin()
        control = keeper.connect()
        with socket.socket() as sock:
            sock.settimeout(harness.TIMEOUT)
            sock.bind(("127.0.0.1", 0))
            control.send(harness.PROBE, value=sock.getsockname()[1])
            control.receive(harness.OK)
            control.close()
            until(lambda: keeper.status()["containers"] == 1, "it has looked")
            sock.connect(keeper.address)
            sock.sendall(b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n")
            self.assertIn(b" 403 ", sock.recv(4096))

    def test_second_container_when_all_connections_are_taken(self):
        """A sibling that holds them all does not keep others from starting."""
        keeper = self.keeper({"allow": ["listed.example"], "limits": {"connections": 16}})
        keeper.begin()
        held = [socket.create_connection(keeper.address, timeout=harness.TIMEOUT) for _ in range(64)]
        for sock in held:
            sock.sendall(b"CONNECT ")
        until(lambda: keeper.status()["open"] == 16, "all taken")
        control = keeper.connect()
        control.join(keeper.container("c2"), keeper.image)
        control.probe(keeper.address)
        control.commit()
        control.close()
        self.assertEqual(keeper.status()["containers"], 2)
        for sock in held:
            sock.close()

    def test_leave_is_only_a_hint(self):
        keeper = self.keeper()
        keeper.begin()
        control = keeper.connect()
        control.leave("c1")
        self.assertEqual(control.status()["containers"], 1)
        control.close()

    def test_lock_held_by_a_hook(self):
        keeper = self.keeper()
        first = keeper.begin()
        keeper.take_lock()
        first.kill()
        until(lambda: not os.path.exists(os.path.join(keeper.run, "c1.json")), "c1.json unlinked")
        control = keeper.connect()
        second = keeper.container("c2")
        control.join(second, keeper.image)
        control.probe(keeper.address)
        control.commit()
        control.close()
        keeper.drop_lock()
        self.assertIn(b" 403 ", keeper.ask())
        second.kill()
        self.assertEnded(keeper)

    def test_lock_dropped_without_a_join(self):
        keeper = self.keeper()
        first = keeper.begin()
        keeper.take_lock()
        first.kill()
        until(lambda: not os.path.exists(os.path.join(keeper.run, "c1.json")), "c1.json unlinked")
        keeper.drop_lock()
        self.assertEnded(keeper, timeout=1)

    def test_not_a_request(self):
        keeper = self.keeper()
        keeper.begin()
        for send in (lambda c: c.sock.send(b"x"), lambda c: c.sock.send(b"x" * 9000), lambda c: c.send(harness.OK),
                     lambda c: c.send(harness.JOIN, b"c2"), lambda c: c.send(harness.LEAVE, b"../x"),
                     lambda c: c.send(harness.STATUS, fds=[0]), lambda c: c.send(harness.PROBE, value=65536)):
            control = keeper.connect()
            send(control)
            with self.assertRaises(ConnectionResetError):
                control.receive(harness.OK)
            control.close()
        self.assertEqual(keeper.status()["containers"], 1)

    def test_not_a_pidfd(self):
        keeper = self.keeper()
        with open("/dev/null") as null:
            keeper.hook.send(harness.JOIN, b"c1", fds=(null.fileno(), keeper.image))
            with self.assertRaises(ControlError):
                keeper.hook.receive(harness.OK)

    def test_log_that_is_a_symlink(self):
        keeper = self.keeper(before=lambda keeper: os.symlink("/etc/passwd", os.path.join(keeper.log, "c1.log")))
        with self.assertRaises(ControlError) as caught:
            keeper.hook.join(keeper.container("c1"), keeper.image)
            keeper.hook.probe(keeper.address)
        self.assertIn("c1.log", caught.exception.text)
        self.assertFalse(caught.exception.closed)


class Death(KeeperTest):
    def test_worker_killed(self):
        """The best of three counts: what a busy machine adds is not the keeper's."""
        keeper = self.keeper()
        keeper.begin()
        took = []
        for deaths in range(1, 4):
            worker = keeper.worker()
            os.kill(worker, signal.SIGKILL)
            start = time.monotonic()
            self.assertIn(b" 403 ", keeper.ask())
            took.append(time.monotonic() - start)
            status = keeper.status()
            self.assertNotEqual(status["worker_pid"], worker)
            self.assertEqual((status["restarts"], status["state"]), (deaths, harness.RUNNING))
        self.assertLess(min(took), float(os.environ.get("RESTART_SECONDS", "0.1")))

    def test_next_worker_has_a_layout_of_its_own(self):
        """The first is a copy of the keeper; what is learned from its death must not be true of the next."""
        def layout(pid):
            with open(f"/proc/{pid}/maps") as maps:
                return {line.split("-")[0] for line in maps if "oci-egress-keeper" in line or "[stack]" in line}
        keeper = self.keeper()
        keeper.begin()
        layouts = [layout(keeper.pid)]
        worker = keeper.worker()
        for _ in range(2):
            os.kill(worker, signal.SIGKILL)
            until(lambda: keeper.worker() not in (0, worker), "another worker")
            worker = keeper.worker()
            self.assertIn(b" 403 ", keeper.ask())
            layouts.append(layout(worker))
        for i, one in enumerate(layouts):
            self.assertTrue(one)
            for other in layouts[:i]:
                self.assertFalse(one & other)

    def test_none_refused_while_workers_die(self):
        """A tunnel that is carrying data when the worker dies is lost. Whoever connects from then on is served."""
        origin = Flood()
        self.addCleanup(origin.close)
        keeper = self.keeper({"allow": [origin.target], "networks": ["127.0.0.1"]})
        keeper.begin()
        slowest = []
        for _ in range(4):
            tunnel = origin.tunnel(keeper)
            worker = keeper.worker()
            pidfd = os.pidfd_open(worker)
            start = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            wait_ended(pidfd, "worker")  # until then it may have accepted one more
            os.close(pidfd)
            socks = [socket.create_connection(keeper.address, timeout=harness.TIMEOUT) for _ in range(50)]
            for sock in socks:
                sock.sendall(b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n")
            for sock in socks:
                self.assertIn(b" 403 ", sock.recv(4096))
            slowest.append(time.monotonic() - start)
            self.assertNotIn(keeper.worker(), (0, worker))
            for sock in socks:
                sock.close()
            with self.assertRaises(ConnectionResetError):
                while tunnel.recv(1 << 20):
                    pass
            tunnel.close()
        self.assertEqual(keeper.status()["restarts"], 4)
        # the best of them: what a busy machine adds is not the keeper's
        self.assertLess(min(slowest), float(os.environ.get("RESTART_SECONDS", "0.1")))

    def test_five_deaths(self):
        keeper = self.keeper()
        container = keeper.begin()
        worker = 0
        for _ in range(5):
            until(lambda: keeper.worker() != worker, "another worker")
            worker = keeper.worker()
            os.kill(worker, signal.SIGKILL)
        until(lambda: keeper.status()["state"] == harness.FAILED, "failed")
        self.assertRefused(keeper.address)
        control = keeper.connect()
        with self.assertRaises(ControlError) as caught:
            control.join(keeper.container("c2"), keeper.image)
        self.assertTrue(caught.exception.closed)
        self.assertIn("died 5 times", caught.exception.text)
        control.close()
        container.kill()
        keeper.wait_end()

    def test_keeper_killed(self):
        keeper = self.keeper()
        keeper.begin()
        worker = os.pidfd_open(keeper.worker())
        with socket.create_connection(keeper.address, timeout=harness.TIMEOUT) as stalled:
            os.kill(keeper.pid, signal.SIGKILL)
            self.assertLess(wait_ended(worker, "worker", 1), 1)
            with self.assertRaises(ConnectionResetError):
                stalled.recv(1)
        self.assertRefused(keeper.address)
        os.close(worker)

    def test_dead_workers_connections_are_logged(self):
        keeper = self.keeper()
        keeper.begin()
        with socket.create_connection(keeper.address, timeout=harness.TIMEOUT) as sock:
            sock.sendall(b"CONNECT listed.example:443 HTTP/1.1\r\n")
            until(lambda: keeper.status()["open"] == 1, "accepted")
            worker = keeper.worker()
            os.kill(worker, signal.SIGKILL)
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        until(lambda: keeper.worker() not in (0, worker), "another worker")
        with open(os.path.join(keeper.log, "c1.log")) as log:
            lines = log.read().splitlines()
        self.assertEqual(len(lines), 1)
        self.assertIn('"reason":"worker-died"', lines[0])
        status = keeper.status()
        self.assertEqual((status["open"], status["accepted"], status["failed"]), (0, 1, 1))

    def test_listener_destroyed(self):
        """By a container with NET_ADMIN, ss(8) -K: no worker could serve it any more."""
        keeper = self.keeper()
        keeper.begin()
        worker = keeper.worker()
        listener = ["-H", "-l", "-t", "sport", "=", ":%d" % keeper.address[1]]
        subprocess.run(["ss", "-K", *listener], check=True, stdout=subprocess.DEVNULL)
        if subprocess.run(["ss", *listener], check=True, stdout=subprocess.PIPE).stdout:
            self.skipTest("the kernel has no CONFIG_INET_DIAG_DESTROY")
        until(lambda: keeper.status()["state"] == harness.FAILED, "failed")
        status = keeper.status()
        self.assertEqual((status["restarts"], status["worker_pid"]), (0, 0))
        self.assertFalse(alive(worker))
        control = keeper.connect()
        with self.assertRaises(ControlError) as caught:
            control.join(keeper.container("c2"), keeper.image)
        self.assertIn("the listener was closed", caught.exception.text)
        control.close()

    def test_small_files_only(self):
        """A limit that the runtime has: an error, not SIGXFSZ."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
        keeper = self.keeper({"allow": ["listed.example"], "limits": {"connections": 1000}},
                             before=lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard)))
        with self.assertRaises(ControlError) as caught:
            keeper.hook.join(keeper.container("c1"), keeper.image)
            keeper.hook.probe(keeper.address)
        self.assertIn("scoreboard", caught.exception.text)


class Log(KeeperTest):
    policy = {"allow": ["listed.example"], "limits": {"log_bytes": 65536}}

    def test_rotates(self):
        keeper = self.keeper()
        keeper.begin()
        asked = 0
        while not os.path.exists(os.path.join(keeper.log, "c1.log.1")):
            self.assertLess(asked, 1000)
            self.assertIn(b" 403 ", keeper.ask())
            asked += 1
        status = keeper.status()
        until(lambda: sum(len(self.lines(keeper, name)) for name in ("c1.log.1", "c1.log")) == asked, "all lines there")
        self.assertEqual((status["lines_lost"], status["restarts"]), (0, 0))
        self.assertLessEqual(os.stat(os.path.join(keeper.log, "c1.log.1")).st_size, 65536)

    def test_stays_bounded_while_workers_die(self):
        """Each leaves the lines of as many connections as it may have; their sum is not the log's size."""
        policy = {"allow": ["listed.example"], "limits": {"log_bytes": 65536, "connections": 400}}
        keeper = self.keeper(policy)
        keeper.begin()
        largest = 0
        for _ in range(4):
            worker = keeper.worker()
            socks = [socket.create_connection(keeper.address, timeout=harness.TIMEOUT) for _ in range(300)]
            until(lambda: keeper.status()["open"] == 300, "300 open")
            os.kill(worker, signal.SIGKILL)
            for sock in socks:
                with self.assertRaises(ConnectionResetError):
                    sock.recv(1)
                sock.close()
            until(lambda: keeper.worker() not in (0, worker), "another worker")
            largest = max([largest] + [self.size(keeper, name) for name in os.listdir(keeper.log)])
        self.assertGreater(largest, 300 * 100)  # they were written
        self.assertLess(largest, 65536 + 300 * 400)

    @staticmethod
    def size(keeper, name="c1.log"):
        return os.stat(os.path.join(keeper.log, name)).st_size

    @staticmethod
    def lines(keeper, name):
        with open(os.path.join(keeper.log, name)) as file:
            return [json.loads(line) for line in file]


class Flood:
    """An origin that sends to its one client without end."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.target = "127.0.0.1:%d" % self.sock.getsockname()[1]

    def tunnel(self, keeper):
        """A client that has had some of it."""
        client = socket.create_connection(keeper.address, timeout=harness.TIMEOUT)
        target = self.target.encode()
        client.sendall(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target))
        threading.Thread(target=self.send, daemon=True).start()
        got = b""
        while b"\r\n\r\n" not in got or got.endswith(b"\r\n\r\n"):
            more = client.recv(65536)
            if not more:
                raise AssertionError("no tunnel: %r" % got)
            got += more
        if b" 200 " not in got.split(b"\r\n")[0]:
            raise AssertionError("no tunnel: %r" % got)
        return client

    def send(self):
        with self.sock.accept()[0] as sock:
            try:
                while True:
                    sock.sendall(bytes(65536))
            except OSError:
                pass

    def close(self):
        self.sock.close()


class NameServer(threading.Thread):
    """Knows no name, and keeps the ids of those who ask."""

    def __init__(self):
        super().__init__()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 53))
        self.ids = []

    def run(self):
        while True:
            query, client = self.sock.recvfrom(4096)
            if query == b"end":
                return
            self.ids.append(int.from_bytes(query[:2], "big"))
            self.sock.sendto(query[:2] + b"\x81\x83" + query[4:6] + b"\0" * 6 + query[12:], client)

    def take(self):
        ids, self.ids = self.ids, []
        return ids

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", ("127.0.0.1", 53))
        self.join()
        self.sock.close()


class QueryIds(KeeperTest):
    policy = {"allow": ["*.listed.example"]}

    def ask_names(self, keeper):
        for i in range(4):
            name = b"n%d.listed.example:443" % i
            self.assertIn(b" 502 ", keeper.ask(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (name, name)))

    def test_no_two_workers_send_the_same(self):
        server = NameServer()
        server.start()
        self.addCleanup(server.close)
        sequences = []
        for i in range(3):
            keeper = self.keeper(key=str(i))
            keeper.begin()
            self.ask_names(keeper)
            sequences.append(server.take())
            worker = keeper.worker()
            os.kill(worker, signal.SIGKILL)
            until(lambda: keeper.worker() not in (0, worker), "another worker")
            self.ask_names(keeper)
            sequences.append(server.take())
        self.assertGreaterEqual(min(len(sequence) for sequence in sequences), 4)
        for i, sequence in enumerate(sequences):
            for other in sequences[:i]:
                self.assertNotEqual(sequence[:4], other[:4])


class Privilege(KeeperTest):
    def status_of(self, pid):
        with open("/proc/%d/status" % pid) as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

    def test_keeper(self):
        keeper = self.keeper()
        keeper.begin()
        status = self.status_of(keeper.pid)
        want = "%016x" % sum(1 << cap for cap in (5, 6, 7, 18))  # KILL SETGID SETUID SYS_CHROOT
        for name in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(status[name], want, name)
        self.assertEqual((status["CapInh"], status["CapAmb"], status["NoNewPrivs"]), ("0" * 16, "0" * 16, "1"))

    def test_worker(self):
        keeper = self.keeper()
        keeper.begin()
        worker = keeper.worker()
        status = self.status_of(worker)
        uid = str(0x70000000 + keeper.pid)
        self.assertEqual(status["Uid"].split(), [uid] * 4)
        self.assertEqual(status["Gid"].split(), [uid] * 4)
        self.assertEqual(status["Groups"].strip(), "")
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(status[name], "0" * 16, name)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(os.listdir("/proc/%d/root" % worker), [])
        self.assertEqual(os.stat("/proc/%d/environ" % worker).st_uid, 0)  # not dumpable: proc(5)
        with open("/proc/%d/environ" % worker) as file:
            self.assertEqual(file.read(), "")


if __name__ == "__main__":
    harness.main()
