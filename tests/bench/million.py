# SPDX-License-Identifier: Apache-2.0
"""The filter with a million entries: a policy, the same each time, and questions whose answers a dictionary knows."""
import os
import random
import subprocess

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOPS = ["com", "net", "org", "de", "io", "co.uk", "example", "dev"]
PORTS = [22, 443, 8080, 8443]
QUESTIONS = 200_000


class Million:
    def __init__(self, entries, seed=1):
        self.random = random.Random(seed)
        self.text = {}  # entry -> None, in their order
        self.hosts = {}  # host, or "*." and what follows -> the ports listed, 0: the policy's
        while len(self.text) < entries:
            self.add()

    def label(self, shortest, longest):
        return "".join(self.random.choices(LETTERS, k=self.random.randint(shortest, longest)))

    def name(self):
        return f"{self.label(4, 14)}.{self.random.choice(TOPS)}"

    def add(self):
        kind = self.random.random()
        host = f"{self.label(2, 6)}.{self.name()}" if kind < .3 else f"*.{self.name()}" if kind < .4 else self.name()
        port = self.random.choice(PORTS) if kind > .9 else 0
        self.text[f"{host}:{port}" if port else host] = None
        self.hosts.setdefault(host, set()).add(port)

    def policy(self):
        lines = ",\n".join(f'    "{entry}"' for entry in self.text)
        return f'{{\n  "version": 1,\n  "deny": [],\n  "allow": [\n{lines}\n  ]\n}}\n'

    def reason(self, host, port):
        ports = [self.hosts.get(what, ()) for what in (host, "*." + host.partition(".")[2])]
        if any(port in p or (port in (80, 443) and 0 in p) for p in ports):
            return "allowed"
        return "port-not-listed" if any(ports) else "not-listed"

    def questions(self):
        """Lines for bench_filter: each group's hosts are drawn from all of the policy, so that no cache knows them."""
        wild = [host for host in self.hosts if host.startswith("*.")]
        plain = [host for host in self.hosts if not host.startswith("*.")]
        draw, label = self.random.choice, self.label
        groups = {
            "hit": lambda: (draw(plain), 443),
            "wildcard": lambda: (label(1, 8) + draw(wild)[1:], 80),
            "miss": lambda: (f"{label(2, 6)}.{self.name()}", 443),
            "port": lambda: (draw(plain), 81),
        }
        for group, make in groups.items():
            for _ in range(QUESTIONS):
                host, port = make()
                yield f"{group} {host} {port} {self.reason(host, port)}\n"


TARGETS = {"load_ms": "under 2000", "ask": "under 300"}
TELL = {
    "load_ms": "read and compiled, ms",
    "load_cpu_ms": "processor time for that, ms",
    "peak_kib": "memory at most meanwhile, KiB",
    "text_bytes": "the policy's text, bytes",
    "image_bytes": "its image, bytes",
    "map_us": "the image opened, mapped and checked, us",
}


def measure(program, directory, entries=1_000_000):
    """Runs bench_filter; prints its figures. Wrong decisions end the benchmark."""
    million = Million(entries)
    policy = os.path.join(directory, "million.json")
    with open(policy, "w", encoding="ascii") as file:
        file.write(million.policy())
    done = subprocess.run([program, policy, directory], input="".join(million.questions()), capture_output=True, text=True)
    os.unlink(policy)
    if done.returncode:
        raise SystemExit(f"{program}: status {done.returncode}: {done.stderr}")
    lines = [line.split() for line in done.stdout.splitlines()]
    figures = {name: int(value) for name, value, *more in lines if not more}
    print(f"filter, {figures['entries']} entries, {4 * QUESTIONS} answers as the dictionary has them")
    for name, words in TELL.items():
        print(f"  {words:42} {figures[name]:9} {TARGETS.get(name, '')}")
    print(f"  {'bytes of the image for each entry':42} {figures['image_bytes'] / figures['entries']:9.1f}")
    print(f"  {'one decision after the other, ns':42} {'median':>9} quietest  loudest of 10 rounds")
    for _, group, _, *rounds in (line for line in lines if line[0] == "ask"):
        target = "(one access to memory)" if group == "memory" else TARGETS["ask"]
        print(f"    {group:40} {rounds[0]:>9} {rounds[1]:>8} {rounds[2]:>8} {target}")
