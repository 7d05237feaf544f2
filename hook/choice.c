/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/choice.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "hook/images.h"
#include "oci/annotation.h"
#include "oci/imagefile.h"

#define POLICY_DEFAULT "default"

int choice_take(
	const struct settings *settings, const char *from, const char *name, struct plan *plan, struct error *err)
{
	if (!policy_name_valid(name))
		return error_say(err, EINVAL,
			"%s: \"%.64s\" is no policy's name (letters, digits and _.+-, at most %d; a policy is a file "
			"that the "
			"administrator put into %s)",
			from, name, POLICY_NAME_MAX, settings->policies);
	(void) snprintf(plan->policy, sizeof(plan->policy), "%s", name);
	return 0;
}

int choice_take_annotation(const struct settings *settings, const char *name, struct plan *plan, struct error *err)
{
	if (!settings->policy_from_annotation)
		return error_say(err, EPERM,
			"annotation " ANNOTATION_POLICY
			" says \"%.64s\", and this host's \"policy_from_annotation\" is false "
			"(an image can bring annotations); remove it",
			name);
	return choice_take(settings, "annotation " ANNOTATION_POLICY, name, plan, err);
}

static int compile_own(const struct images_source *source, struct plan *plan, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = policy_read_open(source->fd, source->file, &text, &len, err);
	if (r == 0)
		r = policy_compile(source->file, source->name, text, len, source->on_failure, &plan->compiled, err);
	if (r < 0)
		return r;
	plan->image = plan->compiled;
	return io_memfd("policy", plan->image, plan->image->size, &plan->image_fd, err);
}

/* A large one, compiled once for all. */
static int take_shared(const char *run_path, const struct images_source *source, struct plan *plan, struct error *err)
{
	_cleanup_close_ int run = -1;
	char name[NAME_MAX + 1];
	int r = rundir_open(run_path, &run, err);
	if (r == 0)
		r = images_take(run, source, name, &plan->image_fd, err);
	return r < 0 ? r : imagefile_map(plan->image_fd, &plan->image, &plan->mapped, err);
}

/* The user's, or the administrator's. One connection cannot be asked to pass two policies of one name. */
static int open_policy(
	const struct settings *settings, const char *name, int *ret_fd, char *ret_file, struct error *err)
{
	int r = policy_open(settings->policies, name, ret_fd, ret_file, err);
	if (settings->admin_policies[0] == '\0' || (r < 0 && r != -ENOENT))
		return r;
	_cleanup_close_ int admin = -1;
	char file[PATH_MAX];
	struct error why;
	int admin_r = policy_open(settings->admin_policies, name, &admin, file, &why);
	if (admin_r == 0 && r == 0)
		return error_say(err, EEXIST,
			"%s is there, and %s is the administrator's; what both allow cannot be told by one policy: "
			"give yours another name",
			ret_file, file);
	if (admin_r == 0) {
		*ret_fd = TAKE_FD(admin);
		memcpy(ret_file, file, strlen(file) + 1);
	} else if (admin_r != -ENOENT && err) {
		*err = why;
	}
	return admin_r == -ENOENT ? r : admin_r;
}

int choice_compile(const struct settings *settings, struct plan *plan, struct error *err)
{
	bool by_default = plan->policy[0] == '\0';
	const char *name = by_default ? POLICY_DEFAULT : plan->policy;

	_cleanup_close_ int fd = -1;
	char file[PATH_MAX];
	int r = open_policy(settings, name, &fd, file, err);
	if (r == -ENOENT && by_default)
		return 0;
	if (r < 0)
		return error_wrap(err, "policy %s", name);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s", file);
	stamp_make(&st, plan->stamp);

	const struct images_source source = {
		.fd = fd, .file = file, .name = name, .on_failure = settings->on_failure
	};
	r = st.st_size < IMAGES_LARGE ? compile_own(&source, plan, err)
				      : take_shared(settings->run, &source, plan, err);
	if (r == 0 && by_default)
		(void) snprintf(plan->policy, sizeof(plan->policy), "%s", POLICY_DEFAULT);
	return r;
}

int choice_check(const struct config *config, const char *bundle, struct error *err)
{
	if (config->unsafe_annotation)
		return error_say(err, EPERM,
			"%s/config.json: annotation %s would take the guard away or let the runtime write files as "
			"root; remove it, or "
			"run this container without a policy",
			bundle, config->unsafe_annotation);
	if (!config->has_network_namespace)
		return error_say(err, EXDEV,
			"%s/config.json: linux.namespaces has no network namespace: the container would use the "
			"host's; give it one of its "
			"own",
			bundle);
	if (config->has_net_devices)
		return error_say(err, EPERM,
			"%s/config.json: linux.netDevices would move interfaces of the host's into the container, ways "
			"out past the proxy; remove it, or run this container without a policy",
			bundle);
	return 0;
}
