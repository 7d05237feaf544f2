# SPDX-License-Identifier: Apache-2.0
"""What arming does to a container's program, and what it leaves alone."""
import collections
import itertools
import json
import os
import socket

import harness
from harness import Bundle, WorldTest, each_link, each_runtime

VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
             "NODE_USE_ENV_PROXY", "OCI_EGRESS"]
SECRET = "http://user:hunter2@corporate.test:8080"


class Environment(WorldTest):
    def variables(self, container):
        result = container.ask("env")
        shown = collections.Counter(v.split("=", 1)[0] for v in result["env"])
        return dict(v.split("=", 1) for v in result["env"]), shown, result

    @each_link
    def test_each_variable_once(self, runtime, link):
        proxy = "http://" + ("198.18.0.2" if link == "veth" else "127.0.0.1") + ":3128"
        for uid, no_new_privs in itertools.product((0, 1000), (False, True)):
            with self.subTest(uid=uid, no_new_privs=no_new_privs), \
                    runtime.start(Bundle(self.world, policy=link, uid=uid, no_new_privs=no_new_privs)) as container:
                env, shown, result = self.variables(container)
                for name in VARIABLES:
                    self.assertEqual(shown[name], 1, name)
                for name in ("http_proxy", "https_proxy", "all_proxy"):
                    self.assertEqual(env[name].rstrip("/"), proxy)
                    self.assertEqual(env[name.upper()].rstrip("/"), proxy)
                self.assertEqual((env["NODE_USE_ENV_PROXY"], env["OCI_EGRESS"]), ("1", "1"))
                for entry in env["no_proxy"].split(","):
                    self.assertIn(entry.strip(), ("localhost", "127.0.0.1", "::1", "[::1]", "127.0.0.0/8"))
                self.assertEqual((env["PATH"], env["TERM"]), ("/bin", "dumb"))
                self.assertIn("https_proxy=" + proxy, result["proc"], "/proc/self/environ")
                self.assertEqual(container.status("Seccomp"), "2")
                self.assertEqual(container.status("NoNewPrivs"), str(int(no_new_privs)))
                self.assertEqual(container.status("TracerPid"), "0")
                self.assertEqual(container.ask("ids"), {"ok": True, "uid": uid, "euid": uid})

    @each_link
    def test_existing_variables_are_replaced(self, runtime, link):
        """Engines copy the host's own proxy variables into containers, credentials and all."""
        env = [f"{name}={SECRET}" for name in VARIABLES] + [f"https_proxy={SECRET}", "MINE=kept", "https_proxyx=kept"]
        with runtime.start(Bundle(self.world, policy=link, env=env)) as container:
            variables, shown, result = self.variables(container)
            for name in VARIABLES:
                self.assertEqual(shown[name], 1, name)
            self.assertNotIn("hunter2", str(result))
            self.assertEqual((variables["MINE"], variables["https_proxyx"]), ("kept", "kept"))
            with open(f"/proc/{container.pid}/environ", encoding="latin-1") as file:
                self.assertNotIn("hunter2", file.read())
            with open(f"/proc/{container.pid}/cmdline", encoding="latin-1") as file:
                self.assertEqual(file.read(), "/probe\0")

    def assertAsSaid(self, policy, container, own=()):
        """What `oci-egress env` says is what there is; own: what the image had."""
        config = self.world.write("env.json", "{}")
        done = harness.subprocess.run([harness.PROGRAM, "env", "--format", "json", "--config", config, "--policy",
                                       os.path.join(self.world.policies, policy + ".json")], capture_output=True, check=True)
        env, shown, result = self.variables(container)
        for line in json.loads(done.stdout):
            name, before = line["name"], dict(own).get(line["name"])
            if line["action"] == "remove":
                self.assertEqual(shown[name], 0, name)
            else:
                self.assertEqual(shown[name], 1, name)
                appended = line["action"] == "append" and before
                self.assertEqual(env[name], (before + " " if appended else "") + line["value"], name)
        with open(f"/proc/{container.pid}/environ", encoding="utf-8") as file:
            self.assertEqual(sorted(file.read().split("\0")[:-1]), sorted(result["env"]))
        self.assertNotIn("hunter2", str(result))
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        return env

    @each_link
    def test_full_profile(self, runtime, link):
        """Of everything that one client reads by itself, each once; the image's own options of Java stay in front."""
        own = {"JAVA_TOOL_OPTIONS": "-Xmx1g -Dx=y", "SSLKEYLOGFILE": "/keys", "FTP_PROXY": SECRET, "npm_config_proxy": SECRET,
               "CLOUDSDK_PROXY_PASSWORD": "hunter2", "no_grpc_proxy": "kept.test", "MINE": "kept", "OURS": "replaced"}
        environment = {"profile": "full", "set": {"OURS": "a 'quoted' $HOME"}, "keep": ["no_grpc_proxy"]}
        self.world.policy("full", {**harness.POLICY, "link": link, "all_proxy": "socks5h", "environment": environment})
        for uid in (0, 1000):
            with self.subTest(uid=uid), runtime.start(Bundle(self.world, policy="full", uid=uid,
                                                             env=[f"{k}={v}" for k, v in own.items()])) as container:
                env = self.assertAsSaid("full", container, own.items())
                self.assertEqual((env["MINE"], env["no_grpc_proxy"], env["OURS"]), ("kept", "kept.test", "a 'quoted' $HOME"))
                address = "198.18.0.2" if link == "veth" else "127.0.0.1"
                self.assertEqual(env["all_proxy"], f"socks5h://{address}:3128")
                self.assertEqual(env["RSYNC_PROXY"], address + ":3128")
                self.assertTrue(env["JAVA_TOOL_OPTIONS"].startswith(f"-Xmx1g -Dx=y -Dhttp.proxyHost={address} "))

    @each_runtime
    def test_as_much_as_there_can_be(self, runtime):
        self.world.policy("large", {**harness.POLICY, "direct": [f"172.16.{i}.0/28" for i in range(32)], "environment": {
            "profile": "full", "set": {f"V{i:02}": "x" * 251 for i in range(32)}}})
        for uid in (0, 1000):
            own = {"JAVA_TOOL_OPTIONS": "-D" + "x" * 4000}
            with self.subTest(uid=uid), runtime.start(Bundle(self.world, policy="large", uid=uid,
                                                             env=[f"{k}={v}" for k, v in own.items()])) as container:
                self.assertAsSaid("large", container, own.items())

    @each_runtime
    def test_no_profile(self, runtime):
        """Nothing but what the policy sets: the rest is as the image has it. The walls are there all the same."""
        self.world.policy("none", {**harness.POLICY, "environment": {"profile": "none", "set": {"OURS": "set"}}})
        env = [f"https_proxy={SECRET}", "SSLKEYLOGFILE=/keys"]
        with runtime.start(Bundle(self.world, policy="none", env=env)) as container:
            variables, shown, _ = self.variables(container)
            self.assertEqual((variables["https_proxy"], variables["SSLKEYLOGFILE"], variables["OURS"]), (SECRET, "/keys", "set"))
            self.assertEqual(shown["http_proxy"] + shown["OCI_EGRESS"], 0)
            self.assertEqual(container.status("Seccomp"), "2")

    @each_runtime
    def test_with_a_profile(self, runtime):
        """A profile of the runtime's, and one under which prctl(2) kills."""
        for name, action in (("prctl", "SCMP_ACT_KILL_PROCESS"), ("mount", "SCMP_ACT_ERRNO")):
            def profile(config):
                config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                              "syscalls": [{"names": [name], "action": action}]}
                if harness.os.uname().machine != "x86_64":
                    del config["linux"]["seccomp"]["architectures"]
            with self.subTest(profile=name):
                env = [f"https_proxy={SECRET}"]
                with runtime.start(Bundle(self.world, env=env, no_new_privs=True, edit=profile)) as container:
                    _, shown, result = self.variables(container)
                    self.assertEqual(shown["https_proxy"], 1)
                    self.assertNotIn("hunter2", str(result))
                    self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_runtime
    def test_setuid_still_works(self, runtime):
        with runtime.start(Bundle(self.world, uid=1000)) as container:
            self.assertIn('"euid":0', container.ask("sh /setuid-probe ids")["out"])
        with runtime.start(Bundle(self.world, uid=1000, no_new_privs=True)) as container:
            self.assertIn('"euid":1000', container.ask("sh /setuid-probe ids")["out"])

    @each_runtime
    def test_all_kinds_of_programs(self, runtime):
        """Scripts, a shell, many and long arguments and variables come through unharmed."""
        cases = {
            "script": {"args": ["/script"]},
            "no variables": {"args": ["/probe"], "edit": lambda c: c["process"].update(env=[])},
            "path lookup": {"args": ["sh", "-c", "exec /probe"]},
            "many variables": {"env": [f"V{i}={'x' * 100}" for i in range(5000)]},
            "long variables": {"env": [f"V{i}=" + "x" * 100000 for i in range(12)]},
            "long arguments": {"args": ["sh", "-c", "exec /probe", *["y" * 100000] * 8]},
        }
        for name, arguments in cases.items():
            with self.subTest(program=name), runtime.start(Bundle(self.world, **arguments)) as container:
                variables, shown, _ = self.variables(container)
                for variable in VARIABLES:
                    self.assertEqual(shown[variable], 1, variable)
                for variable in arguments.get("env", []):
                    key, value = variable.split("=", 1)
                    self.assertEqual(variables[key], value)
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])

    @each_runtime
    def test_program_that_is_not_there(self, runtime):
        done = runtime.run(Bundle(self.world, args=["/nowhere"]))
        self.assertNotEqual(done.returncode, 0)
        self.assertClean()

    @each_runtime
    def test_created_first_started_later(self, runtime):
        """The tracer waits as long as the container is only created."""
        bundle = Bundle(self.world, args=["/probe", "env"])
        out = os.path.join(bundle.dir, "out")
        with open(out, "wb") as file:
            done = harness.subprocess.run(runtime.command("create", "--bundle", bundle.dir, bundle.id), stdout=file,
                                          stderr=file, stdin=harness.subprocess.DEVNULL, timeout=30)
        with open(out, encoding="utf-8") as file:
            self.assertEqual(done.returncode, 0, file.read())
        self.assertEqual(runtime.call("start", bundle.id).returncode, 0)
        text = harness.wait_file(out, lambda text: text.endswith("}\n") and text)
        self.assertIn("https_proxy=http://198.18.0.2:3128", text or "")
        runtime.call("delete", "--force", bundle.id)
        self.assertClean()


class Filter(WorldTest):
    """The sockets that the filter leaves: see oci/seccomp.h."""

    @each_runtime
    def test_every_kind_of_socket(self, runtime):
        with runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as container:
            for family, kind, flags in itertools.product(range(0, 46), (0, 1, 2, 3, 4, 5, 6, 10, 11, 15), (0, 0x80800)):
                for protocol in (0, 1, 6, 17, 132, 136, 255, 262):
                    container.send(f"socket {family} {kind | flags} {protocol}")
                for protocol in (0, 1, 6, 17, 132, 136, 255, 262):
                    result = container.receive()
                    what = f"socket({family}, {kind | flags:#x}, {protocol}): {result}"
                    if family == socket.AF_UNIX or (family == socket.AF_NETLINK and kind in (2, 3) and protocol == 0) or \
                            (family in (socket.AF_INET, socket.AF_INET6) and kind == 1 and protocol in (0, 6)):
                        self.assertNotEqual(result["errno"], "EPERM", what)
                    elif family != socket.AF_NETLINK or protocol != 0:  # those of no such type fail by themselves
                        self.assertFalse(result["ok"], what)
                        self.assertEqual(result["errno"], "EPERM", what)

    @each_runtime
    def test_high_bits_do_not_matter(self, runtime):
        """The kernel looks at the low 32 bits of socket(2)'s arguments; so must the filter."""
        number = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
        with runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as container:
            for family, kind in ((2, 2), (17, 3), (2, 3), (40, 1)):
                for high in (0, 1 << 32, 1 << 63):
                    result = container.ask(f"syscall {number} {family | high} {kind | high} {high}")
                    self.assertEqual(result["errno"], "EPERM", f"{family} {kind} {high:#x}")

    @each_runtime
    def test_io_uring_and_x32(self, runtime):
        numbers = [425, 426, 427]
        if os.uname().machine == "x86_64":
            numbers += [0x40000000 + 41, 0x40000000 + 425]
        with runtime.start(Bundle(self.world, caps=harness.NET_CAPS)) as container:
            for call in numbers:
                self.assertEqual(container.ask(f"syscall {call} 2 1 0")["errno"], "ENOSYS", hex(call))

    @each_runtime
    def test_children_have_it_too(self, runtime):
        with runtime.start(Bundle(self.world)) as container:
            self.assertIn('"errno":"EPERM"', container.ask("sh /probe udp 203.0.113.7 53")["out"])
            self.assertIn('"errno":"EPERM"', container.ask("sh /setuid-probe socket 17 3 0")["out"])


if __name__ == "__main__":
    harness.main()
