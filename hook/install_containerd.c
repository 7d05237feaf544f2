/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd: a runtime in config.toml itself. A file that it imports would not do: in 1.6 and 1.7 the section of a
 * plugin in an imported file takes the place of the whole section, and all that config.toml says of CRI is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "hook/install.h"
#include "oci/toml_edit.h"

#define FILE_PATH "/etc/containerd/config.toml"
#define BLOCK_SIZE 8192

/* The CRI plugin has another name in each version of the file's format. */
static const struct dialect {
	const char *version, *shown;
	const char *runtime, *runc; /* paths */
	size_t runtime_len, runc_len;
} dialects[] = {
#define DIALECT(n, plugin)                                                                                \
	{                                                                                                 \
		n, "plugins.\"" plugin "\".containerd.runtimes.oci-egress",                               \
			"plugins\0" plugin "\0containerd\0runtimes\0oci-egress",                          \
			"plugins\0" plugin "\0containerd\0runtimes\0runc\0options\0SystemdCgroup",        \
			sizeof("plugins\0" plugin "\0containerd\0runtimes\0oci-egress"),                  \
			sizeof("plugins\0" plugin "\0containerd\0runtimes\0runc\0options\0SystemdCgroup") \
	}
	DIALECT("2", "io.containerd.grpc.v1.cri"),
	DIALECT("3", "io.containerd.cri.v1.runtime"),
};

static int find_dialect(const struct toml *toml, const struct dialect **ret, struct error *err)
{
	static const char key[] = "version";
	const struct toml_item *item;
	int r = toml_find(toml, key, sizeof(key), &item, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(dialects); i++)
		if (item && item->end - item->at == 1 && toml->text[item->at] == dialects[i].version[0]) {
			*ret = &dialects[i];
			return 0;
		}
	return toml_complain(toml, item ? item->at : 0, err,
		"%s, expected version = 2 or version = 3: containerd config migrate writes one",
		item ? "a version that is not known" : "no version, which means 1");
}

/* The kubelet and every runtime must agree on who makes cgroups. */
static int wants_systemd(const struct toml *toml, const struct dialect *dialect, bool *ret, struct error *err)
{
	const struct toml_item *item;
	int r = toml_find(toml, dialect->runc, dialect->runc_len, &item, err);
	*ret = r == 0 && item && item->end - item->at == 4 && memcmp(toml->text + item->at, "true", 4) == 0;
	return r;
}

static int write_block(const struct install *install, const struct toml *toml, const struct dialect *dialect,
	char block[BLOCK_SIZE], struct error *err)
{
	char program[PATH_MAX + 64], quoted[2 * PATH_MAX];
	bool systemd;
	int r = wants_systemd(toml, dialect, &systemd, err);
	if (r < 0)
		return r;
	(void) snprintf(program, sizeof(program), "%s/oci-egress-runtime", install->programs);
	if (!toml_quote(program, quoted, sizeof(quoted)))
		return error_set(err, ENAMETOOLONG, "--programs");
	int n = snprintf(block, BLOCK_SIZE,
		"[%s]\n"
		"  runtime_type = \"io.containerd.runc.v2\"\n"
		"  pod_annotations = [\"oci-egress.*\"]\n"
		"  container_annotations = [\"oci-egress.*\"]\n"
		"  [%s.options]\n"
		"    BinaryName = %s\n%s",
		dialect->shown, dialect->shown, quoted, systemd ? "    SystemdCgroup = true\n" : "");
	return n < BLOCK_SIZE ? 0 : error_set(err, ENAMETOOLONG, "--programs");
}

static bool is_below(const struct toml_item *item, const char *path, size_t len)
{
	return item->path_len >= len && memcmp(item->path, path, len) == 0;
}

static bool has_runtime(const struct toml *toml, const struct dialect *dialect)
{
	for (size_t i = 0; i < toml->n; i++)
		if (is_below(&toml->items[i], dialect->runtime, dialect->runtime_len))
			return true;
	return false;
}

/* A runtime of ours that says something else is replaced. */
static int merge(const struct install *install, const char *path, const char *text, size_t len, char **ret,
	size_t *ret_len, struct error *err)
{
	_cleanup_toml_ struct toml *toml = NULL, *rest = NULL;
	_cleanup_free_ char *stripped = NULL;
	const struct dialect *dialect;
	char block[BLOCK_SIZE];
	int r = toml_parse(path, text, len, &toml, err);
	if (r == 0)
		r = find_dialect(toml, &dialect, err);
	if (r == 0)
		r = write_block(install, toml, dialect, block, err);
	if (r < 0)
		return r;
	const struct toml *base = toml;
	if (has_runtime(toml, dialect)) {
		size_t n;
		if (memmem(text, len, block, strlen(block))) {
			*ret = NULL;
			return 0;
		}
		r = toml_remove_tables(toml, dialect->runtime, dialect->runtime_len, &stripped, &n, err);
		if (r == 0 && stripped)
			r = toml_parse(path, stripped, n, &rest, err);
		if (r < 0)
			return r;
		base = rest ? rest : toml;
	}
	r = toml_check_table(base, dialect->runtime, dialect->runtime_len, dialect->shown, err);
	return r < 0 ? r : toml_append_lines(base, block, ret, ret_len, err);
}

static int plan(struct install *install, struct error *err)
{
	/* Without a file containerd has its defaults; 2 is what all that run today can read. */
	static const char fresh[] = "version = 2\n";
	struct install_file *file;
	int r = install_add(install, FILE_PATH, INSTALL_CONTAINERD, &file, err);
	if (r < 0)
		return r;
	bool blank = install_is_blank(file);
	char *text;
	size_t len;
	r = merge(install, FILE_PATH, blank ? fresh : file->before, blank ? sizeof(fresh) - 1 : file->before_len, &text,
		&len, err);
	if (r < 0 || !text)
		return r;
	free(file->after);
	file->after = text;
	file->after_len = len;
	return 0;
}

int install_strip_containerd(
	const char *path, const char *text, size_t len, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_toml_ struct toml *toml = NULL;
	const struct dialect *dialect;
	int r = toml_parse(path, text, len, &toml, err);
	if (r == 0)
		r = find_dialect(toml, &dialect, err);
	return r < 0 ? r : toml_remove_tables(toml, dialect->runtime, dialect->runtime_len, ret, ret_len, err);
}

const struct install_engine install_containerd = {
	.name = "containerd",
	.plan = plan,
	.programs = "oci-egress-runtime",
	.then = "to restart: systemctl restart containerd (containers go on running).\n"
		"Then make a RuntimeClass with the handler oci-egress, and name it in pods beside the annotation "
		"oci-egress.policy.",
	.then_without = "to restart: systemctl restart containerd",
};
