# SPDX-License-Identifier: Apache-2.0
"""The data plane beside others: tunnels.py [--rounds N] [--peers a,b] [--tests a,b] [--out DIR], run by tests/run bench tunnels.

Proxy and origin run in a network namespace that stands for the host, clients in one that stands for the container, a veth between
them, as in the product. Both are anonymous and end with this program; nothing of the machine's own network is used. In each round every
peer has its turn, in another order, so that what the machine does meanwhile hits all alike, and ratios are taken within a
round. Writes results.jsonl, table.md and plot.svg.

tests   bulk       bytes down and up at 1, 8 and 64 tunnels
        tunnels    tunnels that live for one byte there and back, 1 and 64 clients
        exchanges  64 bytes there and back on 1 and 64 open tunnels
        idle       memory per idle tunnel at 1000 and 9500, and a new tunnel's latency beside them
        requests   plain HTTP with keep-alive, 1 and 64 clients
        trouble    what others see of 64 uploads, of an origin that has stopped under them, stalled readers, dripping senders, 9000
                   half-open connections, a flood"""
import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

import clocks
import peers as catalogue
import report
from peers import CLIENT, HOST, ORIGIN, PREFIX, STOPPED

BUILD = os.environ["OCI_EGRESS_BUILD"]
LOAD = os.path.join(BUILD, "tests", "bench", "tunnels", "tunnels-load")
PROGRAM = os.path.join(BUILD, "hook", "oci-egress")
KEEPER = os.path.join(BUILD, "proxy", "oci-egress-keeper")
START_S, LOAD_S = 15, 120
SYSCTLS = {"ipv4/ip_local_port_range": "10000 65500", "ipv4/tcp_tw_reuse": "1", "core/somaxconn": "16384",
           "ipv4/tcp_max_syn_backlog": "16384", "ipv4/tcp_congestion_control": "reno"}
TROUBLES = {"bulk": ("upload", 64), "stopped": ("upload", 64), "unread": ("unread", 64), "drip": ("drip", 1000), "half-open": ("half-open", 9000),
            "flood": ("flood", 2048)}


class Failed(Exception):
    """A peer could not be measured; the rest can."""


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def sysctls(pid):
    for name, value in SYSCTLS.items():
        subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-c", f'echo "{value}" >/proc/sys/net/{name}'], check=True)


class Place:
    """The two namespaces and the origins."""

    def __init__(self):
        if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) < 0:  # CLONE_NEWNET
            raise SystemExit("unshare: needs root")
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE,
                                       preexec_fn=die_with_parent)
        self.holder.stdout.readline()
        inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        for command in (f"link set lo up", f"link add oeb0 type veth peer name oeb0 netns {self.holder.pid}",
                        f"addr add {HOST}/{PREFIX} dev oeb0", "link set oeb0 up"):
            subprocess.run(["ip", *command.split()], check=True)
        for command in ("link set lo up", f"addr add {CLIENT}/{PREFIX} dev oeb0", "link set oeb0 up"):
            subprocess.run([*inside, "ip", *command.split()], check=True)
        sysctls(os.getpid())
        sysctls(self.holder.pid)
        self.inside = inside
        self.origins = [self.origin(0), self.origin(STOPPED)]

    @staticmethod
    def origin(base):
        process = subprocess.Popen([LOAD, "origin", f"{HOST}:{ORIGIN + base}"], stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        if process.stdout.readline() != b"ready\n":
            raise SystemExit("the origin does not start")
        return process

    def load(self, peer, *args):
        command = [*self.inside, LOAD, *map(str, args), "--door", peer.door, "--proxy", f"{HOST}:{peer.port}", "--origin",
                   f"{HOST}:{ORIGIN}"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=die_with_parent)


def end(process):
    """It and all that it has started."""
    pids = list(clocks.tree(process.pid))
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3)
    for pid in pids:
        with contextlib.suppress(OSError):
            if process.returncode is None or pid != process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait()


class Bench:
    def __init__(self, options):
        self.options = options
        self.place = Place()
        self.results = []
        self.flood_rate = None
        for name in ("table.md", "plot.svg"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(options.out, name))
        self.file = open(os.path.join(options.out, "results.jsonl"), "w", encoding="ascii")

    @contextlib.contextmanager
    def running(self, peer):
        """A fresh one; yields its pid, 0 where there is none."""
        command = peer.prepare(self.options.out)
        if not command:
            yield 0
            return
        errors = os.path.join(self.options.out, peer.name, "stderr")
        with open(errors, "wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True,
                                       preexec_fn=die_with_parent)
        try:
            self.wait_for(peer, process, errors)
            yield process.pid
        finally:
            end(process)

    def wait_for(self, peer, process, errors):
        mode = "exchanges" if "exchanges" in peer.tests else "requests"
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            probe = self.place.load(peer, mode, "--seconds", "0.01", "--warm-up", "0")
            with contextlib.suppress(subprocess.TimeoutExpired):
                probe.communicate(timeout=3)
            if probe.returncode == 0:
                return
            probe.kill()
            probe.wait()
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise Failed(f"{peer.name} does not serve: {clocks.read(errors)[-300:]}")

    def run_load(self, peer, pid, *args, when_idle=None):
        """One measurement: what the load generator says, and what CPU time went where meanwhile."""
        process = self.place.load(peer, *args)
        timer = time.monotonic()
        before = after = None
        result = {}
        for line in process.stdout:
            if line == "begin\n":
                before = self.clocks(pid)
            elif line == "end\n":
                after = self.clocks(pid)
            elif line == "idle\n":
                when_idle(result)
                process.stdin.write("\n")
                process.stdin.flush()
            elif line.startswith("{"):
                result.update(json.loads(line))
            if time.monotonic() - timer > LOAD_S:
                process.kill()
        errors = process.stderr.read().strip()
        process.stdin.close()
        if process.wait() != 0 or not after:
            raise Failed(f"{peer.name}: {' '.join(map(str, args))}: {errors[-200:] or process.returncode}")
        spent = {name: after[name] - before[name] for name in after}
        result["cpu_s"] = spent["proxy"]
        if result.get("units"):
            result["cpu_per_unit"] = spent["proxy"] / result["units"]
        result["foreign"] = round((spent["busy"] - spent["bench"]) / spent["time"], 3)
        result["steal"] = round(spent["steal"] / spent["time"], 3)
        return result

    @staticmethod
    def clocks(pid):
        now = time.monotonic()
        proxy = clocks.cpu_seconds(pid) if pid else 0
        busy, steal = clocks.machine_seconds()
        return {"time": now, "proxy": proxy, "bench": clocks.cpu_seconds(os.getpid()), "busy": busy, "steal": steal}

    def measure(self, round_, peer, pid, test, *args, when_idle=None):
        """Again, while strangers take the CPUs."""
        for _ in range(1 + self.options.retries):
            result = self.run_load(peer, pid, *args, when_idle=when_idle)
            if result["foreign"] < 0.2 and result["steal"] < 0.15:
                break
        self.record(round_, peer, test, result)
        return result

    def record(self, round_, peer, test, result):
        row = {"round": round_, "peer": peer.name, "test": test, **result}
        self.results.append(row)
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def steady(self, round_, peer, tests):
        """All that one instance can be asked for, one after the other."""
        seconds = ["--seconds", self.options.seconds]
        with self.running(peer) as pid:
            if "bulk" in tests:
                for n in (1, 8, 64):
                    for kind in ("down", "up"):
                        self.measure(round_, peer, pid, f"bulk-{kind}-{n}", "bulk", "--kind", kind, "-n", n, *seconds)
            for test in ("tunnels", "exchanges", "requests"):
                if test in tests:
                    for n in (1, 64):
                        self.measure(round_, peer, pid, f"{test}-{n}", test, "-n", n, *seconds)

    def idle(self, round_, peer):
        for n in self.options.idle:
            with self.running(peer) as pid:
                before = clocks.pss_bytes(pid)

                def look(result, pid=pid, before=before, n=n):
                    result["pss_per_tunnel"] = (clocks.pss_bytes(pid) - before) / n

                base = self.run_load(peer, pid, "idle", "-n", 0, "--seconds", self.options.seconds, when_idle=lambda result: None)
                result = self.run_load(peer, pid, "idle", "-n", n, "--seconds", self.options.seconds, when_idle=look)
                for name in ("tunnel_p50_us", "tunnel_p99_us"):
                    result["without_" + name] = base[name]
                self.record(round_, peer, f"idle-{n}", result)

    def trouble(self, round_, peer):
        for name, (kind, n) in TROUBLES.items():
            rate = self.flood_rate if kind == "flood" else 1
            seconds = 10 if kind == "flood" else self.options.seconds * 2
            with self.running(peer) as pid:
                maker = self.place.load(peer, "trouble", "--kind", kind, "-n", n, "--rate", rate, "--services",
                                        STOPPED if name == "stopped" else 0)
                try:
                    if maker.stdout.readline() != "ready\n":
                        raise Failed(f"{peer.name}: {name}: no trouble to be made")
                    if name == "stopped":
                        self.place.origins[1].send_signal(signal.SIGSTOP)
                        if maker.stdout.readline() != "stalled\n":
                            raise Failed(f"{peer.name}: {name}: does not stall")
                    self.measure(round_, peer, pid, f"trouble-{name}", "others", "-n", 16, "--rate", 400, "--seconds", seconds)
                finally:
                    self.place.origins[1].send_signal(signal.SIGCONT)
                    end(maker)

    def turn(self, round_, peer):
        tests = [test for test in self.options.tests if test in peer.tests]
        for part, wanted in ((lambda: self.steady(round_, peer, tests), {"bulk", "tunnels", "exchanges", "requests"}),
                             (lambda: self.idle(round_, peer), {"idle"}), (lambda: self.trouble(round_, peer), {"trouble"})):
            if not wanted & set(tests):
                continue
            try:
                part()
            except Failed as failure:
                print(f"round {round_}: {failure}", file=sys.stderr)

    def calibrate(self):
        """A flood is half of what direct connections reach here."""
        result = self.run_load(catalogue.all_peers(PROGRAM, KEEPER)["direct"], 0, "tunnels", "-n", 64, "--seconds", 2)
        self.flood_rate = result["per_s"] / 2

    def run(self, chosen):
        if "trouble" in self.options.tests:
            self.calibrate()
        for round_ in range(self.options.rounds):
            start = time.monotonic()
            for i in range(len(chosen)):
                self.turn(round_, chosen[(i + round_ * 3) % len(chosen)])
            print(f"round {round_ + 1} of {self.options.rounds}: {time.monotonic() - start:.0f} s", file=sys.stderr)
            report.write(self.options.out, self.results, self.options)


def parse():
    names = list(catalogue.all_peers(PROGRAM, KEEPER))
    parser = argparse.ArgumentParser(prog="tests/run bench tunnels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5, help="measured at a time")
    parser.add_argument("--peers", type=listed, default=names, help=",".join(names))
    parser.add_argument("--tests", type=listed, default=list(catalogue.ALL), help=",".join(catalogue.ALL))
    parser.add_argument("--idle", type=lambda text: [int(n) for n in text.split(",")], default=[1000, 9500], help="tunnels")
    parser.add_argument("--retries", type=int, default=2, help="while others use the CPUs")
    parser.add_argument("--out", default=os.path.join(BUILD, "tunnels"), help="directory for results.jsonl, table.md, plot.svg")
    options = parser.parse_args()
    unknown = set(options.peers) - set(names) | set(options.tests) - set(catalogue.ALL)
    if unknown:
        parser.error("unknown: " + ", ".join(sorted(unknown)))
    options.out = os.path.abspath(options.out)
    return options


def main():
    options = parse()
    for program in (LOAD, PROGRAM, KEEPER):
        if not os.access(program, os.X_OK):
            raise SystemExit(f"not built: {program}")
    os.makedirs(options.out, exist_ok=True)
    known = catalogue.all_peers(PROGRAM, KEEPER)
    Bench(options).run([known[name] for name in options.peers])
    print(clocks.read(os.path.join(options.out, "table.md")))


if __name__ == "__main__":
    main()
