# SPDX-License-Identifier: Apache-2.0
"""Containers that share a network namespace: one link, one keeper, one policy, whichever hook or keeper dies."""
import json
import os
import random
import signal
import subprocess

import harness
from harness import Bundle, Gone, Netns, WorldTest, each_runtime, wait_ended

HOOKS = 20


class Shared(WorldTest):
    def setUp(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.addCleanup(self.holder.communicate)
        self.holder.stdout.readline()
        self.netns = Netns(self.holder.pid)
        self.addCleanup(self.netns.close)
        self.path = f"/proc/{self.holder.pid}/ns/net"

    def tearDown(self):
        self.world.status()
        self.assertClean()

    def start(self, runtime, policy):
        container = runtime.start(Bundle(self.world, policy=policy, netns=self.path))
        self.addCleanup(container.destroy)
        return container

    @each_runtime
    def test_another_policy_after_the_keeper_was_killed(self, runtime):
        """A new keeper in the namespace must not give the first container what another policy allows."""
        self.world.policy("wider", {**harness.POLICY, "allow": ["allowed.test", "other.test"]})
        first = self.start(runtime, "veth")
        os.kill(first.keeper()["keeper"][0], signal.SIGKILL)
        self.assertTrue(self.netns.wait_link("oe0", there=False))
        for _ in range(2):
            with self.assertRaises(Gone):
                self.start(runtime, "wider")
            self.assertIn("another policy", self.world.host.syslog()[-1])
            self.assertFalse(first.ask("fetch other.test:443 300")["ok"])
            self.assertEqual(self.world.status()[first.id]["state"], "closed")
        second = self.start(runtime, "veth")
        self.assertTrue(second.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(first.ask("fetch other.test:443")["status"], 403)
        for container in (first, second):
            os.kill(container.pid, signal.SIGKILL)
        wait_ended([first.pid, second.pid])
        self.world.status()
        self.assertClean()

    @each_runtime
    def test_an_interface_that_came_later(self, runtime):
        """What was looked for when the link was made is looked for again at every join, and closed by the gate."""
        inside = lambda *argv: harness.sh("nsenter", f"--net={self.path}", *argv)
        first = self.start(runtime, "veth")
        inside("ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1")
        self.assertNotIn("later0", inside("nft", "list", "ruleset"))
        second = self.start(runtime, "veth")
        self.assertEqual(inside("nft", "list", "table", "netdev", "oci_egress").count('device "later'), 2)
        for container in (first, second):
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        with self.assertRaises(Gone):
            runtime.start(Bundle(self.world, policy="veth", netns=self.path, caps=harness.NET_CAPS))
        inside("ip", "link", "del", "later0")
        self.assertTrue(self.start(runtime, "veth").ask("fetch allowed.test:443")["ok"])

    def init(self):
        """A process in the namespace that waits in read(2), as a runtime's init does while hooks run."""
        process = subprocess.Popen(["nsenter", f"--net={self.path}", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(process.communicate)
        return process

    def hook(self, bundle, pid):
        state = json.dumps({"ociVersion": "1.0.2", "id": bundle.id, "status": "creating", "pid": pid, "bundle": bundle.dir,
                            "annotations": {"oci-egress.policy": "veth"}})
        process = subprocess.Popen(self.world.host.enter(harness.PROGRAM, *self.world.hook_args("createRuntime")[1:]),
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(state.encode())
        process.stdin.close()
        return process

    def test_whichever_hook_dies(self):
        """Twenty hooks at once for one namespace, some of them killed at any moment: the others' containers are guarded,
        by one keeper; the killed ones' inits die with their tracers or were never touched."""
        for seed in range(6):
            rng = random.Random(seed)
            inits = [self.init() for _ in range(HOOKS)]
            hooks = [self.hook(Bundle(self.world, policy="veth"), init.pid) for init in inits]
            victims = set(rng.sample(range(HOOKS), 8))
            for i in victims:
                # Between two deaths another hook has had its turn: the event that the next one waits for.
                if rng.random() < 0.5:
                    survivors = [h for n, h in enumerate(hooks) if n not in victims]
                    rng.choice(survivors).wait(60)
                hooks[i].kill()
            for i, hook in enumerate(hooks):
                status = hook.wait(60)
                self.assertIn(status, (0, -signal.SIGKILL) if i in victims else (0,), hook.stderr.read())
                hook.stderr.close()
            self.assertEqual(sorted(self.netns.links()), ["lo", "oe0"])
            keepers = [text for text in self.world.processes().values() if " keeper " in text and "oci-egress-keeper" in text]
            self.assertEqual(len(keepers), 1, keepers)
            guarded = self.world.status()
            for i, init in enumerate(inits):
                if i not in victims:
                    self.assertIsNone(init.poll(), "a guarded container's init lives")
            self.assertGreaterEqual(sum(row["state"] == "guarded" for row in guarded.values()), HOOKS - len(victims))
            for init in inits:
                init.kill()
            wait_ended([init.pid for init in inits])
            self.world.status()
            self.assertClean()
            self.assertTrue(self.netns.wait_link("oe0", there=False))


if __name__ == "__main__":
    harness.main()
