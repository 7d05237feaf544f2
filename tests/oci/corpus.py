#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the rows of config.jsonl that documents alone can decide: corpus.py DRIVER CONFIG.JSONL

Rows are decided here by the parsers, or named below with who decides them; a row that is neither fails the test."""
import json
import subprocess
import sys

# Nothing is wrong with these documents: the parsers must take them, and another layer refuses or answers for them.
LATER = {
    "g008": "hook: the pid's network namespace is the hook's own",
    "g016": "hook: no such process",
    "g017": "hook: pid recycled between state and pidfd",
    "g018": "hook: createRuntime for a stopped container",
    "g047": "hook: owner of the bundle",
    "g189": "hook: the namespace is the host's, whatever its path",
    "g088": "hook: standard input without an end",
    "g042": "engines: two ids with one beginning side by side",
    "g191": "engines: the walls hold with these capabilities",
    "g192": "engines: the walls hold with these capabilities",
    "g193": "engines: the walls hold with these capabilities",
    "g208": "engines: mounts are the administrator's",
    "g209": "engines: mounts are the administrator's",
}

# Rows of these kinds need a hook or a container.
ELSEWHERE = {
    "environment": "hook: started with a hostile environment",
    "filesystem": "engines: hostile file systems and failures",
}

STATE = {"ociVersion": "1.0.2", "id": "c1", "status": "creating", "pid": 4242, "bundle": "/run/b/c1"}


def text_of(row):
    text = row["input"] if "input" in row else "".join(part * n for part, n in row["input_parts"])
    if row["kind"] == "annotation":
        annotations = text if isinstance(text, dict) else json.loads(text)
        text = json.dumps(STATE | {"annotations": annotations})
    text = text.replace("@ANN@", "oci-egress").replace('"@HOOK_PID@"', "4321")
    return text.encode("latin-1")


def facts_of(answer):
    return dict(fact.split("=", 1) for fact in answer.split()[1:]) if answer.startswith("accept") else {}


def verdict(row, answer):
    """What the product does with the document: the parsers' answer, and what every caller derives from it."""
    facts = facts_of(answer)
    if not answer.startswith("accept"):
        return answer.split()[0]
    if row["kind"] == "config" and (facts["network"] == "0" or facts["unsafe"] == "1"):
        return "reject"
    if row["kind"] == "annotation" and facts["policy"] == "invalid":
        return "reject"
    if row["kind"] == "policy" and facts["allow"] == "0":
        return "accept-default-deny"
    return "accept"


def problem(row, answer):
    """None, or what is wrong with the answer."""
    facts = facts_of(answer)
    if row["id"] in LATER:
        return None if answer.startswith("accept") else "expected the parsers to take it"
    # The corpus's states bring their policy along; ours only name one, so the name is what stops the container.
    if row["kind"] == "state" and facts:
        inline = b"oci-egress.policy" in text_of(row)
        if facts["policy"] != ("invalid" if inline else "none"):
            return "expected the inline policy to be no valid name"
    wanted = [row["expect"], *row.get("also_ok", [])]
    got = verdict(row, answer)
    if got == "accept" and row["kind"] in ("state", "config"):
        # what is done with an accepted document is seen in the engines' tests
        good = any(w.startswith("accept") for w in wanted)
    elif got == "reject" and row["kind"] == "annotation":
        good = True  # always safe: a container never brings a policy
    else:
        good = got in wanted
    return None if good else f"expected {' or '.join(wanted)}"


def main():
    driver, corpus = sys.argv[1:]
    with open(corpus, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    here = [row for row in rows if row["kind"] not in ELSEWHERE]
    kinds = {"annotation": "state"}
    cases = b"".join(b"%s %d\n" % (kinds.get(row["kind"], row["kind"]).encode(), len(text_of(row))) + text_of(row)
                     for row in here)
    run = subprocess.run([driver], input=cases, stdout=subprocess.PIPE, timeout=120)
    answers = run.stdout.decode("ascii").splitlines()
    failed = 0
    if run.returncode != 0 or len(answers) != len(here):
        print(f"driver: exit status {run.returncode}, {len(answers)} answers to {len(here)} rows")
        failed += 1
    for row, answer in zip(here, answers):
        wrong = problem(row, answer)
        if wrong:
            print(f"FAILED {row['id']} {row['kind']} {row['name']}: {answer}: {wrong}")
            failed += 1
    unknown = LATER.keys() - {row["id"] for row in here}
    if unknown:
        print(f"FAILED no such rows: {sorted(unknown)}")
        failed += 1
    for row in rows:
        where = ELSEWHERE.get(row["kind"]) or LATER.get(row["id"])
        if where:
            print(f"not decided here: {row['id']} {row['kind']} {row['name']} -> {where}")
    decided = sum(row["id"] not in LATER for row in here)
    print(f"{len(rows)} rows: {decided} decided here, {len(rows) - decided} elsewhere, {failed} failures")
    return 1 if failed or decided < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
