# SPDX-License-Identifier: Apache-2.0
"""One hook, one container, one guarded way out: what is listed works, the rest fails at once and says why."""
import itertools

import harness
from harness import ALLOWED, DIRECT, Bundle, WorldTest, each_link, each_runtime


class MainJob(WorldTest):
    @each_link
    def test_allowed_denied_direct_and_the_log(self, runtime, link):
        bundle = Bundle(self.world, policy=link)
        with runtime.start(bundle) as container:
            self.world.host.queries()
            self.world.internet.connections()
            allowed = container.ask("fetch allowed.test:443")
            self.assertTrue(allowed["ok"], allowed)
            self.assertIn("hello from allowed", allowed["body"])

            denied = container.ask("fetch other.test:443")
            self.assertEqual(denied["status"], 403, denied)
            self.assertIn("Proxy-Status: oci-egress; error=http_request_denied", denied["head"])
            self.assertIn("does not list this host", denied["head"])
            asked = {query["name"] for query in self.world.host.queries()}
            self.assertEqual(asked, {"allowed.test"}, "a denied name is never looked up")

            for probe in (f"connect {DIRECT} 443", f"connect {ALLOWED} 443", f"udp {DIRECT} 53", f"udp {ALLOWED} 4444"):
                direct = container.ask(probe)
                self.assertFalse(direct["ok"], f"{probe}: {direct}")
                self.assertLess(direct["ms"], 100, f"{probe}: {direct}")
                self.assertNotEqual(direct["errno"], "ETIMEDOUT", f"{probe}: {direct}")
            self.assertEqual(container.ask(f"udp {DIRECT} 53")["errno"], "EPERM")
            reached = [connection["name"] for connection in self.world.internet.connections()]
            self.assertEqual(reached, ["allowed"], "what the Internet was asked for")
            self.assertEqual(container.end(), 0)

        first, second = self.world.log_lines(bundle.id, 2)[:2]
        self.assertEqual({key: first[key] for key in ("container", "policy", "host", "port", "address", "verdict", "rule")},
                         {"container": bundle.id, "policy": link, "host": "allowed.test", "port": 443, "address": ALLOWED,
                          "verdict": "allowed", "rule": "allowed.test"})
        self.assertGreater(first["bytes_up"], 0)
        self.assertGreater(first["bytes_down"], len("hello from allowed"))
        self.assertEqual((second["host"], second["verdict"], second["reason"], second["address"]),
                         ("other.test", "denied", "not-listed", None))
        self.assertNothingSeen()
        self.assertClean()

    @each_runtime
    def test_answers(self, runtime):
        """Each way to be refused has its status and its reason, in the answer and in the log."""
        self.world.policy("answers", {"allow": ["allowed.test", "inhosts.test", "denied.test", "loopback.test", "nowhere.test",
                                                "silent.test", "*.many.test", ALLOWED], "deny": ["denied.test"],
                                      "networks": ["198.51.100.0/24"], "on_failure": "closed",
                                      "limits": {"resolve_timeout_ms": 300}})
        self.world.host.names(names={"silent.test": None})
        expected = {
            "allowed.test:443": (200, "allowed"), "inhosts.test:80": (200, "allowed"), f"{ALLOWED}:443": (200, "allowed"),
            "a.b.many.test:443": (403, "not-listed"), "denied.test:443": (403, "denied"), "allowed.test:22": (403, "port-not-listed"),
            "loopback.test:443": (403, "address-forbidden"), "nowhere.test:443": (502, "resolve-failed"),
            "silent.test:443": (504, "resolve-timeout"), "allowed.test": (400, "bad-request"),
            "0x7f.1:443": (400, "bad-request"), "127.0.0.1:443": (403, "not-listed"),
        }
        bundle = Bundle(self.world, policy="answers")
        with runtime.start(bundle) as container:
            for target, (status, _) in expected.items():
                with self.subTest(target=target):
                    self.assertEqual(container.ask(f"fetch {target}")["status"], status)
            trace = container.ask("request " + b"TRACE http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n".hex())
            self.assertIn(" 405 ", trace["reply"])
            lines = self.world.log_lines(bundle.id, len(expected) + 1)
        self.assertEqual([line["reason"] for line in lines], [reason for _, reason in expected.values()] + ["method-not-allowed"])
        self.assertNothingSeen()

    @each_runtime
    def test_none_of_our_business(self, runtime):
        """Without an annotation and without a policy "default" nothing is touched."""
        bundle = Bundle(self.world, policy=None)
        with runtime.start(bundle) as container:
            self.assertEqual(container.status("Seccomp"), "0")
            self.assertFalse(container.netns.has_link())
            self.assertNotIn("proxy", str(container.ask("env")["env"]).lower())
        self.assertEqual(self.world.run_files(), [])

    @each_runtime
    def test_default_policy(self, runtime):
        path = self.world.policy("default", {**harness.POLICY})
        self.addCleanup(lambda: harness.os.path.exists(path) and harness.os.unlink(path))
        with runtime.start(Bundle(self.world, policy=None)) as container:
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
            self.assertEqual(container.status("Seccomp"), "2")
        harness.os.unlink(path)

    @each_runtime
    def test_policy_from_the_environment(self, runtime):
        """An image can set variables: they count only where the host's own settings say so."""
        bundle = lambda: Bundle(self.world, policy=None, env=["OCI_EGRESS_POLICY=veth"])
        with runtime.start(bundle()) as container:
            self.assertEqual(container.status("Seccomp"), "0")
        self.world.write("config.json", '{"policy_from_env": true}')
        self.addCleanup(self.world.write, "config.json", "{}")
        with runtime.start(bundle()) as container:
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        self.world.write("config.json", "{}")

    @each_runtime
    def test_the_hosts_own_settings(self, runtime):
        """Another network for the link, and on_failure for policies that do not say."""
        self.addCleanup(self.world.write, "config.json", "{}")

        def without_keeper(config):
            args = config["hooks"]["createRuntime"][0]["args"]
            args[args.index(harness.KEEPER)] = "/nowhere/keeper"
        network = {"proxy": "10.77.0.1", "container": "10.77.0.2", "prefix": 30, "port": 8888}
        for on_failure, (link, proxy) in itertools.product(("closed", "open"), (("veth", "10.77.0.1:8888"), ("socket", "127.0.0.1:8888"))):
            with self.subTest(on_failure=on_failure, link=link):
                self.world.write("config.json", harness.json.dumps({"network": network, "on_failure": on_failure}))
                self.world.policy("silent", {"allow": ["allowed.test"], "networks": ["198.51.100.0/24"], "link": link})
                with runtime.start(Bundle(self.world, policy="silent")) as container:
                    self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                    self.assertIn(f"https_proxy=http://{proxy}", container.ask("env")["env"])
                    self.assertEqual(self.world.status()[container.id]["proxy"], proxy)
                    addresses = container.exec().ask("sh ip -4 addr show oe0")["out"] if link == "veth" else ""
                    self.assertEqual("inet 10.77.0.2/30 " in addresses, link == "veth", addresses)
                    self.assertNotIn("198.18.", addresses)
                    for target in (f"{harness.PROXY} {harness.PORT}", f"127.0.0.1 {harness.PORT}", "10.77.0.1 22", "10.77.0.3 8888"):
                        self.assertFalse(container.ask(f"connect {target} 100")["ok"], target)
                bundle = Bundle(self.world, policy="silent", edit=without_keeper)
                if on_failure == "closed":
                    with self.assertRaises(harness.Gone):
                        runtime.start(bundle)
                else:
                    with runtime.start(bundle) as container:
                        self.assertEqual(container.status("Seccomp"), "0")
                        self.assertEqual(self.world.status()[container.id]["state"], "open")
                self.world.status()
                self.assertNothingSeen()
                self.assertClean()
        self.world.write("config.json", "{}")

    @each_runtime
    def test_bad_policies_stop_the_container(self, runtime):
        self.world.policy("typo", '{\n  "alow": ["allowed.test"],\n  "on_failure": "open"\n}\n')
        self.world.policy("broken", '{"allow": [')
        self.world.policy("both", '{"proxy": {"command": ["/bin/true"]}, "allow": ["allowed.test"]}')
        names = {"typo": "typo.json:2:3: alow", "broken": "broken.json:1:", "both": "both.json:1:", "missing": "missing.json",
                 "../typo": "no policy's name", "a/b": "no policy's name", "": "no policy's name"}
        for name, message in names.items():
            with self.subTest(policy=name):
                bundle = Bundle(self.world, policy=None, annotations={"oci-egress.policy": name}, args=["/probe", "ids"])
                done = runtime.run(bundle)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn('"ok"', done.stdout)
                if runtime.name == "runc":  # crun gives hooks no stderr
                    self.assertIn(message, done.stderr)
                self.assertTrue(any(message in line for line in self.world.host.syslog()), self.world.host.syslog()[-1:])
                runtime.call("delete", "--force", bundle.id)
        self.assertClean()

    @each_link
    def test_status(self, runtime, link):
        bundle = Bundle(self.world, policy=link)
        with runtime.start(bundle) as container:
            container.ask("fetch allowed.test:443")
            container.ask("fetch other.test:443")
            self.world.log_lines(bundle.id, 2)
            row = self.world.status()[bundle.id]
            proxy = "198.18.0.2:3128" if link == "veth" else "127.0.0.1:3128"
            self.assertEqual((row["state"], row["policy"], row["link"], row["proxy"], row["pid"]),
                             ("guarded", link, link, proxy, container.pid))
            self.assertEqual((row["accepted"], row["allowed"], row["denied"]), (2, 1, 1), "the hook's own probe is not counted")
        self.assertClean()
        self.assertEqual(self.world.status(), {})

    def test_commands(self):
        policy = harness.os.path.join(self.world.policies, "veth.json")
        for arguments, status in (([], 0), (["allowed.test"], 0), (["other.test:443"], 1), (["allowed.test:22"], 1), (["a..b"], 2)):
            done = self.world.oci_egress("check", "--policy", policy, *arguments)
            self.assertEqual(done.returncode, status, f"check {arguments}: {done.stdout}{done.stderr}")
        self.assertEqual(self.world.oci_egress("--version").returncode, 0)
        for command in ("hook", "proxy", "check", "status"):
            done = self.world.oci_egress(command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("usage: oci-egress " + command, done.stdout)
        self.assertEqual(self.world.oci_egress("nonsense").returncode, 2)


if __name__ == "__main__":
    harness.main()
