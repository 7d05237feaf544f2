/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/idmap.h"
#include "hook/bundle.h"
#include "hook/choice.h"
#include "hook/process.h"
#include "hook/trusted.h"
#include "netns/netns.h"
#include "oci/annotation.h"
#include "oci/config.h"

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
	char bundle[PATH_MAX], path[PATH_MAX];
	int r = bundle_find(state->bundle, bundle, err);
	if (r < 0)
		return r;
	if ((size_t) snprintf(path, sizeof(path), "%s/config.json", bundle) >= sizeof(path))
		return error_set(err, ENAMETOOLONG, "bundle %.64s...", bundle);

	_cleanup_close_ int dir = -1;
	r = trusted_open_dir_of(bundle, container_root(state->pid), &dir, err);
	if (r < 0)
		return error_wrap(err, "bundle");

	_cleanup_free_ char *text = NULL;
	size_t len;
	r = trusted_read(dir, "config.json", path, CONFIG_SIZE_MAX, &text, &len, err);
	return r < 0 ? r : config_parse(path, text, len, ret, err);
}

/* Which policy? Leaves plan->policy empty where none is meant. *config is read only where somebody needs it. */
static int choose_policy(const struct settings *settings, const char *fixed, struct plan *plan, struct config **config,
	struct error *err)
{
	if (fixed)
		return choice_take(settings, "--policy", fixed, plan, err);
	const char *name = state_annotation(plan->state, ANNOTATION_POLICY);
	if (name)
		return choice_take_annotation(settings, name, plan, err);
	if (!settings->policy_from_env)
		return 0;
	int r = read_config(plan->state, config, err);
	if (r == 0 && (*config)->policy_env)
		r = choice_take(settings, "variable OCI_EGRESS_POLICY", (*config)->policy_env, plan, err);
	return r;
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

/*
 * Engines that move interfaces in when a container has been created, by where they keep their bundles: Docker from 28
 * on, and its builds; containerd, whose clients wire a task that is there (ctr --cni).
 */
static bool is_wired_late(const char *bundle)
{
	static const char *const places[] = { "/moby/", "/io.containerd.", "/containerd/", "/buildkit/" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (strstr(bundle, places[i]))
			return true;
	return false;
}

static bool is_of_a_pod(const struct state *state)
{
	for (size_t i = 0; i < state->n_annotations; i++)
		if (strncmp(state->annotations[i].key, "io.kubernetes.", strlen("io.kubernetes.")) == 0)
			return true;
	return false;
}

/*
 * What has no path is made by the runtime, with nothing in it; who would wire it must know of it first. podman does,
 * after all hooks, where the container has a user namespace, which is to own the network's; else it makes the namespace
 * beforehand.
 */
static int find_if_it_may_gain(struct plan *plan, const struct config *config, struct error *err)
{
	char bundle[PATH_MAX];
	int r = bundle_find(plan->state->bundle, bundle, err);
	if (r < 0)
		return r;
	plan->may_gain_interfaces = config->has_network_path || config->has_user_namespace || is_wired_late(bundle) ||
				    is_of_a_pod(plan->state);
	return 0;
}

static int make(const struct settings *settings, const char *policy, const char *state_text, size_t len,
	struct plan *plan, struct config **config, struct error *err)
{
	int r = state_parse(state_text, len, &plan->state, err);
	if (r < 0)
		return r;
	r = choose_policy(settings, policy, plan, config, err);
	if (r < 0)
		return r;
	r = choice_compile(settings, plan, err);
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
	r = choice_check(*config, plan->state->bundle, err);
	if (r < 0)
		return r;
	plan->has_seccomp_profile = (*config)->has_seccomp;
	plan->admin_capability = (*config)->admin_capability;
	r = find_if_it_may_gain(plan, *config, err);
	return r < 0 ? r : open_process(plan, err);
}

int plan_make(const struct settings *settings, const char *policy, const char *state_text, size_t len, struct plan *ret,
	struct error *err)
{
	struct config *config = NULL;
	int r = make(settings, policy, state_text, len, ret, &config, err);
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
