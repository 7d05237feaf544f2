/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/child.h"
#include "hook/doctor.h"
#include "hook/rundir.h"
#include "hook/trusted.h"
#include "oci/owner.h"
#include "oci/policy.h"

#define VERSION_TIMEOUT_MS 5000
#define MEND_SIZE (2 * PATH_MAX + 512)

/* What mends a file or directory that an error of this code came from. Returns buf. */
static const char *mend_file(int code, const char *path, const char *mode, char buf[MEND_SIZE])
{
	if (code == -EPERM)
		(void) snprintf(buf, MEND_SIZE, "chown %u:%u %s && chmod %s %s", (unsigned) geteuid(),
			(unsigned) getegid(), path, mode, path);
	else if (code == -EACCES)
		(void) snprintf(buf, MEND_SIZE, "chmod %s %s, and let all pass its parents", mode, path);
	else if (code == -ELOOP)
		(void) snprintf(buf, MEND_SIZE, "put the file itself in the place of the link %s", path);
	else
		(void) snprintf(buf, MEND_SIZE, "edit %s", path);
	return buf;
}

static void check_policy(struct doctor *doctor, const char *name, unsigned *good)
{
	char file[PATH_MAX + POLICY_NAME_MAX + 8], mend[MEND_SIZE], what[POLICY_NAME_MAX + 16];
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ struct image *image = NULL;
	size_t len;
	struct error err;
	int r = policy_read(doctor->settings->policies, name, &text, &len, file, &err);
	if (r == 0)
		r = policy_compile(file, name, text, len, doctor->settings->on_failure, &image, &err);
	if (r == 0) {
		(*good)++;
		return;
	}
	(void) snprintf(what, sizeof(what), "policy %s", name);
	(void) snprintf(file, sizeof(file), "%s/%s.json", doctor->settings->policies, name);
	findings_fault(&doctor->findings, what, mend_file(r, file, "644", mend), "%s", err.msg);
}

/* The name in NAME.json; false: the file is no policy's. */
static bool policy_name_of(const char *file, char ret[POLICY_NAME_MAX + 1])
{
	size_t len = strlen(file);
	if (len <= strlen(".json") || strcmp(file + len - strlen(".json"), ".json") != 0 ||
		len - strlen(".json") > POLICY_NAME_MAX)
		return false;
	(void) snprintf(ret, POLICY_NAME_MAX + 1, "%.*s", (int) (len - strlen(".json")), file);
	return policy_name_valid(ret);
}

static int check_policies_in(struct doctor *doctor, const char *dir, struct error *err)
{
	_cleanup_close_ int trusted = -1;
	int r = trusted_open_dir(dir, &trusted, err);
	if (r < 0)
		return r;
	_cleanup_closedir_ DIR *stream = opendir(dir);
	if (!stream)
		return error_set(err, errno, "%s", dir);

	unsigned good = 0, before = doctor->findings.faults;
	for (const struct dirent *e = readdir(stream); e; e = readdir(stream)) {
		char name[POLICY_NAME_MAX + 1];
		if (policy_name_of(e->d_name, name))
			check_policy(doctor, name, &good);
	}
	if (doctor->findings.faults > before)
		return 0;
	if (good == 0)
		return error_say(err, ENOENT, "%s: there is no policy in it", dir);
	findings_ok(&doctor->findings, "policies", "%s: %u, all good", dir, good);
	return 0;
}

static void check_policies(struct doctor *doctor)
{
	const char *dir = doctor->settings->policies;
	char mend[MEND_SIZE];
	struct error err;
	int r = check_policies_in(doctor, dir, &err);
	if (r == 0)
		return;
	if (r == -ENOENT)
		(void) snprintf(mend, sizeof(mend),
			"mkdir -p -m 755 %s, and write %s/web.json: {\"allow\": [\"example.com\"], "
			"\"on_failure\": \"closed\"}",
			dir, dir);
	else
		(void) mend_file(r, dir, "755", mend);
	findings_fault(&doctor->findings, "policies", mend, "%s", err.msg);
}

/* Made as a hook would make it. */
static void check_dir(struct doctor *doctor, const char *what, const char *path)
{
	_cleanup_close_ int fd = -1;
	char mend[MEND_SIZE];
	struct error err;
	int r = rundir_open(path, &fd, &err);
	if (r == 0)
		findings_ok(&doctor->findings, what, "%s", path);
	else
		findings_fault(&doctor->findings, what, mend_file(r, path, "700", mend), "%s", err.msg);
}

static int check_program(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return error_set(err, EACCES, "%s: cannot be executed", path);
	return owner_check(&st, path, err);
}

static int check_version(const char *path, struct error *err)
{
	struct child child;
	int r = child_run((const char *const[]){ path, "--version", NULL }, NULL, VERSION_TIMEOUT_MS, &child, err);
	if (r < 0)
		return r;
	if (r > 0 || strcmp(child.out_text, "oci-egress-keeper " VERSION "\n") != 0)
		return error_say(err, EINVAL, "%s is not the one of this version, " VERSION, path);
	return 0;
}

static void check_keeper(struct doctor *doctor)
{
	const char *path = doctor->keeper;
	char mend[MEND_SIZE];
	struct error err;
	int r = check_program(path, &err);
	if (r == 0)
		r = check_version(path, &err);
	if (r == 0) {
		findings_ok(&doctor->findings, "keeper", "%s", path);
		return;
	}
	(void) mend_file(r, path, "755", mend);
	findings_fault(&doctor->findings, "keeper",
		r == -EPERM || r == -EACCES ? mend : "install oci-egress again, both programs of the same version",
		"%s", err.msg);
}

void doctor_places(struct doctor *doctor)
{
	findings_ok(
		&doctor->findings, "config", "%s", doctor->config ? doctor->config : "the host's settings can be read");
	check_policies(doctor);
	check_dir(doctor, "run", doctor->settings->run);
	check_dir(doctor, "log", doctor->settings->log);
	check_keeper(doctor);
}
