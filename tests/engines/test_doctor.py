# SPDX-License-Identifier: Apache-2.0
"""oci-egress doctor: a healthy machine, and one fault after the other, which it finds and knows how to mend.

Each doctor sees a /etc and a /usr/share of its own, laid over the machine's, where a test plants what it wants."""
import ctypes
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import unittest

import harness
from harness import KEEPER, PROGRAM, RUNTIMES, UNIFIED, WorldTest
from podman import USER, Podman

HOOKS = "/usr/share/containers/oci/hooks.d"
HOOKS_TOO = "/etc/containers/oci/hooks.d"
DAEMON = "/etc/docker/daemon.json"
HEALTHY_SECONDS = 5

# $1 is an empty directory; what comes behind it is run.
OVERLAY = """
set -e
mount -t tmpfs tmpfs "$1"
for dir in etc usr/share; do
    mkdir -p "$1/$dir/upper" "$1/$dir/work"
    mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$1/$dir/upper,workdir=$1/$dir/work" "/$dir"
done
rm -rf /etc/containers /etc/docker /usr/share/containers
mkdir -p HOOKS /etc/containers/oci/hooks.d /etc/docker
shift
""".replace("HOOKS", HOOKS)


def hook_file(**changes):
    return {"version": "1.0.0", "hook": {"path": PROGRAM, "args": ["oci-egress", "hook", "createRuntime"]}, "when": {"always": True},
            "stages": ["createRuntime"], **changes}


def write(path, what, mode=0o644):
    text = what if isinstance(what, str) else json.dumps(what)
    return f"cat > {path} <<'END'\n{text}\nEND\nchmod {mode:o} {path}\n"


def deny_ptrace():
    """A seccomp profile as a service manager may give one to whatever starts containers."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(0x7fff0000))
    seccomp.seccomp_rule_add(context, ctypes.c_uint32(0x00050000 | errno.EPERM), seccomp.seccomp_syscall_resolve_name(b"ptrace"), 0)
    if seccomp.seccomp_load(context):
        raise OSError("seccomp_load")


class Doctor(WorldTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.policy("web", {"allow": ["allowed.test", "*.example.com"], "on_failure": "closed"})
        cls.overlay = cls.world.path("overlay")
        os.mkdir(cls.overlay)

    def command(self, *arguments, engine=None, plant="", places=None, before=()):
        places = places if places is not None else [*self.world.places(), "--state", self.world.state, "--keeper", KEEPER]
        doctor = [*before, PROGRAM, "doctor", *places, *([engine] if engine else []), *arguments]
        if engine == "crun" and not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            doctor = ["unshare", "-m", "sh", "-c", UNIFIED, "sh", *doctor]
        resolver = "cat " + self.world.path("resolv.conf") + " > /etc/resolv.conf\n"
        script = OVERLAY + resolver + plant + 'exec "$@"\n'
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", self.overlay, *doctor]

    def run_doctor(self, *arguments, status=0, **how):
        """What it found: a dictionary from check to finding, of the last where there are several."""
        preexec = how.pop("preexec_fn", None)
        done = self.world.on_host(*self.command("--json", *arguments, **how), preexec_fn=preexec)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        found = {}
        for row in map(json.loads, done.stdout.splitlines()):
            if row["check"] not in found or row["ok"] is False:
                found[row["check"]] = row
        return found

    def assertWell(self, found):
        self.assertEqual([row for row in found.values() if row["ok"] is False], [])

    def assertFault(self, check, why, mend, **how):
        found = self.run_doctor(status=1, **how)
        row = found.get(check, {})
        self.assertIs(row.get("ok"), False, found)
        self.assertRegex(row["why"], why)
        self.assertRegex(row["mend"], mend)
        others = [name for name, row in found.items() if row["ok"] is False and name != check]
        self.assertEqual(others, [], found)

    def leftovers(self):
        return sorted(name for name in os.listdir("/tmp") if name.startswith("oci-egress-doctor-"))

    # -- healthy

    def test_healthy(self):
        start = time.monotonic()
        found = self.run_doctor(plant=write(HOOKS + "/oci-egress.json", hook_file()) +
                                write(DAEMON, {"runtimes": {"oci-egress": {"path": "/usr/share/oci-egress-runtime"}}}) +
                                write("/usr/share/oci-egress-runtime", "#!/bin/sh", 0o755))
        self.assertLess(time.monotonic() - start, HEALTHY_SECONDS)
        self.assertWell(found)
        for check in ("kernel userns netns veth nft ptrace seccomp pidfd execveat cgroup config policies run log keeper resolver "
                      "hooks.d docker").split():
            self.assertIs(found[check]["ok"], True, check)
        self.assertIn("allowed.test", found["resolver"]["why"])

    def test_canary(self):
        """Nothing leaves the host, and nothing is left behind."""
        for runtime in RUNTIMES:
            with self.subTest(runtime):
                before, tmp = sorted(os.listdir(self.world.policies)), self.leftovers()
                start = time.monotonic()
                found = self.run_doctor(engine=runtime)
                self.assertLess(time.monotonic() - start, HEALTHY_SECONDS)
                self.assertWell(found)
                for check in "hook bouquet filter allowed denied tcp tcp6 udp host exec".split():
                    self.assertIs(found[check]["ok"], True, check)
                self.assertIn("walls hold", found["exec"]["why"])
                internet, host = self.world.seen()
                self.assertEqual((internet, [packet for packet in host if packet["if"] != "lo"]), ([], []))
                self.assertClean()
                self.assertEqual(sorted(os.listdir(self.world.policies)), before)
                self.assertEqual(self.leftovers(), tmp)
                self.assertEqual([n for n in os.listdir(self.world.log) if "doctor" in n], [])

    def test_podman(self):
        """By its own hooks.d, named in containers.conf; where that has a hook for the end alone, none starts."""
        hooks = self.world.path("hooks.d")
        os.mkdir(hooks)
        conf = self.world.write("containers.conf", f'[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nhooks_dir = ["{hooks}"]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
                                f'events_logger = "file"\ntmp_dir = "{self.world.volatile}/libpod"\n')
        storage = self.world.write("storage.conf", f'[storage]\ndriver = "vfs"\ngraphroot = "{self.world.path("storage")}"\n'
                                   f'runroot = "{self.world.volatile}/runroot"\n')
        before = ["env", f"CONTAINERS_CONF={conf}", f"CONTAINERS_STORAGE_CONF={storage}"]

        def hook(stage):
            self.world.write(f"hooks.d/oci-egress-{stage}.json", json.dumps(hook_file(
                stages=[stage], hook={"path": PROGRAM, "args": self.world.hook_args(stage), "timeout": 30})))

        hook("poststop")
        self.assertFault("hooks.d", "no hook of oci-egress in what podman reads, " + hooks, "oci-egress install podman", engine="podman",
                         before=before)
        hook("createRuntime")
        found = self.run_doctor(engine="podman", before=before)
        self.assertWell(found)
        for check in "hook bouquet filter allowed denied tcp tcp6 udp host exec".split():
            self.assertIs(found[check]["ok"], True, check)
        self.assertClean()

    def test_docker(self):
        """By a runtime that is registered with the daemon: the wrapper, which reaches exec as well."""
        if not shutil.which("dockerd"):
            raise unittest.SkipTest("no dockerd")
        self.world.write("config.json", json.dumps({"policy_from_env": True, "runtime": os.path.realpath(shutil.which("runc"))}))
        self.addCleanup(self.world.write, "config.json", "{}\n")
        places = [*self.world.places(), "--state", self.world.state, "--keeper", KEEPER]
        runtime = self.world.write("oci-egress-runtime", f"#!/bin/sh\nexec {shlex.join([PROGRAM, 'runtime', *places])} -- \"$@\"\n", 0o755)
        directory = self.world.path("docker")
        os.mkdir(directory)
        sock = os.path.join(directory, "docker.sock")
        with open(os.path.join(directory, "log"), "wb") as log:
            daemon = subprocess.Popen(self.world.host.enter(
                "dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "-s", "vfs", "--data-root", directory + "/data",
                "--exec-root", os.path.join(self.world.volatile, "docker"), "-H", "unix://" + sock, "--pidfile", directory + "/pid",
                "--add-runtime", "oci-egress=" + runtime), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.terminate)
        with harness.Watch(directory) as watch:
            self.assertTrue(harness.wait_for(lambda: os.path.exists(sock), [watch], 60))
        docker = ["env", "DOCKER_HOST=unix://" + sock]
        found = self.run_doctor(engine="docker", before=docker)
        self.assertWell(found)
        for check in "docker hook bouquet filter allowed denied tcp tcp6 udp host exec".split():
            self.assertIs(found[check]["ok"], True, check)
        self.assertIn("variables, filter and walls", found["exec"]["why"])
        self.assertEqual(self.world.on_host(*docker, "docker", "images", "--quiet").stdout, "")
        self.assertEqual(self.world.on_host(*docker, "docker", "ps", "--all", "--quiet").stdout, "")

    def test_text(self):
        done = self.world.on_host(*self.command(plant="rm /etc/resolv.conf; echo nameserver 127.0.0.9 > /etc/resolv.conf\n"))
        self.assertEqual(done.returncode, 1)
        lines = done.stdout.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("NOT"))
        self.assertRegex(lines[at], "^NOT +resolver +127.0.0.9")
        self.assertRegex(lines[at + 1], "^ +-> start it, or take")
        self.assertTrue(all(line.startswith(("ok ", "- ", "NOT ", "    ")) for line in lines), lines)

    def test_interrupted(self):
        """What it has made goes, whenever it is told to stop, and is swept by the next one where it was killed."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with self.subTest(signum):
                process = subprocess.Popen(self.world.host.enter(*self.command("--json", engine="runc")), stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, text=True, process_group=0)
                for line in process.stdout:
                    if '"check":"bouquet"' in line:
                        break
                os.killpg(process.pid, signum)
                process.stdout.read()
                process.stdout.close()
                process.wait(30)
                self.world.oci_egress("status", *self.world.places())
                left = [n for n in os.listdir(self.world.policies) if "doctor" in n]
                if signum != signal.SIGKILL:
                    self.assertEqual((left, self.leftovers()), ([], []))
                else:
                    self.assertEqual(len(left), 1)
                    self.assertEqual(len(self.leftovers()), 1)
                    self.assertWell(self.run_doctor(engine="runc"))
                    self.assertEqual(self.leftovers(), [])
                    self.assertEqual([n for n in os.listdir(self.world.policies) if "doctor" in n], [])

    def test_bad_command_lines(self):
        for arguments in (["lxc"], ["runc", "crun"], ["--jsom"]):
            done = self.world.on_host(*self.command(*arguments))
            self.assertEqual((done.returncode, done.stdout), (2, ""))

    # -- ten faults, and what mends each

    def test_binary_missing(self):
        missing = hook_file(hook={"path": "/usr/lib/nowhere/oci-egress", "args": ["oci-egress"]})
        self.assertFault("hooks.d", "/usr/lib/nowhere/oci-egress: No such file", "install oci-egress again",
                         plant=write(HOOKS + "/oci-egress.json", missing))
        self.assertFault("keeper", "/usr/lib/nowhere: No such file", "install oci-egress again",
                         places=[*self.world.places(), "--keeper", "/usr/lib/nowhere"])
        self.assertFault("keeper", "not the one of this version", "install oci-egress again", plant=write("/usr/share/keeper", "#!/bin/sh\necho oci-egress-keeper 0.0.0", 0o755),
                         places=[*self.world.places(), "--keeper", "/usr/share/keeper"])

    def test_hooks_dir_unset(self):
        """podman reads one directory by itself: a hook in the other is none, unless hooks_dir says so."""
        planted = write(HOOKS_TOO + "/oci-egress.json", hook_file())
        self.assertFault("hooks.d", "hooks_dir is not set", "oci-egress install podman", engine="podman", plant=planted)
        conf = f'[containers]\nhooks_dir = ["/x"]\n[engine] # comment\nhooks_dir = [\n  "{HOOKS}", # one\n  \'{HOOKS_TOO}\',\n]\n'
        found = self.run_doctor(plant=planted + write("/etc/containers/containers.conf", conf))
        self.assertIn(HOOKS_TOO, found["hooks.d"]["why"])

    def test_policy_unreadable(self):
        path = self.world.policy("broken", '{"alow": []}')
        self.addCleanup(os.unlink, path)
        self.assertFault("policy broken", "broken.json:1:2: alow", "edit .*broken.json")
        os.unlink(self.world.policy("broken", {}))
        os.symlink("web.json", path)
        self.assertFault("policy broken", "broken.json", "the link .*broken.json")
        os.unlink(path)
        os.chmod(self.world.policy("broken", {}), 0o666)
        self.assertFault("policy broken", "mode 0666", "chmod 644 .*broken.json")

    def test_no_policy(self):
        nowhere = self.world.path("nowhere")
        self.assertFault("policies", nowhere, "mkdir -p -m 755 " + nowhere,
                         places=[*self.world.places(), "--policies", nowhere, "--keeper", KEEPER])

    def test_settings(self):
        config = self.world.write("broken.json", '{"polices": "/x"}')
        self.assertFault("config", "broken.json:1:2: polices", "correct the line", places=["--config", config, "--keeper", KEEPER])

    def test_nft_missing(self):
        hide = "mkdir /usr/share/none; for f in /usr/sbin/nft /sbin/nft /usr/bin/nft; do [ ! -e $f ] || mount --bind /usr/share/none/x $f; done\n"
        hide = hide.replace("; for", "; : > /usr/share/none/x; chmod 644 /usr/share/none/x; for")
        self.assertFault("nft", "nft", "apt-get install nftables", plant=hide)

    def test_ptrace_denied(self):
        self.assertFault("ptrace", "a seccomp profile denies it", "allow ptrace in the seccomp profile", preexec_fn=deny_ptrace)

    def test_runtime_not_registered(self):
        docker = write("/usr/share/bin/docker", "#!/bin/sh\necho '{\"r\":{\"runc\":{\"path\":\"runc\"}}}'", 0o755)
        path = ["env", "PATH=/usr/share/bin:" + os.environ["PATH"]]
        plant = "mkdir /usr/share/bin\n" + docker
        self.assertFault("docker", "no runtime of oci-egress is registered", "oci-egress install docker", engine="docker", plant=plant,
                         before=path)
        registered = write(DAEMON, {"runtimes": {"oci-egress": {"path": "/usr/share/oci-egress-runtime"}}}) + \
            write("/usr/share/oci-egress-runtime", "#!/bin/sh", 0o755)
        self.assertFault("docker", "does not know the runtime", "systemctl reload docker", engine="docker", plant=plant + registered,
                         before=path)
        self.assertFault("docker", "oci-egress-runtime@web: No such file", "install oci-egress again",
                         plant=write(DAEMON, {"runtimes": {"x": {"path": "/usr/lib/nowhere/oci-egress-runtime@web"}}}))
        self.assertFault("docker", "daemon.json:2:1", "by hand", plant=write(DAEMON, "{"))

    def test_wrong_permission(self):
        self.assertFault("hooks.d", "mode 0666", "chown root:root .*chmod go-w",
                         plant=write(HOOKS + "/oci-egress.json", hook_file(), 0o666))
        self.assertFault("hooks.d", "cannot be executed", "chmod", plant=write("/usr/share/oci-egress", "", 0o644) + write(
            HOOKS + "/oci-egress.json", hook_file(hook={"path": "/usr/share/oci-egress"})))
        os.chmod(self.world.policies, 0o777)
        self.addCleanup(os.chmod, self.world.policies, 0o755)
        self.assertFault("policies", "mode 0777", "chmod 755 " + self.world.policies)

    def test_shadowed_hook(self):
        conf = write("/etc/containers/containers.conf", f'[engine]\nhooks_dir = ["{HOOKS}", "{HOOKS_TOO}"]\n')
        ours = write(HOOKS + "/oci-egress.json", hook_file())
        other = hook_file(hook={"path": "/bin/true"})
        self.assertFault("hooks.d", "is shadowed by the file of the same name in " + HOOKS_TOO, f"rm {HOOKS_TOO}/oci-egress.json",
                         plant=conf + ours + write(HOOKS_TOO + "/oci-egress.json", other))
        found = self.run_doctor(plant=conf + ours + write(HOOKS_TOO + "/oci-egress.json", hook_file()) +
                                write(HOOKS_TOO + "/other.json", other) + write(HOOKS + "/broken.json", "{"))
        self.assertWell(found)
        self.assertIn(HOOKS_TOO, found["hooks.d"]["why"])

    def test_no_user_namespace(self):
        """Where none can be made any more: the limit of a user namespace is its own."""
        setup = "echo 0 > /proc/sys/user/max_user_namespaces\n"
        self.assertFault("userns", "No space left|rootless", "max_user_namespaces",
                         before=["unshare", "-Ur", "sh", "-c", setup + 'exec unshare -m "$@"', "sh"])

    def test_resolver_silent(self):
        """Those that are, by name; the others are well."""
        self.world.host.udp(addr="127.0.0.7", port=53)
        self.assertFault("resolver", "127.0.0.7 does not answer", 'take "nameserver 127.0.0.7" out of /etc/resolv.conf',
                         plant="printf 'nameserver 127.0.0.1\\nnameserver 127.0.0.7\\n' > /etc/resolv.conf\n")
        self.assertFault("resolver", "127.0.0.8: Connection refused", "127.0.0.8",
                         plant="printf 'nameserver 127.0.0.8\\n' > /etc/resolv.conf\n")


class Rootless(WorldTest):
    """A user's own doctor: the user's policies, and the user's podman."""

    def test_podman(self):
        user = Podman(self.world, "runc", user=True)
        self.addCleanup(user.close)
        user.user_policy("web", {"allow": ["allowed.test"], "on_failure": "closed"})
        with open(user.conf, "a", encoding="utf-8") as file:
            file.write(f'[engine]\nhooks_dir = ["{user.hooks}"]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        os.makedirs(user.home + "/.config/containers", exist_ok=True)
        with open(user.home + "/.config/containers/storage.conf", "w", encoding="utf-8") as file:
            file.write('[storage]\ndriver = "vfs"\n')
        harness.sh("chown", "-R", f"{USER}:{USER}", user.home)

        def doctor(*before):
            done = self.world.on_host(*user.as_user(*before, PROGRAM, "doctor", "--json", "--keeper", KEEPER, "podman"))
            return done.returncode, {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}

        status, found = doctor()
        self.assertEqual((status, [row for row in found.values() if row["ok"] is False]), (0, []))
        for check in "userns veth nft hooks.d hook bouquet filter allowed denied tcp tcp6 udp host exec".split():
            self.assertIs(found[check]["ok"], True, check)
        self.assertIn(user.home, found["policies"]["why"])

        status, found = doctor("env", "CONTAINERS_CONF=/dev/null")
        self.assertEqual(status, 1)
        self.assertIn("hooks_dir is not set", found["hooks.d"]["why"])
        self.assertEqual(found["hooks.d"]["mend"], "oci-egress install podman --user")


if __name__ == "__main__":
    harness.main()
