# SPDX-License-Identifier: Apache-2.0
"""What ends, and how: within five seconds of a container's end nothing of ours is left, whoever was killed."""
import contextlib
import functools
import itertools
import json
import os
import signal
import subprocess
import threading

import harness
from harness import Bundle, Gone, Netns, Watch, WorldTest, each_link, each_runtime, wait_ended, wait_for


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
        os.kill(self.tracer(pid), signal.SIGKILL)
        self.assertEqual(wait_ended([pid]), [])
        runtime.call("start", bundle.id)
        runtime.call("delete", "--force", bundle.id)
        self.assertClean()

    def tracer(self, pid):
        with open(f"/proc/{pid}/status", encoding="latin-1") as file:
            tracer = int(next(line.split()[1] for line in file if line.startswith("TracerPid")))
        self.assertGreater(tracer, 0)
        return tracer

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
        """A hundred start together, others fail to, others are only created; then all end in every way together."""
        containers, created, failed, failures = [], [], [], []
        counter = itertools.count()

        def without_poststop(config):
            config["hooks"].pop("poststop")

        def fail(config):
            config["hooks"]["createRuntime"].append({"path": "/bin/false"})

        def start():
            containers.append(runtime.start(Bundle(self.world, policy=link, edit=without_poststop if next(counter) % 2 else None)))

        def create():
            bundle = Bundle(self.world, policy=link)
            self.addCleanup(runtime.call, "delete", "--force", bundle.id)
            self.create(runtime, bundle)
            created.append(json.loads(runtime.call("state", bundle.id).stdout)["pid"])

        def fail_to_create():
            failed.append(runtime.run(Bundle(self.world, policy=link, args=["/probe", "ids"], edit=fail)).returncode)

        def all_of(work):
            for one in work:
                try:
                    one()
                except (AssertionError, OSError) as e:
                    failures.append(str(e))

        work = [start] * 100 + [create] * 6 + [fail_to_create] * 6
        self.at_once([functools.partial(all_of, work[n::8]) for n in range(8)])
        self.assertEqual(failures, [])
        self.assertEqual((len(containers), len(created), len(failed)), (100, 6, 6))
        self.assertNotIn(0, failed)
        for container in containers:
            container.send("fetch allowed.test:443")
        for container in containers:
            self.assertTrue(container.receive()["ok"])
        roles = containers[0].keeper()
        self.assertEqual((len(roles["keeper"]), len(roles["worker"])), (106, 106))
        self.assertTrue(all(self.has_way_out(container, link) for container in containers))

        keeperless = self.end_in_every_way(containers, created, roles)
        self.assertClean(timeout=5.0, files=False)
        self.assertEqual([c.id for c in containers if self.has_way_out(c, link)], [], "what holds a transit or a listener")
        keys = {key for _, key in keeperless}
        allowed = {f"{name}.json" for name, _ in keeperless} | {f"{key}.{kind}" for key in keys for kind in ("sock", "lock")}
        with Watch(self.world.run) as watch:
            wait_for(lambda: set(self.world.run_files()) <= allowed, [watch])
        self.assertEqual(sorted(set(self.world.run_files()) - allowed), [], "files of containers whose keeper was not killed")
        self.world.status()
        self.assertClean()

    def at_once(self, functions):
        threads = [threading.Thread(target=function) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def has_way_out(self, container, link):
        """A transit has no process or name to be found by, but its veth's other end is oe0; a socket link has its listener."""
        if link == "veth":
            return container.netns.has_link()
        # The thread's own namespace, not the process's: /proc/net is the latter's.
        with container.netns.inside(lambda: open("/proc/thread-self/net/tcp", encoding="ascii")) as file:
            rows = [row.split() for row in file.readlines()[1:]]
        return any(row[1].endswith(f":{harness.PORT:04X}") and row[3] == "0A" for row in rows)

    def end_in_every_way(self, containers, created, roles):
        """Of those whose keeper was killed: the id and the namespace's key."""
        runtime = containers[0].runtime
        for keeper in roles["keeper"][::6]:
            os.kill(keeper, signal.SIGKILL)
        self.assertEqual(wait_ended(roles["keeper"][::6]), [])
        keeperless = []
        for name, row in self.world.status().items():
            if row["state"] == "closed":
                with open(os.path.join(self.world.run, name + ".json"), encoding="utf-8") as file:
                    keeperless.append((name, json.load(file)["key"]))
        self.assertEqual(len(keeperless), len(roles["keeper"][::6]))
        for pid in created:
            os.kill(self.tracer(pid), signal.SIGKILL)
        for worker in containers[0].keeper()["worker"][::4]:
            with contextlib.suppress(ProcessLookupError):  # ending already, of a keeper that was killed
                os.kill(worker, signal.SIGKILL)
        by_runtime = []
        for i, container in enumerate(containers):
            if i % 4 == 0:
                container.process.stdin.close()
            elif i % 4 == 1:
                by_runtime.append(container)
            else:
                if i % 4 == 2:
                    container.process.kill()
                os.kill(container.pid, signal.SIGKILL)
        self.at_once([functools.partial(lambda some: [c.kill() for c in some], by_runtime[n::4]) for n in range(4)])
        self.assertEqual(wait_ended([container.pid for container in containers] + created), [])
        return keeperless

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
