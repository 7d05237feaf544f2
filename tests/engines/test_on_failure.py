# SPDX-License-Identifier: Apache-2.0
"""When the guard cannot be set up: closed does not start, open starts as if we were not installed, and says so."""
import os
import subprocess

import harness
from harness import KEEPER, PROGRAM, Bundle, Gone, WorldTest, each_runtime, sh

# Run by the runtime in place of the hook: takes something away first, then becomes the hook.
WITHOUT = {
    # no capability to make a veth or to enter a namespace
    "no namespace to be had": "exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin {hook}",
    "no ptrace capability": "exec setpriv --bounding-set -sys_ptrace,-sys_admin --inh-caps -sys_ptrace,-sys_admin {hook}",
    "out of descriptors": "ulimit -n 6; exec {hook}",
}


class OnFailure(WorldTest):
    def setUp(self):
        for mode in ("open", "closed"):
            self.world.policy(mode, {**harness.POLICY, "on_failure": mode})

    def tearDown(self):
        self.world.status()
        self.assertClean()

    def hooked(self, script):
        """An edit of config.json that runs the hook through a shell script."""
        hook = " ".join([PROGRAM, *self.world.hook_args("createRuntime")[1:]])

        def edit(config):
            config["hooks"]["createRuntime"] = [{"path": "/bin/sh", "timeout": 30, "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                                                 "args": ["sh", "-c", script.format(hook=hook)]}]
        return edit

    def assertStartsOpen(self, runtime, edit, policy="open"):
        before = len(self.world.host.syslog())
        with runtime.start(Bundle(self.world, policy=policy, edit=edit)) as container:
            self.assertEqual(container.status("Seccomp"), "0")
            self.assertFalse(container.netns.has_link())
            env = str(container.ask("env")["env"])
            self.assertNotIn("proxy", env.lower())
            self.assertNotIn("OCI_EGRESS", env)
            row = self.world.status()[container.id]
            self.assertEqual(row["state"], "open", row)
            self.assertTrue(row["reason"], row)
            syslog = "\n".join(self.world.host.syslog()[before:])
            self.assertIn("WITHOUT A GUARD", syslog)
            line = self.world.log_lines(container.id, 1)[0]
            self.assertEqual((line["verdict"], line["policy"]), ("open", policy))
            self.assertTrue(line["reason"])
            self.assertEqual(container.end(), 0)
        self.world.status()
        self.assertClean()

    def assertDoesNotStart(self, runtime, edit, policy="closed", **arguments):
        bundle = Bundle(self.world, policy=policy, args=["/probe", "ids"], edit=edit, **arguments)
        done = runtime.run(bundle)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn('"euid"', done.stdout)
        runtime.call("delete", "--force", bundle.id)
        self.world.status()
        self.assertClean()
        return done

    @each_runtime
    def test_a_keeper_that_is_not_there(self, runtime):
        def edit(config):
            args = config["hooks"]["createRuntime"][0]["args"]
            args[args.index(KEEPER)] = "/nowhere/keeper"
        self.assertDoesNotStart(runtime, edit)
        self.assertStartsOpen(runtime, edit)

    @each_runtime
    def test_a_keeper_that_is_never_ready(self, runtime):
        """The proxy starts, ends at once, or hangs."""
        for name, program in (("ends", "/bin/true"), ("hangs", "/bin/cat")):
            with self.subTest(keeper=name):
                for mode in ("open", "closed"):
                    self.world.policy(mode, {**harness.POLICY, "on_failure": mode, "startup_timeout_ms": 500})

                def edit(config, program=program):
                    args = config["hooks"]["createRuntime"][0]["args"]
                    args[args.index(KEEPER)] = program
                self.assertDoesNotStart(runtime, edit)
                self.assertStartsOpen(runtime, edit)

    @each_runtime
    def test_without_what_it_needs(self, runtime):
        """Closed never starts. Open may start unguarded, or not at all; never half guarded."""
        for name, script in WITHOUT.items():
            with self.subTest(name):
                self.assertDoesNotStart(runtime, self.hooked(script))
                try:
                    container = runtime.start(Bundle(self.world, policy="open", edit=self.hooked(script)))
                except Gone:
                    continue
                with container:
                    self.assertEqual(container.status("Seccomp"), "0", "half armed")
                    self.assertNotIn("OCI_EGRESS=1", container.ask("env")["env"])
                    self.assertEqual(self.world.status()[container.id]["state"], "open")
                self.world.status()
                self.assertClean()

    @each_runtime
    def test_external_command_that_fails(self, runtime):
        for mode, check in (("closed", self.assertDoesNotStart), ("open", self.assertStartsOpen)):
            self.world.policy("external-" + mode, {"proxy": {"command": ["/bin/false"]}, "on_failure": mode})
            check(runtime, None, policy="external-" + mode)

    @each_runtime
    def test_what_the_container_side_can_cause_is_closed(self, runtime):
        """Whatever on_failure says: a name that is taken, another way out, the host's own namespace."""
        for name, command in (("oe0 is taken", "ip link add oe0 type veth peer name x0"), ("another interface", "ip link add x0 up type veth peer name x1")):
            with self.subTest(name):
                with subprocess.Popen(["unshare", "-n", "sh", "-c", command + " && echo ready && exec cat"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
                    self.assertEqual(holder.stdout.readline(), b"ready\n")
                    for mode in ("open", "closed"):
                        self.assertDoesNotStart(runtime, None, policy=mode, netns=f"/proc/{holder.pid}/ns/net")
                    holder.stdin.close()

        def host_network(config):
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
            config["mounts"] = [m for m in config["mounts"] if m["type"] != "sysfs"]
        for mode in ("open", "closed"):
            with self.subTest("host network", mode=mode):
                self.assertDoesNotStart(runtime, host_network, policy=mode)

    @each_runtime
    def test_a_record_that_cannot_be_written_is_closed(self, runtime):
        os.makedirs(self.world.run, mode=0o700, exist_ok=True)
        mount = self.world.host.enter("mount", "-t", "tmpfs", "-o", "mode=700,nr_inodes=1,size=4k", "tmpfs", self.world.run)
        sh(*mount)
        try:
            for mode in ("open", "closed"):
                bundle = Bundle(self.world, policy=mode, args=["/probe", "ids"])
                done = runtime.run(bundle)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn('"euid"', done.stdout)
                runtime.call("delete", "--force", bundle.id)
        finally:
            sh(*self.world.host.enter("umount", self.world.run))

    @each_runtime
    def test_log_directory_full(self, runtime):
        """A log that cannot be made is a guard that cannot be set up."""
        os.makedirs(self.world.log, mode=0o700, exist_ok=True)
        sh(*self.world.host.enter("mount", "-t", "tmpfs", "-o", "mode=700,nr_inodes=1,size=4k", "tmpfs", self.world.log))
        try:
            bundle = Bundle(self.world, policy="closed", args=["/probe", "ids"])
            done = runtime.run(bundle)
        finally:
            sh(*self.world.host.enter("umount", self.world.log))
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn('"euid"', done.stdout)
        runtime.call("delete", "--force", bundle.id)

    @each_runtime
    def test_unsafe_annotations(self, runtime):
        """Those by which crun would put its own filter in the place of others."""
        for key in ("run.oci.seccomp_bpf_data", "run.oci.seccomp.receiver", "run.oci.handler", "run.oci.hooks.stdout"):
            for mode in ("open", "closed"):
                with self.subTest(key, mode=mode):
                    self.assertDoesNotStart(runtime, None, policy=mode, annotations={key: "x"})


if __name__ == "__main__":
    harness.main()
