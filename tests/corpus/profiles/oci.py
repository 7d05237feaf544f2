#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The seccomp profiles that engines ship, as the runtime gets them.

    oci.py PROFILE ARCHITECTURE [CAPABILITY...] >NAME.json

PROFILE is Docker's profiles/seccomp/default.json or containers-common's seccomp.json (both Apache-2.0), which say by
"includes" and "excludes" for whom a rule is; what comes out is a linux.seccomp of the OCI runtime-spec, for a container
with these capabilities (without CAP_; default: what Docker gives) on Linux 6.1. The files beside this one were made by

    oci.py .../seccomp/default.json SCMP_ARCH_X86_64 >docker-VERSION-amd64.json

and so on, of Debian's packages golang-github-docker-docker-dev and golang-github-containers-common in these versions.
"""
import json
import sys

GO_NAMES = {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_AARCH64": "arm64"}
DEFAULT = ("CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT "
           "KILL AUDIT_WRITE").split()
KERNEL = (6, 1)


def applies(rule, arch, caps):
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if arch in (excludes.get("arches") or []) or caps & set(excludes.get("caps") or []):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if "minKernel" in includes and tuple(map(int, includes["minKernel"].split("."))) > KERNEL:
        return False
    return caps >= set(includes.get("caps") or [])


def convert(profile, architecture, caps):
    result = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet") if key in profile}
    others = [m["subArchitectures"] or [] for m in profile["archMap"] if m["architecture"] == architecture]
    result["architectures"] = [architecture] + sum(others, [])
    result["syscalls"] = []
    for rule in profile["syscalls"]:
        if not applies(rule, GO_NAMES[architecture], caps):
            continue
        made = {"names": rule["names"], "action": rule["action"]}
        for key in ("errnoRet", "args"):
            if rule.get(key):
                made[key] = rule[key]
        result["syscalls"].append(made)
    return result


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        shipped = json.load(file)
    wanted = {"CAP_" + cap for cap in sys.argv[3:] or DEFAULT}
    json.dump(convert(shipped, sys.argv[2], wanted), sys.stdout, separators=(",", ":"))
    print()
