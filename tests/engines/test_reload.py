# SPDX-License-Identifier: Apache-2.0
"""A policy that is changed under a running container, `oci-egress reload`, and a large policy that containers share."""
import glob
import json
import os

import harness
from harness import Bundle, WorldTest, each_link, each_runtime, wait_for

SMALL = {"allow": ["allowed.test"], "networks": ["198.51.100.0/24"], "on_failure": "closed"}
WIDE = {**SMALL, "allow": ["allowed.test", "other.test"]}


class Reload(WorldTest):
    def tearDown(self):
        for path in glob.glob(self.world.policies + "/changing*.json"):
            os.unlink(path)
        self.world.status()  # takes images without a policy away
        self.assertEqual(glob.glob(self.world.run + "/images/*"), [])
        self.assertClean()

    def policy(self, policy, name="changing"):
        """Replaces the file as editors do."""
        path = self.world.policy(name + "~", policy)
        os.rename(path, os.path.join(self.world.policies, name + ".json"))

    def reload(self, *ids):
        done = self.world.oci_egress("reload", "--run", self.world.run, "--config", self.world.path("config.json"), *ids)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def row(self, container):
        return self.world.status()[container.id]

    @each_link
    def test_by_itself(self, runtime, link):
        self.policy({**SMALL, "link": link})
        with runtime.start(Bundle(self.world, policy="changing")) as container:
            before = self.row(container)
            self.assertEqual(container.ask("fetch other.test:443")["status"], 403)
            self.policy({**WIDE, "link": link})
            self.assertTrue(wait_for(lambda: self.row(container)["reloads"] == 1))
            self.assertTrue(container.ask("fetch other.test:443")["ok"])
            after = self.row(container)
            self.assertNotEqual(before["version"], after["version"])
            self.assertEqual((after["worker_pid"], after["restarts"]), (before["worker_pid"], 0))
            self.assertEqual((after["needs_new_container"], after["reload_error"]), ([], ""))

            self.policy({**WIDE, "link": "auto"})
            self.assertEqual(self.reload(container.id)[0], 0)
            self.assertEqual(self.reload(), (0, f"{container.id}  unchanged; a new container is needed for link\n"))
            self.assertEqual(self.row(container)["needs_new_container"], ["link"])

    @each_runtime
    def test_a_broken_one(self, runtime):
        self.policy(SMALL)
        with runtime.start(Bundle(self.world, policy="changing")) as container:
            version = self.row(container)["version"]
            self.policy('{\n "allow": [1] }')
            says = f"{self.world.policies}/changing.json:2:12: allow[0]: is a number, expected a string"
            self.assertEqual(self.reload(container.id), (1, f"{container.id}  NOT RELOADED: {says}\n"))
            self.assertEqual((self.row(container)["reload_error"], self.row(container)["version"]), (says, version))
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
            self.assertTrue(any(says in line for line in self.world.host.syslog()))
            errors = [line["error"] for line in self.world.log_lines(container.id, 2) if line.get("event") == "reload-failed"]
            self.assertEqual(set(errors), {says})
            self.policy(WIDE)
            self.assertEqual(self.reload()[0], 0)
            self.assertEqual(self.row(container)["reload_error"], "")
            self.assertTrue(container.ask("fetch other.test:443")["ok"])
        done = self.world.oci_egress("reload", "--run", self.world.run, "nobody")
        self.assertEqual((done.returncode, done.stderr), (2, "oci-egress reload: there is no container nobody\n"))

    @each_runtime
    def test_names(self, runtime):
        """Files that others are mounted over, as here, are looked at when somebody asks."""
        with open(self.world.path("hosts"), encoding="utf-8") as file:
            hosts = file.read()
        self.addCleanup(self.world.write, "hosts", hosts)
        self.policy({**SMALL, "allow": ["new.test"]})
        with runtime.start(Bundle(self.world, policy="changing")) as container:
            self.assertEqual(container.ask("fetch new.test:443")["status"], 502)
            self.world.write("hosts", hosts + f"{harness.ALLOWED} new.test\n")
            self.assertEqual(self.reload()[0], 0)
            self.assertTrue(container.ask("fetch new.test:443")["ok"])
        self.world.write("hosts", hosts)

    @each_runtime
    def test_a_large_one(self, runtime):
        """Compiled once, by the first hook that needs it; the second and all workers share its pages."""
        self.policy({**SMALL, "allow": ["allowed.test"] + [f"n{i}.test" for i in range(20000)]})
        images = self.world.run + "/images/changing/*"
        with runtime.start(Bundle(self.world, policy="changing")) as first:
            made = os.stat(glob.glob(images)[0])
            with runtime.start(Bundle(self.world, policy="changing")) as second:
                for container in (first, second):
                    self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                    for pid in (*container.keeper()["keeper"], *container.keeper()["worker"]):
                        self.assertEqual(self.mapped(pid), {made.st_ino})
                image, = glob.glob(images)
                self.assertEqual((os.stat(image).st_ino, os.stat(image).st_mtime_ns), (made.st_ino, made.st_mtime_ns))

                self.policy({**WIDE, "allow": ["other.test"] + [f"n{i}.test" for i in range(20000)]})
                self.assertEqual(self.reload()[0], 0)
                image, = glob.glob(images)
                for container in (first, second):
                    self.assertTrue(container.ask("fetch other.test:443")["ok"])
                    for pid in (*container.keeper()["keeper"], *container.keeper()["worker"]):
                        self.assertEqual(self.mapped(pid), {os.stat(image).st_ino})

    def mapped(self, pid):
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            return {int(line.split()[4]) for line in maps if "/images/changing/" in line}

    @each_runtime
    def test_a_sibling_brings_the_next_version(self, runtime):
        self.policy(SMALL)
        with runtime.start(Bundle(self.world, policy="changing")) as first:
            self.policy(WIDE)
            path = f"/proc/{first.pid}/ns/net"
            with runtime.start(Bundle(self.world, policy="changing", netns=path)) as second:
                for container in (first, second):
                    self.assertTrue(container.ask("fetch other.test:443")["ok"])


if __name__ == "__main__":
    harness.main()
