# SPDX-License-Identifier: Apache-2.0
"""Death at every step. The hook is traced (ptrace(2)) from its exec to its end, and at the Nth system call that it makes
it is killed, or init is: for each N. Whoever dies, nothing of ours is left but files that the next hook or `status`
clears away, and init is guarded, dead, or as it was."""
import ctypes
import functools
import json
import os
import signal
import struct
import subprocess

import caller
import harness
from caller import CallerTest, Init
from harness import LINKS, libc, wait_ended

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 7, 24, 0x4200
PTRACE_GET_SYSCALL_INFO = 0x420e
TRACESYSGOOD, EXITKILL = 0x1, 0x100000

# System calls (x86-64) that change nothing but the process that dies: being killed after one is being killed before it.
# read close stat fstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask pread64 socket getpid recvfrom recvmsg
# getsockname fcntl getdents64 newfstatat prlimit64 setns getrandom; and openat without O_CREAT.
HARMLESS = {0, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 17, 39, 41, 45, 47, 51, 72, 217, 262, 302, 308, 318}
OPENAT = 257
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def harmless(pid):
    """Is the system call that the tracee is about to make one of those? No where it is not known."""
    info = ctypes.create_string_buffer(88)  # struct ptrace_syscall_info
    libc.ptrace(PTRACE_GET_SYSCALL_INFO, pid, len(info), ctypes.addressof(info))
    number, *arguments = struct.unpack_from("<7Q", info, 24)
    if os.uname().machine != "x86_64":
        return False
    return number in HARMLESS or (number == OPENAT and not arguments[2] & os.O_CREAT)


def stopped(pid):
    """Waits for the tracee. Its stop signal, or None: it has ended."""
    _, status = os.waitpid(pid, 0)
    return os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None


class Stepped:
    """The hook, from its first system call to the one before which something is to happen."""

    def __init__(self, world, state, **kw):
        self.process = caller.popen(world, before=lambda: ptrace(PTRACE_TRACEME, 0), **kw)
        self.pid = self.process.pid
        self.process.stdin.write(state)
        self.process.stdin.close()
        self.ended = False

    def step(self, n):
        """Until it is about to make the call after its Nth that matters. False where it has ended before."""
        if stopped(self.pid) is None:
            raise AssertionError("no exec")
        ptrace(PTRACE_SETOPTIONS, self.pid, TRACESYSGOOD | EXITKILL)
        entered, count, sig, matters = False, 0, 0, True
        while True:
            ptrace(PTRACE_SYSCALL, self.pid, sig)
            stop = stopped(self.pid)
            sig = 0
            if stop is None:
                self.ended = True
                return False
            if stop != signal.SIGTRAP | 0x80:
                sig = stop if stop != signal.SIGTRAP else 0
                continue
            entered = not entered
            if not entered:
                continue
            count += matters
            if count == n:
                return True
            matters = not harmless(self.pid)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while stopped(self.pid) is not None:
            pass

    def go_on(self):
        """To its end, untraced as far as one can be. The exit status, None: by a signal."""
        sig = 0
        while True:
            ptrace(PTRACE_CONT, self.pid, sig)
            _, status = os.waitpid(self.pid, 0)
            if os.WIFSTOPPED(status):
                sig = os.WSTOPSIG(status) & ~0x80
                sig = 0 if sig == signal.SIGTRAP else sig
                continue
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None

    def close(self):
        with self.process.stdout, self.process.stderr:
            complaint = self.process.stderr.read().decode("latin-1")
        self.process.returncode = 0  # we have waited
        return complaint


def each_kind(test):
    """A test method that gets a link: run for each, in a subtest."""
    @functools.wraps(test)
    def run(self):
        for link in LINKS:
            with self.subTest(link=link):
                test(self, link)
    return run


class Killed(CallerTest):
    def policy_of(self, link):
        self.world.policy("row", {**harness.POLICY, "link": link})

    def assertNothingButFiles(self, n):
        left = wait_ended(self.world.processes())
        self.assertEqual(left, [], f"call {n}: {self.world.processes()}")

    def assertSwept(self):
        self.world.status()
        self.assertEqual(self.world.run_files(), [])

    def step(self, n, init, victim):
        """Kills the hook, or init, before call N; then lets the hook come to its end. None: it had ended before; else its
        exit status and what it said."""
        hook = Stepped(self.world, json.dumps(self.state(init)).encode())
        if not hook.step(n):
            hook.close()
            return None
        if victim == "hook":
            hook.kill()
            return -signal.SIGKILL, hook.close()
        init.process.kill()
        init.process.wait()
        return hook.go_on(), hook.close()

    # -- the hook

    def settle(self, n, init):
        """After the hook's death. True: init is as it was, and goes on living."""
        if init.guarded() and self.roles()["keeper"]:
            init.kill()  # as a runtime does whose hook was killed
        self.assertNothingButFiles(n)
        if init.netns.fd < 0:
            return False
        self.assertUnguarded(init)  # the tracer's end is init's, but not at the same instant
        if init.process.poll() is not None:
            return False
        self.assertTrue(init.netns.wait_link("oe0", there=False), f"call {n}: the link is left")
        self.assertTrue(init.untouched(), f"call {n}")
        return True

    @each_kind
    def test_hook_killed_at_each_call(self, link):
        self.policy_of(link)
        n, init, alive = 0, Init(), 0
        try:
            while self.step(n + 1, init, "hook"):
                n += 1
                if self.settle(n, init):
                    alive += 1
                else:
                    init.kill()
                    self.assertSwept()
                    init = Init()
            self.assertTrue(init.guarded(), "the hook that nobody killed")
        finally:
            init.kill()
        print(f"\n  {link}: hook killed before each of {n} system calls, {alive} times with init as it was")
        self.assertGreater(alive, 50)
        self.assertNothingButFiles("last")
        self.assertSwept()

    # -- init

    @each_kind
    def test_init_killed_at_each_call(self, link):
        """Its number is nobody's from there on, or another process's: the hook says no, or its work ends with init."""
        self.policy_of(link)
        n, refused = 0, 0
        while True:
            with Init() as init:
                result = self.step(n + 1, init, "init")
                if result is None:
                    break
            n += 1
            status, complaint = result
            self.assertIn(status, (0, 1), f"call {n}: {complaint}")
            refused += status
            if status:
                self.assertRegex(complaint, r"\Aoci-egress: [ -~]+\n\Z", f"call {n}")
            self.assertNothingButFiles(n)
            if n % 10 == 0:
                self.assertSwept()
        print(f"\n  {link}: init killed before each of {n} system calls, {refused} times refused")
        self.assertGreater(refused, 50)
        self.assertNothingButFiles("last")
        self.assertSwept()

    # -- by the runtime

    @harness.each_runtime
    def test_runtime_kills_a_slow_hook(self, runtime):
        """Row g271: its time-out ends the hook while an external proxy takes its time."""
        self.world.policy("slow", {"proxy": {"command": ["/bin/sleep", "1000"]}, "startup_timeout_ms": 20000, "on_failure": "open"})

        def edit(config):
            config["hooks"]["createRuntime"][0]["timeout"] = 1
        bundle = harness.Bundle(self.world, policy="slow", args=["/probe", "ids"], edit=edit)
        done = runtime.run(bundle)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn('"euid"', done.stdout)
        runtime.call("delete", "--force", bundle.id)
        self.assertNothingButFiles("time-out")
        self.assertSwept()

    def record_is_there(self, bundle):
        return bundle.id + ".json" in self.world.run_files()

    def keeper_is_there(self, _):
        return any(name.endswith(".sock") for name in self.world.run_files())

    def link_is_there(self, bundle):
        if not self.record_is_there(bundle):
            return False
        with open(os.path.join(self.world.run, bundle.id + ".json"), encoding="utf-8") as file:
            netns = harness.Netns(json.load(file)["pid"])
        try:
            return netns.wait_link("oe0", there=True)
        finally:
            netns.close()

    def hook_has_ended(self, bundle):
        return os.path.exists(os.path.join(self.world.volatile, bundle.id + ".after"))

    @harness.each_link
    def test_runtime_killed_while_hooks_run(self, runtime, link):
        """Its init ends for want of it. The hook is told nothing; what it has made and goes on to make ends with init."""
        self.world.policy("slow", {"proxy": {"command": ["/bin/sleep", "1000"]}, "link": link, "startup_timeout_ms": 20000,
                                   "on_failure": "closed"})
        os.makedirs(self.world.run, 0o700, exist_ok=True)
        points = [(link, self.record_is_there), (link, self.keeper_is_there), (link, self.hook_has_ended), ("slow", self.keeper_is_there)]
        if link == "veth":
            points += [(link, self.link_is_there), ("slow", self.link_is_there)]
        for policy, reached in points:
            with self.subTest(policy=policy, reached=reached.__name__):
                self.kill_runtime_when(runtime, policy, reached)

    def kill_runtime_when(self, runtime, policy, reached):
        fifo = self.world.path("fifo")
        if not os.path.exists(fifo):
            os.mkfifo(fifo)
        bundle = harness.Bundle(self.world, policy=policy, args=["/probe", "ids"])
        # Another hook behind ours keeps the container from starting, until the fifo has no writer.
        after = os.path.join(self.world.volatile, bundle.id + ".after")
        script = f"exec 3<{fifo}; echo >{after}; read line <&3; exit 1"
        bundle.config["hooks"]["createRuntime"].append({"path": "/bin/sh", "args": ["sh", "-c", script]})
        with open(os.path.join(bundle.dir, "config.json"), "w", encoding="utf-8") as file:
            json.dump(bundle.config, file)
        writer = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
        try:
            with open(os.path.join(bundle.dir, "out"), "wb") as out, harness.Watch(self.world.run, self.world.volatile) as watch:
                process = subprocess.Popen(runtime.command("run", "--bundle", bundle.dir, bundle.id), stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=out)
                was_reached = harness.wait_for(lambda: reached(bundle), [watch], 10)
                process.kill()
                process.wait()
        finally:
            os.close(writer)
        self.assertTrue(was_reached)
        self.assertClean()
        runtime.call("delete", "--force", bundle.id)
        with open(os.path.join(bundle.dir, "out"), encoding="utf-8") as file:
            self.assertNotIn('"euid"', file.read())
        self.assertSwept()


if __name__ == "__main__":
    harness.main()
