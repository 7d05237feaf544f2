/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/idmap.h"
#include "base/io.h"
#include "hook/images.h"
#include "hook/process.h"
#include "hook/trusted.h"
#include "netns/netns.h"
#include "oci/config.h"
#include "oci/imagefile.h"

#define POLICY_ANNOTATION "oci-egress.policy"
#define POLICY_DEFAULT "default"

/*
 * Engines give the bundle of a container with a user namespace to root of that (podman), who sees nothing of it from
 * inside. A pid that is nobody's, or no container's, is refused later.
 */
static uid_t container_root(pid_t pid)
{
	char path[64];
	struct idmap map;
	uint32_t uid;
	(void) snprintf(path, sizeof(path), "/proc/%d/uid_map", (int) pid);
	return pid > 0 && idmap_read(path, &map, NULL) == 0 && idmap_outer(&map, 0, &uid) ? uid : 0;
}

static int read_config(const struct state *state, struct config **ret, struct error *err)
{
	const char *bundle = state->bundle;
	char path[PATH_MAX];
	if ((size_t) snprintf(path, sizeof(path), "%s/config.json", bundle) >= sizeof(path))
		return error_set(err, ENAMETOOLONG, "bundle %.64s...", bundle);

	_cleanup_close_ int dir = -1;
	int r = trusted_open_dir_of(bundle, container_root(state->pid), &dir, err);
	if (r < 0)
		return error_wrap(err, "bundle");

	_cleanup_free_ char *text = NULL;
	size_t len;
	r = trusted_read(dir, "config.json", path, CONFIG_SIZE_MAX, &text, &len, err);
	return r < 0 ? r : config_parse(path, text, len, ret, err);
}

/* Which policy? Leaves plan->policy empty where none is meant. *config is read only where somebody needs it. */
static int choose_policy(const struct settings *settings, struct plan *plan, struct config **config, struct error *err)
{
	const char *from = "annotation " POLICY_ANNOTATION;
	const char *name = state_annotation(plan->state, POLICY_ANNOTATION);

	if (!name && settings->policy_from_env) {
		int r = read_config(plan->state, config, err);
		if (r < 0)
			return r;
		from = "variable OCI_EGRESS_POLICY";
		name = (*config)->policy_env;
	}
	if (!name)
		return 0;
	if (!policy_name_valid(name))
		return error_say(err, EINVAL,
			"%s: \"%.64s\" is no policy's name (letters, digits and _.+-, at most %d; a policy is a file "
			"that the "
			"administrator put into %s)",
			from, name, POLICY_NAME_MAX, settings->policies);
	(void) snprintf(plan->policy, sizeof(plan->policy), "%s", name);
	return 0;
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

static int compile_policy(const struct settings *settings, struct plan *plan, struct error *err)
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

static int check_config(const struct config *config, const char *bundle, struct error *err)
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

static int check_annotations(const struct state *state, struct error *err)
{
	for (size_t i = 0; i < state->n_annotations; i++)
		if (config_annotation_unsafe(state->annotations[i].key))
			return error_say(err, EPERM,
				"annotation %s would take the guard away or let the runtime write files as root; "
				"remove it, or run this "
				"container without a policy",
				state->annotations[i].key);
	return 0;
}

/*
 * Opens the container's init and its namespace. The pid is a number from outside: the pidfd comes first, and init must
 * still be alive when its namespace is open, so that both are the same process's.
 */
static int open_process(struct plan *plan, struct error *err)
{
	plan->pid = plan->state->pid;
	if (plan->pid <= 0)
		return error_say(err, ESRCH, "state: pid: there is none; expected the container's init");

	int r = process_open(plan->pid, &plan->pidfd, err);
	if (r < 0)
		return error_wrap(err, "state: pid");
	r = process_start_time(plan->pid, &plan->start_time, err);
	if (r < 0)
		return r;
	r = netns_open(plan->pid, &plan->netns, err);
	if (r < 0)
		return r;
	if (!process_alive(plan->pidfd))
		return error_say(err, ESRCH, "state: pid: process %d has ended", (int) plan->pid);

	r = netns_is_own(plan->netns, err);
	if (r < 0)
		return r;
	if (r > 0)
		return error_say(err, EXDEV,
			"process %d is in the host's own network namespace: there is nothing to guard; give the "
			"container one of its own",
			(int) plan->pid);

	uint64_t cookie;
	r = netns_cookie(plan->netns, &cookie, err);
	if (r < 0)
		return r;
	rundir_key(cookie, plan->key);
	return 0;
}

static int check_status(const struct state *state, struct error *err)
{
	if (strcmp(state->status, "creating") != 0 && strcmp(state->status, "created") != 0)
		return error_say(err, EINVAL,
			"state: status: \"%s\", expected \"creating\" or \"created\": this hook belongs to "
			"createRuntime or prestart",
			state->status);
	return 0;
}

static int make(const struct settings *settings, const char *state_text, size_t len, struct plan *plan,
	struct config **config, struct error *err)
{
	int r = state_parse(state_text, len, &plan->state, err);
	if (r < 0)
		return r;
	r = choose_policy(settings, plan, config, err);
	if (r < 0)
		return r;
	r = compile_policy(settings, plan, err);
	if (r < 0 || !plan->image)
		return r;

	r = check_status(plan->state, err);
	if (r < 0)
		return r;
	r = check_annotations(plan->state, err);
	if (r < 0)
		return r;
	if (!*config) {
		r = read_config(plan->state, config, err);
		if (r < 0)
			return r;
	}
	r = check_config(*config, plan->state->bundle, err);
	if (r < 0)
		return r;
	plan->has_seccomp_profile = (*config)->has_seccomp;
	return open_process(plan, err);
}

int plan_make(const struct settings *settings, const char *state_text, size_t len, struct plan *ret, struct error *err)
{
	struct config *config = NULL;
	int r = make(settings, state_text, len, ret, &config, err);
	config_free(config);
	return r < 0 ? error_close(err) : 0;
}

void plan_clear(struct plan *plan)
{
	cleanup_close(&plan->netns);
	cleanup_close(&plan->pidfd);
	cleanup_close(&plan->image_fd);
	if (plan->mapped > 0)
		(void) munmap((void *) (uintptr_t) plan->image, plan->mapped);
	free(plan->compiled);
	state_free(plan->state);
	*plan = PLAN_EMPTY;
}
