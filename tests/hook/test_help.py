# SPDX-License-Identifier: Apache-2.0
"""What --help says, the manual page says, and the other way round; and what shells offer is the same.

    test_help.py PROGRAM SOURCE"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv.pop(1), sys.argv.pop(1)
PAGE = "oci-egress.1"
COMPLETIONS = os.path.join(SOURCE, "completions")
MUST_RUN = os.environ.get("OCI_EGRESS_MUST_RUN") == "1"


def output(*argv, **kw):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **kw)
    if done.returncode:
        raise AssertionError(f"{argv}: status {done.returncode}: {done.stderr}")
    return done.stdout


def commands():
    return re.findall(r"^  ([a-z][a-z-]*) ", output(PROGRAM, "--help"), re.M)


def options(command):
    return re.findall(r"^  --([a-z-]+) ", output(PROGRAM, command, "--help"), re.M)


class Help(unittest.TestCase):
    def test_there_are_some(self):
        self.assertIn("hook", commands())
        self.assertIn("json", options("status"))

    def test_hidden(self):
        """What only programs of ours start is no command of people's."""
        self.assertNotIn("canary", commands())
        done = subprocess.run([PROGRAM, "canary", "--help"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (2, ""))


class Manual(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(SOURCE, "man", PAGE), encoding="utf-8") as file:
            self.page = file.read()
        self.synopsis = self.page.split(".Sh SYNOPSIS", 1)[1].split(".Sh DESCRIPTION", 1)[0]
        self.description = self.page.split(".Sh DESCRIPTION", 1)[1].split(".Sh ENVIRONMENT", 1)[0]

    def test_commands(self):
        here = commands()
        self.assertEqual(sorted(set(re.findall(r"^\.Nm\n\.Cm ([a-z-]+)", self.synopsis, re.M))), sorted(here))
        self.assertEqual(sorted(re.findall(r"^\.Ss ([a-z-]+)$", self.description, re.M)), sorted(here))

    def test_options(self):
        known = {option for command in commands() for option in options(command)}
        written = set(re.findall(r"\bFl -([a-z-]+)", self.page))
        self.assertEqual(known - written, set(), "not in the page")
        self.assertEqual(written - known - {"help", "version"}, set(), "no option of any command")


class Completions(unittest.TestCase):
    """As the shells themselves complete, with a program of the name that they know."""

    def setUp(self):
        home = tempfile.TemporaryDirectory()  # fish makes it where it is not there
        self.addCleanup(home.cleanup)
        self.env = {"PATH": os.path.dirname(PROGRAM) + ":" + os.environ["PATH"], "HOME": home.name, "LC_ALL": "C.UTF-8"}

    def shell(self, name):
        if not shutil.which(name):
            self.assertFalse(MUST_RUN, f"no {name}")
            self.skipTest(f"no {name}")

    def offers(self, complete):
        """complete(words) is what a shell offers for the last of the words."""
        self.assertEqual(sorted(complete([""])), sorted(commands()))
        self.assertEqual(complete(["rel"]), ["reload"])
        for command in commands():
            self.assertEqual(sorted(complete([command, "--"])), sorted(["--help"] + ["--" + name for name in options(command)]), command)
        self.assertEqual(sorted(complete(["doctor", ""])), ["crun", "docker", "podman", "runc"])
        self.assertEqual(complete(["doctor", "--json", "po"]), ["podman"])
        self.assertIn("/etc/hosts", complete(["check", "--policy", "/etc/host"]))
        self.assertEqual(complete(["doctor", "--network", ""]), [])

    def test_bash(self):
        self.shell("bash")

        def complete(words):
            script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _oci_egress; printf "%s\\n" "${COMPREPLY[@]}"'
            found = output("bash", "-c", script, "bash", os.path.join(COMPLETIONS, "oci-egress.bash"), "oci-egress", *words, env=self.env).split()
            return [word for word in found if words[-1] or len(words) > 1 or not word.startswith("-")]

        self.offers(complete)
        self.assertIn("complete -o filenames -F _oci_egress oci-egress",
                      output("bash", "-c", f"source {COMPLETIONS}/oci-egress.bash; complete -p oci-egress", env=self.env))

    def test_fish(self):
        self.shell("fish")

        def complete(words):
            script = "source $argv[1]; complete -C $argv[2]"
            text = output("fish", "--no-config", "-c", script, os.path.join(COMPLETIONS, "oci-egress.fish"), " ".join(["oci-egress", *words]),
                          env=self.env)
            return [word for word in (line.split("\t")[0] for line in text.splitlines()) if words[-1] or not word.startswith("-")]

        self.offers(complete)

    def test_zsh(self):
        """Its functions; how they are shown is zsh's."""
        self.shell("zsh")

        def ask(function, *words):
            script = 'source $1; shift; "$@"'
            return output("zsh", "-f", "-c", script, "zsh", os.path.join(COMPLETIONS, "_oci-egress"), function, "oci-egress", *words, env=self.env)

        output("zsh", "-f", "-n", os.path.join(COMPLETIONS, "_oci-egress"))
        self.assertEqual([line.split(":")[0] for line in ask("_oci_egress_commands").splitlines()], commands())
        for command in commands():
            self.assertEqual([line.split(":")[0] for line in ask("_oci_egress_options", command).splitlines()],
                             ["--" + name for name in options(command)])
        self.assertEqual(sorted(ask("_oci_egress_operands", "doctor").split()), ["crun", "docker", "podman", "runc"])
        self.assertEqual(ask("_oci_egress_argument", "check", "--policy").strip(), "FILE")


if __name__ == "__main__":
    unittest.main(verbosity=2)
