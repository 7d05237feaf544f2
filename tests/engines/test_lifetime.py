# SPDX-License-Identifier: Apache-2.0
"""What ends, and how: within five seconds of a container's end nothing of ours is left, whoever was killed."""
import json
import os
import signal
import subprocess
import threading

import harness
from harness import Bundle, Gone, Netns, WorldTest, each_link, each_runtime, wait_ended


class Lifetime(WorldTest):
    def tearDown(self):
        self.world.status()  # sweeps what a SIGKILL of the keeper left
        self.assertClean()

    def start(self, runtime, link, **arguments):
        container = runtime.start(Bundle(self.world, policy=link, **arguments))
        self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        return container

    def roles(self, container):
        roles = container.keeper()
        self.assertEqual((len(roles["keeper"]), len(roles["worker"])), (1, 1), self.world.processes())
        return roles["keeper"][0], roles["worker"][0]

    # -- a container's end

    @each_link
    def test_its_own_end(self, runtime, link):
        container = self.start(runtime, link)
        self.assertEqual(container.end(), 0)
        self.assertClean()

    @each_link
    def test_killed_by_the_runtime(self, runtime, link):
        container = self.start(runtime, link)
        container.kill()
        container.process.wait(10)
        container.destroy()
        self.assertClean()

    @each_link
    def test_init_killed_and_poststop_never_called(self, runtime, link):
        container = self.start(runtime, link, edit=lambda config: config["hooks"].pop("poststop"))
        os.kill(container.pid, signal.SIGKILL)
        container.process.wait(10)
        self.assertClean()

    @each_link
    def test_runtime_killed(self, runtime, link):
        """The container lives on, guarded as before; when its init ends all is cleaned up."""
        container = self.start(runtime, link, args=["/bin/sh", "-c", "/probe; exec sleep 1000"])  # with runc goes the probe's stdin
        before = self.roles(container)
        parent = int(self.stat_parent(container.pid))
        if self.world.processes().get(parent) or parent == container.process.pid:
            os.kill(parent, signal.SIGKILL)
        container.process.kill()
        wait_ended([container.process.pid])
        self.assertEqual(self.roles(container), before)
        self.assertEqual(container.status("Seccomp"), "2")
        address = harness.PROXY if link == "veth" else "127.0.0.1"
        talk = container.exec(env=[f"https_proxy=http://{address}:{harness.PORT}"])
        self.assertTrue(talk.ask("fetch allowed.test:443")["ok"])
        self.assertEqual(talk.ask("fetch other.test:443")["status"], 403)
        self.assertFalse(talk.ask("connect 203.0.113.7 443")["ok"])
        talk.end()
        os.kill(container.pid, signal.SIGKILL)
        self.assertClean()

    def stat_parent(self, pid):
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rsplit(")", 1)[1].split()[1]

    @each_link
    def test_keeper_killed(self, runtime, link):
        """No egress rather than open egress, within a second, also with a client that reads nothing."""
        for load in ("fetch allowed.test:443", "hold allowed.test:19 2 flood", "hold allowed.test:7 2 flood"):
            self.world.policy("ports", {**harness.POLICY, "link": link, "ports": [7, 19, 443]})
            container = self.start(runtime, "ports")
            keeper, worker = self.roles(container)
            self.assertTrue(container.ask(load)["ok"])
            os.kill(keeper, signal.SIGKILL)
            self.assertEqual(wait_ended([keeper, worker], 1.0), [])
            if link == "veth":
                self.assertTrue(container.netns.wait_link("oe0", there=False, timeout=1.0), load)
            self.assertFalse(container.ask("fetch allowed.test:443 300")["ok"])
            self.assertFalse(container.ask("connect 203.0.113.7 443 300")["ok"])
            self.assertEqual(self.world.status()[container.id]["state"], "closed")
            container.destroy()
            self.world.status()
            self.assertClean()

    @each_link
    def test_worker_killed(self, runtime, link):
        """It is restarted; connections that come meanwhile wait in the listener's queue."""
        container = self.start(runtime, link)
        slowest = 0
        for _ in range(3):
            keeper, worker = self.roles(container)
            os.kill(worker, signal.SIGKILL)
            result = container.ask("fetch allowed.test:443")
            self.assertTrue(result["ok"], result)
            slowest = max(slowest, result["ms"])
            wait_ended([worker])
            self.assertEqual(self.roles(container)[0], keeper)
        self.assertLess(slowest, 100, "ms until a new connection was served")
        self.assertEqual(self.world.status()[container.id]["restarts"], 3)

    @each_runtime
    def test_worker_killed_too_often(self, runtime):
        """Five times in ten seconds is enough: then egress is closed, and says so."""
        container = self.start(runtime, "veth")
        for _ in range(20):
            workers = container.keeper()["worker"]
            if not workers or self.world.status()[container.id]["state"] == "failed":
                break
            os.kill(workers[0], signal.SIGKILL)
            wait_ended(workers)
            container.ask("fetch allowed.test:443 300")
        self.assertEqual(self.world.status()[container.id]["state"], "failed")
        self.assertFalse(container.ask("fetch allowed.test:443 300")["ok"])
        self.assertFalse(container.ask("connect 203.0.113.7 443 300")["ok"])

    @each_runtime
    def test_lines_of_a_killed_worker(self, runtime):
        """Whoever crashes the worker does not erase the record."""
        self.world.policy("ports", {**harness.POLICY, "ports": [19]})
        container = runtime.start(Bundle(self.world, policy="ports"))
        self.assertTrue(container.ask("hold allowed.test:19 3")["ok"])
        os.kill(container.keeper()["worker"][0], signal.SIGKILL)
        for line in self.world.log_lines(container.id, 3):
            self.assertEqual((line["reason"], line["host"], line["port"]), ("worker-died", "allowed.test", 19))

    @each_link
    def test_tracer_killed(self, runtime, link):
        """Between create and start init dies with its tracer: it can never start without its guard."""
        bundle = Bundle(self.world, policy=link)
        self.create(runtime, bundle)
        pid = json.loads(runtime.call("state", bundle.id).stdout)["pid"]
        with open(f"/proc/{pid}/status", encoding="latin-1") as file:
            tracer = int(next(line.split()[1] for line in file if line.startswith("TracerPid")))
        self.assertGreater(tracer, 0)
        os.kill(tracer, signal.SIGKILL)
        self.assertEqual(wait_ended([pid]), [])
        runtime.call("start", bundle.id)
        runtime.call("delete", "--force", bundle.id)
        self.assertClean()

    def create(self, runtime, bundle):
        with open(os.path.join(bundle.dir, "out"), "wb") as out:
            done = subprocess.run(runtime.command("create", "--bundle", bundle.dir, bundle.id), stdout=out, stderr=out,
                                  stdin=subprocess.DEVNULL, timeout=30, check=False)
        self.assertEqual(done.returncode, 0)

    @each_link
    def test_created_and_deleted(self, runtime, link):
        bundle = Bundle(self.world, policy=link)
        self.create(runtime, bundle)
        runtime.call("delete", "--force", bundle.id)
        self.assertClean()

    @each_link
    def test_failed_create_after_our_hook(self, runtime, link):
        def fail(config):
            config["hooks"]["createRuntime"].append({"path": "/bin/false"})
        done = runtime.run(Bundle(self.world, policy=link, args=["/probe", "ids"], edit=fail))
        self.assertNotEqual(done.returncode, 0)
        self.assertClean()

    @each_runtime
    def test_called_twice(self, runtime):
        """prestart and createRuntime are the same entry: once per container."""
        def twice(config):
            hook = config["hooks"]["createRuntime"][0]
            config["hooks"]["prestart"] = [{**hook, "args": self.world.hook_args("prestart")}]
        container = self.start(runtime, "veth", edit=twice)
        self.roles(container)
        self.assertEqual(container.ask("env")["env"].count("OCI_EGRESS=1"), 1)
        self.assertEqual(container.status("Seccomp_filters"), "1")

    # -- many

    @each_link
    def test_a_hundred_at_once(self, runtime, link):
        """A hundred start together, then end in every way together."""
        containers, failures = [], []

        def start(n):
            try:
                for _ in range(n):
                    containers.append(runtime.start(Bundle(self.world, policy=link)))
            except AssertionError as e:
                failures.append(str(e))

        threads = [threading.Thread(target=start, args=(13,)) for _ in range(7)] + [threading.Thread(target=start, args=(9,))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(containers), 100)
        for container in containers:
            container.send("fetch allowed.test:443")
        for container in containers:
            self.assertTrue(container.receive()["ok"])
        self.assertEqual(len(containers[0].keeper()["worker"]), 100)
        # ways: its own end, SIGKILL of init, of the runtime and then init, of its keeper and then init
        keepers = containers[0].keeper()["keeper"]
        for keeper in keepers[::4]:
            os.kill(keeper, signal.SIGKILL)
        for i, container in enumerate(containers):
            if i % 3 == 0:
                container.process.stdin.close()
            else:
                if i % 3 == 1:
                    container.process.kill()
                os.kill(container.pid, signal.SIGKILL)
        self.assertEqual(wait_ended([container.pid for container in containers]), [])
        self.assertClean(timeout=5.0, files=False)
        self.world.status()
        self.assertClean()

    @each_runtime
    def test_twenty_for_one_namespace(self, runtime):
        """One link and one keeper for all that share a network namespace, until the last of them has ended."""
        holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        holder.stdout.readline()
        netns = Netns(holder.pid)
        self.addCleanup(netns.close)
        containers, failures = [], []

        def start():
            try:
                containers.append(runtime.start(Bundle(self.world, netns=f"/proc/{holder.pid}/ns/net")))
            except AssertionError as e:
                failures.append(str(e))

        threads = [threading.Thread(target=start) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        roles = self.roles(containers[0])
        self.assertEqual(sorted(netns.links()), ["lo", "oe0"])
        for container in containers:
            self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
        with self.assertRaises(Gone, msg="another policy for the same namespace"):
            runtime.start(Bundle(self.world, policy="socket", netns=f"/proc/{holder.pid}/ns/net"))
        for container in containers[:-1]:
            os.kill(container.pid, signal.SIGKILL)
        wait_ended([container.pid for container in containers[:-1]])
        self.assertEqual(self.roles(containers[-1]), roles)
        self.assertTrue(containers[-1].ask("fetch allowed.test:443")["ok"])
        os.kill(containers[-1].pid, signal.SIGKILL)
        wait_ended([containers[-1].pid])
        self.assertClean()
        self.assertTrue(netns.wait_link("oe0", there=False))

    @each_runtime
    def test_workers_send_different_query_ids(self, runtime):
        """In an empty root there is no /dev/urandom: identical workers must not become identical resolvers."""
        sequences = []
        names = [f"n{i}.names.test" for i in range(8)]
        self.world.policy("names", {**harness.POLICY, "allow": ["*.names.test"]})
        for _ in range(4):
            with runtime.start(Bundle(self.world, policy="names")) as container:
                self.world.host.queries()
                for name in names:
                    container.ask(f"fetch {name}:443")
                sequences.append(tuple(query["id"] for query in self.world.host.queries()))
        self.assertEqual(len(set(sequences)), len(sequences), sequences)
        self.assertGreater(len(set(sum(sequences, ()))), 30, sequences)


if __name__ == "__main__":
    harness.main()
