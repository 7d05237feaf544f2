# SPDX-License-Identifier: Apache-2.0
"""The filter in the container's own seccomp profile, merged into what engines ship: what a real runtime makes of it, for
the container's program and for what is exec'd there. Nothing is armed here: what holds is the profile."""
import array
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import threading

import harness
from harness import BUILD, Bundle, WorldTest, each_runtime

MERGE = os.path.join(BUILD, "tests", "oci", "merge_profile")
PROFILES = os.path.join(os.path.dirname(harness.HERE), "corpus", "profiles")
STREAM, DGRAM, RAW, SEQPACKET, PACKET = 1, 2, 3, 5, 10
UNIX, INET, INET6, NETLINK, AF_PACKET, ALG, VSOCK = 1, 2, 10, 16, 17, 38, 40
HIGH = 1 << 32
SOCKET, SYSINFO = {"x86_64": (41, 99), "aarch64": (198, 179)}[os.uname().machine]

# family, type, protocol; what the filter says.
OPENED = [(UNIX, STREAM, 0), (UNIX, DGRAM, 0), (INET, STREAM, 0), (INET, STREAM | 0x80800, 6), (INET6, STREAM, 0),
          (NETLINK, RAW, 0), (NETLINK, DGRAM, 0)]
DENIED = [(INET, DGRAM, 0), (INET, DGRAM | 0x80000, 17), (INET, RAW, 1), (INET6, DGRAM, 0), (INET, PACKET, 0), (AF_PACKET, RAW, 0),
          (INET, STREAM, 262), (INET, STREAM, 132), (ALG, SEQPACKET, 0), (VSOCK, STREAM, 0), (NETLINK, RAW, 12),
          (HIGH | AF_PACKET, RAW, 0), (INET, HIGH | RAW, 1), (INET, STREAM, HIGH | 262), (HIGH | INET, DGRAM, 0)]
IO_URING = (425, 426, 427)


# seccomp_unotify(2)
NOTIF_RECV, NOTIF_SEND, NOTIF_SIZE, CONTINUE = 0xc0502100, 0xc0182101, 80, 1


class Agent(threading.Thread):
    """Gets a container's listener and lets all be made that it is asked about."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.asked = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(8)
        self.start()

    def run(self):
        poll = select.poll()
        poll.register(self.server, select.POLLIN)
        while True:
            for fd, events in poll.poll():
                if fd == self.server.fileno():
                    try:
                        peer, _ = self.server.accept()
                    except OSError:
                        return
                    with peer:
                        for listener in self.receive(peer):
                            poll.register(listener, select.POLLIN)
                elif events & select.POLLIN:
                    self.answer(fd)
                else:
                    poll.unregister(fd)
                    os.close(fd)

    @staticmethod
    def receive(peer):
        fds = array.array("i")
        _, ancillary, _, _ = peer.recvmsg(1 << 16, socket.CMSG_SPACE(4 * fds.itemsize))
        for _, _, data in ancillary:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
        return fds

    def answer(self, listener):
        request = bytearray(NOTIF_SIZE)
        try:
            fcntl.ioctl(listener, NOTIF_RECV, request)
            ident, _, _, number = struct.unpack_from("QIIi", request)
            self.asked.append((number, *struct.unpack_from("3Q", request, 32)))
            fcntl.ioctl(listener, NOTIF_SEND, struct.pack("QqiI", ident, 0, 0, CONTINUE))
        except OSError:
            pass  # who asked is gone

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.join(5)
        self.server.close()


class Profile(WorldTest):
    def shipped(self, name):
        with open(os.path.join(PROFILES, f"{name}-{'arm64' if SOCKET == 198 else 'amd64'}.json"), encoding="utf-8") as file:
            return json.load(file)

    def bundle(self, seccomp, merged=True):
        def edit(config):
            config["linux"].pop("seccomp", None)
            if seccomp:
                config["linux"]["seccomp"] = seccomp
            if merged:
                done = subprocess.run([MERGE], input=json.dumps(config), capture_output=True, text=True, check=True)
                config["linux"]["seccomp"] = json.loads(done.stdout)
        return Bundle(self.world, policy=None, hooks=False, edit=edit)

    def answers(self, talk):
        """What each system call says: "" or an errno's name."""
        calls = [f"syscall {SOCKET} {' '.join(map(str, args))}" for args in OPENED + DENIED]
        calls += [f"syscall {number} 8 0" for number in IO_URING]
        return {call: talk.ask(call)["errno"] for call in calls}

    def assertFiltered(self, talk, what):
        answers = list(self.answers(talk).items())
        for call, errno in answers[:len(OPENED)]:
            self.assertEqual(errno, "", f"{what}: {call}")
        for call, errno in answers[len(OPENED):]:
            self.assertIn(errno, ("EPERM", "ENOSYS"), f"{what}: {call}")  # the filter's, or the profile's default

    def assertHolds(self, runtime, seccomp, what):
        with runtime.start(self.bundle(seccomp)) as container:
            self.assertFiltered(container, f"{what}, run")
            self.assertFiltered(container.exec(), f"{what}, exec")
            self.assertEqual(container.status("Seccomp"), "2")

    @each_runtime
    def test_unconfined(self, runtime):
        """And without the merge these would be open: they are tried in the same way."""
        with runtime.start(self.bundle(None, merged=False)) as container:
            answers = self.answers(container)
            self.assertEqual(answers[f"syscall {SOCKET} {INET} {DGRAM} 0"], "")
            self.assertEqual(answers[f"syscall {SOCKET} {HIGH | AF_PACKET} {RAW} 0"], "")
        self.assertHolds(runtime, None, "unconfined")

    @each_runtime
    def test_shipped(self, runtime):
        for name in ("docker-20.10.24", "docker-26.1.5", "common-0.50.1"):
            with self.subTest(name):
                self.assertHolds(runtime, self.shipped(name), name)

    @each_runtime
    def test_other_defaults(self, runtime):
        """Denials beside what permits; and what the profile itself denies stays denied."""
        for action in ("ALLOW", "LOG"):
            profile = {"defaultAction": "SCMP_ACT_" + action,
                       "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
                                     "args": [{"index": 0, "value": VSOCK, "op": "SCMP_CMP_EQ"}]},
                                    {"names": ["sysinfo"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}]}
            with self.subTest(action), runtime.start(self.bundle(profile)) as container:
                for talk in (container, container.exec()):
                    answers = self.answers(talk)
                    self.assertEqual(answers[f"syscall {SOCKET} {INET} {STREAM} 0"], "")
                    self.assertEqual(answers[f"syscall {SOCKET} {INET} {DGRAM} 0"], "EPERM")
                    self.assertIn(answers[f"syscall {SOCKET} {VSOCK} {STREAM} 0"], ("EPERM", "EAFNOSUPPORT"))
                    self.assertEqual(talk.ask(f"syscall {SYSINFO} 0")["errno"], "EIO")
                    self.assertEqual(answers["syscall 425 8 0"], "ENOSYS")

    @each_runtime
    def test_listener(self, runtime):
        """Who may let calls be made is asked about what the filter permits, and about nothing else."""
        path = self.world.path(f"agent-{runtime.name}")
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
                   "syscalls": [{"names": ["socket", "sysinfo"], "action": "SCMP_ACT_NOTIFY"}]}
        agent = Agent(path)
        try:
            with runtime.start(self.bundle(profile)) as container:
                self.assertFiltered(container, "listener")
                self.assertEqual(container.ask(f"syscall {SYSINFO} 0")["errno"], "EFAULT")
            sockets = [call[1:] for call in agent.asked if call[0] == SOCKET]
            self.assertEqual(sockets, OPENED)
            self.assertIn(SYSINFO, [call[0] for call in agent.asked])
        finally:
            agent.close()


if __name__ == "__main__":
    harness.main()
