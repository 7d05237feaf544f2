# SPDX-License-Identifier: Apache-2.0
"""Death at every step. The hook is traced (ptrace(2)) from its exec to its end, and at the Nth system call that it makes
it is killed, or init is: for each N. Whoever dies, nothing of ours is left but files that the next hook or `status`
clears away, and init is guarded, dead, or as it was."""
import ctypes
import json
import os
import signal
import unittest

import caller
import harness
from caller import CallerTest, Init, Places
from harness import LINKS, libc, wait_ended, wait_for

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 7, 24, 0x4200
TRACESYSGOOD, EXITKILL = 0x1, 0x100000
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


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
        """Until it is about to make its Nth call. False where it has ended before."""
        if stopped(self.pid) is None:
            raise AssertionError("no exec")
        ptrace(PTRACE_SETOPTIONS, self.pid, TRACESYSGOOD | EXITKILL)
        entered, count, sig = False, 0, 0
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
            count += entered
            if entered and count == n:
                return True

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


# What this may leave until somebody sweeps: files with names of their own.
class Killed(CallerTest):
    def policy_of(self, link):
        self.world.policy("row", {**harness.POLICY, "link": link})

    def assertNothingButFiles(self, n):
        left = wait_ended(self.world.processes())
        self.assertEqual(left, [], f"call {n}: {self.world.processes()}")

    def kill_hook_at(self, n, init):
        """True: it was killed; False: it had ended before."""
        hook = Stepped(self.world, json.dumps(self.state(init)).encode())
        killed = hook.step(n)
        if killed:
            hook.kill()
        hook.close()
        return killed

    def settle(self, n, init):
        """After the hook's death. True: init is as it was, and goes on living."""
        if init.process.poll() is None and init.status("Seccomp") == ("0",):
            wait_for(lambda: init.status("TracerPid") == ("0",) or init.process.poll() is not None, timeout=0)
        # The keeper and the tracer notice by themselves; what is guarded stays so until its end.
        if init.guarded() and self.world.run_files() and self.roles()["keeper"]:
            init.kill()
        self.assertNothingButFiles(n)
        if init.process.poll() is not None:
            return False
        self.assertEqual(init.status("Seccomp"), ("0",), f"call {n}: half armed")
        self.assertTrue(init.netns.wait_link("oe0", there=False), f"call {n}: the link is left")
        self.assertTrue(init.untouched(), f"call {n}")
        return True

    def test_hook_killed_at_each_call(self):
        for link in LINKS:
            self.policy_of(link)
            n, init, alive = 0, None, 0
            try:
                while True:
                    n += 1
                    if init is None:
                        init = Init()
                    if not self.kill_hook_at(n, init):
                        break
                    if self.settle(n, init):
                        alive += 1
                    else:
                        init.kill()
                        init = None
                self.assertTrue(init.guarded(), "the hook that nobody killed")
            finally:
                if init:
                    init.kill()
            print(f"\n  {link}: hook killed before each of {n - 1} system calls, {alive} times with init as it was")
            self.assertGreater(alive, 50)
            self.assertNothingButFiles("last")
            self.world.status()
            self.assertEqual(self.world.run_files(), [])


if __name__ == "__main__":
    harness.main()
