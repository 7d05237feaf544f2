# SPDX-License-Identifier: Apache-2.0
"""tests/corpus/config.jsonl through the hook itself: what a row would have rejected is rejected in one clear line and
leaves nothing behind; what it would have accepted is guarded.

A row's inline policy in an annotation is always refused: a container chooses among the administrator's policies. So that
such a row shows its own fault, or none, it is run once as it is and once with a policy's name in that place."""
import json
import os
import re
import shutil
import subprocess

import caller
import harness
import traps
from caller import CallerTest, Init

CORPUS = os.path.join(harness.HERE, "..", "corpus", "config.jsonl")
INLINE = re.compile(r'("@ANN@\.polic(?:y|\\u0079)"\s*:\s*)"\{(?:[^"\\]|\\.)*\}"')

# Run elsewhere: which test, and what of it. Printed and counted; test_every_row_is_somewhere holds the list against the corpus.
ELSEWHERE = {
    "g017": "test_killed.py: init ends at each step of the hook's",
    "g249": "test_rootfs_of_traps", "g250": "test_rootfs_of_traps", "g252": "test_rootfs_of_traps",
    "g253": "test_rootfs_of_traps", "g259": "test_config_is_a_directory", "g260": "test_traps.py: directories of strangers",
    "g261": "test_traps.py: an id that is taken, or was", "g262": "test_traps.py: a stale link", "g263": "test_traps.py: a stale link",
    "g267": "test_traps.py: the port is taken", "g268": "test_traps.py: no space", "g271": "test_killed.py: a slow hook; the hook killed at each call",
    "g273": "test_traps.py: poststop", "g274": "test_traps.py: poststop", "g275": "test_traps.py: SIGSEGV",
}
NOT_YET = {
    "g266": "no filter is made per address family: what IPv6 could be missing is tested in netns",
    "g277": "podman's hooks directories: their doctor is not there yet",
    "g279": "podman's hooks directories: their doctor is not there yet",
    "g280": "podman's hooks directories: their doctor is not there yet",
}
# Accepted and guarded, where a row would rather have a warning or an edited config.json (the wrapper's, which is not there yet).
ACCEPTED = ("accept", "accept-modify", "accept-default-deny", "accept-warn")


def rows(*kinds):
    with open(CORPUS, encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["kind"] in kinds:
                row["text"] = "".join(t * n for t, n in row["input_parts"]) if "input_parts" in row else row["input"]
                yield row


def accepts(row):
    return row["expect"] in ACCEPTED


def may(row, *results):
    return any(result in results for result in [row["expect"], *row.get("also_ok", [])])


class Corpus(CallerTest):
    count = {}

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        print("\nrows of config.jsonl through the hook:", ", ".join(f"{k} {n}" for k, n in sorted(cls.count.items())))
        for title, table in (("elsewhere", ELSEWHERE), ("NOT COVERED", NOT_YET)):
            for row, where in table.items():
                print(f"  {row} {title}: {where}")

    def count_row(self, row, what):
        self.count[row["kind"]] = self.count.get(row["kind"], 0) + 1
        if what not in (row["expect"], "") and not (accepts(row) and what == "accept"):
            print(f"  {row['id']} {row['name']}: {what} (corpus: {row['expect']}, also {row.get('also_ok', [])})")

    def each(self, kind, test):
        """Does the test with each row of that kind, and an init."""
        for row in rows(kind):
            if row["id"] not in ELSEWHERE and row["id"] not in NOT_YET:
                with self.subTest(row=row["id"], name=row["name"]), Init() as init:
                    test(row, init)

    def fill(self, text, pid):
        text = re.sub(r'"@HOOK_PID@"', str(self.world.host.pid), text)
        for value in (18446744073709555858, 4294971538, 4242):  # 4242 itself, and what wraps to it
            text = re.sub(rf"(?<![1-9a-f.]){value}\b", str(value - 4242 + pid), text)
        return text.replace("/run/b/c1", self.bundle).replace("@ANN@", "oci-egress")

    # -- states

    def prepare_state(self, row):
        if row["name"] == "bundle-rootfs":
            rootfs = os.path.join(self.bundle, "rootfs")
            os.makedirs(rootfs, exist_ok=True)
            shutil.copy(os.path.join(self.bundle, "config.json"), rootfs)
            os.chown(rootfs, 1000, 1000)

    def test_states(self):
        self.world.policy("default", {"on_failure": "closed"})
        self.addCleanup(os.unlink, os.path.join(self.world.policies, "default.json"))
        self.each("state", self.check_state)

    def check_state(self, row, init):
        self.prepare_state(row)
        inline = self.fill(row["text"], init.pid)
        named = self.fill(INLINE.sub(r'\1"row"', row["text"]), init.pid)
        if inline != named:
            self.assertRejected(inline, init)
        if row.get("timing") == "no EOF":
            return self.check_without_end(row, named, init)
        complaint = self.tried(row, named, init)
        self.assertNotIn("is no policy's name", complaint, "not the row's own fault")

    def check_without_end(self, row, state, init):
        """Nobody ends the hook's stdin: it gives up by itself, which takes it ten seconds."""
        process = caller.popen(self.world)
        process.stdin.write(state.encode("latin-1"))
        process.stdin.flush()
        with process.stdin, process.stdout, process.stderr:
            self.assertEqual(process.wait(caller.DEADLINE), 1)
            self.assertRegex(process.stderr.read(), rb"\Aoci-egress: state on stdin: [ -~]+\n\Z")
        self.assertTrue(init.untouched())
        self.count_row(row, "reject")

    def test_names_that_begin_alike_do_not_collide(self):
        """Rows g041 and g042 at once."""
        states = [self.fill(INLINE.sub(r'\1"row"', row["text"]), 4242) for row in rows("state") if row["id"] in ("g041", "g042")]
        with Init() as first, Init() as second:
            for state, init in zip(states, (first, second)):
                self.assertGuards(state.replace("4242", str(init.pid)), init)
            self.assertEqual(len(self.world.status()), 2)
            first.kill()
            self.assertTrue(second.guarded())
            self.assertLives(second)

    # -- config.json, policies, annotations

    def test_configs(self):
        self.each("config", self.check_config)

    def check_config(self, row, init):
        self.config(row["text"].encode("latin-1"))
        if row["name"] == "netns-path-symlink":  # what init is in counts, whatever path is written down
            with Init(netns=self.world.host.pid) as other:
                self.assertRejected(self.state(other), other, "network namespace")
            return self.count_row(row, "reject")
        return self.tried(row, self.state(init), init)

    def test_policies(self):
        self.each("policy", self.check_policy)

    def check_policy(self, row, init):
        path = self.world.path("policies", "row.json")
        with open(path, "wb") as file:
            file.write(row["text"].encode("latin-1"))
        complaint = self.tried(row, self.state(init), init)
        if complaint:
            self.assertIn(path + ":", complaint)
            self.assertRegex(complaint.split(path, 1)[1], r"\A:[0-9]+:[0-9]+: ", "file, line and column")
        elif may(row, "accept-default-deny"):
            for host in ("api.example.com", "example.com", "198.51.100.10"):
                self.assertEqual(self.world.oci_egress("check", "--policy", path, host).returncode, 1, host)

    def test_annotations(self):
        self.each("annotation", self.check_annotation)

    def check_annotation(self, row, init):
        """Also where the rest of the state names a good policy."""
        annotations = json.loads(self.fill(row["text"], init.pid))
        self.assertRejected(self.state(init, annotations=annotations), init)
        self.count_row(row, "reject")
        complaint = self.assertRejected(self.state(init, annotations={"oci-egress.policy": "row", **annotations}), init)
        for secret in ("root:", "evil.test:", "\x1b"):
            self.assertNotIn(secret, complaint)

    # -- environments

    def test_environments(self):
        self.trap = self.world.path("rootfs-of-traps")
        traps.make(self.trap)
        self.each("environment", self.check_environment)

    def check_environment(self, row, init):
        here = self.world.path("written")  # the rows name files of the host's: no test writes there
        text = re.sub(r"=/etc/x|=/tmp/keys", f"={here}", row["text"]).replace("/run/b/c1/rootfs", self.trap)
        env = dict(variable.split("=", 1) for variable in text.split(";") if variable)
        before = traps.everything(self.trap)
        kw = {"env": {**env, **traps.ENVIRONMENT}, "before": lambda: os.chdir(self.trap)}
        if not traps.static(harness.PROGRAM):
            kw["env"] = {k: v for k, v in kw["env"].items() if not k.startswith("LD_")}
            print(f"  {row['id']}: without LD_*: this build of the hook is not static")
        self.assertGuards(self.state(init), init, **kw)
        for role, pids in self.roles().items():
            for pid in pids:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    self.assertEqual(file.read(), b"", role)
                self.assertNotIn(self.trap, str([os.readlink(f"/proc/{pid}/{link}") for link in ("cwd", "exe")]), role)
        self.assertLives(init)
        self.assertEqual(traps.everything(self.trap), before)
        self.assertFalse(os.path.exists(here))
        self.assertRejected("{", **kw)
        self.count_row(row, "no-effect")

    def test_the_trap_snaps(self):
        """The control: a program that is not careful falls into it."""
        trap = self.world.path("rootfs-of-traps")
        traps.make(trap)
        subprocess.run(["/usr/bin/env"], env={"LD_PRELOAD": "./poc.so"}, cwd=trap, check=False, capture_output=True)
        os.unlink(os.path.join(trap, "sprung"))
        done = subprocess.run(["/usr/bin/env"], env={"LD_LIBRARY_PATH": "."}, cwd=trap, check=False, capture_output=True)
        self.assertRegex(done.stderr, rb": \./([a-z0-9_]+/)?libc\.so\.6: ")

    # -- files

    @harness.each_runtime
    def test_rootfs_of_traps(self, runtime):
        """g249 to g253: links out of the rootfs in every place, and a FIFO: we write and read nothing there."""
        victim = self.world.write("victim", "untouched\n")
        before = os.stat(victim)
        for row, plant in (("g249", ["etc/resolv.conf", "etc/hosts", "etc/passwd"]), ("g250", ["etc", "root", "home"]),
                           ("g252", ["etc/ssl/certs/ca-certificates.crt"]), ("g253", ["etc/ssl/cert.pem"])):
            with self.subTest(row=row):
                rootfs = self.world.path(f"rootfs-{runtime.name}-{row}")
                shutil.copytree(self.world.rootfs, rootfs, symlinks=True)
                for name in plant:
                    path = os.path.join(rootfs, name)
                    if os.path.isdir(path):
                        shutil.rmtree(path)
                    elif os.path.exists(path):
                        os.unlink(path)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    if row == "g253":
                        os.mkfifo(path)
                    else:
                        os.symlink("../../../../etc" if row == "g250" else victim, path)
                with runtime.start(harness.Bundle(self.world, rootfs=rootfs)) as container:
                    self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                    self.assertEqual(container.status("Seccomp"), "2")
                self.assertEqual(os.stat(victim), before)

    def test_config_is_a_directory(self):
        os.unlink(os.path.join(self.bundle, "config.json"))
        os.mkdir(os.path.join(self.bundle, "config.json"))
        self.addCleanup(os.rmdir, os.path.join(self.bundle, "config.json"))
        with Init() as init:
            self.assertRejected(self.state(init), init, "config.json: not a regular file")

    def test_every_row_is_somewhere(self):
        ids = {row["id"]: row["kind"] for row in rows("state", "config", "policy", "annotation", "environment", "filesystem")}
        self.assertLessEqual({**ELSEWHERE, **NOT_YET}.keys(), ids.keys())
        files = {row for row, kind in ids.items() if kind == "filesystem"}
        self.assertEqual(files - ELSEWHERE.keys() - NOT_YET.keys(), set())
        with open(CORPUS, encoding="utf-8") as file:
            self.assertEqual({json.loads(line)["id"] for line in file}, set(ids))

    def tried(self, row, state, init):
        """A row that may be either, or must be rejected."""
        result_may_be_accepted = may(row, *ACCEPTED)
        before = self.things()
        result = self.call(state)
        if result.status == 0 and result_may_be_accepted:
            self.assertTrue(init.guarded())
            self.assertLives(init)
            self.count_row(row, "accept")
            return ""
        self.assertTrue(may(row, "reject", "fail-closed"), result.complaint)
        self.assertComplaint(result)
        self.assertEqual(self.things(), before)
        self.assertTrue(init.untouched(), init.status("Seccomp"))
        self.count_row(row, "reject")
        return result.complaint


if __name__ == "__main__":
    harness.main()
