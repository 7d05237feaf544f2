# SPDX-License-Identifier: Apache-2.0
"""External proxies: real ones, and commands that misbehave."""
import json
import os
import shutil
import unittest

import harness
from harness import Bundle, Gone, WorldTest, each_link, each_runtime, wait_ended

TINYPROXY = ["/bin/sh", "-c", """
printf 'Port %s\\nListen %s\\nTimeout 60\\nMaxClients 50\\nConnectPort 443\\n' "$OCI_EGRESS_PROXY_PORT" "$OCI_EGRESS_PROXY_HOST" >"$HOME/tinyproxy.conf"
exec tinyproxy -d -c "$HOME/tinyproxy.conf" """]
SQUID = ["/bin/sh", "-c", """
cat >"$HOME/squid.conf" <<CONF
http_port $OCI_EGRESS_PROXY_HOST:$OCI_EGRESS_PROXY_PORT
acl other dstdomain other.test
http_access deny other
http_access allow all
cache deny all
access_log none
cache_log $HOME/cache.log
pid_filename none
shutdown_lifetime 0 seconds
pinger_enable off
coredump_dir $HOME
visible_hostname test
CONF
exec squid -N -f "$HOME/squid.conf" """]
# Listens with a child that has a session of its own, ignores TERM, and answers every connection.
STUBBORN = ["/usr/bin/python3", "-c", """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        signal.pause()
s = socket.socket()
s.bind((os.environ["OCI_EGRESS_PROXY_HOST"], int(sys.argv[1])))
s.listen()
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    c.recv(4096)
    c.sendall(b"stubborn\\n")
    c.close()
""", "{port}"]


class External(WorldTest):
    def tearDown(self):
        self.world.status()
        self.assertClean()

    def policy(self, name, command, **keys):
        proxy = {"command": command, **{k: keys.pop(k) for k in ("port", "user", "stop_timeout_ms") if k in keys}}
        self.world.policy(name, {"proxy": proxy, "on_failure": "closed", "startup_timeout_ms": 20000, **keys})
        return name

    def need(self, program):
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            raise unittest.SkipTest("no " + program)

    @each_link
    def test_tinyproxy(self, runtime, link):
        self.need("tinyproxy")
        with runtime.start(Bundle(self.world, policy=self.policy("tinyproxy", TINYPROXY, link=link))) as container:
            self.assertIn("hello from allowed", container.ask("fetch allowed.test:443")["body"])
            self.assertFalse(container.ask("connect 203.0.113.7 443")["ok"])
            row = self.world.status()[container.id]
            self.assertGreater(row["external_pid"], 0)
            self.assertEqual(container.end(), 0)

    @each_link
    def test_squid(self, runtime, link):
        self.need("squid")
        with runtime.start(Bundle(self.world, policy=self.policy("squid", SQUID, link=link))) as container:
            self.assertIn("hello from allowed", container.ask("fetch allowed.test:443", 30)["body"])
            self.assertEqual(container.ask("fetch other.test:443", 30)["status"], 403)
            self.assertFalse(container.ask("connect 203.0.113.7 443")["ok"])
            self.assertEqual(container.end(), 0)

    def refused(self, runtime, name, within=15):
        """The container does not start. What syslog says of it."""
        before = len(self.world.host.syslog())
        bundle = Bundle(self.world, policy=name, args=["/probe", "ids"])
        done = runtime.run(bundle, timeout=within)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn('"euid"', done.stdout)
        runtime.call("delete", "--force", bundle.id)
        self.assertClean()
        return "\n".join(self.world.host.syslog()[before:])

    @each_runtime
    def test_commands_that_fail(self, runtime):
        commands = {
            "ends": ["/bin/true"], "fails": ["/bin/false"], "missing": ["/nowhere/proxy"], "directory": ["/etc"],
            "never-binds": ["/bin/cat", "/dev/zero"], "never-binds-and-forks": ["/bin/sh", "-c", "cat /dev/zero >/dev/null & cat /dev/zero >/dev/null"],
        }
        for name, command in commands.items():
            with self.subTest(command=name):
                self.policy(name, command, startup_timeout_ms=1000)
                self.assertIn("does not start", self.refused(runtime, name))

    @each_runtime
    def test_port_that_somebody_else_has(self, runtime):
        """Something answers there, but not the command's: that is not ready."""
        self.policy("taken", ["/bin/cat", "/dev/zero"], port=6443, startup_timeout_ms=1000)
        self.refused(runtime, "taken")
        self.assertEqual(self.world.host.connections(), [], "nobody talks to who happens to be there")

    @each_link
    def test_ignores_term_and_forks(self, runtime, link):
        self.policy("stubborn", STUBBORN, link=link, stop_timeout_ms=200)
        with runtime.start(Bundle(self.world, policy="stubborn")) as container:
            self.assertIn("stubborn", container.ask("fetch anything.test:443")["body"])
            pids = list(self.world.processes())
            self.assertEqual(container.end(), 0)
            self.assertEqual(wait_ended([p for p in pids if p not in (container.process.pid,)], 5.0), [])

    @each_runtime
    def test_who_it_runs_as(self, runtime):
        script = 'id -u >"$HOME/uid"; env >"$HOME/env"; ls /proc/self/fd >"$HOME/fds"; exec python3 -c "$0" "$1"'
        self.policy("who", ["/bin/sh", "-c", script, STUBBORN[2].replace("SIGTERM, signal.SIG_IGN", "SIGTERM, signal.SIG_DFL"), "{port}"],
                    user="daemon")
        with runtime.start(Bundle(self.world, policy="who")) as container:
            home = os.path.join(self.world.state, "proxy", "who")
            with open(os.path.join(home, "uid"), encoding="utf-8") as file:
                self.assertEqual(file.read().strip(), "1")
            with open(os.path.join(home, "env"), encoding="utf-8") as file:
                names = {line.split("=")[0] for line in file}
            self.assertLessEqual(names, {"HOME", "PATH", "PWD", "USER", "LOGNAME", "SHLVL", "_", "OCI_EGRESS_PROXY_HOST",
                                         "OCI_EGRESS_PROXY_PORT", "OLDPWD", "SHELL", "LANG"})
            with open(os.path.join(home, "fds"), encoding="utf-8") as file:
                self.assertLessEqual({int(fd) for fd in file.read().split()}, {0, 1, 2, 3})
            container.end()

    @each_runtime
    def test_command_dies(self, runtime):
        """Then there is no egress, rather than open egress."""
        self.policy("stubborn", STUBBORN, stop_timeout_ms=200)
        with runtime.start(Bundle(self.world, policy="stubborn")) as container:
            pid = self.world.status()[container.id]["external_pid"]
            os.kill(pid, 9)
            wait_ended([pid])
            self.assertFalse(container.ask("fetch anything.test:443 500")["ok"])
            self.assertFalse(container.ask("connect 203.0.113.7 443")["ok"])
            self.assertEqual(self.world.status()[container.id]["state"], "failed")
            container.end()

    @each_link
    def test_keeper_killed(self, runtime, link):
        self.policy("stubborn", STUBBORN, link=link)
        with runtime.start(Bundle(self.world, policy="stubborn")) as container:
            pids = [p for p, text in self.world.processes().items() if "runc" not in text and "crun" not in text]
            os.kill(container.keeper()["keeper"][0], 9)
            self.assertEqual(wait_ended(pids, 2.0), [], "an external proxy ends with its keeper")
            self.assertFalse(container.ask("fetch anything.test:443 500")["ok"])

    @each_runtime
    def test_a_rule_beside_it_is_refused(self, runtime):
        self.world.policy("beside", json.dumps({"proxy": {"command": ["/bin/true"]}, "deny": ["other.test"]}))
        with self.assertRaises(Gone):
            runtime.start(Bundle(self.world, policy="beside"))


if __name__ == "__main__":
    harness.main()
