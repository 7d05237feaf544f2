/* SPDX-License-Identifier: Apache-2.0 */
/* podman runs what lies in its hooks directories; a user's own directory has to be named in containers.conf(5). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hook/hooksdir.h"
#include "hook/install.h"

static const char key[] = "engine\0hooks_dir";

static int read_system(struct hooksdir *hooksdir, int root, struct error *err)
{
	int r = hooksdir_init(hooksdir, key, sizeof(key), err);
	if (r == 0)
		r = hooksdir_read(hooksdir, root, "/usr/share/containers/containers.conf", err);
	if (r == 0)
		r = hooksdir_read(hooksdir, root, "/etc/containers/containers.conf", err);
	if (r == 0)
		r = hooksdir_read_dir(hooksdir, root, "/etc/containers/containers.conf.d", ".conf", NULL, err);
	return r;
}

/* The last directory: a file of the same name in one before is masked by it, oci-hooks(5). */
static int plan_root(struct install *install, struct error *err)
{
	_cleanup_hooksdir_ struct hooksdir hooksdir = { 0 };
	int r = read_system(&hooksdir, install->root, err);
	if (r < 0)
		return r;
	const char *dir = hooksdir.n > 0 ? hooksdir.dirs[hooksdir.n - 1] : HOOKSDIR_DEFAULT;
	if (dir[0] != '/')
		return error_say(err, EINVAL, "%s: the last of its hooks_dir is no absolute path", hooksdir.file);
	return install_add_hooks(install, dir, err);
}

static int plan_user(struct install *install, struct error *err)
{
	_cleanup_hooksdir_ struct hooksdir hooksdir = { 0 };
	char file[PATH_MAX], dir[PATH_MAX];
	(void) snprintf(file, sizeof(file), "%.4000s/containers/containers.conf", install->config);
	(void) snprintf(dir, sizeof(dir), "%.4000s/containers/containers.conf.d", install->config);
	int r = read_system(&hooksdir, install->root, err);
	if (r == 0)
		r = hooksdir_read(&hooksdir, install->root, file, err);
	if (r == 0)
		r = hooksdir_read_dir(&hooksdir, install->root, dir, ".conf", NULL, err);
	if (r == 0)
		r = install_add_hooks(install, install->hooks_dir, err);
	if (r < 0)
		return r;
	bool users = hooksdir.file && strncmp(hooksdir.file, install->config, strlen(install->config)) == 0;
	return users ? hooksdir_add_element(&hooksdir, install, err)
		     : hooksdir_add_line(&hooksdir, install, file, "engine", err);
}

static int plan(struct install *install, struct error *err)
{
	return install->user ? plan_user(install, err) : plan_root(install, err);
}

const struct install_engine install_podman = {
	.name = "podman",
	.plan = plan,
	.for_users = true,
	.programs = "oci-egress",
	.then = "nothing to restart: containers that podman starts from now on have what their policy says.\n"
		"podman run --annotation oci-egress.policy=NAME --network none ...",
	.then_without = "nothing to restart.",
};
