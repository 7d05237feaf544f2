# SPDX-License-Identifier: Apache-2.0
"""What may lie in the hook's way: an id that is taken, a link that is there, a port that is, no space, a stranger's
directory; and what comes after it: poststop for nobody, a keeper that crashes."""
import os
import signal
import socket

import caller
import harness
from caller import CallerTest, Init, Places
from harness import sh, wait_ended, wait_file


class Traps(CallerTest):
    def row_policy(self, link="veth", on_failure="closed"):
        self.world.policy("row", {**harness.POLICY, "link": link, "on_failure": on_failure})

    # -- ids

    def test_id_of_a_living_container(self):
        """Refused; and of the one that lives nothing changes. Row g261."""
        with Init() as first, Init() as second:
            self.assertGuards(self.state(first), first)
            for on_failure in ("closed", "open"):
                self.row_policy(on_failure=on_failure)
                done = self.world.oci_egress("reload", "--run", self.world.run, "--config", self.world.path("config.json"))
                self.assertEqual((done.returncode, done.stderr), (0, ""))  # nothing is being compiled any more
                self.assertRejected(self.state(second), second, f"id is alive: process {first.pid}")
            second.kill()
            self.assertEqual(self.world.status()["c1"]["state"], "guarded")
            self.assertLives(first)

    def test_id_of_a_dead_container(self):
        """Its record is replaced: nothing of its policy is used."""
        self.world.policy("other", {"on_failure": "closed"})
        with Init() as first, Init() as second:
            self.assertGuards(self.state(first, policy="other"), first)
            path = os.path.join(self.world.run, "c1.json")
            with open(path, encoding="utf-8") as file:
                stale = file.read()
            first.kill()
            self.assertGone()
            with open(path, "w", encoding="utf-8") as file:
                file.write(stale)
            self.assertGuards(self.state(second), second)
            self.assertEqual({k: self.world.status()["c1"][k] for k in ("policy", "pid")}, {"policy": "row", "pid": second.pid})
            self.assertLives(second)

    def test_records_that_are_none(self):
        """Rubbish by the name of the record, and what is not even a file."""
        for plant in (lambda path: os.symlink("/etc/passwd", path), lambda path: os.mkfifo(path, 0o600), os.mkdir,
                      lambda path: self.rubbish(path, "{"), lambda path: self.rubbish(path, "x" * 100000), self.rubbish):
            path = os.path.join(self.world.run, "c1.json")
            os.makedirs(self.world.run, 0o700, exist_ok=True)
            plant(path)
            with Init() as init:
                result = self.call(self.state(init))
                if result.status == 0:
                    self.assertTrue(init.guarded())
                    self.assertLives(init)
                else:
                    self.assertComplaint(result, "record|c1")
                    self.assertTrue(init.untouched())
            if os.path.isdir(path):
                os.rmdir(path)
        with open("/etc/passwd", encoding="utf-8") as file:
            self.assertNotIn("policy", file.read())

    def rubbish(self, path, text=""):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def test_twice(self):
        """prestart and createRuntime both: the work is done once."""
        with Init() as init:
            self.assertGuards(self.state(init), init)
            things = self.things()
            self.assertGuards(self.state(init), init, stage="prestart")
            self.assertEqual(self.things(), things)
            self.assertLives(init)

    # -- links

    def add_link(self, init):
        """An oe0 whose other end is in the Internet."""
        sh("nsenter", f"--net=/proc/{init.pid}/ns/net", "ip", "link", "add", "oe0", "type", "veth", "peer", "name", f"x{init.pid}",
           "netns", str(self.world.internet.pid))

    def test_stale_link(self):
        """An oe0 that nobody owns is never adopted: closed, after a second, whatever on_failure says. Row g262."""
        for on_failure in ("closed", "open"):
            self.row_policy(on_failure=on_failure)
            with Init() as init:
                self.add_link(init)
                init.before = init.netns.links()
                self.assertRejected(self.state(init), init, "oe0")

    def test_link_that_is_going(self):
        """A link that goes within the second is waited for."""
        with Init() as init:
            self.add_link(init)
            os.makedirs(self.world.run, 0o700, exist_ok=True)
            process = caller.popen(self.world)
            process.stdin.write(caller.json.dumps(self.state(init)).encode())
            process.stdin.close()
            process.stdin = None
            self.assertTrue(wait_file(os.path.join(self.world.run, "c1.json"), lambda text: True))
            sh("nsenter", f"--net=/proc/{init.pid}/ns/net", "ip", "link", "del", "oe0")
            result = caller.finish(process, None)
            self.assertEqual((result.status, result.complaint), (0, ""))
            self.assertTrue(init.guarded())
            self.assertLives(init)

    def test_links_of_others(self):
        """Every container has an oe0, and none is another's. Row g263."""
        with Init() as first, Init() as second:
            for n, init in enumerate((first, second)):
                self.assertGuards(self.state(init, id=f"c{n}"), init)
            first.kill()
            self.assertTrue(second.guarded() and second.netns.has_link())
            self.assertLives(second)

    def test_port_is_taken(self):
        """By a sibling, in the container's own namespace: no other port, no other address, no start. Row g267."""
        for on_failure, address in (("closed", "127.0.0.1"), ("open", "127.0.0.1"), ("open", "0.0.0.0")):
            self.row_policy("socket", on_failure)
            with Init() as init:
                sh("nsenter", f"--net=/proc/{init.pid}/ns/net", "ip", "link", "set", "lo", "up")
                with init.netns.inside(socket.socket) as taken:
                    taken.bind((address, harness.PORT))
                    taken.listen()
                    self.assertRejected(self.state(init), init, "3128|in use", may_log=True)
                    self.row_policy("auto", on_failure)
                    self.assertGuards(self.state(init), init)  # a veth link has its port for itself
                self.assertLives(init)

    # -- space

    def tiny(self, name, options):
        """A directory with next to no room, on H."""
        path = self.world.path(name)
        os.makedirs(path, exist_ok=True)
        done = self.world.on_host("mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path, f"/proc/{self.world.host.pid}/root{path}"

    def try_in(self, which, options, on_failure, fill=False):
        """The hook where that directory has so little room. None: guarded; else its result."""
        self.row_policy(on_failure=on_failure)
        path, seen = self.tiny("tiny-" + which, options)
        try:
            if fill:
                with open(os.path.join(seen, "filler"), "wb") as file:
                    file.write(b"x" * 4096)
            with Init() as init:
                result = self.call(self.state(init), places=Places(self.world, **{which: path}))
                if result.status == 0 and not result.complaint:
                    self.assertTrue(init.guarded())
                    result = None
                elif result.status == 0:
                    self.assertIn("WITHOUT A GUARD", result.complaint)
                    self.assertTrue(init.untouched())
                else:
                    self.assertComplaint(result, "No space left")
                    self.assertUnguarded(init)
                    self.assertEqual(wait_ended(self.world.processes()), [])
                    self.assertEqual(sorted(os.listdir(seen)), ["filler"] if fill else [])
            self.assertEqual(wait_ended(self.world.processes()), [])
        finally:
            done = self.world.on_host("umount", path)
            self.assertEqual(done.returncode, 0, done.stderr)
        return result

    def test_no_space_for_the_record(self):
        """A run directory that is full, at each of the files and pages that a start takes: closed, whatever on_failure
        says, where the record cannot be written. Row g268."""
        for on_failure in ("closed", "open"):
            starts = []
            for option, fill in [(f"size=64k,nr_inodes={n}", False) for n in range(1, 9)] + [(f"size={n * 4}k", True) for n in range(1, 7)]:
                with self.subTest(options=option, on_failure=on_failure):
                    result = self.try_in("run", option, on_failure, fill)
                    starts.append("guarded" if result is None else "closed" if result.status else "open")
            print(f"\n  run directory, {on_failure}: {' '.join(starts)}")
            self.assertEqual((starts[0], starts[7], starts[8], starts[-1]), ("closed", "guarded", "closed", "guarded"))
            if on_failure == "closed":
                self.assertNotIn("open", starts)

    def test_no_space_for_the_log(self):
        """A log that cannot be made is ours to mend: on_failure."""
        self.assertEqual(self.try_in("log", "size=64k,nr_inodes=1", "closed").status, 1)
        self.assertIn("starts WITHOUT A GUARD", self.try_in("log", "size=64k,nr_inodes=1", "open").complaint)

    # -- strange directories

    def test_directories_of_strangers(self):
        """Row g260."""
        target = self.world.path("elsewhere")
        os.makedirs(target, exist_ok=True)
        for which in ("run", "log"):
            for name, plant in (("link", lambda path: os.symlink(target, path)), ("file", lambda path: self.rubbish(path)),
                                ("strangers", lambda path: (os.mkdir(path), os.chown(path, 1000, 1000))),
                                ("writable", lambda path: (os.mkdir(path), os.chmod(path, 0o777)))):
                path = self.world.path(f"{which}-{name}")
                plant(path)
                with self.subTest(which=which, name=name), Init() as init:
                    self.assertRejected(self.state(init), init, path, places=Places(self.world, **{which: path}))
                    self.assertEqual(os.listdir(target), [])

    # -- afterwards

    def test_poststop(self):
        """For nobody, twice, and with nothing to look into. Rows g273 and g274."""
        nowhere = Places(self.world, run=self.world.path("never"), log=self.world.path("never"))
        with Init() as init:
            self.assertGuards(self.state(init), init)
            things = self.things()
            for places in (None, nowhere):
                for name in ("stranger", "c1x", "never-was"):
                    result = self.call(self.state(id=name, status="stopped"), stage="poststop", places=places)
                    self.assertEqual((result.status, result.complaint, result.out), (0, "", ""))
            self.assertFalse(os.path.exists(self.world.path("never")))
            for text in ("", "{", "[]", '{"id": "../x", "status": "stopped"}'):
                self.assertComplaint(self.call(text, stage="poststop"))
            self.assertEqual(self.things(), things)
            self.assertTrue(init.guarded())
            init.kill()
            for _ in range(3):
                result = self.call(self.state(status="stopped"), stage="poststop")
                self.assertEqual((result.status, result.complaint, result.out), (0, "", ""))
            self.assertGone()

    @harness.each_runtime
    def test_sigsegv(self, runtime):
        """Of the worker: the next one serves. Of the keeper: no egress at all. Row g275."""
        for link in harness.LINKS:
            with self.subTest(link=link), runtime.start(harness.Bundle(self.world, policy=link)) as container:
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                roles = container.keeper()
                os.kill(roles["worker"][0], signal.SIGSEGV)
                self.assertEqual(wait_ended(roles["worker"]), [])
                self.assertTrue(container.ask("fetch allowed.test:443")["ok"])
                for pid in container.keeper()["keeper"]:
                    worker = container.keeper()["worker"]
                    os.kill(pid, signal.SIGSEGV)
                    self.assertEqual(wait_ended([pid, *worker]), [])
                self.assertFalse(container.ask("fetch allowed.test:443")["ok"])
                self.assertFalse(container.ask(f"connect {harness.DIRECT} 443")["ok"])
        self.assertNothingSeen()


if __name__ == "__main__":
    harness.main()
