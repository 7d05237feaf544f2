# SPDX-License-Identifier: Apache-2.0
"""What oci-egress costs: bench.py [start] [first] [memory] [many] [filter], all where none is named. Prints figures, judges none.

start   a container's start and end: our hook against a hook that is /bin/true, in turns; and where a hook's time goes
first   200 starts in a row: how long the first connection takes
memory  proportional set size of keeper and worker, of one container and of a hundred
many    300 containers at once
filter  a policy of a million entries: loading it, its memory, a decision"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engines"))
import million  # noqa: E402
from harness import KEEPER, LINKS, PROGRAM, Bundle, Runtime, World  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "60"))


def quantiles(values):
    values = sorted(values)
    return f"median {statistics.median(values):6.2f}  p90 {values[int(len(values) * 0.9)]:6.2f}  max {values[-1]:6.2f} ms"


def run_ms(runtime, bundle):
    start = time.monotonic()
    done = runtime.run(bundle)
    ms = (time.monotonic() - start) * 1e3
    if done.returncode:
        raise SystemExit(done.stderr)
    return ms


def bench_start(world):
    """Each round runs one container of every kind, so that what the machine does meanwhile hits all alike."""
    timings = world.path("timings")

    def true(config):
        config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}

    def timed(config):
        args = config["hooks"]["createRuntime"][0]["args"]
        args += ["--timings", timings]
        del config["hooks"]["poststop"]  # /bin/true has none either

    runtime = Runtime(world, "runc")
    kinds = {"true": {"hooks": False, "policy": None, "edit": true}, **{link: {"policy": link, "edit": timed} for link in LINKS}}
    taken = {kind: [] for kind in kinds}
    steps = {link: [] for link in LINKS}
    for number in range(ROUNDS + 3):
        for kind, arguments in kinds.items():
            ms = run_ms(runtime, Bundle(world, args=["/bin/true"], **arguments))
            if number < 3:  # the first few warm the caches
                continue
            taken[kind].append(ms)
            if kind in steps:
                with open(timings, encoding="utf-8") as file:
                    steps[kind].append(json.loads(file.read().splitlines()[-1]))
    print(f"runc run of /bin/true, {ROUNDS} rounds, all kinds in turns")
    for kind, values in taken.items():
        print(f"  {kind:8} {quantiles(values)}")
    for link in LINKS:
        differences = [ours - true for ours, true in zip(taken[link], taken["true"])]
        ratio = statistics.median(taken[link]) / statistics.median(taken["true"])
        print(f"  {link:8} over true: {statistics.median(differences):+.2f} ms in the median of the pairs, ratio {ratio:.3f}")
    for link in LINKS:
        print(f"where the hook's time goes, {link}, medians in ms:")
        for step in steps[link][0]:
            print(f"  {step:10} {statistics.median(s.get(step, 0) for s in steps[link]) / 1e3:6.2f}")


def bench_first(world):
    runtime = Runtime(world, "runc")
    for link in LINKS:
        taken = []
        for _ in range(200):
            done = runtime.run(Bundle(world, policy=link, args=["/probe", "connect", *address(link), "5000"]))
            result = json.loads(done.stdout)
            if not result["ok"]:
                raise SystemExit(f"{result} {done.stderr}")
            taken.append(result["ms"])
        print(f"first connection to the proxy, 200 starts in a row, {link}: {quantiles(taken)}")
    taken = []
    for _ in range(200):
        done = runtime.run(Bundle(world, args=["/probe", "fetch", "allowed.test:443"]))
        result = json.loads(done.stdout)
        if not result["ok"]:
            raise SystemExit(f"{result} {done.stderr}")
        taken.append(result["ms"])
    print(f"first CONNECT answered, name look-up included, 200 starts, veth: {quantiles(taken)}")


def address(link):
    return ("198.18.0.2" if link == "veth" else "127.0.0.1"), "3128"


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Pss:", "SwapPss:")))


def start_many(world, count):
    runtime = Runtime(world, "runc")
    containers, failures = [], []
    lock = threading.Lock()
    left = iter(range(count))

    def start():
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                containers.append(runtime.start(Bundle(world)))
            except AssertionError as e:
                failures.append(str(e))
                return

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(failures[0])
    return containers


def bench_memory(world):
    for count in (1, 100):
        with world.containers_of_one_test():
            containers = start_many(world, count)
            roles = containers[0].keeper()
            keepers, workers = [pss_kib(p) for p in roles["keeper"]], [pss_kib(p) for p in roles["worker"]]
            if (len(keepers), len(workers)) != (count, count):
                raise SystemExit(f"{len(keepers)} keepers, {len(workers)} workers")
            print(f"PSS, idle, {count} container(s): keeper {statistics.mean(keepers):.0f} KiB, worker "
                  f"{statistics.mean(workers):.0f} KiB, together {statistics.mean(keepers) + statistics.mean(workers):.0f} KiB")
        world.wait_clean(10)


def bench_many(world):
    with world.containers_of_one_test():
        start = time.monotonic()
        containers = start_many(world, 300)
        print(f"300 containers up after {time.monotonic() - start:.1f} s")
        start = time.monotonic()
        for container in containers:
            container.send("fetch allowed.test:443")
        good = sum(container.receive()["ok"] for container in containers)
        print(f"{good} of 300 fetched at once, in {time.monotonic() - start:.2f} s")
        start = time.monotonic()
        for container in containers:
            os.kill(container.pid, 9)
        left = world.wait_clean(30)
        print(f"all killed: {len(left)} things left after {time.monotonic() - start:.2f} s")


def bench_filter():
    with tempfile.TemporaryDirectory(prefix="oe-bench-") as directory:
        million.measure(os.path.join(os.environ["OCI_EGRESS_BUILD"], "tests", "bench", "bench_filter"), directory)


def main(names):
    for program in (PROGRAM, KEEPER):
        if not os.access(program, os.X_OK):
            raise SystemExit(f"not built: {program}")
    print(subprocess.run(["uname", "-rm"], capture_output=True, text=True, check=True).stdout.strip(),
          f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    benches = {"start": bench_start, "first": bench_first, "memory": bench_memory, "many": bench_many}
    for name in names or [*benches, "filter"]:
        if name == "filter":
            bench_filter()
            continue
        with World() as world:
            benches[name](world)


if __name__ == "__main__":
    main(sys.argv[1:])
