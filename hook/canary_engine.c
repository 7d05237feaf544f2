/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/canary_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"
#include "hook/child.h"

#define CONFIG_SIZE 32768
#define ENGINE_TIMEOUT_MS 60000
#define TAR_BLOCK 512

static bool engine_is(const struct doctor *doctor, const char *name)
{
	return strcmp(doctor->engine, name) == 0;
}

const char *canary_engine_policy(const struct doctor *doctor, const struct canary_home *home)
{
	return engine_is(doctor, "docker") && doctor->fixed_policy ? doctor->fixed_policy : home->name;
}

static void add(struct canary_argv *argv, const char *word)
{
	if (argv->n < CANARY_ARGV_MAX)
		argv->v[argv->n++] = word;
	argv->v[argv->n] = NULL;
}

static void add_all(struct canary_argv *argv, const char *const *words)
{
	for (; *words; words++)
		add(argv, *words);
}

static void add_text(struct canary_argv *argv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_text(struct canary_argv *argv, const char *fmt, ...)
{
	if (argv->n_text == ARRAY_SIZE(argv->text))
		return;
	char *text = argv->text[argv->n_text++];
	va_list ap;
	va_start(ap, fmt);
	(void) vsnprintf(text, sizeof(argv->text[0]), fmt, ap);
	va_end(ap);
	add(argv, text);
}

#define ADD(argv, ...) add_all(argv, (const char *const[]){ __VA_ARGS__, NULL })

static void add_program(struct canary_argv *argv, const struct canary_home *home, enum canary_step step)
{
	ADD(argv, CANARY_PROGRAM, "canary", step == CANARY_START ? "first" : "exec", home->listed);
}

/* -- runc and crun, in a bundle of ours with a state directory of ours */

static void runtime_argv(
	const struct doctor *doctor, const struct canary_home *home, enum canary_step step, struct canary_argv *argv)
{
	if (step == CANARY_REMOVE_IMAGE)
		return;
	ADD(argv, doctor->engine, "--root");
	add_text(argv, "%s/root", home->dir);
	if (engine_is(doctor, "crun"))
		add(argv, "--cgroup-manager=disabled");
	if (step == CANARY_START) {
		ADD(argv, "run", "--bundle", home->dir, home->name);
	} else if (step == CANARY_EXEC) {
		ADD(argv, "exec", home->name);
		add_program(argv, home, step);
	} else {
		ADD(argv, "delete", "--force", home->name);
	}
}

static void add_string(struct text *text, const char *before, const char *string)
{
	text_add(text, "%s", before);
	text_add_json(text, string, strlen(string));
}

static void add_place(struct text *text, const char *option, const char *path)
{
	if (!path)
		return;
	add_string(text, ",", option);
	add_string(text, ",", path);
}

static void add_hook(struct text *text, const struct doctor *doctor, const struct canary_home *home, const char *stage)
{
	text_add(text, "\"%s\":[{\"path\":", stage);
	add_string(text, "", home->program);
	text_add(text, ",\"timeout\":30,\"args\":[\"oci-egress\",\"hook\",\"%s\"", stage);
	add_place(text, "--config", doctor->config);
	add_place(text, "--policies", doctor->policies);
	add_place(text, "--run", doctor->run);
	add_place(text, "--log", doctor->log);
	add_place(text, "--state", doctor->state);
	add_place(text, "--keeper", doctor->keeper);
	text_add(text, "]}]");
}

/* CAP_NET_RAW, so that it is our filter that refuses raw sockets. */
static void add_config(struct text *text, const struct doctor *doctor, const struct canary_home *home)
{
	static const char caps[] =
		"[\"CAP_NET_RAW\",\"CAP_NET_BIND_SERVICE\",\"CAP_SETUID\",\"CAP_SETGID\",\"CAP_CHOWN\"]";
	text_add(text,
		"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/"
		"\",\"user\":{\"uid\":0,"
		"\"gid\":0},\"noNewPrivileges\":true,\"env\":[\"PATH=/"
		"\"],\"capabilities\":{\"bounding\":%s,\"effective\":%s,"
		"\"permitted\":%s},\"args\":[\"" CANARY_PROGRAM "\",\"canary\",\"first\"",
		caps, caps, caps);
	add_string(text, ",", home->listed);
	text_add(text, "]},\"mounts\":[{\"destination\":\"/"
		       "proc\",\"type\":\"proc\",\"source\":\"proc\"},{\"destination\":\"/dev\","
		       "\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{"
		       "\"type\":\"mount\"},"
		       "{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}]},\"annotations\":{\"oci-egress."
		       "policy\":");
	add_string(text, "", home->name);
	text_add(text, "},\"hooks\":{");
	add_hook(text, doctor, home, "createRuntime");
	text_add(text, ",");
	add_hook(text, doctor, home, "poststop");
	text_add(text, "}}\n");
}

static int write_bundle(const struct doctor *doctor, const struct canary_home *home, struct error *err)
{
	char buf[CONFIG_SIZE], path[128];
	struct text text = text_init(buf, sizeof(buf));
	add_config(&text, doctor, home);
	if (text.cut)
		return error_set(err, ENAMETOOLONG, "config.json");
	(void) snprintf(path, sizeof(path), "%s/config.json", home->dir);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	return io_write_all(fd, text.buf, text.len, err);
}

/* -- podman: its own hooks.d is what is tried */

static void podman_argv(
	const struct doctor *doctor, const struct canary_home *home, enum canary_step step, struct canary_argv *argv)
{
	if (step == CANARY_START) {
		ADD(argv, "podman", "run", "--interactive", "--rm", "--security-opt", "label=disable", "--name",
			home->name, "--annotation");
		add_text(argv, "oci-egress.policy=%s", home->name);
		ADD(argv, "--network", doctor->network ? doctor->network : "none", "--rootfs");
		add_text(argv, "%s/rootfs", home->dir);
		add_program(argv, home, step);
	} else if (step == CANARY_EXEC) {
		ADD(argv, "podman", "exec", home->name);
		add_program(argv, home, step);
	} else if (step == CANARY_REMOVE) {
		ADD(argv, "podman", "rm", "--force", "--ignore", "--time", "0", home->name);
	}
}

/* -- docker: an image is needed, and a way to say which policy */

static void docker_argv(
	const struct doctor *doctor, const struct canary_home *home, enum canary_step step, struct canary_argv *argv)
{
	if (step == CANARY_START) {
		ADD(argv, "docker", "run", "--interactive", "--rm", "--name", home->name, "--runtime", doctor->runtime);
		if (!doctor->fixed_policy && doctor->settings->policy_from_env) {
			add(argv, "--env");
			add_text(argv, "OCI_EGRESS_POLICY=%s", home->name);
		} else if (!doctor->fixed_policy) {
			add(argv, "--annotation");
			add_text(argv, "oci-egress.policy=%s", home->name);
		}
		ADD(argv, "--network", doctor->network ? doctor->network : "none", home->name);
		add_program(argv, home, step);
	} else if (step == CANARY_EXEC) {
		ADD(argv, "docker", "exec", home->name);
		add_program(argv, home, step);
	} else if (step == CANARY_REMOVE) {
		ADD(argv, "docker", "rm", "--force", home->name);
	} else {
		ADD(argv, "docker", "rmi", "--force", home->name);
	}
}

/* POSIX ustar: a header of one block, the file, and two empty blocks. */
static int write_tar(const char *path, int program, size_t size, struct error *err)
{
	char header[TAR_BLOCK] = { 0 };
	(void) snprintf(header, 100, "%s", &CANARY_PROGRAM[1]);
	(void) snprintf(header + 100, 8, "%07o", 0755u);
	(void) snprintf(header + 108, 8, "%07o", 0u);
	(void) snprintf(header + 116, 8, "%07o", 0u);
	(void) snprintf(header + 124, 12, "%011zo", size);
	(void) snprintf(header + 136, 12, "%011o", 0u);
	memset(header + 148, ' ', 8);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof(header); i++)
		sum += (unsigned char) header[i];
	(void) snprintf(header + 148, 8, "%06o", sum);

	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	int r = io_write_all(fd, header, sizeof(header), err);
	for (size_t left = size; r == 0 && left > 0;) {
		ssize_t n = sendfile(fd, program, NULL, left);
		if (n <= 0)
			return error_set(err, n < 0 ? errno : EIO, "%s", path);
		left -= (size_t) n;
	}
	off_t padded = (off_t) ((size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK + 3 * TAR_BLOCK);
	if (r == 0 && ftruncate(fd, padded) < 0)
		return error_set(err, errno, "%s", path);
	return r;
}

static int import_image(const struct canary_home *home, struct error *err)
{
	char path[128];
	struct stat st;
	struct child child;
	_cleanup_close_ int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (program < 0 || fstat(program, &st) < 0)
		return error_set(err, errno, "/proc/self/exe");
	(void) snprintf(path, sizeof(path), "%s/image.tar", home->dir);
	int r = write_tar(path, program, (size_t) st.st_size, err);
	if (r == 0)
		r = child_run((const char *const[]){ "docker", "import", path, home->name, NULL }, NULL,
			ENGINE_TIMEOUT_MS, &child, err);
	return r > 0 ? error_say(err, EIO, "docker import: %s", child_complaint(&child)) : r;
}

/* docker's `run` has --annotation from API 1.43 on, version 24; the program and the daemon can be of two versions. */
static int check_docker_policy(const struct doctor *doctor, struct error *err)
{
	static const char format[] = "{{.Client.APIVersion}} {{.Server.APIVersion}}";
	struct child child;
	unsigned client = 0, server = 0;
	if (doctor->fixed_policy || doctor->settings->policy_from_env)
		return 0;
	int r = child_run((const char *const[]){ "docker", "version", "--format", format, NULL }, NULL,
		ENGINE_TIMEOUT_MS, &child, err);
	if (r != 0)
		return r < 0 ? r : error_say(err, EIO, "docker version: %s", child_complaint(&child));
	if (sscanf(child.out_text, "1.%u 1.%u", &client, &server) == 2 && client >= 43 && server >= 43)
		return 0;
	return error_say(err, EOPNOTSUPP,
		"this docker's run has no --annotation: register a runtime with a policy of its own, or set "
		"\"policy_from_env\": true");
}

int canary_engine_prepare(const struct doctor *doctor, const struct canary_home *home, struct error *err)
{
	if (engine_is(doctor, "podman"))
		return 0;
	if (!engine_is(doctor, "docker"))
		return write_bundle(doctor, home, err);
	int r = check_docker_policy(doctor, err);
	return r == 0 ? import_image(home, err) : r;
}

void canary_engine_argv(
	const struct doctor *doctor, const struct canary_home *home, enum canary_step step, struct canary_argv *ret)
{
	*ret = (struct canary_argv){ 0 };
	if (engine_is(doctor, "podman"))
		podman_argv(doctor, home, step, ret);
	else if (engine_is(doctor, "docker"))
		docker_argv(doctor, home, step, ret);
	else
		runtime_argv(doctor, home, step, ret);
}
