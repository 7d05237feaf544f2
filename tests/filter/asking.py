# SPDX-License-Identifier: Apache-2.0
"""The other end of asker.c."""
import json
import subprocess


def as_hex(text):
    return text.encode("latin-1").hex() or "-"


class Asker:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _ask(self, *fields):
        self.process.stdin.write(" ".join(map(str, fields)).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise SystemExit(f"asker died (status {self.process.wait()}) of: {fields}")
        return line.decode("latin-1").rstrip("\n")

    def policy(self, policy):
        """None, or what is wrong with it."""
        line = self._ask("policy", json.dumps(policy).encode().hex())
        return None if line == "ok" else line

    def judge(self, verb, text, port, answers):
        """(class, reason, rule)"""
        field = text if verb == "address" else as_hex(text)
        return tuple(self._ask(verb, field, port, ",".join(answers) or "-").split(" ", 2))

    def judge_all(self, form, alphabet, longest, prefix, suffix):
        """One byte for each string, b"A", b"D" or b"B"."""
        line = self._ask("all", form, as_hex(alphabet), longest, as_hex(prefix), as_hex(suffix))
        size = int(line.split()[1])
        answer = self.process.stdout.read(size)
        if len(answer) != size:
            raise SystemExit(f"asker died (status {self.process.wait()}) after {len(answer)} of {size} strings")
        return answer

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit(f"asker ended with status {self.process.returncode}")
