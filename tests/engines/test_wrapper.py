# SPDX-License-Identifier: Apache-2.0
"""oci-egress-runtime before real runtimes: what runs and what is exec'd gets the variables and the filter, and what has
no policy is left alone."""
import collections
import contextlib
import functools
import json
import os
import subprocess

import harness
from harness import RUNTIMES, Bundle, WorldTest
from pod import Pod, PodTest
from wrapped import Wrapped

VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
             "NODE_USE_ENV_PROXY", "OCI_EGRESS"]
SECRET = "http://user:hunter2@corporate.test:8080"
PROCESS = {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["/probe"], "cwd": "/"}


def each_wrapped(test):
    @functools.wraps(test)
    def run(self):
        for name in RUNTIMES:
            with self.subTest(runtime=name), self.world.containers_of_one_test():
                test(self, Wrapped(self.world, name))
    return run


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def bundle_of(world, **kw):
    """As an engine makes it: it knows no hook of ours."""
    return Bundle(world, hooks=False, **kw)


class Covered(WorldTest):
    def assertCovered(self, talk, proxy="http://198.18.0.2:3128"):
        result = talk.ask("env")
        shown = collections.Counter(v.split("=", 1)[0] for v in result["env"])
        env = dict(v.split("=", 1) for v in result["env"])
        for name in VARIABLES:
            self.assertEqual(shown[name], 1, name)
        for name in ("http_proxy", "HTTPS_PROXY", "all_proxy"):
            self.assertEqual(env[name], proxy)
        self.assertNotIn("hunter2", str(result))
        self.assertTrue(talk.ask("fetch allowed.test:443")["ok"])
        self.assertIn("403", str(talk.ask("fetch denied.test:443")))
        for family, kind in ((2, 2), (10, 2), (17, 3), (2, 3), (40, 1)):  # UDP, packets, raw, vsock
            self.assertEqual(talk.ask(f"socket {family} {kind} 0").get("errno"), "EPERM", (family, kind))
        self.assertTrue(talk.ask("socket 2 1 0")["ok"])
        self.assertFalse(talk.ask("connect 203.0.113.7 443 200")["ok"])
        return env


class Wrapper(Covered):
    def process_file(self, name="process.json", **changes):
        return self.world.write(name, json.dumps({**PROCESS, **changes}, indent=1), 0o600)

    def exec_file(self, container, path):
        """Another probe in the container, as engines ask for it."""
        argv = container.runtime.command("exec", "--process", path, container.id)
        talk = harness.Talk(argv, os.path.join(container.bundle.dir, "process-stderr"))
        container.talks.append(talk)
        return talk

    @each_wrapped
    def test_run_and_exec(self, runtime):
        for link, proxy in (("veth", "http://198.18.0.2:3128"), ("socket", "http://127.0.0.1:3128")):
            env = [f"{name}={SECRET}" for name in VARIABLES] + [f"https_proxy={SECRET}", "MINE=kept"]
            with self.subTest(link=link), runtime.start(bundle_of(self.world, policy=link, env=env)) as container:
                self.assertEqual(self.assertCovered(container, proxy)["MINE"], "kept")
                self.assertEqual(container.status("TracerPid"), "0")
                self.assertEqual(self.world.status()[container.id]["policy"], link)
                talk = container.exec(env=[f"https_proxy={SECRET}", f"no_proxy={SECRET}", "MINE=new"])
                self.assertEqual(self.assertCovered(talk, proxy)["MINE"], "new")
                path = self.process_file(env=["PATH=/bin", f"HTTPS_PROXY={SECRET}", "MINE=file"], capabilities={})
                self.assertEqual(self.assertCovered(self.exec_file(container, path), proxy)["MINE"], "file")
        self.assertClean()
        self.assertNothingSeen()

    @each_wrapped
    def test_full_profile(self, runtime):
        """What is taken out is not there, and the image's own options of Java stay in front of ours, once."""
        self.world.policy("full", {**harness.POLICY, "environment": {"profile": "full", "set": {"OURS": "set"}}})
        ours = "-Dhttp.proxyHost=198.18.0.2 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=198.18.0.2 -Dhttps.proxyPort=3128"
        env = ["PATH=/bin", "JAVA_TOOL_OPTIONS=-Xmx1g", "SSLKEYLOGFILE=/keys", f"YARN_HTTP_PROXY={SECRET}"]
        with runtime.start(bundle_of(self.world, policy="full", env=env)) as container:
            again = [*env[:1], f"JAVA_TOOL_OPTIONS=-Xmx1g {ours}", *env[2:]]
            without_file = container.exec()
            for talk in (container, self.exec_file(container, self.process_file(env=env)),
                         self.exec_file(container, self.process_file(env=again)), without_file):
                found = self.assertCovered(talk)
                # of a process without a file, crun takes nothing from config.json
                lost = talk is without_file and runtime.name == "crun"
                self.assertEqual(found.get("JAVA_TOOL_OPTIONS"), None if lost else f"-Xmx1g {ours}")
                self.assertEqual((found["OURS"], found["YARN_HTTP_PROXY"]), ("set", "http://198.18.0.2:3128"))
                self.assertNotIn("SSLKEYLOGFILE", found)
        self.assertClean()

    @each_wrapped
    def test_exec_without_an_environment(self, runtime):
        with runtime.start(bundle_of(self.world)) as container:
            self.assertCovered(self.exec_file(container, self.process_file()))
            self.assertCovered(self.exec_file(container, self.process_file(env=[])))

    @each_wrapped
    def test_a_link_that_was_not_expected(self, runtime):
        """The policy's link has changed since config.json was edited: the hook puts the variables right."""
        bundle = bundle_of(self.world, policy="turns")
        self.world.policy("turns", {**harness.POLICY, "link": "veth"})
        runtime.wrapper = self.turning_wrapper(runtime)
        with runtime.start(bundle) as container:
            self.assertCovered(container, "http://127.0.0.1:3128")
            self.assertCovered(container.exec(), "http://127.0.0.1:3128")

    def turning_wrapper(self, runtime):
        """One whose runtime changes the policy first."""
        file = os.path.join(self.world.policies, "turns.json")
        real = json.loads(read(self.world.path(runtime.name + ".json")))["runtime"]
        between = self.world.write("between-" + runtime.name, f"#!/bin/sh\nsed -i s/veth/socket/ {file}\n"
                                   f"exec {real} \"$@\"\n", 0o755)
        text = read(runtime.wrapper)
        config = self.world.write("turning.json", json.dumps({"runtime": between}))
        return self.world.write("turning", text.replace(self.world.path(runtime.name + ".json"), config), 0o755)

    @each_wrapped
    def test_no_policy(self, runtime):
        bundle = bundle_of(self.world, policy=None, env=[f"https_proxy={SECRET}"])
        with open(os.path.join(bundle.dir, "config.json"), "rb") as file:
            before = file.read()
        with runtime.start(bundle) as container:
            self.assertIn("hunter2", str(container.ask("env")))
            self.assertEqual(container.status("Seccomp"), "0")
            self.assertIn("hunter2", str(self.exec_file(container, self.process_file(env=[f"https_proxy={SECRET}"])).ask("env")))
        with open(os.path.join(bundle.dir, "config.json"), "rb") as file:
            self.assertEqual(file.read(), before)

    @each_wrapped
    def test_hooks_that_are_there(self, runtime):
        """hooks.d has ours as well: one of both is enough. Foreign ones run."""
        marks = self.world.path("marks-" + runtime.name)
        def foreign(config):
            for stage in ("createRuntime", "prestart", "poststop"):
                config["hooks"].setdefault(stage, []).append(
                    {"path": "/bin/sh", "args": ["sh", "-c", f"cat >/dev/null; echo {stage} >> {marks}"]})
        with runtime.start(Bundle(self.world, edit=foreign)) as container:
            self.assertCovered(container)
        self.assertEqual(set(read(marks).split()), {"createRuntime", "poststop", "prestart"})
        self.assertClean()

    @each_wrapped
    def test_again(self, runtime):
        """A bundle that is used twice, the second time for another policy."""
        bundle = bundle_of(self.world, policy="veth")
        with runtime.start(bundle) as container:
            self.assertCovered(container)
        path = os.path.join(bundle.dir, "config.json")
        text = read(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace('"oci-egress.policy": "veth"', '"oci-egress.policy": "socket"'))
        self.assertClean()
        with runtime.start(bundle) as container:
            self.assertCovered(container, "http://127.0.0.1:3128")

    def test_a_policy_that_is_fixed(self):
        runtime = Wrapped(self.world, "runc", "--policy", "veth")
        for annotation in (None, "socket", "nowhere"):
            with self.subTest(annotation=annotation), runtime.start(bundle_of(self.world, policy=annotation)) as container:
                self.assertCovered(container)
                self.assertEqual(self.world.status()[container.id]["policy"], "veth")

    def refused(self, runtime, bundle, message):
        log = self.world.path("runtime.log")
        done = runtime.call("--log", log, "--log-format", "json", "run", "--bundle", bundle.dir, bundle.id)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        entries = [json.loads(line) for line in read(log).splitlines()]
        os.unlink(log)
        self.assertIn(message, entries[-1]["msg"])
        self.assertEqual(entries[-1]["level"], "error")

    @each_wrapped
    def test_what_is_refused(self, runtime):
        def host_network(config):
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
        def bad_profile(config):
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "socket"}]}
        cases = {
            "policy nowhere": {"policy": "nowhere"},
            "is no policy's name": {"policy": "../veth"},
            "has no network namespace": {"edit": host_network},
            "run.oci.seccomp_bpf_data": {"annotations": {"run.oci.seccomp_bpf_data": "x"}},
            "run.oci.hooks.stdout": {"annotations": {"run.oci.hooks.stdout": "/x"}},
            "run.oci.handler": {"annotations": {"run.oci.handler": "krun"}},
            "linux.seccomp": {"edit": bad_profile},
        }
        for message, arguments in cases.items():
            with self.subTest(message):
                self.refused(runtime, bundle_of(self.world, **arguments), message)
        self.assertClean()

    def test_a_failure_is_closed(self):
        """What config.json gives is there already: a container with half of it must not start, whatever on_failure says."""
        self.world.policy("open", {"allow": ["allowed.test"], "on_failure": "open", "link": "veth"})
        runtime = Wrapped(self.world, "runc")
        text = read(runtime.wrapper)
        runtime.wrapper = self.world.write("no-keeper", text.replace(harness.KEEPER, "/nowhere"), 0o755)
        done = runtime.run(bundle_of(self.world, policy="open"))
        self.assertNotEqual(done.returncode, 0)
        self.assertClean()


class Gated(PodTest):
    """A process that joins a namespace with a gate: with what could open that it does not."""

    @each_wrapped
    def test_exec_with_what_opens_a_gate(self, runtime):
        with contextlib.closing(Pod(self.world)) as pod, runtime.start(bundle_of(self.world, policy="pod", netns=pod.path)) as container:
            def execute(*options, **process):
                if process:
                    path = self.world.write("process.json", json.dumps({**PROCESS, "args": ["/probe", "status"], **process}), 0o600)
                    options += ("--process", path)
                words = runtime.command("exec", *options, container.id, *([] if process else ["/probe", "status"]))
                return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

            for name in ("CAP_NET_ADMIN", "CAP_SYS_ADMIN"):
                for options, process in (([], {"capabilities": {"bounding": ["CAP_CHOWN", name]}}),
                                         ([], {"capabilities": {"ambient": [name]}}), (["--cap", name], {})):
                    done = execute(*options, **process)
                    self.assertEqual(done.returncode, 1, done)
                    self.assertIn(f"{name} over the network namespace of container {container.id}, which has a gate",
                                  self.world.host.syslog()[-1])
            self.assertEqual(execute(capabilities={"bounding": ["CAP_NET_RAW"]}).returncode, 0)
        with runtime.start(bundle_of(self.world)) as container:
            done = execute(capabilities={"bounding": ["CAP_NET_ADMIN"]})
            self.assertEqual(done.returncode, 0, "a namespace that is ours alone has no gate")


if __name__ == "__main__":
    harness.main()
