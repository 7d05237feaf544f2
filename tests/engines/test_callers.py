# SPDX-License-Identifier: Apache-2.0
"""Hooks whose caller has left them strange descriptors, signals, limits and a strange place in the world."""
import ctypes
import itertools
import json
import os
import re
import resource
import signal

import caller
import harness
from caller import CallerTest, Init
from harness import libc

INFINITY = resource.RLIM_INFINITY
ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC = 0x40000, 0x400000
# Of /proc/PID/status: what a birth leaves behind.
FIELDS = ("Umask", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
          "Cpus_allowed", "Groups")
# Limits that do no harm to what we do; and the one that may be larger than it was for another caller.
LEFT_ALONE = ("Max locked memory", "Max msgqueue size", "Max pending signals", "Max open files")

# Of a hook: what C libraries and others read from it.
ENVIRONMENT = ["https_proxy=http://198.51.100.20:80", "no_proxy=*", "OCI_EGRESS_POLICY=nothing",
               "HOSTS_FILE=/tmp/h", "RES_OPTIONS=debug", "LOCALDOMAIN=evil.test", "GLIBC_TUNABLES=glibc.malloc.tcache_count=65535",
               "LD_LIBRARY_PATH=.", "GCONV_PATH=."]


def read(pid, name):
    with open(f"/proc/{pid}/{name}", encoding="latin-1") as file:
        return file.read()


def birth(pid):
    """All of a process that its caller could have had a hand in."""
    status = dict(line.split(":\t", 1) for line in read(pid, "status").splitlines() if ":\t" in line)
    fields = {field: status.get(field, "").strip() for field in FIELDS}
    stat = read(pid, "stat").rsplit(")", 1)[1].split()
    fields.update({"nice": stat[16], "policy": stat[38], "personality": read(pid, "personality").strip(),
                   "oom": read(pid, "oom_score_adj").strip(), "environ": read(pid, "environ"), "cwd": re.sub("root-[0-9a-f]+", "root-", os.readlink(f"/proc/{pid}/cwd")),
                   "limits": {line[:25].strip(): line[25:].split()[:2] for line in read(pid, "limits").splitlines()[1:]
                              if not line.startswith(LEFT_ALONE)},
                   "stdio": [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)]})
    return fields


def descriptors(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    return found


class Callers(CallerTest):
    def ours(self):
        """Keeper, worker, tracer: by what they are called."""
        pids = {pid: text.split(": ", 1) for pid, text in self.world.processes().items()}
        return {("tracer" if "oe-tracer" in comm else command.split()[1]): pid for pid, (comm, command) in pids.items()}

    def births(self, before=lambda: None):
        with Init() as init:
            result = self.assertGuards(self.state(init), init, before=before)
            ours = self.ours()
            self.assertEqual(set(ours), {"keeper", "worker", "tracer"}, result.complaint)
            births = {role: birth(pid) for role, pid in ours.items()}
            for role, pid in ours.items():
                for target in descriptors(pid):
                    self.assertNotIn("secret", target, role)
            self.assertNotIn("secret", str(descriptors(init.pid)))
            self.check_files()
            self.assertLives(init)
        return births

    def check_files(self):
        for directory in (self.world.run, self.world.log):
            for name in [".", *os.listdir(directory)]:
                self.assertEqual(os.lstat(os.path.join(directory, name)).st_mode & 0o077, 0, f"{directory}/{name}")

    def signals(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        for n in signal.valid_signals():
            if n not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(n, signal.SIG_IGN)

    def descriptors(self):
        secret = os.open(self.secret, os.O_RDWR)
        for fd in itertools.chain(range(3, 64), (100, 255, 1000)):
            if os.path.lexists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd) is False and fd != secret:
                continue  # subprocess's own pipe
            os.dup2(secret, fd, inheritable=True)

    def cwd(self):
        os.chdir(self.gone)
        os.rmdir(self.gone)

    def limits(self):
        for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE,
                      resource.RLIMIT_SIGPENDING):
            resource.setrlimit(limit, (16 if limit == resource.RLIMIT_NOFILE else 0, resource.getrlimit(limit)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    def scheduling(self):
        os.nice(10)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    def personality(self):
        libc.personality(ctypes.c_ulong(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC))

    def oom(self):
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("777")

    def test_nothing_is_inherited(self):
        """Keeper, worker and tracer are born as those of a calm caller."""
        self.secret = self.world.write("secret", "secret", 0o600)
        calm = self.births()
        self.assertEqual(calm["worker"]["Seccomp"], "2")
        for hostile in (self.signals, self.descriptors, self.cwd, self.limits, self.scheduling, self.personality, self.oom,
                        lambda: os.umask(0), lambda: os.setgroups([1, 2, 3])):
            name = getattr(hostile, "__name__", "")
            self.gone = self.world.path("gone")
            os.makedirs(self.gone, exist_ok=True)
            with self.subTest(name):
                births = self.births(hostile)
                for role, fields in calm.items():
                    for field, value in fields.items():
                        self.assertEqual(births[role][field], value, f"{role}: {field}")

    # -- through a runtime

    @harness.each_runtime
    def test_what_they_are(self, runtime):
        """Keeper and worker have what they were given, and the program has nothing of ours."""
        def edit(config):
            config["hooks"]["createRuntime"][0]["env"] = ENVIRONMENT
        with runtime.start(harness.Bundle(self.world, edit=edit)) as container:
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
            self.assertEqual(container.ask("fetch other.test:443")["status"], 403)
            for role in ("keeper", "worker"):
                pid = container.keeper()[role][0]
                self.assertEqual(read(pid, "environ"), "", role)
                self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null", role)
            self.check_worker(container.keeper()["worker"][0])
            self.assertEqual(sorted(os.listdir(f"/proc/{container.pid}/fd"), key=int), ["0", "1", "2"])
            self.assertEqual(container.status("TracerPid"), "0")
            for line in read(container.pid, "maps").splitlines():
                self.assertFalse(line.split()[1].startswith("rwx"), f"a mapping that we left: {line}")

    def check_worker(self, pid):
        status = {key: value.strip() for key, value in (line.split(":", 1) for line in read(pid, "status").splitlines())}
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(int(status["Umask"], 8) & 0o77, 0o77)
        self.assertGreaterEqual(min(map(int, status["Uid"].split())), 0x70000000)
        self.assertEqual(os.listdir(f"/proc/{pid}/root/"), [], "the worker's root is empty")

    # -- without one

    def test_closed_stdio(self):
        for n in range(8):
            closed = [fd for fd in (0, 1, 2) if n >> fd & 1]

            def before(closed=closed):
                for fd in closed:
                    os.close(fd)
            with self.subTest(closed=closed), Init() as init:
                process = caller.popen(self.world, before=before)
                if 0 in closed:
                    out, complaint = process.communicate(timeout=caller.DEADLINE)
                    self.assertEqual((process.returncode, out), (1, b""))
                    self.assertEqual(complaint.count(b"\n"), 0 if 2 in closed else 1)
                    self.assertEqual(len(self.syslog(process.pid)), 1)
                    self.assertTrue(init.untouched())
                    continue
                result = caller.finish(process, json.dumps(self.state(init)).encode())
                self.assertEqual((result.status, result.out, result.complaint), (0, "", ""))
                self.assertTrue(init.guarded())
                self.assertLives(init)

    def test_stderr_that_takes_nothing(self):
        """A full pipe, a file of none but ours, /dev/full: what is said there is no reason to fail, or to wait."""
        for name in ("/dev/full", "reader gone"):
            def before(name=name):
                fd = os.open("/dev/full", os.O_WRONLY) if name == "/dev/full" else os.pipe()[1]
                os.dup2(fd, 2)
            with self.subTest(name), Init() as init:
                result = self.call(self.state(init), before=before)
                self.assertEqual(result.status, 0)
                self.assertLives(init)
                result = self.call(self.state(init, policy="missing"), before=before)
                self.assertEqual(result.status, 1)
                self.assertEqual(len(self.syslog(result.pid)), 1)

    def limited(self, limit, value):
        """With so little of something, a container is guarded or does not start; and that is said."""
        def before():
            resource.setrlimit(limit, (value, value))
        with Init() as init:
            result = self.call(self.state(init), before=before)
            if result.status == 0:
                self.assertTrue(init.guarded())
                self.assertLives(init)
            else:
                self.assertEqual(result.status, 1, f"{limit} {value}: {result.complaint}")
                self.assertRegex(result.complaint, r"\Aoci-egress: [ -~]+\n\Z")
                self.assertUnguarded(init)
                self.assertGone()
                self.assertTrue(init.netns.fd < 0 or init.process.poll() is not None or init.netns.wait_link("oe0", there=False))
        return result.status

    def test_hard_limits(self):
        results = {n: self.limited(resource.RLIMIT_NOFILE, n) for n in (4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 64, 256)}
        self.assertEqual(results[4], 1)
        self.assertEqual(results[256], 0)
        print("\n  by descriptors:", results)
        results = {n: self.limited(resource.RLIMIT_FSIZE, n) for n in (0, 1, 64, 200, 400, 4096, 1 << 20)}
        print("  by file size:", results)


if __name__ == "__main__":
    harness.main()
