# SPDX-License-Identifier: Apache-2.0
"""A directory that a program with this one's environment and in this cwd had better not trust."""
import os
import struct
import subprocess

import harness

POC = os.path.join(harness.BUILD, "tests", "engines", "libpoc.so")
LIBRARIES = ["poc.so", "libc.so.6", "libseccomp.so.2", "libnl-3.so.200", "libnl-route-3.so.200", "libyajl.so.2",
             "libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1", "gconv.so"]
TEXTS = {"h": "allowed.test evil.test\n", "o.cnf": "openssl_conf = x\n", "resolv.conf": "nameserver 203.0.113.7\n", "gconv-modules":
         "module INTERNAL EVIL// gconv 1\nmodule EVIL// INTERNAL gconv 1\n", "config.json": '{"policy_from_env": true}',
         "oci-egress-keeper": "#!/bin/sh\ntouch sprung\n", "nft": "#!/bin/sh\ntouch sprung\n", "ip": "#!/bin/sh\ntouch sprung\n"}
ENVIRONMENT = {"LD_PRELOAD": "./poc.so", "LD_AUDIT": "./poc.so", "PATH": ".", "HOME": ".", "BASH_ENV": "./h", "OCI_EGRESS_POLICY": "no"}


def make(path):
    """Libraries that leave a file "sprung" in the cwd when they are loaded, by every name that could be looked for."""
    for name in ("tmp", "etc", "proc", "run", "x86_64", "locale"):
        os.makedirs(os.path.join(path, name), exist_ok=True)
    for name in LIBRARIES:
        for target in (name, os.path.join("x86_64", name)):
            target = os.path.join(path, target)
            if not os.path.lexists(target):
                os.link(POC, target) if os.stat(POC).st_dev == os.stat(path).st_dev else \
                    subprocess.run(["cp", POC, target], check=True)
    for name, text in TEXTS.items():
        with open(os.path.join(path, name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(os.path.join(path, name), 0o755)


def everything(path):
    """All names below, with size and time of change."""
    found = {}
    for directory, _, names in os.walk(path):
        for name in ["."] + names:
            status = os.lstat(os.path.join(directory, name))
            found[os.path.join(directory, name)] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def static(program):
    """Has no interpreter (elf(5), PT_INTERP), so that nothing of LD_* reaches it."""
    with open(program, "rb") as file:
        head = file.read(64)
        offset, = struct.unpack_from("<Q", head, 32)
        size, n = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * n)
    return all(struct.unpack_from("<I", table, size * i)[0] != 3 for i in range(n))
