# SPDX-License-Identifier: Apache-2.0
"""A keeper that follows its policy's file, and the host's resolv.conf and hosts."""

import fcntl
import glob
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

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness
from harness import ControlError, KeeperTest, until

LOOPBACK = {"networks": ["127.0.0.0/8"]}


def connect(host, port):
    return ("CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host, port, host, port)).encode()


def head(sock):
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = sock.recv(4096)
        if not more:
            break
        answer += more
    return answer


class Origin:
    """Echoes, on 127.0.0.1."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.accepted = 0
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def serve(self, sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except OSError:
                pass

    def run(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


class ReloadTest(KeeperTest):
    policy = {"allow": ["one.example"]}

    def setUp(self):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.write_hosts("127.0.0.1 one.example two.example\n")

    def write_hosts(self, text):
        with open("/etc/hosts.new", "w") as file:
            file.write(text)
        os.rename("/etc/hosts.new", "/etc/hosts")

    def rules(self, *names, **more):
        return {"allow": ["%s:%d" % (name, self.origin.port) for name in names], "sni": "off", **LOOPBACK, **more}

    def begin(self, policy):
        keeper = self.keeper(policy)
        keeper.begin()
        self.reload(keeper)  # it has looked at hosts
        return keeper

    def reload(self, keeper):
        control = keeper.connect()
        try:
            return control.reload()
        finally:
            control.close()

    def answer(self, keeper, name):
        return keeper.ask(connect(name, self.origin.port)).split(b" ")[1]

    def tunnel(self, keeper, name):
        sock = socket.create_connection(keeper.address, timeout=harness.TIMEOUT)
        self.addCleanup(sock.close)
        sock.sendall(connect(name, self.origin.port))
        self.assertIn(b" 200 ", head(sock))
        self.echo(sock)
        return sock

    def echo(self, sock):
        sock.sendall(b"ping")
        self.assertEqual(sock.recv(4, socket.MSG_WAITALL), b"ping")

    def lines(self, keeper):
        with open(os.path.join(keeper.log, "c1.log")) as file:
            return [json.loads(line) for line in file]

    def error(self, keeper):
        return keeper.status()["reload_error"].split(b"\0")[0].decode()


class Reload(ReloadTest):
    def test_a_new_file_holds_by_itself(self):
        keeper = self.begin(self.rules("one.example"))
        before = keeper.status()
        self.assertEqual(self.answer(keeper, "two.example"), b"403")
        keeper.write(self.rules("two.example"))
        until(lambda: self.answer(keeper, "two.example") == b"200", "the new policy to hold")
        self.assertEqual(self.answer(keeper, "one.example"), b"403")
        after = keeper.status()
        self.assertNotEqual(before["version"], after["version"])
        self.assertEqual((before["reloads"], after["reloads"]), (0, 1))
        self.assertEqual(before["worker_pid"], after["worker_pid"])
        self.assertEqual(after["needs"], 0)
        event = [line for line in self.lines(keeper) if "event" in line]
        self.assertEqual([(line["event"], line["version"]) for line in event],
                         [("reloaded", "%016x" % after["version"])])

    def test_a_file_written_in_place(self):
        keeper = self.begin(self.rules("one.example"))
        with open(os.path.join(keeper.policies, "test.json"), "w") as file:
            file.write(json.dumps(self.rules("two.example")))
        until(lambda: self.answer(keeper, "two.example") == b"200", "the new policy to hold")

    def test_a_directory_that_is_replaced(self):
        keeper = self.begin(self.rules("one.example"))
        os.rename(keeper.policies, keeper.policies + ".old")
        os.mkdir(keeper.policies, 0o700)
        keeper.write(self.rules("two.example"))
        until(lambda: self.answer(keeper, "two.example") == b"200", "the new policy to hold")
        keeper.write(self.rules("one.example"))
        until(lambda: self.answer(keeper, "two.example") == b"403", "the next one to hold")

    def test_asked_for(self):
        keeper = self.begin(self.rules("one.example"))
        self.assertFalse(self.reload(keeper))
        keeper.write(self.rules("two.example"))
        changed = self.reload(keeper)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")  # whoever was first, it holds now
        self.assertEqual(keeper.status()["reloads"], 1)
        self.assertIn(changed, (True, False))
        self.assertFalse(self.reload(keeper))

    def test_tunnels_end(self):
        keeper = self.begin(self.rules("one.example", "two.example"))
        one, two = self.tunnel(keeper, "one.example"), self.tunnel(keeper, "two.example")
        keeper.write(self.rules("two.example"))
        self.reload(keeper)
        with self.assertRaises(ConnectionResetError):
            one.recv(1)
        self.echo(two)
        ended = [line for line in self.lines(keeper) if line.get("reason") == "policy-changed"]
        self.assertEqual([(line["host"], line["verdict"], line["rule"]) for line in ended],
                         [("one.example", "allowed", "one.example:%d" % self.origin.port)])
        self.assertEqual([line["ended"] for line in self.lines(keeper) if line.get("event") == "reloaded"], [1])

    def test_tunnels_whose_address_is_not_allowed_any_more_end(self):
        keeper = self.begin(self.rules("one.example"))
        tunnel = self.tunnel(keeper, "one.example")
        keeper.write(self.rules("one.example", networks=["10.0.0.0/8"]))
        self.reload(keeper)
        with self.assertRaises(ConnectionResetError):
            tunnel.recv(1)

    def test_tunnels_stay(self):
        keeper = self.begin(self.rules("one.example"))
        one = self.tunnel(keeper, "one.example")
        keeper.write("\n\n" + json.dumps(self.rules("two.example", on_reload="keep")))
        self.reload(keeper)
        self.assertEqual(self.answer(keeper, "one.example"), b"403")
        self.echo(one)
        one.close()
        until(lambda: any(line.get("host") == "one.example" and line["verdict"] == "allowed"
                          for line in self.lines(keeper)), "the tunnel's line")
        line = [line for line in self.lines(keeper) if line.get("host") == "one.example"][-1]
        self.assertEqual((line["rule"], line["rule_line"]), ("one.example:%d" % self.origin.port, 1))

    def test_a_broken_file_changes_nothing(self):
        keeper = self.begin(self.rules("one.example"))
        tunnel = self.tunnel(keeper, "one.example")
        version = keeper.status()["version"]
        path = keeper.write('{"allow": [],\n "alow": ["two.example"]}')
        says = path + ':2:2: alow: unknown key, did you mean "allow"?'
        until(lambda: self.error(keeper) == says, "status to say what is wrong")
        with self.assertRaises(ControlError) as caught:
            self.reload(keeper)
        self.assertEqual(caught.exception.text, says)
        self.echo(tunnel)
        self.assertEqual(self.answer(keeper, "one.example"), b"200")
        self.assertEqual(keeper.status()["version"], version)
        self.assertEqual({line["error"] for line in self.lines(keeper) if line.get("event") == "reload-failed"}, {says})
        keeper.write(self.rules("one.example", "two.example"))
        until(lambda: self.error(keeper) == "", "the error to go")
        self.assertEqual(self.answer(keeper, "two.example"), b"200")

    def test_a_file_that_is_gone_or_anybodys(self):
        keeper = self.begin(self.rules("one.example"))
        path = os.path.join(keeper.policies, "test.json")
        os.unlink(path)
        until(lambda: self.error(keeper) == path + ": is gone", "status to say so")
        keeper.write(self.rules("two.example"))
        os.chmod(path, 0o666)
        self.assertRaises(ControlError, self.reload, keeper)
        self.assertIn("mode 0666", self.error(keeper))
        self.assertEqual(self.answer(keeper, "one.example"), b"200")
        os.chmod(path, 0o600)
        until(lambda: self.answer(keeper, "two.example") == b"200", "the new policy to hold")

    def test_what_needs_a_new_container(self):
        keeper = self.begin(self.rules("one.example"))
        keeper.write(self.rules("two.example", link="socket", limits={"connections": 1000, "log_bytes": 8 << 20}))
        self.reload(keeper)
        self.assertEqual(keeper.status()["needs"], 1 | 4 | 8)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")
        keeper.write({"proxy": {"command": ["/bin/true"]}})
        with self.assertRaises(ControlError) as caught:
            self.reload(keeper)
        self.assertIn("needs a new container", caught.exception.text)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")

    def test_a_worker_that_dies_starts_with_the_new_one(self):
        keeper = self.begin(self.rules("one.example"))
        keeper.write(self.rules("two.example"))
        self.reload(keeper)
        worker = keeper.worker()
        os.kill(worker, signal.SIGKILL)
        until(lambda: keeper.worker() not in (0, worker), "another worker")
        self.assertEqual(self.answer(keeper, "two.example"), b"200")
        self.assertEqual(self.answer(keeper, "one.example"), b"403")

    def test_a_worker_that_is_killed_over_it(self):
        keeper = self.begin(self.rules("one.example"))
        worker = keeper.worker()
        os.kill(worker, signal.SIGSTOP)
        keeper.write(self.rules("two.example"))
        control = keeper.connect()
        self.addCleanup(control.close)
        control.send(harness.RELOAD)
        until(lambda: glob.glob(keeper.run + "/images/test/*"), "the image")
        os.kill(worker, signal.SIGKILL)
        control.receive(harness.RELOADED)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")
        self.assertEqual(self.answer(keeper, "one.example"), b"403")

    def test_a_second_container_brings_the_next_version(self):
        keeper = self.begin(self.rules("one.example"))
        image = keeper.compile(self.rules("two.example"))
        self.addCleanup(os.close, image)
        control = keeper.connect()
        self.addCleanup(control.close)
        control.join(keeper.container("c2"), image)
        control.probe(keeper.address)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")
        control.commit()

    def test_a_second_container_brings_an_older_version(self):
        """Its hook has read the file before it was changed, and was slower than the keeper."""
        keeper = self.begin(self.rules("one.example"))
        tunnel = None
        keeper.write(self.rules("two.example"))
        until(lambda: self.answer(keeper, "two.example") == b"200", "the new policy to hold")
        tunnel = self.tunnel(keeper, "two.example")
        control = keeper.connect()
        self.addCleanup(control.close)
        control.join(keeper.container("c2"), keeper.image)
        control.probe(keeper.address)
        control.commit()
        self.reload(keeper)
        self.assertEqual(self.answer(keeper, "one.example"), b"403")
        self.assertEqual(self.answer(keeper, "two.example"), b"200")
        self.echo(tunnel)

    def assertWaits(self, keeper, control):
        """What was sent before has been looked at, and is not answered."""
        keeper.status()
        self.assertEqual(select.select([control.sock], [], [], 0)[0], [])

    def test_a_second_container_joins_amid_a_reload(self):
        """It starts with the new version, although its hook has read the old one."""
        keeper = self.begin(self.rules("one.example"))
        os.kill(keeper.worker(), signal.SIGSTOP)
        self.addCleanup(self.resume, keeper.worker())
        keeper.write(self.rules("two.example"))
        until(lambda: glob.glob(keeper.run + "/images/test/*"), "the image")
        control = keeper.connect()
        self.addCleanup(control.close)
        container = keeper.container("c2")
        control.send(harness.JOIN, b"c2", fds=(container.pidfd, keeper.image))
        self.assertWaits(keeper, control)
        os.kill(keeper.worker(), signal.SIGCONT)
        control.receive(harness.OK)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")
        control.probe(keeper.address)
        control.commit()

    def test_a_second_container_ends_amid_a_reload(self):
        """Its hook need not wait for what nobody needs any more."""
        keeper = self.begin(self.rules("one.example"))
        os.kill(keeper.worker(), signal.SIGSTOP)
        self.addCleanup(self.resume, keeper.worker())
        keeper.write(self.rules("two.example"))
        until(lambda: glob.glob(keeper.run + "/images/test/*"), "the image")
        control = keeper.connect()
        self.addCleanup(control.close)
        container = keeper.container("c2")
        control.send(harness.JOIN, b"c2", fds=(container.pidfd, keeper.image))
        self.assertWaits(keeper, control)
        container.kill()
        with self.assertRaises(ControlError) as caught:
            control.receive(harness.OK)
        self.assertEqual((caught.exception.text, caught.exception.closed), ("the container has ended", True))

    def test_a_second_container_joins_amid_a_compilation(self):
        """What its hook brings is not what somebody who has asked for a reload waits for."""
        def compile_another(keeper):
            keeper.other = keeper.compile(self.rules("two.example"))
            self.addCleanup(os.close, keeper.other)
            keeper.write(self.rules("one.example"))

        keeper = self.keeper(self.rules("one.example"), before=compile_another)
        keeper.begin()
        first = keeper.status()["version"]
        keeper.write(self.rules("three.example", *["n%d.example" % i for i in range(50000)]))
        asks, joins = keeper.connect(), keeper.connect()
        self.addCleanup(asks.close)
        self.addCleanup(joins.close)
        asks.send(harness.RELOAD)
        until(lambda: self.compilers(keeper), "a compilation")
        compiler, = self.compilers(keeper)
        os.kill(compiler, signal.SIGSTOP)
        self.addCleanup(self.resume, compiler)
        container = keeper.container("c2")
        joins.send(harness.JOIN, b"c2", fds=(container.pidfd, keeper.other))
        until(lambda: keeper.status()["version"] != first, "the hook's version to hold")
        self.assertWaits(keeper, asks)
        self.assertWaits(keeper, joins)
        os.kill(compiler, signal.SIGCONT)
        asks.receive(harness.RELOADED)
        self.assertTrue(asks.value)
        joins.receive(harness.OK)
        self.write_hosts("127.0.0.1 three.example\n")
        self.reload(keeper)
        self.assertEqual(self.answer(keeper, "three.example"), b"200")
        self.assertEqual(self.answer(keeper, "two.example"), b"403")

    def resolv_conf(self, text):
        with open("/etc/resolv.conf", "w") as file:
            file.write(text)

    def name_server(self):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind(("127.5.5.5", 53))
        server.settimeout(harness.TIMEOUT)
        self.resolv_conf("nameserver 127.5.5.5\n")
        self.addCleanup(self.resolv_conf, harness.RESOLV_CONF)
        return server

    def test_a_name_that_was_being_looked_up(self):
        """Refused at once by the new version; and the answer that comes then opens nothing."""
        self.write_hosts("127.0.0.1 two.example\n")
        server = self.name_server()
        keeper = self.begin(self.rules("one.example", "two.example"))
        with socket.create_connection(keeper.address, timeout=harness.TIMEOUT) as sock:
            sock.sendall(connect("one.example", self.origin.port))
            queries = [server.recvfrom(512) for _ in ("A", "AAAA")]
            keeper.write(self.rules("two.example"))
            self.reload(keeper)
            self.assertIn(b" 403 ", head(sock))
            for query, peer in queries:
                is_a = query[-3:] == b"\1\0\1"
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
                server.sendto(query[:2] + b"\x81\x80\0\1\0" + bytes([is_a]) + b"\0\0\0\0" + query[12:] + answer, peer)
            self.tunnel(keeper, "two.example")  # accepted behind any other
        self.assertEqual(self.origin.accepted, 1)

    def test_hosts_and_resolv_conf(self):
        keeper = self.begin(self.rules("one.example"))
        self.assertEqual(self.answer(keeper, "one.example"), b"200")
        self.write_hosts("127.9.9.9 one.example\n")  # nobody listens there
        until(lambda: self.answer(keeper, "one.example") == b"502", "the new address")
        self.write_hosts("127.0.0.1 one.example\n")
        until(lambda: self.answer(keeper, "one.example") == b"200", "the old address again")

        self.write_hosts("")
        server = self.name_server()
        self.reload(keeper)
        with socket.create_connection(keeper.address, timeout=harness.TIMEOUT) as sock:
            sock.sendall(connect("one.example", self.origin.port))
            self.assertIn(b"\3one\7example\0", server.recv(512))
        worker = keeper.worker()
        os.kill(worker, signal.SIGKILL)
        until(lambda: keeper.worker() not in (0, worker), "another worker")
        with socket.create_connection(keeper.address, timeout=harness.TIMEOUT) as sock:
            sock.sendall(connect("one.example", self.origin.port))
            self.assertIn(b"\3one\7example\0", server.recv(512))

    def test_hosts_that_leads_elsewhere(self):
        """A symbolic link, as resolv.conf often is, and a change of what it leads to now."""
        for name in ("before", "after"):
            os.makedirs("/etc/" + name, exist_ok=True)
            with open("/etc/%s/hosts" % name, "w") as file:
                file.write("127.0.0.1 one.example\n")
        os.symlink("before/hosts", "/etc/hosts.new")
        os.rename("/etc/hosts.new", "/etc/hosts")
        keeper = self.begin(self.rules("one.example"))
        os.symlink("after/hosts", "/etc/hosts.new")
        os.rename("/etc/hosts.new", "/etc/hosts")
        self.reload(keeper)
        with open("/etc/after/hosts", "w") as file:
            file.write("127.9.9.9 one.example\n")  # nobody listens there
        until(lambda: self.answer(keeper, "one.example") == b"502", "the new address")

    def test_hosts_that_leads_nowhere_yet(self):
        """A symbolic link to what a service makes when it starts, directories and all."""
        run = tempfile.mkdtemp(prefix="oci-egress-run-")
        self.addCleanup(shutil.rmtree, run)
        hosts = run + "/made/later/hosts"
        os.symlink("..%s" % hosts, "/etc/hosts.new")
        os.rename("/etc/hosts.new", "/etc/hosts")
        keeper = self.begin(self.rules("one.example"))
        self.assertEqual(self.answer(keeper, "one.example"), b"502")
        os.makedirs(os.path.dirname(hosts))
        with open(hosts, "w") as file:
            file.write("127.0.0.1 one.example\n")
        until(lambda: self.answer(keeper, "one.example") == b"200", "the file")
        with open(hosts, "w") as file:
            file.write("127.9.9.9 one.example\n")
        until(lambda: self.answer(keeper, "one.example") == b"502", "a change of it")

    def test_what_is_wrong_with_the_hosts_settings(self):
        """They are not the keeper's, whose hook may have had others."""
        keeper = self.begin(self.rules("one.example"))
        os.makedirs("/etc/oci-egress", exist_ok=True)
        with open("/etc/oci-egress/config.json", "w") as file:
            file.write("{")
        self.addCleanup(os.unlink, "/etc/oci-egress/config.json")
        keeper.write(self.rules("two.example"))
        self.assertTrue(self.reload(keeper))

    def test_the_keepers_own_lines_rotate_the_log(self):
        keeper = self.begin(self.rules("one.example", limits={"log_bytes": 65536}))
        path = os.path.join(keeper.log, "c1.log")
        with open(path, "a") as log:
            log.write("\n" * 65000)
        keeper.write("broken")
        with self.assertRaises(ControlError):
            self.reload(keeper)
        self.assertEqual(os.stat(path).st_size, 0)
        self.assertGreater(os.stat(path + ".1").st_size, 65000)
        self.answer(keeper, "two.example")
        until(lambda: len(self.lines(keeper)) == 1, "the worker to write to the new one")

    def test_a_keeper_that_fails_stops_compiling(self):
        keeper = self.begin(self.rules("one.example"))
        keeper.write(self.rules(*["n%d.example" % i for i in range(50000)]))
        until(lambda: self.compilers(keeper), "a compilation")
        compiler, = self.compilers(keeper)
        os.kill(compiler, signal.SIGSTOP)
        self.addCleanup(self.resume, compiler)
        for _ in range(5):
            worker = keeper.worker()
            os.kill(worker, signal.SIGKILL)
            until(lambda: keeper.worker() != worker, "its end")
        self.assertEqual(keeper.status()["state"], harness.FAILED)
        until(lambda: not harness.alive(compiler), "the end of the compilation")

    def compilers(self, keeper):
        with open("/proc/%d/task/%d/children" % (keeper.pid, keeper.pid)) as children:
            return [int(pid) for pid in children.read().split() if self.is_compiler(pid)]

    def is_compiler(self, pid):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as cmdline:
                return b"\0compile\0" in cmdline.read()
        except (FileNotFoundError, ProcessLookupError):
            return False

    def resume(self, pid):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def test_reloads_under_load_lose_nobody(self):
        keeper = self.begin(self.rules("one.example"))
        stays = self.tunnel(keeper, "one.example")
        end = threading.Event()
        answers, failures = [], []

        def ask():
            while not end.is_set():
                try:
                    answers.append(self.answer(keeper, "two.example"))
                except Exception as e:  # pylint: disable=broad-except
                    failures.append(e)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(50):
            names = ("one.example", "two.example") if i % 2 else ("one.example",)
            keeper.write(self.rules(*names, ports=[80, 443, 1000 + i]))
            self.reload(keeper)
            self.echo(stays)
        end.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(set(answers), {b"200", b"403"})
        self.assertEqual(keeper.status()["restarts"], 0)

    def test_compiled_once_for_thirty(self):
        names = ["n%d.example" % i for i in range(20000)]
        keepers = []
        for i in range(30):
            keeper = self.keeper(self.rules("one.example"), key="%x" % (100 + i), shared=keepers[0] if keepers else None)
            keeper.begin("c%d" % i)
            keepers.append(keeper)
        keepers[0].write({"allow": names, **LOOPBACK})
        until(lambda: all(keeper.status()["reloads"] == 1 for keeper in keepers), "all to have it", 60)
        image, = glob.glob(keepers[0].run + "/images/test/*")
        inode = os.stat(image).st_ino
        for keeper in keepers:
            for pid in (keeper.pid, keeper.worker()):
                with open("/proc/%d/maps" % pid) as maps:
                    mapped = {int(line.split()[4]) for line in maps if "/images/test/" in line}
                self.assertEqual(mapped, {inode})


    def compile_elsewhere(self, keeper):
        """As another keeper's compile would; put into place when it is whole. Returns how."""
        run = tempfile.mkdtemp(prefix="oci-egress-run-")
        self.addCleanup(shutil.rmtree, run)
        done = subprocess.run([harness.OCI_EGRESS, "compile", "--run", run, "--policies", keeper.policies, "--on-failure",
                               "closed", "test"], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        made, = glob.glob(run + "/images/test/*")
        self.assertEqual(done.returncode, 2 if made.endswith(".error") else 0)
        return lambda: shutil.move(made, keeper.run + "/images/test/")

    def test_what_others_compile_is_waited_for(self):
        """Nothing is run for it: there is nothing that could compile."""
        keeper = self.keeper(self.rules("one.example"), compiler="/bin/false")
        os.makedirs(keeper.run + "/images/test", 0o700)
        keeper.begin()
        control = keeper.connect()
        self.addCleanup(control.close)
        lock = os.open(keeper.run + "/images/test", os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        keeper.write(self.rules("two.example"))
        arrives = self.compile_elsewhere(keeper)
        control.send(harness.RELOAD)
        self.assertWaits(keeper, control)
        arrives()
        control.receive(harness.RELOADED)
        self.assertEqual(self.answer(keeper, "two.example"), b"200")

        keeper.write('{"allow": 1}')
        arrives = self.compile_elsewhere(keeper)
        control.send(harness.RELOAD)
        self.assertWaits(keeper, control)
        arrives()
        with self.assertRaises(ControlError) as caught:
            control.receive(harness.RELOADED)
        self.assertIn("test.json:1:11: allow: is a number", caught.exception.text)

class Restart(ReloadTest):
    """Orderly: another worker takes the place of the present one."""

    def restart(self, keeper, program=None):
        control = keeper.connect()
        try:
            control.restart(program)
        finally:
            control.close()

    def ended(self, pid):
        until(lambda: not harness.alive(pid), "the worker before to end")

    def test_restart(self):
        keeper = self.begin(self.rules("one.example"))
        before = keeper.worker()
        tunnel = self.tunnel(keeper, "one.example")
        self.restart(keeper)
        self.assertNotEqual(keeper.worker(), before)
        self.assertTrue(harness.alive(before))
        self.echo(tunnel)
        other = self.tunnel(keeper, "one.example")
        self.assertEqual(keeper.status()["open"], 2)
        tunnel.close()
        self.ended(before)
        self.echo(other)
        status = keeper.status()
        self.assertEqual((status["open"], status["accepted"], status["allowed"], status["failed"]), (1, 2, 2, 0))
        other.close()
        until(lambda: len(self.lines(keeper)) == 2, "two lines in the log")

    def test_restart_takes_larger_limits(self):
        keeper = self.begin(self.rules("one.example"))
        keeper.write(self.rules("one.example", limits={"connections": 1000, "log_bytes": 8 << 20}))
        self.reload(keeper)
        self.assertEqual(keeper.status()["needs"], 4 | 8)
        self.restart(keeper)
        self.assertEqual(keeper.status()["needs"], 0)

    def test_restart_with_a_program_that_is_none(self):
        """The worker that serves goes on."""
        keeper = self.begin(self.rules("one.example"))
        before = keeper.worker()
        tunnel = self.tunnel(keeper, "one.example")
        for _ in range(6):  # more than may die within ten seconds
            with self.assertRaises(ControlError) as caught:
                self.restart(keeper, "/bin/true")
            self.assertIn("goes on", caught.exception.text)
        self.assertEqual(keeper.worker(), before)
        self.echo(tunnel)
        self.assertEqual(self.answer(keeper, "one.example"), b"200")
        self.restart(keeper)
        self.assertNotEqual(keeper.worker(), before)

    def test_retired_workers_are_not_many(self):
        keeper = self.begin(self.rules("one.example"))
        tunnels = []
        for _ in range(4):
            tunnels.append(self.tunnel(keeper, "one.example"))
            self.restart(keeper)
        with self.assertRaises(ControlError) as caught:
            self.restart(keeper)
        self.assertIn("still have connections", caught.exception.text)
        for tunnel in tunnels:
            self.echo(tunnel)
        tunnels[1].close()
        until(lambda: keeper.status()["open"] == 3, "one to end")
        until(lambda: self.restarts(keeper), "room for another")

    def restarts(self, keeper):
        try:
            self.restart(keeper)
        except ControlError:
            return False
        return True

    def test_a_retired_worker_follows_the_policy(self):
        keeper = self.begin(self.rules("one.example", "two.example"))
        one, two = self.tunnel(keeper, "one.example"), self.tunnel(keeper, "two.example")
        before = keeper.worker()
        self.restart(keeper)
        keeper.write(self.rules("two.example"))
        self.reload(keeper)
        with self.assertRaises(ConnectionResetError):
            one.recv(1)
        self.echo(two)
        two.close()
        self.ended(before)

    def test_a_retired_worker_dies(self):
        keeper = self.begin(self.rules("one.example"))
        tunnel = self.tunnel(keeper, "one.example")
        before = keeper.worker()
        self.restart(keeper)
        os.kill(before, signal.SIGKILL)
        with self.assertRaises(ConnectionResetError):
            tunnel.recv(1)
        until(lambda: [line["reason"] for line in self.lines(keeper)] == ["worker-died"], "its line")
        self.assertEqual(self.answer(keeper, "one.example"), b"200")
        self.assertEqual(keeper.status()["accepted"], 2)

    def test_all_end_with_the_container(self):
        keeper = self.keeper(self.rules("one.example"))
        container = keeper.begin()
        self.reload(keeper)
        self.tunnel(keeper, "one.example")
        before = keeper.worker()
        self.restart(keeper)
        after = keeper.worker()
        container.kill()
        keeper.wait_end()
        self.assertFalse(harness.alive(before) or harness.alive(after))
        self.assertEqual([line["reason"] for line in self.lines(keeper)], ["shutdown"])

    def test_restarts_under_load_lose_nobody(self):
        keeper = self.begin(self.rules("one.example"))
        end = threading.Event()
        answers, failures = [], []

        def ask():
            while not end.is_set():
                try:
                    answers.append(self.answer(keeper, "one.example"))
                except Exception as e:  # pylint: disable=broad-except
                    failures.append(e)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        second = keeper.container("c2")
        for i in range(20):
            until(lambda: self.restarts(keeper), "a restart")
            if i == 10:  # a hook's connection finds the worker that expects it
                control = keeper.connect()
                control.join(second, keeper.image)
                self.restart(keeper)
                control.probe(keeper.address)
                control.commit()
                control.close()
        end.set()
        for thread in threads:
            thread.join()
        self.assertEqual((failures, set(answers)), ([], {b"200"}))
        until(lambda: keeper.status()["open"] == 0, "all to have ended")
        self.assertEqual(keeper.status()["accepted"], len(answers))
        until(lambda: len(self.lines(keeper)) == len(answers), "a line for each")


if __name__ == "__main__":
    harness.main()
