# SPDX-License-Identifier: Apache-2.0
"""External proxies: their start, their user, their end."""

import ast
import os
import signal
import socket
import sys
import tempfile
import textwrap
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness
from harness import ControlError, KeeperTest, alive, until

NOBODY = 65534
PYTHON = "/usr/bin/python3"  # one that nobody may run

# Listens, says who it is to whoever connects, and otherwise does as it is told.
COMMAND = textwrap.dedent("""
    import os, signal, socket, sys, time
    for word in sys.argv[1:]:
        if word == "ignore-term":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if word == "daemonise":
            if os.fork():
                os._exit(0)
            os.setsid()
            if os.fork():
                os._exit(0)
        if word == "children":
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    while True:
                        signal.pause()
        if word == "exit":
            sys.exit(7)
        if word == "never-bind":
            signal.pause()
    host = os.environ["OCI_EGRESS_PROXY_HOST"]
    six = [word for word in sys.argv[1:] if word in ("dual", "v6only")]
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if six:
        host = "::"
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, six == ["v6only"])
    sock.bind((host, int(os.environ["OCI_EGRESS_PROXY_PORT"])))
    sock.listen()
    while True:
        connection, _ = sock.accept()
        say = dict(os.environ, uid=os.getuid(), euid=os.geteuid(), gid=os.getgid(), groups=os.getgroups(),
                   cwd=os.getcwd(), argv=sys.argv[1:], fds=sorted(map(int, os.listdir("/proc/self/fd"))))
        connection.sendall(repr(say).encode())
        connection.close()
    """)


class External(KeeperTest):
    home = True

    def policy_of(self, *words, **more):
        return {"startup_timeout_ms": more.pop("startup_timeout_ms", 5000),
                "proxy": dict({"command": [PYTHON, "-c", COMMAND, *words], "user": "nobody"}, **more)}

    def processes(self, keeper):
        """All processes of the keeper's external proxy: those whose PID namespace is its init's."""
        namespace = os.readlink("/proc/%d/ns/pid" % keeper.status()["external_pid"])
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink("/proc/%s/ns/pid" % pid) == namespace:
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def said(self, keeper):
        with socket.create_connection(keeper.address, timeout=harness.TIMEOUT) as sock:
            data = b""
            while more := sock.recv(4096):
                data += more
        return ast.literal_eval(data.decode())

    def failure(self, policy):
        keeper = self.keeper(policy)
        keeper.take_lock()
        with self.assertRaises(ControlError) as caught:
            keeper.hook.join(keeper.container("c1"), keeper.image)
            keeper.hook.probe(keeper.address)
        self.assertFalse(caught.exception.closed)
        self.assertEqual(keeper.status()["external_pid"], 0)
        keeper.hook.close()
        keeper.drop_lock()
        keeper.wait_end()
        return caught.exception

    def test_carries(self):
        keeper = self.keeper(self.policy_of("at={host}:{port}", "{ports}"))
        container = keeper.begin()
        said = self.said(keeper)
        port = said.pop("OCI_EGRESS_PROXY_PORT")
        self.assertEqual(said.pop("argv"), ["at=127.0.0.1:" + port, "{ports}"])
        self.assertEqual((said.pop("uid"), said.pop("euid"), said.pop("gid")), (NOBODY, NOBODY, NOBODY))
        self.assertEqual(said.pop("groups"), [])
        self.assertEqual(said.pop("cwd"), keeper.home)
        fds = said.pop("fds")
        self.assertEqual(fds[:3], [0, 1, 2])
        self.assertLessEqual(len(fds), 6)  # its own socket, connection and directory
        self.assertEqual(said.pop("HOME"), keeper.home)
        self.assertEqual((said.pop("USER"), said.pop("LOGNAME")), ("nobody", "nobody"))
        self.assertEqual(said.pop("OCI_EGRESS_PROXY_HOST"), "127.0.0.1")
        self.assertTrue(said.pop("PATH"))
        said.pop("LC_CTYPE", None)  # Python's own
        self.assertEqual(said, {})
        processes = self.processes(keeper)
        self.assertEqual(len(processes), 2)
        container.kill()
        self.assertEnded(keeper)
        self.assertEqual([pid for pid in processes if alive(pid)], [])

    def test_never_binds(self):
        failed = self.failure(self.policy_of("never-bind", startup_timeout_ms=300))
        self.assertIn("does not listen on 127.0.0.1:", failed.text)

    def test_every_address_of_both_families(self):
        keeper = self.keeper(self.policy_of("dual"))
        keeper.begin()
        self.assertEqual(self.said(keeper)["argv"], ["dual"])

    def test_every_address_of_ipv6_only(self):
        """Listens, but not where the worker connects to."""
        failed = self.failure(self.policy_of("v6only", startup_timeout_ms=500))
        self.assertIn("does not listen on 127.0.0.1:", failed.text)

    def test_ipv6_only_and_somebody_else(self):
        """Whoever has the port on 127.0.0.1 would get the container's bytes."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        keeper = self.keeper(self.policy_of("v6only", port=port, startup_timeout_ms=1000))
        keeper.hook.join(keeper.container("c1"), keeper.image)
        until(lambda: keeper.status()["external_pid"] != 0, "started")
        with socket.create_server(("127.0.0.1", port)):
            with self.assertRaises(ControlError) as caught:
                keeper.hook.probe(keeper.address)
        self.assertIn("does not listen", caught.exception.text)

    def test_exits_at_once(self):
        self.assertIn("ended with status 7", self.failure(self.policy_of("exit")).text)

    def test_no_such_command(self):
        policy = self.policy_of()
        policy["proxy"]["command"] = ["/usr/bin/oci-egress-no-such-proxy"]
        self.assertIn("not found", self.failure(policy).text)

    def test_no_such_user(self):
        self.assertIn("no-such-user", self.failure(self.policy_of(user="no-such-user")).text)

    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            failed = self.failure(self.policy_of(port=port))
        self.assertIn(str(port), failed.text)

    def test_somebody_else_listens(self):
        """The port answers, but it is not the command's."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        keeper = self.keeper(self.policy_of("never-bind", port=port, startup_timeout_ms=1000))
        keeper.hook.join(keeper.container("c1"), keeper.image)
        until(lambda: keeper.status()["external_pid"] != 0, "started")
        with socket.create_server(("127.0.0.1", port)):
            with self.assertRaises(ControlError) as caught:
                keeper.hook.probe(keeper.address)
        self.assertIn("does not listen", caught.exception.text)

    def test_init_ends_while_it_is_slow(self):
        """Whoever waits for a proxy hears at once that its container has ended, not when the proxy's time is up."""
        keeper = self.keeper(self.policy_of("never-bind", startup_timeout_ms=60000))
        container = keeper.container("c1")
        keeper.hook.join(container, keeper.image)
        keeper.hook.send(harness.PROBE, value=12345)
        until(lambda: keeper.status()["external_pid"] != 0, "started")
        container.kill()
        with self.assertRaises(ControlError) as caught:
            keeper.hook.receive(harness.OK)
        self.assertTrue(caught.exception.closed)
        self.assertIn("has ended", caught.exception.text)
        keeper.hook.close()
        self.assertEnded(keeper)

    def test_ignores_term(self):
        keeper = self.keeper(self.policy_of("ignore-term", stop_timeout_ms=300))
        container = keeper.begin()
        processes = self.processes(keeper)
        container.kill()
        self.assertEnded(keeper)
        self.assertEqual([pid for pid in processes if alive(pid)], [])

    def test_children(self):
        keeper = self.keeper(self.policy_of("children", stop_timeout_ms=300))
        container = keeper.begin()
        processes = self.processes(keeper)
        self.assertEqual(len(processes), 5)
        container.kill()
        self.assertEnded(keeper)
        self.assertEqual([pid for pid in processes if alive(pid)], [])

    def test_daemonises(self):
        keeper = self.keeper(self.policy_of("daemonise"))
        container = keeper.begin()
        self.assertEqual(self.said(keeper)["uid"], NOBODY)
        processes = self.processes(keeper)
        container.kill()
        self.assertEnded(keeper)
        self.assertEqual([pid for pid in processes if alive(pid)], [])

    def test_keeper_killed(self):
        keeper = self.keeper(self.policy_of("children", "ignore-term"))
        keeper.begin()
        processes = self.processes(keeper)
        os.kill(keeper.pid, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in processes), "all of it gone", 1)

    def test_dies(self):
        keeper = self.keeper(self.policy_of())
        keeper.begin()
        for pid in self.processes(keeper):
            if pid != keeper.status()["external_pid"]:
                os.kill(pid, signal.SIGKILL)
        until(lambda: keeper.status()["state"] == harness.FAILED, "failed")
        self.assertRefused(keeper.address)
        self.assertEqual(keeper.status()["worker_pid"], 0)

    def test_capabilities(self):
        keeper = self.keeper(self.policy_of())
        keeper.begin()
        for pid in self.processes(keeper):
            with open("/proc/%d/status" % pid) as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(status[name], "0" * 16, name)
            self.assertEqual(status["NoNewPrivs"], "1")

    def test_tinyproxy(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write("Port %d\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 8\n" % port)
            conf.flush()
            os.chmod(conf.name, 0o644)
            keeper = self.keeper({"proxy": {"command": ["/usr/bin/tinyproxy", "-d", "-c", conf.name], "port": port,
                                            "user": "nobody"}})
            container = keeper.begin()
            with socket.create_server(("127.0.0.1", 0)) as origin:
                threading.Thread(target=self.serve_once, args=[origin]).start()
                answer = keeper.ask(b"GET http://127.0.0.1:%d/ HTTP/1.0\r\n\r\n" % origin.getsockname()[1])
            self.assertIn(b"200 OK", answer)
            processes = self.processes(keeper)
            container.kill()
            self.assertEnded(keeper)
            self.assertEqual([pid for pid in processes if alive(pid)], [])

    @staticmethod
    def serve_once(origin):
        connection, _ = origin.accept()
        with connection:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")


if __name__ == "__main__":
    harness.main()
