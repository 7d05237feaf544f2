# SPDX-License-Identifier: Apache-2.0
"""CPU time and memory of a process and all that it has started, from proc(5)."""
import os

TICK = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def stat_fields(pid):
    text = read(f"/proc/{pid}/stat")
    return text[text.rindex(")") + 2:].split() if text else None


def tree(root):
    """root and its descendants: pid -> fields of its stat file."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(name)
            if fields:
                parents[int(name)] = (int(fields[1]), fields)
    found, left = {}, [root]
    while left:
        pid = left.pop()
        if pid in parents:
            found[pid] = parents[pid][1]
            left += [child for child, (parent, _) in parents.items() if parent == pid]
    return found


def cpu_seconds(root):
    """User and system time, of threads and reaped children that have ended too."""
    return sum(sum(int(fields[i]) for i in (11, 12, 13, 14)) for fields in tree(root).values()) / TICK


def machine_seconds():
    """Busy and stolen CPU seconds of the whole machine."""
    numbers = [int(n) for n in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return (numbers[0] + numbers[1] + numbers[2] + numbers[5] + numbers[6]) / TICK, numbers[7] / TICK


def pss_bytes(root):
    """Proportional set size, swapped pages included."""
    return sum(int(line.split()[1]) * 1024 for pid in tree(root) for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
               if line.startswith(("Pss:", "SwapPss:")))
