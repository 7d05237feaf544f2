# SPDX-License-Identifier: Apache-2.0
"""Prepares random documents and compares, with another reader's eyes, what came out: the variables once, the filter, our
hooks, and every other byte as it was.

    prepare.py DRIVER"""
import json
import random
import re
import subprocess
import sys
import tempfile

VARIABLES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
             "NODE_USE_ENV_PROXY", "OCI_EGRESS"]
CHANGED = {("process", "env"), ("linux", "seccomp"), ("hooks", "createRuntime"), ("hooks", "poststop"), ("hooks", "prestart")}
TOKEN = re.compile(r'\s+|"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
OURS = "/usr/bin/oci-egress"
rng = random.Random(20260708)


# -- random documents

def space():
    return rng.choice(["", "", "", " ", "\n", "\t", "\r\n  "])


def string():
    pieces = ["a", "Z", "0", "é", "漢", "😀", "\\u00e9", "\\ud83d\\ude00", "\\n", "\\\"", "\\\\", "\\/", "=", "{", "]", ",", ":", " "]
    return '"' + "".join(rng.choice(pieces) for _ in range(rng.randrange(8))) + '"'


def number():
    return rng.choice(["0", "-1", "18446744073709551615", "9223372036854775808", "-9223372036854775809", "1e999", "0.10", "1E+2",
                       "123456789012345678901234567890", "1.0"])


def value(depth=0):
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind == 4:
        return array([value(depth + 1) for _ in range(rng.randrange(4))])
    if kind == 5:
        return unknown(depth + 1)
    return [string, number, lambda: rng.choice(["true", "false", "null"]), string][kind]()


def array(items):
    return "[" + space() + ("," + space()).join(item + space() for item in items) + "]"


def members(pairs):
    rng.shuffle(pairs)
    return "{" + space() + ("," + space()).join(f"{key}{space()}:{space()}{text}{space()}" for key, text in pairs) + "}"


def fresh(n):
    return [(f'"x{i}-{rng.randrange(10**6)}' + rng.choice(["", "é", "\\u00e9", "\\\\"]) + '"', value(1)) for i in range(n)]


def unknown(depth):
    return members([(f'"k{i}"', value(depth)) for i in range(rng.randrange(4))])


def variable():
    name = rng.choice(VARIABLES + ["PATH", "https_proxyx", "xhttps_proxy", "Https_Proxy", "A", "", "\\u0068ttps_proxy"])
    return '"' + name + rng.choice(["=", "=http://u:p@h:1", "", "=a=b", "=\\u00e9 漢"]) + '"'


def hook():
    pairs = [('"path"', rng.choice(['"/bin/true"', f'"{OURS}"', '"\\/usr\\/bin\\/oci-egress"'])), ('"args"', array([string()]))]
    return members(pairs + fresh(rng.randrange(2)))


def hooks():
    pairs = [(f'"{stage}"', rng.choice([array([hook() for _ in range(rng.randrange(4))]), "null"]))
             for stage in ("prestart", "createRuntime", "createContainer", "poststart", "poststop") if rng.random() < 0.5]
    return members(pairs + fresh(rng.randrange(2)))


PROFILE = ('{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","socket"],"action":"SCMP_ACT_ALLOW"}],'
           '"x":18446744073709551616}')


def env():
    return rng.choice([array([variable() for _ in range(rng.randrange(12))])] * 8 + ["null", "[]"])


def process():
    pairs = [('"args"', array([string()])), ('"cwd"', '"/"')] + fresh(rng.randrange(3))
    if rng.random() < 0.85:
        pairs.append(('"env"', env()))
    return members(pairs)


def config():
    linux = [('"namespaces"', array(['{"type":"network"}']))] + fresh(rng.randrange(3))
    if rng.random() < 0.5:
        linux.append(('"seccomp"', rng.choice([PROFILE, PROFILE, "null"])))
    pairs = [('"process"', process()), ('"linux"', members(linux))] + fresh(rng.randrange(5))
    if rng.random() < 0.6:
        pairs.append(('"hooks"', rng.choice([hooks()] * 5 + ["null"])))
    return space() + members(pairs) + space()


# -- another reader

def tokens(text):
    """[(path of what a token belongs to, token)]. A key, its colon and what is between it and its value belong to the
    member, white space behind the value to what is around; commas are left out."""
    found, stack = [], []  # of each open one: path, is it an object, key or index, has its value been read
    for token in TOKEN.findall(text):
        path, is_object, key, done = stack[-1] if stack else ((), False, None, False)
        member = path if key is None else path + (key,)
        if token.isspace():
            found.append((path if done else member, token))
        elif token == ",":
            stack[-1][2:] = [None if is_object else key + 1, False]
        elif token == ":":
            found.append((member, token))
        elif token in ("}", "]"):
            found.append((path, token))
            stack.pop()
            if stack:
                stack[-1][3] = True
        elif token in ("{", "["):
            found.append((member, token))
            stack.append([member, token == "{", None if token == "{" else 0, False])
        elif is_object and key is None:
            stack[-1][2] = json.loads(token)
            found.append((path + (stack[-1][2],), token))
        else:
            found.append((member, token))
            stack[-1][3] = True
    return found


def outside(text, changed):
    return [(path, token) for path, token in tokens(text) if not any(path[:len(c)] == c for c in changed)]


def check_env(before, after, original):
    names = [v.split("=", 1)[0] for v in after]
    for name in VARIABLES:
        assert names.count(name) == 1, (name, after)
    kept = [v for v in (before or []) if v.split("=", 1)[0] not in VARIABLES]
    assert after[:len(kept)] == kept and len(after) == len(kept) + len(VARIABLES), (before, after)
    assert "https_proxy=http://198.18.0.2:3128" in after, original


def check_hooks(before, after):
    for stage in ("prestart", "createRuntime", "poststop"):
        kept = [h for h in (before.get(stage) or []) if h["path"] != OURS]
        now = after.get(stage) or []
        assert now[:len(kept)] == kept, (stage, before, after)
        ours = now[len(kept):]
        if stage == "prestart":
            assert ours == []
            continue
        extra = ["--policy", "p"] if stage == "createRuntime" else []
        assert ours == [{"path": OURS, "args": ["oci-egress", "hook", stage, "--run", "/a \"quoted\" \\ path", *extra],
                         "timeout": 30}], ours


def run(driver, kind, documents):
    """All with one directory of merged profiles, as on a host: a profile is merged, in a process of its own, once."""
    with tempfile.TemporaryDirectory() as profiles:
        done = subprocess.run([driver, kind, profiles], input="".join(d + "\0" for d in documents).encode(),
                              capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    answers = done.stdout.decode().split("\0")
    assert len(answers) == len(documents) + 1
    return answers[:-1]


def read(text):
    return json.loads(text, parse_int=str, parse_float=str)


def check_configs(driver, n):
    documents = [config() for _ in range(n)]
    once = run(driver, "config", documents)
    for before, after in zip(documents, once):
        assert not after.startswith("!"), (before, after)
        old, new = json.loads(before), json.loads(after)
        changed = CHANGED if isinstance(old.get("hooks"), dict) else CHANGED | {("hooks",)}
        assert outside(before, changed) == outside(after, changed), (before, after)
        check_env(old["process"].get("env"), new["process"]["env"], before)
        check_hooks(old.get("hooks") or {}, new["hooks"])
        socket = [rule for rule in new["linux"]["seccomp"]["syscalls"] if "socket" in rule["names"]]
        assert socket and all(rule.get("args") for rule in socket if rule["action"] == "SCMP_ACT_ALLOW"), after
        order = [k for k in old if k in new]
        assert [k for k in new if k in old] == order, (before, after)
    for first, second in zip(once, run(driver, "config", once)):
        a, b = read(first), read(second)
        a["linux"].pop("seccomp"), b["linux"].pop("seccomp")
        assert a == b, (first, second)


def check_processes(driver, n):
    documents = [process() for _ in range(n)]
    for before, after in zip(documents, run(driver, "process", documents)):
        assert outside(before, {("env",)}) == outside(after, {("env",)}), (before, after)
        check_env(json.loads(before).get("env"), json.loads(after)["env"], before)


BAD = {
    "": "is empty", "[]": "is no object", '{"process":': "not JSON", "{}": "process: is missing",
    '{"process":{}}': "linux: is missing", '{"process":null,"linux":{}}': "process: is missing",
    '{"process":{},"linux":null}': "linux: is missing", '{"process":[],"linux":{}}': "process",
    '{"process":{"env":{}},"linux":{}}': "env", '{"process":{"env":[1]},"linux":{}}': "env",
    '{"process":{},"linux":{},"hooks":[]}': "hooks", '{"process":{},"linux":{},"hooks":{"poststop":{}}}': "poststop",
    '{"process":{},"linux":{"seccomp":[]}}': "seccomp", '{"process":{},"process":{},"linux":{}}': "is there twice",
    '{"process":{},"linux":{},"x":' + "[" * 40 + "]" * 40 + "}": "nested too deep",
}


def check_bad(driver):
    for (text, message), answer in zip(BAD.items(), run(driver, "config", [t or " " for t in BAD])):
        assert answer.startswith("!") and message in answer, (text, answer)


def main():
    check_bad(sys.argv[1])
    check_configs(sys.argv[1], 1000)
    check_processes(sys.argv[1], 300)
    print("1000 configs, 300 processes")


main()
