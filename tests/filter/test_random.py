#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random policies, from none to some thousands of entries, through the real compiler and filter and through the second
model: verdict, reason, and the entry that is named as the rule. Names are made of few labels, so that entries meet:
the same host in both lists, with and without ports, in several spellings, under wildcards and beside them.
usage: test_random.py ASKER MODEL_DIR [SECONDS [SEED]]"""
import random
import sys
import time

asker_path, model_dir, *rest = sys.argv[1:]
sys.path.insert(0, model_dir)
sys.dont_write_bytecode = True
import refmodel  # noqa: E402
from asking import Asker  # noqa: E402

SECONDS = float(rest[0]) if rest else 8
SEED = int(rest[1]) if rest[1:] else 5
SIZES = (0, 1, 2, 3, 5, 10, 40, 41, 80, 200, 1000, 4000)
LABELS = ("a", "b", "aa", "ab", "xn--a", "0a", "a-b", "a" * 57)
PORTS = (1, 80, 443, 444, 8080, 65535)
ADDRESSES = ("8.8.8.8", "8.8.4.4", "1.1.1.1", "9.9.9.9", "2606:4700::1", "2606:4700::2", "2001:4860::8888")


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def name(self, wide):
        """wide: how many names there are to choose from."""
        r = self.random
        labels = [r.choice(LABELS) for _ in range(r.choice((1, 2, 2, 3, 3, 4)))]
        if wide > 100:
            labels[r.randrange(len(labels))] = f"n{r.randrange(wide)}"
        return ".".join(labels + ["test"])

    def spelled(self, name):
        """The same name, as an administrator or a client may write it."""
        r = self.random
        if r.random() < .2:
            name = "".join(c.upper() if r.random() < .5 else c for c in name)
        return name + "." if r.random() < .1 else name

    def host(self, wide):
        r = self.random
        if r.random() < .1:
            address = r.choice(ADDRESSES)
            return f"[{address}]" if ":" in address else address
        return self.spelled(self.name(wide))

    def entry(self, wide):
        r = self.random
        port = f":{r.choice(PORTS)}" if r.random() < .3 else ""
        star = "*." if r.random() < .3 else ""
        return (star + self.spelled(self.name(wide)) if star else self.host(wide)) + port

    def policy(self):
        r = self.random
        size = r.choice(SIZES)
        policy = {"allow": [self.entry(size) for _ in range(size)]}
        if r.random() < .7:
            policy["deny"] = [self.entry(size) for _ in range(r.randrange(size // 3 + 2))]
        if r.random() < .3:
            policy["ports"] = r.sample(PORTS, r.randrange(1, len(PORTS)))
        return policy, size

    def question(self, policy, size):
        """Half of the questions are about what is listed: an entry, a name under its wildcard, or close to one."""
        r = self.random
        entries = policy["allow"] + policy.get("deny", [])
        host = self.host(size)
        if entries and r.random() < .6:
            host = r.choice(entries)
            host = host.rpartition(":")[0] if host[-1].isdigit() and ":" in host and not host.endswith("]") else host
            if host.startswith("*."):
                host = host[2:] if r.random() < .2 else r.choice(LABELS) + host[1:]
            elif not host.startswith("[") and r.random() < .2:
                host = f"{r.choice(LABELS)}.{host}"
        return host, r.choice(PORTS)


class Rules:
    """Which entry has to be named, and why: stated by the lists as they are written, in their order."""

    def __init__(self, policy):
        self.ports = set(policy.get("ports") or (80, 443))
        self.first = {}
        for which in ("allow", "deny"):
            for text in policy.get(which, []):
                what, port = refmodel.Policy._entry(text)
                self.first.setdefault((which, what), {}).setdefault(port, text)

    def expect(self, host, port):
        above = "*." + host.partition(".")[2] if isinstance(host, str) and "." in host else None
        for what in (host, above):
            deny = self.first.get(("deny", what), {})
            if 0 in deny or port in deny:
                return "deny", "denied", deny.get(0, deny.get(port))
        for what in (host, above):
            allow = self.first.get(("allow", what), {})
            if 0 in allow and port in self.ports:
                return "allow", "allowed", allow[0]
            if port in allow:
                return "allow", "allowed", allow[port]
        for what in (host, above):
            allow = self.first.get(("allow", what), {})
            if allow:
                return "deny", "port-not-listed", allow[min(allow)]
        return "deny", "not-listed", "-"


def compare(asker, generator, counts):
    """None, or a sentence."""
    policy, size = generator.policy()
    broken = asker.policy(policy)
    if broken:
        return f"{policy}: {broken}"
    model, rules = refmodel.Policy(policy), Rules(policy)
    for _ in range(300):
        host, port = generator.question(policy, size)
        target = f"{host}:{port}"
        parsed = refmodel.parse_authority(target)
        want = rules.expect(*parsed) if parsed else ("bad_request", None, None)
        verdict = model.decide_authority(target)
        if want[0] != verdict:
            return f"{target!r}: the models differ, {want} and {verdict}"
        got = asker.judge("authority", target, 0, [])
        counts[want[1]] = counts.get(want[1], 0) + 1
        if got[0] != want[0] or (parsed and got != want):
            return f"{target!r}: {got}, but the model says {want}; policy: {policy}"
    return None


def main():
    asker = Asker(asker_path)
    counts, policies = {}, 0
    end = time.monotonic() + SECONDS
    while policies < 100 or time.monotonic() < end:
        difference = compare(asker, Generator(SEED * 1_000_000 + policies), counts)
        if difference:
            print(f"DIFFERS: policy {policies} of seed {SEED}: {difference}")
            return 1
        policies += 1
    asker.close()
    print(f"{policies} policies, {counts}")
    for reason in ("allowed", "denied", "not-listed", "port-not-listed"):
        if counts.get(reason, 0) < policies:
            print(f"too few that are {reason}: this proves little")
            return 1
    return 0


sys.exit(main())
