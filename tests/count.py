#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up meson's test logs: names what was not well, then one line, "N passed, N failed, N skipped".

    count.py TESTLOG.json...

Status 1 where a test failed, where none ran, and, with OCI_EGRESS_MUST_RUN=1, where one was skipped."""
import json
import os
import sys

PASSED = {"OK", "EXPECTEDFAIL"}


def main(files):
    results = {}
    for file in files:
        if not os.path.exists(file):  # nothing of that build was asked for
            continue
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                test = json.loads(line)
                results.setdefault(test["result"], []).append(test["name"])
    passed = sum(len(names) for result, names in results.items() if result in PASSED)
    skipped = results.get("SKIP", [])
    failed = [f"{name} ({result})" for result, names in results.items()
              if result not in PASSED and result != "SKIP" for name in names]
    for name in failed:
        print("failed:", name)
    for name in skipped:
        print("skipped:", name)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    must_run = os.environ.get("OCI_EGRESS_MUST_RUN") == "1"
    return 1 if failed or not passed or (must_run and skipped) else 0


sys.exit(main(sys.argv[1:]))
