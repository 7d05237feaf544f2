# SPDX-License-Identifier: Apache-2.0
"""oci-egress log: order, rotation, names, and what a log may hold that a terminal must not see.

    test_log.py PROGRAM"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
DEADLINE = 30
STARTED = {"event": "started", "namespace": "shop", "pod": "web-1", "name": "app"}


def line(second, container="c1", **fields):
    time = f"2026-01-02T03:04:{second:02d}.{second:03d}Z"
    if not fields.keys() & {"event", "verdict"}:
        fields = {"via": "connect", "host": f"h{second}.test", "port": 443, "address": None, "verdict": "allowed", "rule": None,
                  "reason": "allowed", "bytes_up": 1, "bytes_down": 2, "duration_ms": 3, **fields}
    return json.dumps({"time": time, "container": container, "policy": "p", **fields}, separators=(",", ":")) + "\n"


def denied(second, **fields):
    return line(second, verdict="denied", reason="not-listed", host=f"h{second}.test", port=443, bytes_up=0, bytes_down=0,
                duration_ms=1, **fields)


class Log(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="oci-egress-test-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.log, self.run_dir = (os.path.join(self.dir, name) for name in ("log", "run"))
        os.mkdir(self.log, 0o700)

    def write(self, name, *lines, mode="w"):
        with open(os.path.join(self.log, name), mode, encoding="utf-8") as file:
            file.write("".join(lines))

    def record(self, container, **fields):
        os.makedirs(self.run_dir, 0o700, exist_ok=True)
        with open(os.path.join(self.run_dir, container + ".json"), "w", encoding="utf-8") as file:
            json.dump({"id": container, "policy": "p", "fingerprint": "0" * 16, "key": "0" * 16, "state": "guarded", "pid": 1,
                       "start_time": 1, "since": 1, "link": "veth", "proxy": "198.18.0.2", "port": 3128, "reason": "", **fields}, file)

    def command(self, *arguments):
        return [PROGRAM, "log", "--log", self.log, "--run", self.run_dir, *arguments]

    def show(self, *arguments, status=0):
        done = subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, status, done.stderr)
        for byte in done.stdout + done.stderr:
            self.assertTrue(byte == 10 or 0x20 <= byte <= 0x7e, done)
        return done.stdout.decode() if status == 0 else done.stderr.decode()

    def hosts(self, *arguments):
        return [json.loads(row).get("host") for row in self.show("--json", *arguments).splitlines()]

    def test_nothing(self):
        self.assertEqual(self.show(), "")
        os.rmdir(self.log)
        self.assertEqual(self.show(), "")
        self.assertIn(self.log, self.show("--follow", status=2))
        self.assertIn(self.log, self.show("c1", status=2))

    def test_readable(self):
        self.write("c1.log", line(1), denied(2), line(3, host="2001:db8::1"), line(4, host=None, port=None, verdict="bad-request",
                   reason="bad-request", bytes_up=0, bytes_down=0, duration_ms=0), line(5, event="reloaded", version="ab", ended=2),
                   line(6, verdict="open", reason="no room"), line(7, event="accept-paused", reason="limit-rate"))
        self.assertEqual(self.show().splitlines(), [
            "2026-01-02T03:04:01.001Z  c1  allowed  h1.test:443  allowed  1 up 2 down  3 ms",
            "2026-01-02T03:04:02.002Z  c1  denied  h2.test:443  not-listed  0 up 0 down  1 ms",
            "2026-01-02T03:04:03.003Z  c1  allowed  [2001:db8::1]:443  allowed  1 up 2 down  3 ms",
            "2026-01-02T03:04:04.004Z  c1  bad-request  -:-  bad-request  0 up 0 down  0 ms",
            "2026-01-02T03:04:05.005Z  c1  reloaded  version ab  ended 2",
            "2026-01-02T03:04:06.006Z  c1  open  WITHOUT A GUARD: no room",
            "2026-01-02T03:04:07.007Z  c1  accept-paused  reason limit-rate"])
        self.assertEqual(self.hosts("--denied"), ["h2.test"])
        self.assertEqual(len(self.show("--denied").splitlines()), 1)

    def test_order(self):
        self.write("c1.log.1", line(1), line(4))
        self.write("c1.log", line(6), line(9))
        self.write("c2.log", line(2, "c2"), line(3, "c2"), line(8, "c2"))
        self.write("c3.log", line(5, "c3"), line(7, "c3"))
        self.assertEqual(self.hosts(), [f"h{i}.test" for i in range(1, 10)])
        self.assertEqual(self.hosts("c1"), ["h1.test", "h4.test", "h6.test", "h9.test"])

    def test_many(self):
        """In the order of time, whatever it is in the directory."""
        for i in range(60):
            self.write(f"x{i * 37 % 60}.log", line(i))
        self.assertEqual(self.hosts(), [f"h{i}.test" for i in range(60)])

    def test_hostile(self):
        """Whatever came to stand in it, a terminal sees none of that."""
        evil = "\x1b[2J\x07\r\n\u009b31m\u202e\x7f"
        self.write("c1.log", line(1, host=evil, reason=evil), '{"time":"\x1b[2J"}\n', "\x1b]0;x\x07\n", "\u009b\n", "x" * 40000 + "\n", "{}\n",
                   '{"time":{},"host":[],"verdict":7}\n', "[1]\n", "\n", line(2)[:40] + "\n", line(3), line(4)[:50])
        rows = self.show().splitlines()
        self.assertIn(r"\x1b[2J\x07\x0d\x0a", rows[0])
        self.assertIn("h3.test", rows[-1])
        self.assertEqual(self.hosts()[0], evil)
        self.assertEqual(self.hosts("--denied"), [])

    def test_traps(self):
        """What is no regular file is passed over."""
        os.mkfifo(os.path.join(self.log, "fifo.log"))
        os.mkdir(os.path.join(self.log, "dir.log"))
        os.symlink("c1.log", os.path.join(self.log, "link.log"))
        self.write("c1.log", line(1))
        self.write(".log", line(2))
        self.write("other", line(3))
        self.assertEqual(self.hosts(), ["h1.test"])
        self.show("fifo", status=2)
        self.show("link", status=2)

    def test_which(self):
        for name in ("abc1", "abc2", "b"):
            self.write(name + ".log", line(1, name, host=name))
        self.assertEqual(self.hosts("abc1"), ["abc1"])
        self.assertEqual(self.hosts("b"), ["b"])
        complaint = self.show("abc", status=2)
        self.assertIn("abc1", complaint)
        self.assertIn("abc2", complaint)
        self.write("abc.log", line(1, host="abc"))
        self.assertEqual(self.hosts("abc"), ["abc"], "an id that is there is no prefix")
        for name in ("x", "", "../log/b", "\x1b[2J"):
            self.assertIn("there is no log", self.show(name, status=2))

    def test_names(self):
        """Of one that runs, of one that shares a log, and of one that is gone."""
        self.write("aa.log", line(1, "aa", **STARTED), line(2, "aa"))
        self.write("bb.log", line(3, "bb"))
        self.record("bb", namespace="shop", pod="db-0", name="main", log="bb")
        self.record("b2", namespace="shop", pod="db-0", name="backup", log="bb")
        for name in ("app", "web-1", "shop/web-1", "web-1/app", "shop/web-1/app", "a"):
            self.assertEqual(self.hosts(name), [None, "h2.test"], name)
        for name in ("db-0", "main", "backup", "b2", "bb"):
            self.assertEqual(self.hosts(name), ["h3.test"], name)
        self.assertIn("started", self.show("app").splitlines()[0])
        self.assertIn("  shop/web-1/app  ", self.show("app").splitlines()[0])
        self.assertIn("  shop/web-1  ", self.show("app").splitlines()[1])
        self.assertIn("  shop/db-0  ", self.show("main"))
        row = json.loads(self.show("--json", "main"))
        self.assertEqual((row["namespace"], row["pod"]), ("shop", "db-0"))

        self.write("cc.log", line(4, "cc", **STARTED))
        complaint = self.show("app", status=2)
        self.assertIn("aa (shop/web-1/app)", complaint)
        self.assertIn("cc (shop/web-1/app)", complaint)

    # -- following

    def follow(self, *arguments):
        process = subprocess.Popen(self.command("--follow", "--json", *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def next(self, process):
        return json.loads(process.stdout.readline())["host"]

    def test_follow(self):
        self.write("c1.log", line(1))
        process = self.follow("c1")
        self.assertEqual(self.next(process), "h1.test")
        self.write("c2.log", line(9, "c2"))  # not asked for
        self.write("c1.log", line(2), line(3)[:30], mode="a")
        self.assertEqual(self.next(process), "h2.test")
        self.write("c1.log", line(3)[30:], mode="a")
        self.assertEqual(self.next(process), "h3.test")
        for second in range(4, 10):  # each is the last line of a file, and the first of the next
            self.write("c1.log", line(second), mode="a")
            os.rename(os.path.join(self.log, "c1.log"), os.path.join(self.log, "c1.log.1"))
            self.write("c1.log", line(second + 20))
            self.assertEqual(self.next(process), f"h{second}.test")
            self.assertEqual(self.next(process), f"h{second + 20}.test")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE), -signal.SIGINT)

    def test_follow_all(self):
        process = self.follow("--denied")
        self.write("c1.log", line(1), denied(2))
        self.assertEqual(self.next(process), "h2.test")
        self.write("c2.log", denied(3))
        self.assertEqual(self.next(process), "h3.test")

    def test_follow_nobody(self):
        """The reader goes: noticed without a line to write, and with one."""
        self.write("c1.log", line(1))
        process = self.follow()
        self.next(process)
        process.stdout.close()
        self.assertEqual(process.wait(DEADLINE), 0)

        self.write("c1.log", *[line(i % 60) for i in range(5000)])
        with subprocess.Popen(self.command("--json"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(DEADLINE), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
