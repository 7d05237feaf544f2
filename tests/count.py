#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up meson's test logs: names what was not well, then one line, "N passed, N failed, N skipped".

    count.py TESTLOG.json...

Status 1 where a test failed, where none ran, and, with OCI_EGRESS_MUST_RUN=1, where one was skipped, or a part of one
that this kernel could run. What it cannot run at all is named."""
import errno
import json
import os
import re
import subprocess
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
# Parts of tests, cmocka(3) "skip", that need the kernel to run 32-bit programs.
BITS32 = {"test_32bit", "test_32bit_init", "test_i386"}


def runs_32bit(builds):
    """Whether the kernel runs 32-bit programs. None: there is none to try."""
    for build in builds:
        try:
            subprocess.run([os.path.join(build, "tests", "arm", "arm_bare32")], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
            return True
        except FileNotFoundError:
            continue
        except OSError as e:
            return e.errno != errno.ENOEXEC
    return None


def main(files):
    results, parts = {}, []
    for file in files:
        if not os.path.exists(file):  # nothing of that build was asked for
            continue
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                test = json.loads(line)
                results.setdefault(test["result"], []).append(test["name"])
                parts += [(test["name"], part) for part in re.findall(r"^\[  SKIPPED \] (\w+)$", test.get("stdout", ""), re.M)]
    passed = sum(len(names) for result, names in results.items() if result in PASSED)
    skipped = results.get("SKIP", [])
    failed = [f"{name} ({result})" for result, names in results.items()
              if result not in PASSED and result != "SKIP" for name in names]
    for name in failed:
        print("failed:", name)
    for name in skipped:
        print("skipped:", name)
    no_32bit = runs_32bit([os.path.dirname(os.path.dirname(file)) for file in files]) is False
    for name, part in sorted(set(parts)):
        if part in BITS32 and no_32bit:
            print(f"cannot run on this kernel: {name}: {part}")
        else:
            print(f"skipped: {name}: {part}")
            skipped.append(part)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    must_run = os.environ.get("OCI_EGRESS_MUST_RUN") == "1"
    return 1 if failed or not passed or (must_run and skipped) else 0


sys.exit(main(sys.argv[1:]))
