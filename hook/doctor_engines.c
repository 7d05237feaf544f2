/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "hook/child.h"
#include "hook/containersconf.h"
#include "hook/doctor.h"
#include "hook/rootless.h"
#include "oci/json.h"
#include "oci/owner.h"
#include "oci/policy.h"

#define FILE_SIZE_MAX (1u << 20)
#define ENGINE_TIMEOUT_MS 20000
#define MEND_SIZE (2 * PATH_MAX + 64)
#define PROGRAM "oci-egress"
#define WRAPPER "oci-egress-runtime"

static bool is_wanted(const struct doctor *doctor, const char *engine)
{
	return doctor->engine && strcmp(doctor->engine, engine) == 0;
}

static bool in_path(const char *name)
{
	char file[PATH_MAX];
	const char *path = getenv("PATH");
	for (const char *p = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *p;) {
		size_t len = strcspn(p, ":");
		(void) snprintf(file, sizeof(file), "%.*s/%s", (int) len, p, name);
		if (access(file, X_OK) == 0)
			return true;
		p += len + (p[len] == ':');
	}
	return false;
}

static int read_json(const char *path, char **ret_text, struct json **ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	size_t len;
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	int r = io_read_all(fd, FILE_SIZE_MAX, ret_text, &len, err);
	return r < 0 ? error_wrap(err, "%s", path) : json_parse(path, *ret_text, len, false, ret, err);
}

static bool base_is(const struct json_value *path, const char *name, bool prefix)
{
	char text[PATH_MAX];
	if (!path || path->kind != JSON_STRING || path->len >= sizeof(text))
		return false;
	(void) snprintf(text, sizeof(text), "%.*s", (int) path->len, path->bytes);
	const char *slash = strrchr(text, '/');
	const char *base = slash ? slash + 1 : text;
	return prefix ? strncmp(base, name, strlen(name)) == 0 : strcmp(base, name) == 0;
}

/* A program that an engine is told to start: there, executable, and nobody else's to change. */
static int check_program(const struct json_value *value, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;
	(void) snprintf(path, sizeof(path), "%.*s", (int) value->len, value->bytes);
	if (stat(path, &st) < 0)
		return error_set(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return error_say(err, EACCES, "%s: cannot be executed (chmod 755 %s)", path, path);
	return owner_check(&st, path, err);
}

/* -- hooks.d: podman and CRI-O */

static bool has_stage(const struct json_value *root, const char *stage)
{
	const struct json_value *stages = json_member(root, "stages");
	for (const struct json_value *v = stages && stages->kind == JSON_ARRAY ? stages->first : NULL; v; v = v->next)
		if (v->kind == JSON_STRING && json_is(v, stage))
			return true;
	return false;
}

/* 1: a hook of ours, and good; 0: somebody else's, or for the end of containers; -errno: ours, and why it is not good.
 */
static int look_at_hook(const char *file, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ struct json *json = NULL;
	int r = read_json(file, &text, &json, err);
	if (r < 0 && r != -EACCES && !(text && strstr(text, PROGRAM)))
		return 0;
	if (r < 0)
		return r;
	const struct json_value *hook = json_member(json_root(json), "hook");
	const struct json_value *path = hook && hook->kind == JSON_OBJECT ? json_member(hook, "path") : NULL;
	if (!base_is(path, PROGRAM, false))
		return 0;
	const struct json_value *root = json_root(json);
	bool starts = has_stage(root, "createRuntime") || has_stage(root, "prestart") || has_stage(root, "precreate");
	if (!starts && has_stage(root, "poststop"))
		return 0; /* it only makes cleaning up faster */
	if (!starts)
		return error_say(err, EBADMSG, "%s: stages: none of createRuntime, prestart and precreate", file);
	r = check_program(path, err);
	if (r < 0)
		return r == -ENOENT ? error_wrap(err,
					      "%s names a program that is missing, which podman passes over in silence",
					      file)
				    : r;
	struct stat st;
	if (stat(file, &st) < 0)
		return error_set(err, errno, "%s", file);
	r = owner_check(&st, file, err);
	return r < 0 ? r : 1;
}

/* The directory behind dirs[i] that has a file of this name, which is then the one that counts. NULL: none. */
static const char *shadow(const struct containersconf *conf, size_t i, const char *name)
{
	const char *last = NULL;
	for (size_t j = i + 1; j < conf->n; j++) {
		char file[PATH_MAX + NAME_MAX + 2];
		(void) snprintf(file, sizeof(file), "%s/%s", conf->dirs[j], name);
		if (access(file, F_OK) == 0)
			last = conf->dirs[j];
	}
	return last;
}

struct hooks {
	unsigned good, bad;
	char file[PATH_MAX + NAME_MAX + 2]; /* a good one */
};

static void mend_hook(int code, const char *file, char mend[MEND_SIZE])
{
	if (code == -EPERM || code == -EACCES)
		(void) snprintf(mend, MEND_SIZE, "chown root:root FILE && chmod go-w FILE, for the file that is named");
	else if (code == -ENOENT)
		(void) snprintf(mend, MEND_SIZE, "install oci-egress again, or rm %s", file);
	else
		(void) snprintf(mend, MEND_SIZE, "rm %s && oci-egress install podman", file);
}

static void check_hook(
	struct doctor *doctor, const struct containersconf *conf, size_t i, const char *name, struct hooks *hooks)
{
	char file[sizeof(hooks->file)], mend[MEND_SIZE];
	struct error err;
	(void) snprintf(file, sizeof(file), "%s/%s", conf->dirs[i], name);
	int r = look_at_hook(file, &err);
	if (r == 0)
		return;
	const char *later = shadow(conf, i, name);
	if (later) {
		(void) snprintf(mend, sizeof(mend), "%s/%s", later, name);
		if (look_at_hook(mend, NULL) > 0)
			return; /* ours as well: its turn comes */
		hooks->bad++;
		(void) snprintf(mend, sizeof(mend), "rm %s/%s", later, name);
		findings_fault(&doctor->findings, "hooks.d", mend, "%s is shadowed by the file of the same name in %s",
			file, later);
	} else if (r < 0) {
		hooks->bad++;
		mend_hook(r, file, mend);
		findings_fault(&doctor->findings, "hooks.d", mend, "%s", err.msg);
	} else {
		hooks->good++;
		memcpy(hooks->file, file, sizeof(file));
	}
}

static void check_hooks(struct doctor *doctor, const struct containersconf *conf, struct hooks *hooks)
{
	for (size_t i = 0; i < conf->n; i++) {
		_cleanup_closedir_ DIR *stream = opendir(conf->dirs[i]);
		for (const struct dirent *e = stream ? readdir(stream) : NULL; e; e = readdir(stream)) {
			size_t len = strlen(e->d_name);
			if (e->d_name[0] != '.' && len > 5 && strcmp(e->d_name + len - 5, ".json") == 0)
				check_hook(doctor, conf, i, e->d_name, hooks);
		}
	}
}

static void join_dirs(const struct containersconf *conf, char ret[1024])
{
	size_t len = 0;
	ret[0] = '\0';
	for (size_t i = 0; i < conf->n && len < 1024; i++)
		len += (size_t) snprintf(ret + len, 1024 - len, "%s%s", i > 0 ? ", " : "", conf->dirs[i]);
}

static void check_podman(struct doctor *doctor)
{
	struct findings *findings = &doctor->findings;
	struct hooks hooks = { 0 };
	char dirs[1024];
	const char *mend = rootless() ? "oci-egress install podman --user" : "oci-egress install podman";
	bool wanted = is_wanted(doctor, "podman");
	_cleanup_free_ struct containersconf *conf = malloc(sizeof(*conf));
	if (!conf)
		return;
	containersconf_read(conf);
	check_hooks(doctor, conf, &hooks);
	join_dirs(conf, dirs);
	if (wanted && !in_path("podman"))
		findings_fault(
			findings, "podman", "apt-get install podman (or dnf, apk, zypper)", "there is no podman");
	if (hooks.good > 0)
		findings_ok(findings, "hooks.d", "%s", hooks.file);
	else if (hooks.bad > 0 || (!wanted && !in_path("podman")))
		return;
	else if (!wanted)
		findings_note(findings, "podman", "not set up for it: %s", mend);
	else if (conf->n == 0)
		findings_fault(findings, "hooks.d", mend, "hooks_dir is not set in containers.conf: %s",
			conf->set ? "it is empty" : "rootless podman reads no hooks then");
	else
		findings_fault(findings, "hooks.d", mend, "no hook of oci-egress in what podman reads, %s%s", dirs,
			conf->set ? "" : " (hooks_dir is not set in containers.conf)");
}

/* -- docker */

static void daemon_json(char ret[PATH_MAX])
{
	const char *home = getenv("HOME");
	if (rootless())
		(void) snprintf(ret, PATH_MAX, "%s/.config/docker/daemon.json", home ? home : "");
	else
		(void) snprintf(ret, PATH_MAX, "/etc/docker/daemon.json");
}

/* The path of a runtime of ours in an object of them, if there is one with a policy fixed; *ret_name is its name. */
static const struct json_value *find_runtime_of(
	const struct json_value *runtimes, bool fixed, const struct json_value **ret_name)
{
	for (const struct json_value *v = runtimes && runtimes->kind == JSON_OBJECT ? runtimes->first : NULL; v;
		v = v->next) {
		const struct json_value *path = v->kind == JSON_OBJECT ? json_member(v, "path") : NULL;
		if (!base_is(path, WRAPPER, true) || (memchr(path->bytes, '@', path->len) != NULL) != fixed)
			continue;
		*ret_name = v;
		return path;
	}
	return NULL;
}

/* One of those that are there, rather of this kind. NULL: none is ours. */
static const struct json_value *find_runtime(
	const struct json_value *runtimes, bool fixed, const struct json_value **ret_name)
{
	const struct json_value *path = find_runtime_of(runtimes, fixed, ret_name);
	return path ? path : find_runtime_of(runtimes, !fixed, ret_name);
}

/* 1: registered and good; 0: not registered; -errno. */
static int look_at_daemon_json(const char *file, char ret_name[128], struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ struct json *json = NULL;
	int r = read_json(file, &text, &json, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	const struct json_value *name, *path = find_runtime(json_member(json_root(json), "runtimes"), false, &name);
	if (!path)
		return 0;
	(void) snprintf(ret_name, 128, "%.*s", (int) name->key_len, name->key);
	r = check_program(path, err);
	return r < 0 ? error_wrap(err, "%s: runtime %s", file, ret_name) : 1;
}

/* Does the daemon know it? 1, 0, or -errno: it cannot be asked. fixed: where there are two, one with a policy. */
static int ask_docker(bool fixed, char ret_name[128], char ret_policy[POLICY_NAME_MAX + 1], struct error *err)
{
	struct child child;
	int r = child_run((const char *const[]){ "docker", "info", "--format", "{\"r\":{{json .Runtimes}}}", NULL },
		NULL, ENGINE_TIMEOUT_MS, &child, err);
	if (r != 0)
		return r < 0 ? r : error_say(err, EIO, "docker info: %s", child_complaint(&child));
	_cleanup_json_ struct json *json = NULL;
	r = json_parse("docker info", child.out_text, strcspn(child.out_text, "\n"), false, &json, err);
	if (r < 0)
		return r;
	const struct json_value *name, *path = find_runtime(json_member(json_root(json), "r"), fixed, &name);
	if (!path)
		return 0;
	(void) snprintf(ret_name, 128, "%.*s", (int) name->key_len, name->key);
	const char *at = memrchr(path->bytes, '@', path->len);
	if (at)
		(void) snprintf(
			ret_policy, POLICY_NAME_MAX + 1, "%.*s", (int) (path->bytes + path->len - at - 1), at + 1);
	return 1;
}

static void check_docker_daemon(struct doctor *doctor, bool in_file, const char *file)
{
	struct findings *findings = &doctor->findings;
	static char name[128], policy[POLICY_NAME_MAX + 1];
	struct error err;
	int r = ask_docker(!doctor->settings->policy_from_env, name, policy, &err);
	if (r == -ENOENT) {
		findings_fault(
			findings, "docker", "apt-get install docker.io (or dnf, apk, zypper)", "there is no docker");
	} else if (r < 0) {
		findings_fault(findings, "docker", "systemctl start docker", "%s", err.msg);
	} else if (r == 0 && in_file) {
		findings_fault(findings, "docker", "systemctl reload docker",
			"the daemon does not know the runtime that %s has", file);
	} else if (r == 0) {
		findings_fault(findings, "docker", "oci-egress install docker && systemctl reload docker",
			"no runtime of oci-egress is registered with the daemon");
	} else {
		doctor->runtime = name;
		doctor->fixed_policy = policy[0] != '\0' ? policy : NULL;
		findings_ok(findings, "docker", "runtime %s", name);
	}
}

static void check_docker(struct doctor *doctor)
{
	struct findings *findings = &doctor->findings;
	char file[PATH_MAX], name[128];
	struct error err;
	daemon_json(file);
	int r = look_at_daemon_json(file, name, &err);
	if (r < 0)
		findings_fault(findings, "docker",
			r == -EINVAL ? "correct it by hand"
				     : "install oci-egress again, then oci-egress install docker",
			"%s", err.msg);
	else if (is_wanted(doctor, "docker"))
		check_docker_daemon(doctor, r > 0, file);
	else if (r > 0)
		findings_ok(findings, "docker", "%s: runtime %s", file, name);
	else if (in_path("dockerd"))
		findings_note(findings, "docker", "not set up for it: oci-egress install docker");
}

static void check_runtime(struct doctor *doctor, const char *name)
{
	char mend[64];
	(void) snprintf(mend, sizeof(mend), "apt-get install %s (or dnf, apk, zypper)", name);
	if (!in_path(name))
		findings_fault(&doctor->findings, name, mend, "there is no %s", name);
}

void doctor_engines(struct doctor *doctor)
{
	check_podman(doctor);
	check_docker(doctor);
	if (is_wanted(doctor, "runc") || is_wanted(doctor, "crun"))
		check_runtime(doctor, doctor->engine);
}
