# SPDX-License-Identifier: Apache-2.0
"""oci-egress-runtime before a runtime that only writes down how it was called: command lines as engines write them pass as
they are, by the same process with the same descriptors; what is refused is said in the engine's log.

    test_runtime.py OCI_EGRESS"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = """#!/bin/sh
{ printf '%s\\0' "$@"; } > "$FAKE_OUT/argv"
{ echo $$; readlink /proc/self/fd/0; env; } > "$FAKE_OUT/seen"
cat > "$FAKE_OUT/stdin"
exit ${FAKE_STATUS:-0}
"""
# As docker 20.10, containerd, BuildKit, podman's and CRI-O's conmon write them, all but create, run, restore and exec.
PASSED = ["--root /r --log LOG --log-format json start ID", "--root /r --log LOG --log-format json kill ID 15",
          "--root /r --log LOG --log-format json kill --all ID 9", "--root /r --log LOG --log-format json delete --force ID",
          "--root /r --log LOG --log-format json state ID", "--root /r --log LOG --log-format json update --resources=- ID",
          "--root /r --log LOG --log-format json pause ID", "--root /r --log LOG --log-format json ps --format json ID",
          "--root /r --log LOG --log-format json events --stats ID", "--root /r --log LOG --log-format json checkpoint --image-path /i ID",
          "features", "--version", "-v", "--systemd-cgroup start ID", "--systemd-cgroup delete --force ID", "list -q", "spec",
          "newcommand --bundle B x", "--newoption=create kill ID", "init"]
SPEC = {"ociVersion": "1.0.2", "process": {"args": ["/x"], "cwd": "/", "env": ["A=b", "https_proxy=secret"]},
        "linux": {"namespaces": [{"type": "network"}]}, "annotations": {"oci-egress.policy": "web"}}


class Runtime(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="oci-egress-runtime-")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.dir], check=True)
        os.makedirs(self.path("policies"))
        os.makedirs(self.path("bundle"))
        self.write("policies/web.json", '{"allow": ["a.test"], "on_failure": "closed"}')
        self.fake = self.write("fake", FAKE, 0o755)
        self.settings(runtime=self.fake)
        self.config()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def settings(self, **keys):
        self.write("config.json", json.dumps({"policies": self.path("policies"), "run": self.path("run"), **keys}))

    def config(self, text=None, **changes):
        return self.write("bundle/config.json", json.dumps({**SPEC, **changes}) if text is None else text)

    def call(self, *argv, status=0, stdin=b"", options=(), **kw):
        for name in ("argv", "seen", "stdin", "log"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        env = {"FAKE_OUT": self.dir, **kw.pop("env", {})}
        words = [PROGRAM, "runtime", "--config", self.path("config.json"), *options, "--", *argv]
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=60, env=env, **kw)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def assertRan(self, argv):
        self.assertEqual(self.read("argv").decode().split("\0")[:-1], list(argv))

    def create(self, *options, **kw):
        return self.call("--log", self.path("log"), "--log-format", "json", "create", "--bundle", self.path("bundle"), *options, "ID", **kw)

    def assertRefused(self, message, **kw):
        before = self.read("bundle/config.json") if os.path.isfile(self.path("bundle/config.json")) else None
        done = self.create(status=1, **kw)
        self.assertEqual((done.stdout, done.stderr), (b"", b""))
        entry = json.loads(self.read("log").splitlines()[-1])
        self.assertEqual(sorted(entry), ["level", "msg", "time"])
        self.assertEqual(entry["level"], "error")
        self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertIn(message, entry["msg"])
        self.assertFalse(os.path.exists(self.path("argv")))
        if before is not None:
            self.assertEqual(self.read("bundle/config.json"), before)
        self.assertEqual([n for n in os.listdir(self.path("bundle")) if n.startswith(".oci-egress")], [])

    def test_passed_on(self):
        for line in PASSED:
            with self.subTest(line):
                argv = line.replace("LOG", self.path("log")).split()
                done = self.call(*argv, stdin=b"resources", env={"FAKE_STATUS": "7"}, status=7)
                self.assertRan(argv)
                self.assertEqual(self.read("stdin"), b"resources")
                self.assertEqual((done.stdout, done.stderr), (b"", b""))

    def test_engines(self):
        """Every command line of tests/corpus/argv.tsv: handed on as it is, and what is to be edited is, and nothing else."""
        os.makedirs(self.path("run"), 0o700)
        with open("/proc/self/stat", encoding="latin-1") as file:
            started = int(file.read().rsplit(")", 1)[1].split()[19])
        record = {"id": "ID", "policy": "web", "fingerprint": "0" * 16, "key": "0" * 16, "state": "guarded", "pid": os.getpid(), "start_time": started,
                  "since": 1, "link": "veth", "proxy": "198.18.0.2", "port": 3128, "reason": ""}
        self.write("run/ID.json", json.dumps(record), 0o600)
        paths = {"LOG": self.path("log"), "BUNDLE": self.path("bundle"), "CONFIG": "other.json", "PROCESS": self.path("process.json")}
        with open(os.path.join(HERE, "../corpus/argv.tsv"), encoding="utf-8") as file:
            rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
        for by, does, line in rows:
            with self.subTest(line, by=by):
                self.config()
                self.write("bundle/other.json", json.dumps(SPEC))
                self.write("process.json", json.dumps(SPEC["process"]), 0o600)
                before = self.files()
                argv = re.sub("|".join(paths), lambda match: paths[match[0]], line).split()
                done = self.call(*argv, cwd=self.path("bundle"))
                self.assertEqual((done.stdout, done.stderr), (b"", b""))
                edited = {name for name, text in self.files().items() if text != before[name]}
                ran = self.read("argv").decode().split("\0")[:-1]
                if does == "exec" and "PROCESS" not in line:
                    added = [word for at, word in enumerate(ran) if word == "--env" or ran[at - 1] == "--env"]
                    self.assertIn("https_proxy=http://198.18.0.2:3128", added)
                    at = ran.index(added[0])
                    self.assertEqual(ran[at:at + len(added)], added)
                    del ran[at:at + len(added)]
                    self.assertEqual(argv[at], "ID")
                self.assertEqual(ran, argv)
                wanted = {"create": "bundle/other.json" if "CONFIG" in line else "bundle/config.json",
                          "exec": "process.json" if "PROCESS" in line else None}.get(does)
                self.assertEqual(edited, {wanted} - {None})
                if wanted:
                    self.assertIn("https_proxy=http://198.18.0.2:3128", self.read(wanted).decode())

    def files(self):
        return {name: self.read(name) for name in ("bundle/config.json", "bundle/other.json", "process.json")}

    def test_same_process(self):
        words = [PROGRAM, "runtime", "--config", self.path("config.json"), "--", "state", "ID"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env={"FAKE_OUT": self.dir, "MINE": "kept"})
        self.assertEqual(process.wait(60), 0)
        pid, stdin, *env = self.read("seen").decode().splitlines()
        self.assertEqual((pid, stdin), (str(process.pid), "/dev/null"))
        self.assertIn("MINE=kept", env)

    def test_create(self):
        self.create("--pid-file", "/p")
        self.assertRan(["--log", self.path("log"), "--log-format", "json", "create", "--bundle", self.path("bundle"), "--pid-file", "/p", "ID"])
        config = json.loads(self.read("bundle/config.json"))
        self.assertEqual(config["process"]["env"][0], "A=b")
        self.assertNotIn("secret", str(config))
        self.assertIn("https_proxy=http://198.18.0.2:3128", config["process"]["env"])
        hook = config["hooks"]["createRuntime"][0]
        self.assertEqual((hook["path"], hook["args"][:3]), (os.path.realpath(PROGRAM), ["oci-egress", "hook", "createRuntime"]))
        self.assertEqual(hook["args"][hook["args"].index("--policy") + 1], "web")
        self.assertEqual(hook["args"][hook["args"].index("--config") + 1], self.path("config.json"))
        self.assertEqual(os.stat(self.path("bundle/config.json")).st_mode & 0o7777, 0o644)

    def test_restore(self):
        """crun runs no hook then."""
        crun = self.write("crun", FAKE, 0o755)
        for runtime, status in ((crun, 1), (self.fake, 0)):
            self.settings(runtime=runtime)
            self.config()
            self.call("--log", self.path("log"), "restore", "--bundle", self.path("bundle"), "ID", status=status)
        self.settings(runtime=crun)
        self.config(annotations={})
        self.call("restore", "--bundle", self.path("bundle"), "ID")

    def test_bundle_is_the_cwd(self):
        self.call("run", "ID", cwd=self.path("bundle"))
        self.assertIn("hooks", json.loads(self.read("bundle/config.json")))

    def test_called_by_name(self):
        """oci-egress-runtime and oci-egress-runtime@POLICY, with an empty environment, and the host's own settings."""
        script = (f"mount -t tmpfs tmpfs /etc && mkdir /etc/oci-egress && cp {self.path('config.json')} /etc/oci-egress/ && "
                  'exec env -i FAKE_OUT="$0" "$@"')
        for name, annotation, policy in (("oci-egress-runtime", "web", "web"), ("oci-egress-runtime@web", "other", "web"),
                                         ("oci-egress-runtime@web", None, "web"), ("oci-egress-runtime", None, None)):
            with self.subTest(name=name, annotation=annotation):
                link = self.path(name)
                if not os.path.lexists(link):
                    os.symlink(PROGRAM, link)
                self.config(annotations={"oci-egress.policy": annotation} if annotation else {})
                before = self.read("bundle/config.json")
                done = subprocess.run(["unshare", "-m", "sh", "-c", script, self.dir, link, "create", "--bundle", self.path("bundle"), "ID"],
                                      capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                self.assertRan(["create", "--bundle", self.path("bundle"), "ID"])
                if policy:
                    args = json.loads(self.read("bundle/config.json"))["hooks"]["createRuntime"][0]["args"]
                    self.assertEqual(args[args.index("--policy") + 1], policy)
                else:
                    self.assertEqual(self.read("bundle/config.json"), before)

    def test_config_of_another_name(self):
        """crun looks for it where it is called, not in the bundle; "config.json" is in the bundle all the same."""
        os.makedirs(self.path("here"))
        for name, edited in (("other.json", "here/other.json"), (self.path("bundle/other.json"), "bundle/other.json"),
                             ("config.json", "bundle/config.json")):
            files = ("here/other.json", "bundle/other.json", "here/config.json", "bundle/config.json")
            for file in files:
                self.write(file, json.dumps(SPEC))
            self.call("create", "--config", name, "--bundle", self.path("bundle"), "ID", cwd=self.path("here"))
            self.assertEqual([file for file in files if b"createRuntime" in self.read(file)], [edited])

    def test_no_policy(self):
        for config in ({"annotations": {}}, {"annotations": {"other": "x"}}, {"linux": {}, "annotations": None}):
            text = self.config(**config)
            before = (self.read("bundle/config.json"), os.stat(text).st_ino)
            self.create()
            self.assertEqual((self.read("bundle/config.json"), os.stat(text).st_ino), before)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_refused(self):
        cases = [("not JSON", self.read("bundle/config.json").decode()[:-5]), ("is empty", ""), ("is no object", "[]"),
                 ("nested too deep", '{"a":' * 40 + "1" + "}" * 40), ("not UTF-8", None)]
        for message, text in cases:
            with self.subTest(message):
                if text is None:
                    with open(self.path("bundle/config.json"), "wb") as file:
                        file.write(b'{"a":"\xff"}')
                else:
                    self.config(text)
                self.assertRefused(message)
        for message, changes in {
                "process: is missing": {"process": None}, "no network namespace": {"linux": {}}, "env": {"process": {"env": 1}},
                "policy nowhere": {"annotations": {"oci-egress.policy": "nowhere"}},
                "no policy's name": {"annotations": {"oci-egress.policy": "../web"}},
                "run.oci.handler": {"annotations": {"oci-egress.policy": "web", "run.oci.handler": "krun"}}}.items():
            with self.subTest(message):
                self.config(**changes)
                self.assertRefused(message)
        self.config()
        os.truncate(self.path("bundle/config.json"), (16 << 20) + 1)
        self.assertRefused("config.json")
        os.unlink(self.path("bundle/config.json"))
        self.assertRefused("No such file")

    def test_who_wrote_it(self):
        """A bundle that is not root's, or is elsewhere than it seems: refused with a policy, none of our business without."""
        os.chown(self.path("bundle/config.json"), 12345, 0)
        self.assertRefused("owned by user 12345")
        self.config()
        os.chown(self.path("bundle/config.json"), 0, 0)
        os.chmod(self.path("bundle"), 0o777)
        self.assertRefused("mode 0777")
        os.chmod(self.path("bundle"), 0o755)
        os.rename(self.path("bundle"), self.path("real"))
        for name in ("bundle", "bundle/"):
            os.path.lexists(self.path("bundle")) or os.symlink("real", self.path("bundle"))
            self.assertRefused("a symbolic link")
        self.config(annotations={})
        os.chmod(self.path("real"), 0o777)
        self.create()

    def test_the_runtime(self):
        for message, runtime in (("No such file", self.path("nothing")), ("itself", os.path.realpath(PROGRAM)),
                                 ("no program", self.path("policies"))):
            with self.subTest(message):
                self.settings(runtime=runtime)
                self.assertRefused(message)
        others = self.write("others", FAKE, 0o777)
        self.settings(runtime=others)
        self.assertRefused("mode 0777")

    def test_a_loop(self):
        for how in ("exec ", ""):
            loop = self.write("loop", f'#!/bin/sh\n{how}{PROGRAM} runtime --config {self.path("config.json")} -- "$@"\n', 0o755)
            self.settings(runtime=loop)
            self.call("--log", self.path("log"), "--log-format", "json", "state", "ID", status=1)
            self.assertIn("again", json.loads(self.read("log"))["msg"])

    def test_where_errors_go(self):
        self.config("{")
        bundle = ["create", "--bundle", self.path("bundle"), "ID"]
        self.assertIn(b"oci-egress-runtime: ", self.call(*bundle, status=1).stderr)
        self.call("--log", "file:" + self.path("log"), *bundle, status=1)
        self.assertRegex(self.read("log").decode(), r'^time="[^"]+" level=error msg=".+"\n$')
        self.assertEqual(self.call("--log", "/nowhere/log", *bundle, status=1).stderr, b"")

    def test_exec_that_we_do_not_know(self):
        process = self.write("process.json", '{"env":["https_proxy=kept"]}', 0o600)
        for argv in (["exec", "--process", process, "ID"], ["exec", "ID", "sh"], ["exec", "../x", "sh"], ["exec", "--new", "ID", "sh"], ["exec"]):
            self.call(*argv)
            self.assertRan(argv)
        self.assertEqual(self.read("process.json"), b'{"env":["https_proxy=kept"]}')
        os.makedirs(self.path("run"), 0o700)
        self.write("run/ID.json", "{")
        self.call("exec", "ID", "sh", status=1)


if __name__ == "__main__":
    unittest.main()
