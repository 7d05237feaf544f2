# SPDX-License-Identifier: Apache-2.0
"""What CRI-O does with the containers of a pod, without CRI-O: it calls conmon and the runtime with CRI-O's arguments.

The pod has no infra container: its network namespace is pinned, with eth0 and a default route, before any container is
there. hooks.d is in config.json already, as CRI-O puts it there; so are the pod's annotations."""
import json
import os
import shutil
import socket
import subprocess
import unittest

import harness
from harness import Bundle, Gone, Netns, Talk, readable, wait_file
from pod import DEVICE, Pod
from podman import UNIFIED

CAPS = ["CAP_" + c for c in ("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL")]


class Pinned(Pod):
    """A pod's namespace that no process is in, kept by a file on the world's host."""

    def __init__(self, world):
        super().__init__(world)
        self.pin = world.path(f"netns-{next(harness.number)}")
        sh = world.on_host("sh", "-c", f"touch {self.pin} && mount --bind {self.path} {self.pin}")
        assert sh.returncode == 0, sh.stderr
        self.holder.communicate()
        self.path = f"/proc/{world.host.pid}/root{self.pin}"

    def close(self):
        """Unpins it. Is the namespace gone? Its end of the interface takes the host's with it."""
        if self.netns.fd < 0:
            return True
        self.netns.close()
        self.world.on_host("sh", "-c", f"umount {self.pin} && rm {self.pin}")
        host = Netns(self.world.host.pid)
        try:
            return host.wait_link(DEVICE, there=False)
        finally:
            host.close()


def on_the_host(config):
    """hostNetwork: CRI-O asks for no network namespace."""
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]


class Crio:
    def __init__(self, world, runtime):
        for program in ("conmon", runtime):
            if not shutil.which(program):
                raise unittest.SkipTest(f"no {program}")
        self.world, self.runtime = world, shutil.which(runtime)
        self.root, self.exits, self.sockets = (os.path.join(world.volatile, name) for name in ("crio-root", "exits", "attach"))
        for directory in (self.exits, self.sockets):
            os.mkdir(directory)
        self.arguments = [f"--root={self.root}"]
        if runtime == "crun":
            world.on_host("sh", "-c", UNIFIED)
            self.arguments.append("--cgroup-manager=disabled")

    def call(self, *argv):
        """The runtime, as CRI-O calls it by itself. The CompletedProcess."""
        command = self.world.host.enter(self.runtime, *self.arguments, *argv)
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def bundle(self, pod, name, policy, args=("/probe",)):
        annotations = {"io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "s" * 64,
                       "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop",
                       "io.kubernetes.pod.uid": "8f3e9c1a", "io.kubernetes.container.name": name}
        return Bundle(self.world, policy=policy, netns=pod and pod.pin, caps=CAPS, no_new_privs=True, annotations=annotations,
                      args=args, edit=None if pod else on_the_host)

    def create(self, pod, name="app", policy="pod", stdin_once=False, **kw):
        """A container of the pod; without one, of a pod that has the host's network."""
        return Workload(self, self.bundle(pod, name, policy, **kw), name, stdin_once)

    def start(self, *argv, **kw):
        container = self.create(*argv, **kw)
        container.start()
        return container


class Workload(Talk):
    """A container that conmon watches. Made by create; its program runs from start on, and is talked to by attaching."""

    def __init__(self, crio, bundle, name, stdin_once):
        self.crio, self.bundle, self.world, self.id, self.name = crio, bundle, crio.world, bundle.id, name
        self.talks, self.buffer, self.sock, self.netns = [], b"", None, None
        self.stderr = os.path.join(bundle.dir, "runtime-stderr")
        self.exit_file = os.path.join(crio.exits, self.id)
        answer = self.create(["-i"] if stdin_once else ["--leave-stdin-open", "-i"])
        if answer["pid"] < 0:
            crio.call("delete", "--force", self.id)
            raise Gone(answer.get("message", ""))
        self.pid = answer["pid"]
        self.world.containers.append(self)

    def create(self, stdin):
        """conmon until it has let go. What it says of the container: its pid, or -1 and a message."""
        directory = self.bundle.dir
        return self.conmon("-b", directory, "--exit-dir", self.crio.exits, "-l", os.path.join(directory, "log"),
                           "-P", os.path.join(directory, "conmon-pidfile"), "-p", os.path.join(directory, "pidfile"),
                           "--persist-dir", directory, "--syslog", "-u", self.id, *stdin)

    def exec_sync(self, *args):
        """As a probe of the kubelet's: conmon waits for its end. Its status and what it has said."""
        path = self.process_file(args)
        answer = self.conmon("-e", "--sync", "-p", path + "-pid", "-l", path + "-log", "--exec-process-spec", path)
        with open(path + "-log", encoding="utf-8") as log:
            return answer["exit_code"], [line.split(" ", 3)[3].rstrip("\n") for line in log]

    def conmon(self, *options):
        sync, theirs = os.pipe()
        wait, go = os.pipe()
        argv = ["conmon", "-c", self.id, "-n", f"k8s_{self.name}_web-0_shop_8f3e9c1a_0", "-r", self.crio.runtime, "--log-level", "info",
                "--socket-dir-path", self.crio.sockets, *options]
        for argument in self.crio.arguments:
            argv += ["--runtime-arg", argument]
        environment = {"PATH": os.environ["PATH"], "_OCI_SYNCPIPE": str(theirs), "_OCI_STARTPIPE": str(wait)}
        with open(self.stderr, "wb") as stderr:
            process = subprocess.Popen(self.world.host.enter(*argv), cwd=self.bundle.dir, env=environment, pass_fds=(theirs, wait),
                                       stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        os.close(theirs)
        os.close(wait)
        os.write(go, b"\0")
        os.close(go)
        with open(sync, encoding="utf-8") as file:
            line = file.readline()
        process.wait(60)
        return json.loads(line or "null") or {"pid": -1, "message": self.complaint()}

    def start(self):
        """Attaches first: so does whoever wants all that the program says."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(os.path.join(self.crio.sockets, self.id, "attach"))
        done = self.crio.call("start", self.id)
        if done.returncode:
            raise Gone(done.stderr)
        self.netns = Netns(self.pid)

    def send(self, command):
        self.sock.send(command.encode() + b"\n")

    def receive(self, command="", timeout=30.0):
        while b"\n" not in self.buffer:
            if not readable([self.sock], harness.time.monotonic() + timeout):
                raise AssertionError(f"no answer to {command!r} after {timeout} s: {self.complaint()}")
            data = self.sock.recv(1 << 16)
            if not data:
                raise Gone(f"{command}: {self.complaint()}")
            self.buffer += data[1:]  # the first says which of stdout and stderr
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def exec(self):
        """Another probe in it, as kubectl exec: CRI-O calls the runtime itself, and waits."""
        path = self.process_file(["/probe"])
        talk = Talk(self.world.host.enter(self.crio.runtime, *self.crio.arguments, "exec", "--process", path, self.id), path + "-stderr")
        self.talks.append(talk)
        return talk

    def process_file(self, args):
        """The environment is the one that CRI-O has on record."""
        path = os.path.join(self.bundle.dir, f"exec-process-{next(harness.number)}")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**self.bundle.config["process"], "args": list(args)}, file)
        return path

    def finish(self):
        """Its program ends by itself: who had its stdin (once) has gone. Its status, as conmon has it."""
        self.sock.close()
        return self.wait_end()

    def kill(self):
        self.crio.call("kill", self.id, "KILL")
        return self.wait_end()

    def wait_end(self):
        """Until conmon has seen it end; for the runtime it is still there."""
        status = wait_file(self.exit_file, lambda text: text, 10)
        self.forget()
        return status

    def delete(self):
        """As the kubelet's garbage collector has it done, late."""
        self.crio.call("delete", "--force", self.id)
        self.forget()

    def forget(self):
        for talk in self.talks:
            talk.drop()
        if self.sock:
            self.sock.close()
        if self.netns:
            self.netns.close()
        if self in self.world.containers:
            self.world.containers.remove(self)

    destroy = delete
