#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All strings up to a length over small alphabets: parser and filter must decide each as the second model does.
usage: test_exhaustive.py ASKER MODEL_DIR"""
import itertools
import sys
import time

asker_path, model_dir = sys.argv[1:]
sys.path.insert(0, model_dir)
sys.dont_write_bytecode = True
import refmodel  # noqa: E402
from asking import Asker  # noqa: E402

HOSTS = {
    "allow": ["a", "*.a.a", "x", "x.a:1", "x.1a:443", "0x.x:10", "*.0a.x:443", "xa:110", "[1::]", "[a::1]", "[a::]:1",
              "[::1]", "[1:1::]:10", "a.x", "*.x.x"],
    "deny": ["0.a", "1.a.a:443", "x.x", "*.a.x", "[a::]:1", "a.x:1", "x.x.x"],
    "networks": ["::1"],
}
QUADS = {
    "allow": ["1.0.1.1", "10.0.1.1:443", "1.1.1.2:80", "10.0.1.0", "12.0.0.1", "1.1.1.1", "11.11.11.1", "10.0.1.2"],
    "deny": ["1.1.1.1:443", "10.0.1.2"],
    "networks": ["10.0.1.0/24"],
}
LITERALS = {
    "allow": ["[1::1]", "[a:0::1]", "[::1.1.0.1]", "[0:1::]", "[1::a:0]:443", "[::1]", "[a::]:80"],
    "deny": ["[1::1]:443", "[::0.1.0.1]"],
    "networks": ["::/96"],
}

#       policy    form         alphabet       up to  before  behind
RUNS = [
    (HOSTS, "authority", "a.*%\0[]:10x", 6, "", ":443"),
    (HOSTS, "authority", "a.*%\0[]:10x", 6, "", ""),
    (HOSTS, "host", "a.*%\0[]:10x", 6, "", ""),
    (HOSTS, "host", "aA-_.0xX", 6, "", ""),
    (HOSTS, "authority", "0123456+", 5, "a:", ""),
    (QUADS, "authority", "01.2", 9, "", ":443"),
    (LITERALS, "authority", "01a:.", 7, "[", "]:443"),
    (LITERALS, "authority", "01.:f", 6, "[::", ".0.1]:443"),
]


def strings(alphabet, longest):
    for length in range(longest + 1):
        yield from map("".join, itertools.product(alphabet, repeat=length))


def expected(policy, form, alphabet, longest, prefix, suffix):
    letter = {refmodel.ALLOW: b"A"[0], refmodel.DENY: b"D"[0], refmodel.BAD: b"B"[0]}
    if form == "host":
        return bytes(letter[policy.decide_host(prefix + s + suffix, 443)] for s in strings(alphabet, longest))
    return bytes(letter[policy.decide_authority(prefix + s + suffix)] for s in strings(alphabet, longest))


def compare(asker, run):
    """None, or a sentence about the first string that differs."""
    policy, form, alphabet, longest, prefix, suffix = run
    started = time.monotonic()
    broken = asker.policy(policy)
    if broken:
        return broken
    got = asker.judge_all(form, alphabet, longest, prefix, suffix)
    want = expected(refmodel.Policy(policy), form, alphabet, longest, prefix, suffix)
    counts = " ".join(f"{name} {want.count(name.encode())}" for name in "ADB")
    print(f"{form} {prefix + '...' + suffix!r} over {alphabet!r} up to {longest}: {len(want)} strings, {counts}, "
          f"{time.monotonic() - started:.1f} s", flush=True)
    if min(want.count(b"A"), want.count(b"B")) == 0:
        return "a run without both allowed and bad strings proves little"
    if got == want:
        return None
    if len(got) != len(want):
        return f"{len(got)} answers, not {len(want)}"
    at, text = next((i, s) for i, s in enumerate(strings(alphabet, longest)) if got[i] != want[i])
    return f"{prefix + text + suffix!r}: {chr(got[at])}, but the model says {chr(want[at])}"


def main():
    asker = Asker(asker_path)
    failed = False
    for run in RUNS:
        difference = compare(asker, run)
        if difference:
            print(f"DIFFERS: {difference}")
            failed = True
    asker.close()
    return 1 if failed else 0


sys.exit(main())
