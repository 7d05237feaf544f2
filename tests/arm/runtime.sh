#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Arming under a real runtime: runtime.sh RUNTIME ARMHOOK. Each container has armhook as its only hook.
set -eu

runtime=$1 hook=$(realpath "$2")
id=arm-$runtime-$$
dir=$(mktemp -d)
run() {
	if [ "$runtime" = crun ]; then
		# crun refuses a hybrid cgroup mount
		unshare -m sh -c 'mount --make-rprivate /; umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
			exec "$@"' sh crun --cgroup-manager=disabled --root "$dir/state" "$@"
	else
		runc --root "$dir/state" "$@"
	fi
}
finish() {
	run delete --force "$id" >"$dir/delete" 2>&1 || true
	rm -rf "$dir"
}
trap finish EXIT
fail() {
	echo "$runtime: $*" >&2
	cat "$dir/out" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || exit 77
command -v "$runtime" >/dev/null || exit 77

mkdir -p "$dir/b/rootfs/bin" "$dir/b/rootfs/etc" "$dir/b/rootfs/proc" "$dir/b/rootfs/dev" "$dir/b/rootfs/sys"
cp /bin/busybox "$dir/b/rootfs/bin/"
for name in sh env grep id tr cat sleep; do ln -s busybox "$dir/b/rootfs/bin/$name"; done
mkdir "$dir/b/rootfs/setuid"
cp /bin/busybox "$dir/b/rootfs/setuid/"
chmod 4755 "$dir/b/rootfs/setuid/busybox"
printf 'root::0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n' >"$dir/b/rootfs/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\n' >"$dir/b/rootfs/etc/group"

# configure UID NO_NEW_PRIVS SCRIPT...
configure() {
	python3 - "$dir/b/config.json" "$hook" "$@" <<'END'
import json, subprocess, os, sys
path, hook, uid, nnp, script = sys.argv[1:]
if os.path.exists(path):
    os.unlink(path)
subprocess.run(["runc", "spec", "--bundle", os.path.dirname(path)], check=True)
config = json.load(open(path))
process = config["process"]
args = ["/bin/sh", "-c", script] if script else ["/setuid/busybox", "su", "root", "-c", os.environ["SHOW"]]
process.update(terminal=False, args=args, noNewPrivileges=nnp == "1")
process["user"] = {"uid": int(uid), "gid": int(uid)}
process["capabilities"]["bounding"] += ["CAP_SETUID", "CAP_SETGID"]
process["env"] += ["HTTP_PROXY=http://user:secret@old:1", "no_proxy=*", "KEPT=1"]
config["hooks"] = {"createRuntime": [{"path": hook, "args": ["armhook"]}]}
json.dump(config, open(path, "w"))
END
}

check() {
	for name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do
		[ "$(grep -c "^$name=" "$dir/out")" = 1 ] || fail "$name is not there once"
		grep -q "^$name=http://198.18.0.2:3128\$" "$dir/out" || fail "$name has another value"
	done
	for name in no_proxy NO_PROXY NODE_USE_ENV_PROXY OCI_EGRESS KEPT PATH; do
		[ "$(grep -c "^$name=" "$dir/out")" = 1 ] || fail "$name is not there once"
	done
	! grep -q secret "$dir/out" || fail "the old value survives"
	grep -q '^Seccomp:	2$' "$dir/out" || fail "no filter"
	grep -q "^NoNewPrivs:	$1\$" "$dir/out" || fail "NoNewPrivs is not $1"
	grep -q "^uid=$2" "$dir/out" || fail "uid is not $2"
}

# $$ is the shell itself, whose /proc/PID/environ we have moved
export SHOW='env; grep -e ^Seccomp: -e ^NoNewPrivs: /proc/self/status; id'
show=$SHOW
for uid in 0 1000; do
	for nnp in 0 1; do
		configure $uid $nnp "$show"
		run run --bundle "$dir/b" "$id" >"$dir/out" 2>&1 || fail "run"
		check $nnp $uid
		configure $uid $nnp "tr '\\0' '\\n' </proc/\$\$/environ; ${show#env; }"
		run run --bundle "$dir/b" "$id" >"$dir/out" 2>&1 || fail "run"
		check $nnp $uid
	done
done

# a set-user-ID program still changes uid: as init's program, which we trace into, and as one that it starts
for script in '' 'exec '; do
	configure 1000 0 "${script:+exec /setuid/busybox su root -c \"$show\"}"
	run run --bundle "$dir/b" "$id" >"$dir/out" 2>&1 || fail "run"
	check 0 0
done

# created, and started later by another process
configure 0 1 "$show"
run create --pid-file "$dir/pid" --bundle "$dir/b" "$id" >"$dir/out" 2>&1 </dev/null || fail "create"
pid=$(cat "$dir/pid")
run start "$id" >>"$dir/out" 2>&1 || fail "start"
tail --pid="$pid" -f /dev/null
check 1 0
