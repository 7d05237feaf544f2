# SPDX-License-Identifier: Apache-2.0
"""Which policy: annotation, else the container's variable where the host says so, else "default", else nothing at all.
And documents that are none: too large, too deep, cut short, not UTF-8."""
import json
import os
import shutil

import harness
from caller import CallerTest, Init, Places

UNSAFE = ["run.oci.seccomp.receiver", "run.oci.seccomp.plugins", "run.oci.seccomp_bpf_data", "run.oci.handler",
          "run.oci.hooks.stdout", "run.oci.hooks.stderr"]
MIB16 = 16 << 20


class Choice(CallerTest):
    def setUp(self):
        super().setUp()
        self.fresh = self.world.path("fresh")  # no run and no log directory yet
        self.addCleanup(shutil.rmtree, self.fresh, ignore_errors=True)  # a large policy is looked for in the run directory
        self.places = Places(self.world, run=os.path.join(self.fresh, "run"), log=os.path.join(self.fresh, "log"))

    def policy(self, name, **policy):
        path = self.world.policy(name, {"on_failure": "closed", "link": "veth", **policy})
        self.addCleanup(lambda: os.path.lexists(path) and os.unlink(path))
        return path

    def variable(self, value, allowed):
        """The container's config.json sets it, and the host's allows that."""
        self.config({"process": {"env": ["PATH=/bin", "OCI_EGRESS_POLICY=" + value]},
                     "linux": {"namespaces": [{"type": "network"}]}})
        self.places.paths["config"] = self.world.write("settings.json", json.dumps({"policy_from_env": allowed}))

    def assertNotOurs(self, **state):
        with Init() as init:
            self.assertUntouched(self.state(init, **state), init, places=self.places)
        self.assertFalse(os.path.exists(self.fresh), "a directory was made")

    def assertChosen(self, name, **state):
        with Init() as init:
            self.assertGuards(self.state(init, **state), init)
            self.assertEqual(self.world.status()["c1"]["policy"], name)
            self.assertLives(init)

    def assertRefused(self, pattern, **state):
        with Init() as init:
            complaint = self.assertRejected(self.state(init, **state), init, pattern, places=self.places)
        self.assertFalse(os.path.exists(self.fresh), "a directory was made")
        return complaint

    def test_none(self):
        self.assertNotOurs(policy=None)
        self.assertNotOurs(annotations={"other": "x", "oci-egressx.policy": "row"})
        self.places.paths["policies"] = self.world.path("nowhere")
        self.assertNotOurs(policy=None)

    def test_annotation(self):
        self.policy("other")
        self.policy("default")
        self.assertChosen("row")
        self.assertChosen("other", policy="other")
        self.assertChosen("default", policy=None)

    def test_variable(self):
        self.policy("other")
        self.variable("other", allowed=False)
        self.assertNotOurs(policy=None)
        self.variable("other", allowed=True)
        config, self.places.paths["config"] = self.places.paths["config"], self.world.path("config.json")
        self.world.write("config.json", '{"policy_from_env": true}\n')
        self.addCleanup(self.world.write, "config.json", "{}\n")
        self.assertChosen("other", policy=None)
        self.assertChosen("row")  # an annotation is the engine's word, a variable perhaps the image's
        self.places.paths["config"] = config
        for name in ("../other", "", "nobody"):
            self.variable(name, allowed=True)
            self.assertRefused("OCI_EGRESS_POLICY|nobody", policy=None)

    def test_no_annotation(self):
        """An image can bring one: podman gives a container those of its image's manifest."""
        self.policy("default")
        config, self.places.paths["config"] = self.places.paths["config"], self.world.path("config.json")
        self.world.write("config.json", '{"policy_from_annotation": false}\n')
        self.addCleanup(self.world.write, "config.json", "{}\n")
        self.assertRefused("policy_from_annotation", policy="row")
        self.assertChosen("default", policy=None)
        self.places.paths["config"] = config

    def test_broken_default(self):
        """Not the same as none: who wrote it meant something."""
        path = self.policy("default")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"alow": []}')
        self.assertRefused(r"default\.json:1:2: alow: .*allow", policy=None)

    def test_names(self):
        for name in ("../policies/row", "/etc/passwd", "a/b", "", ".", "..", "row\n", "row\x1b[2J", "x" * 65, "rôw", "row.json/../row",
                     "{}", "%s%n", "-row", " row"):
            with self.subTest(name=name):
                complaint = self.assertRefused("is no policy's name", policy=name)
                self.assertIn(self.world.policies, complaint, "says where policies are")
        for name in ("missing", "row.json"):
            self.assertRefused(f"policy {name}: .*{name}.json", policy=name)

    def test_files_that_are_traps(self):
        """A policy is root's own regular file, and no link to one."""
        directory = self.world.policies
        target = self.world.write("target.json", json.dumps(harness.POLICY))
        traps = {
            "link": lambda path: os.symlink(target, path), "inner": lambda path: os.symlink("row.json", path),
            "dangling": lambda path: os.symlink("missing", path), "fifo": os.mkfifo, "directory": os.mkdir,
            "strangers": lambda path: os.chown(self.world.policy("strangers", harness.POLICY), 1000, 1000),
            "group": lambda path: os.chmod(self.world.policy("group", harness.POLICY), 0o664),
            "others": lambda path: os.chmod(self.world.policy("others", harness.POLICY), 0o646),
        }
        for name, plant in traps.items():
            path = os.path.join(directory, name + ".json")
            plant(path)
            with self.subTest(name):
                self.assertRefused(f"{name}.json", policy=name)
            os.rmdir(path) if name == "directory" else os.unlink(path)

    def test_directories_that_are_traps(self):
        good = json.dumps({"on_failure": "closed"})
        for name, spoil in (("strangers", lambda path: os.chown(path, 1000, 1000)), ("writable", lambda path: os.chmod(path, 0o777))):
            path = self.world.path("policies-" + name)
            os.mkdir(path)
            with open(os.path.join(path, "row.json"), "w", encoding="utf-8") as file:
                file.write(good)
            spoil(path)
            self.places.paths["policies"] = path
            self.assertRefused(path)
        self.places.paths["policies"] = self.world.path("nowhere")
        self.assertRefused("nowhere")

    def test_annotations_that_would_void_the_guard(self):
        for key in UNSAFE:
            self.assertRefused(key, annotations={"oci-egress.policy": "row", key: "/x"})
            self.config({"annotations": {key: "/x"}, "linux": {"namespaces": [{"type": "network"}]}})
            self.assertRefused(f"config.json: annotation {key}")
            self.assertNotOurs(policy=None)
            self.config({"linux": {"namespaces": [{"type": "network"}]}})

    def test_interfaces_of_the_hosts(self):
        """linux.netDevices, runtime-spec 1.3: whatever runtime does it, and whenever."""
        linux = {"namespaces": [{"type": "network"}]}
        self.config({"linux": {**linux, "netDevices": {"eth0": {"name": "eth1"}}}})
        for on_failure in ("closed", "open"):
            self.policy("row", on_failure=on_failure)
            self.assertRefused("config.json: linux.netDevices")
        self.assertNotOurs(policy=None)
        self.config({"linux": {**linux, "netDevices": {}}})
        self.policy("row")
        self.assertChosen("row")

    # -- documents

    def spoilt(self, text, limit=MIB16):
        """The same document, no longer one."""
        yield "too large", text + b" " * (limit + 1 - len(text))
        yield "deep", text[:-1] + b', "x": ' + b"[" * 100000 + b"]" * 100000 + b"}"
        yield "twice", text[:-1] + b", " + text[1:]
        yield "not UTF-8", text[:-1] + b', "x": "\xff"}'
        yield "overlong UTF-8", text[:-1] + b', "x": "\xc0\xaf"}'
        yield "surrogate", text[:-1] + b', "x": "\\ud800"}'
        yield "NUL", text[:-1] + b"\0}"
        yield "BOM", b"\xef\xbb\xbf" + text
        yield "two", text + text
        yield "nothing", b""
        yield "list", b"[" + text + b"]"
        yield "null", b"null"
        for at in range(1, len(text), max(1, len(text) // 12)):
            yield f"cut at {at}", text[:at]

    def test_states(self):
        with Init() as init:
            good = json.dumps(self.state(init)).encode()
            for what, text in self.spoilt(good):
                with self.subTest(what):
                    self.assertRejected(text, init, places=self.places)
            self.assertGuards(good + b" " * (MIB16 - len(good)), init)
            self.assertLives(init)

    def test_configs(self):
        good = b'{"linux": {"namespaces": [{"type": "network"}]}}'
        with Init() as init:
            for what, text in self.spoilt(good):
                with self.subTest(what):
                    self.config(text)
                    self.assertRejected(self.state(init), init, "config.json", places=self.places)
            self.config(good + b" " * (MIB16 - len(good)))
            self.assertGuards(self.state(init), init)
            self.assertLives(init)

    def test_policies(self):
        good = b'{"allow": ["allowed.test"]}'
        with Init() as init:
            for what, text in self.spoilt(good, 4 * MIB16):
                with self.subTest(what):
                    with open(self.policy("spoilt"), "wb") as file:
                        file.write(text)
                    self.assertRejected(self.state(init, policy="spoilt"), init, "spoilt.json", places=self.places)


if __name__ == "__main__":
    harness.main()
