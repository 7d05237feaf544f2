#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every row of a corpus of hosts, through the policy compiler, the host parser and the filter, and through the second
model. usage: test_corpus.py ASKER MODEL_DIR FILE...

via=connect is the whole request target. via=socks5 is what a SOCKS5 request carries: a name, or an address as bytes.
Of via=http only the authority passes here; what an HTTP request target must look like around it (scheme, fragment,
bytes in the path) is decided by the door for plain HTTP, and those rows are counted and named, not judged."""
import json
import re
import sys

asker_path, model_dir, *files = sys.argv[1:]
sys.path.insert(0, model_dir)
sys.dont_write_bytecode = True
import refmodel  # noqa: E402
from asking import Asker  # noqa: E402

HTTP_TARGET = re.compile(r"http://([^/?]*)(?:[/?].*)?", re.IGNORECASE)


def http_authority(target):
    """The authority of an absolute-form target, or None where the HTTP door refuses the target before it has one."""
    match = HTTP_TARGET.fullmatch(target)
    if not match or re.search(r"[^!-~]|[#\\]", target[len("http://") + len(match[1]):]):
        return None
    return match[1]


def question(row):
    """(verb, text, port), or None: not ours."""
    if row["via"] == "connect":
        return "authority", row["target"], 0
    if row["via"] == "socks5":
        return "address" if row.get("atyp") in (1, 4) else "host", row["target"], row["port"]
    authority = http_authority(row["target"])
    return None if authority is None else ("authority", authority, 80)


def answers_of(row, host):
    resolve = row.get("resolve", {})
    return resolve.get(host, refmodel.PUBLIC) if isinstance(host, str) else ()


def model(row, verb, text, port):
    """(class, answers)"""
    policy = refmodel.Policy(row["policy"])
    if verb == "address":
        return policy.decide(refmodel.ipaddress.ip_address(text), port), ()
    if verb == "host":
        host = refmodel.parse_host(text)
        answers = answers_of(row, host)
        return policy.decide_host(text, port, answers), answers
    target = refmodel.parse_authority(text, port)
    answers = answers_of(row, target[0]) if target else ()
    return policy.decide_authority(text, port, answers), answers


def problems(row, asker):
    """What is wrong with our answer to a row, in words; nothing else than "left" for one that is not ours."""
    broken = asker.policy(row["policy"])
    if row["expect"] == "bad_policy":
        return [] if broken and row.get("says", "") in broken else [f"the policy was: {broken or 'taken'}"]
    if broken:
        futile = row["expect"] == refmodel.DENY and refmodel.Policy(row["policy"]).is_futile() and "networks" in broken
        return [] if futile else [f"the policy was refused: {broken}"]

    ours = question(row)
    if ours is None:
        return ["left"]
    expected, answers = model(row, *ours)
    got, reason, rule = asker.judge(*ours, answers)

    found = []
    if got not in [row["expect"], *row.get("also_ok", [])]:
        found.append(f"{got} ({reason}, {rule}), not {row['expect']}")
    if got != expected:
        found.append(f"{got} ({reason}, {rule}), but the model says {expected}")
    if row.get("must") == "no resolver call" and reason == "address-forbidden":
        found.append("decided only after a look-up")
    if row.get("reason", reason) != reason:
        found.append(f"reason {reason}, not {row['reason']}")
    return found


def main():
    asker = Asker(asker_path)
    failed = False
    for path in files:
        rows = [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]
        left = []
        for row in rows:
            found = problems(row, asker)
            if found == ["left"]:
                left.append(row["id"])
                continue
            for problem in found:
                failed = True
                print(f"{row['id']}: {row['via']} {row['target']!r}: {problem} ({row['why']})")
        print(f"{path}: {len(rows)} rows, {len(rows) - len(left)} judged, {len(left)} left to the HTTP door: {' '.join(left)}")
        failed = failed or len(rows) < 40 or len(left) > len(rows) // 10
    asker.close()
    return 1 if failed else 0


sys.exit(main())
