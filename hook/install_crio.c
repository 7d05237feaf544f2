/* SPDX-License-Identifier: Apache-2.0 */
/* CRI-O: a hooks directory of our own, named by a drop-in of crio.conf.d(5), so that podman's stays podman's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hook/hooksdir.h"
#include "hook/install.h"

#define DROPINS "/etc/crio/crio.conf.d"
#define DROPIN "99-oci-egress.conf"
#define LINE_SIZE 8192

static const char key[] = "crio\0runtime\0hooks_dir";

static int plan(struct install *install, struct error *err)
{
	_cleanup_hooksdir_ struct hooksdir hooksdir = { 0 };
	char line[LINE_SIZE], text[LINE_SIZE + 256];
	int r = hooksdir_init(&hooksdir, key, sizeof(key), err);
	if (r == 0)
		r = hooksdir_read(&hooksdir, install->root, "/etc/crio/crio.conf", err);
	if (r == 0)
		r = hooksdir_read_dir(&hooksdir, install->root, DROPINS, "", DROPIN, err);
	if (r == 0)
		r = install_add_hooks(install, install->hooks_dir, err);
	if (r < 0)
		return r;

	/* One that is read after ours has the last word: there it must be. */
	if (hooksdir.file && strcmp(hooksdir.file, DROPINS "/" DROPIN) > 0)
		return hooksdir_add_element(&hooksdir, install, err);
	if (!hooksdir_line(&hooksdir, install->hooks_dir, line, sizeof(line)))
		return error_set(err, ENAMETOOLONG, "hooks_dir");
	(void) snprintf(text, sizeof(text),
		INSTALL_MARK "crio. hooks_dir replaces what other files say, and so repeats it.\n"
			     "[crio.runtime]\n%s\n",
		line);
	return install_add_text(install, DROPINS "/" DROPIN, INSTALL_OWN, text, err);
}

const struct install_engine install_crio = {
	.name = "crio",
	.plan = plan,
	.programs = "oci-egress",
	.then = "to restart: systemctl restart crio (containers go on running).\n"
		"Then annotate pods: oci-egress.policy: NAME",
	.then_without = "to restart: systemctl restart crio",
};
