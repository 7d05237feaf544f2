/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/runtime_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/choice.h"
#include "hook/document.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "netns/authority.h"
#include "oci/config.h"
#include "oci/prepare.h"

#define PROCESS_SIZE_MAX CONFIG_SIZE_MAX

/* What is read of a container to be created. */
struct creation {
	struct document document;
	struct json *json;
	struct config *config;
	struct plan plan; /* without a process: there is none yet */
};

static void clear_creation(struct creation *creation)
{
	plan_clear(&creation->plan);
	config_free(creation->config);
	json_free(creation->json);
	document_clear(&creation->document);
}

static int read_creation(const struct runtime_args *args, struct creation *creation, struct error *err)
{
	struct document *document = &creation->document;
	const char *bundle = args->bundle ? args->bundle : ".", *config = args->config;
	/* crun takes a name of the caller's own from where the caller is, but this one from the bundle. */
	bool own_name = config && strcmp(config, "config.json") != 0;
	int r = document_open(
		own_name ? NULL : bundle, own_name ? config : "config.json", CONFIG_SIZE_MAX, document, err);
	if (r == 0)
		r = json_parse(document->path, document->text, document->len, false, &creation->json, err);
	return r < 0 ? r : config_read(creation->json, &creation->config, err);
}

static int choose(const struct settings *settings, const char *policy, struct creation *creation, struct error *err)
{
	const struct config *config = creation->config;
	int r = 0;
	if (policy)
		r = choice_take(settings, "oci-egress-runtime@", policy, &creation->plan, err);
	else if (config->policy_annotation)
		r = choice_take_annotation(settings, config->policy_annotation, &creation->plan, err);
	else if (config->policy_env && settings->policy_from_env)
		r = choice_take(settings, "variable OCI_EGRESS_POLICY", config->policy_env, &creation->plan, err);
	return r < 0 ? r : choice_compile(settings, &creation->plan, err);
}

/* Engines give the bundle of a container with a user namespace to root of that, which owns nothing else. */
static uid_t container_root(const struct creation *creation)
{
	const struct json_value *linux_object = json_member(json_root(creation->json), "linux");
	const struct json_value *maps =
		linux_object && linux_object->kind == JSON_OBJECT ? json_member(linux_object, "uidMappings") : NULL;
	if (!maps || maps->kind != JSON_ARRAY)
		return 0;
	for (const struct json_value *map = maps->first; map; map = map->next) {
		if (map->kind != JSON_OBJECT)
			continue;
		const struct json_value *inner = json_member(map, "containerID"), *outer = json_member(map, "hostID");
		int64_t in, out;
		if (inner && outer && inner->kind == JSON_NUMBER && outer->kind == JSON_NUMBER &&
			json_int64(inner, &in) && json_int64(outer, &out) && in == 0 && out > 0 && out < UINT32_MAX)
			return (uid_t) out;
	}
	return 0;
}

static int check(const struct creation *creation, struct error *err)
{
	int r = document_trust(&creation->document, container_root(creation), err);
	if (r < 0)
		return r;
	char bundle[PATH_MAX];
	(void) snprintf(bundle, sizeof(bundle), "%s", creation->document.path);
	char *slash = strrchr(bundle, '/');
	if (slash)
		*slash = '\0';
	return choice_check(creation->config, slash ? bundle : ".", err);
}

void runtime_edit_expect_bouquet(const struct settings *settings, const struct image *image, struct bouquet *ret)
{
	struct in_addr proxy = settings->proxy;
	if (image && image->link == IMAGE_LINK_SOCKET)
		proxy.s_addr = htonl(INADDR_LOOPBACK);
	bouquet_make(image, proxy, settings->port, ret);
}

static int own_path(char ret[PATH_MAX], struct error *err)
{
	ssize_t len = readlink("/proc/self/exe", ret, PATH_MAX - 1);
	if (len < 0)
		return error_set(err, errno, "/proc/self/exe");
	ret[len] = '\0';
	if (access(ret, X_OK) < 0)
		return error_set(err, errno, "%s: is to be the container's hook", ret);
	return 0;
}

/* Where merged profiles are kept. Without it (-1) they are merged each time. */
static int open_profiles(const struct settings *settings)
{
	_cleanup_close_ int run = -1;
	char path[PATH_MAX + sizeof("/profiles")];
	int profiles;
	(void) snprintf(path, sizeof(path), "%s/profiles", settings->run);
	/* The run directory by itself first: as a parent it would be made for all to read. */
	if (rundir_open(settings->run, &run, NULL) < 0 || rundir_open(path, &profiles, NULL) < 0)
		return -1;
	return profiles;
}

static int edit_creation(const struct settings *settings, const struct creation *creation,
	const char *const hook_args[], char **ret, size_t *ret_len, struct error *err)
{
	struct bouquet bouquet;
	runtime_edit_expect_bouquet(settings, creation->plan.image, &bouquet);
	char program[PATH_MAX], prepared[PREPARE_FINGERPRINT_SIZE];
	int r = own_path(program, err);
	if (r < 0)
		return r;

	const char *const create_args[] = { "--policy", creation->plan.policy, "--prepared",
		prepare_fingerprint(&bouquet, prepared), NULL };
	const struct prepare_hook hook = { .program = program, .args = hook_args, .create_args = create_args };
	_cleanup_close_ int profiles = open_profiles(settings);
	return prepare_config(creation->json, &bouquet, &hook, profiles, ret, ret_len, err);
}

/* What CRIU restores has its variables and its filter, but the walls are the hook's. */
static int check_restore(const char *runtime, const struct runtime_args *args, struct error *err)
{
	const char *slash = strrchr(runtime, '/');
	if (!args->restores || strcmp(slash ? slash + 1 : runtime, "crun") != 0)
		return 0;
	return error_say(err, ENOTSUP,
		"crun runs no hook of a container that it restores, so that it would have no guard; start "
		"it anew, or restore it with runc");
}

int runtime_edit_create(const struct settings *settings, const char *runtime, const struct runtime_args *args,
	const char *policy, const char *const hook_args[], struct error *err)
{
	struct creation creation = { .document = DOCUMENT_EMPTY, .plan = PLAN_EMPTY };
	int r = read_creation(args, &creation, err);
	if (r == 0)
		r = choose(settings, policy, &creation, err);
	if (r == 0 && creation.plan.image) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		r = check_restore(runtime, args, err);
		if (r == 0)
			r = check(&creation, err);
		if (r == 0)
			r = edit_creation(settings, &creation, hook_args, &text, &len, err);
		if (r == 0)
			r = document_replace(&creation.document, text, len, err);
	}
	clear_creation(&creation);
	return r;
}

int runtime_edit_config(const struct settings *settings, const char *text, size_t len, const char *const hook_args[],
	char **ret, size_t *ret_len, struct error *err)
{
	struct creation creation = { .document = DOCUMENT_EMPTY, .plan = PLAN_EMPTY };
	int r = json_parse("config.json", text, len, false, &creation.json, err);
	if (r == 0)
		r = config_read(creation.json, &creation.config, err);
	if (r == 0)
		r = choose(settings, NULL, &creation, err);
	bool ours = r == 0 && creation.plan.image;
	if (ours)
		r = choice_check(creation.config, ".", err);
	if (r == 0 && ours)
		r = edit_creation(settings, &creation, hook_args, ret, ret_len, err);
	clear_creation(&creation);
	return r < 0 ? r : ours;
}

/* A process that joins */

/* The record of a container that lives. *ret->state is 0 where we know none of that id. */
static int find_record(const struct settings *settings, const char *id, struct record *ret, struct error *err)
{
	ret->state = 0;
	if (!state_id_valid(id, strlen(id)))
		return 0;
	if (access(settings->run, F_OK) < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", settings->run);
	_cleanup_close_ int run = -1;
	int r = rundir_open(settings->run, &run, err);
	if (r == 0)
		r = record_read(run, id, ret, err);
	if (r == -ENOENT) {
		ret->state = 0;
		return 0;
	}
	if (r == 0 && !record_alive(ret))
		ret->state = 0;
	return r;
}

/* Is one of the words behind the options, of which one may be an id, that of a container that we guard? */
static int check_doubt(
	const struct settings *settings, const struct runtime_args *args, int argc, char **argv, struct error *err)
{
	for (int i = args->id; args->doubt && i < argc; i++) {
		struct record record;
		int r = find_record(settings, argv[i], &record, err);
		if (r < 0)
			return r;
		if (record.state != 0)
			return error_say(err, EINVAL,
				"the runtime's option %s is unknown here: it cannot be told whether \"%s\" is its "
				"value or "
				"the container; write %s=VALUE",
				args->doubt, argv[args->id], args->doubt);
	}
	return 0;
}

/* As the policy is now; where it is no policy any more, as one that says nothing: all goes through the proxy. */
static void known_bouquet(const struct settings *settings, const struct record *record, struct bouquet *ret)
{
	struct plan plan = PLAN_EMPTY;
	bool known = choice_take(settings, "record", record->policy, &plan, NULL) == 0 &&
		     choice_compile(settings, &plan, NULL) == 0;
	bouquet_make(known ? plan.image : NULL, record->proxy, record->port, ret);
	plan_clear(&plan);
}

static int find_gated(const struct record *record, void *arg)
{
	const struct record *ours = arg;
	return record->gated && strcmp(record->key, ours->key) == 0 && record_alive(record);
}

/*
 * Does a capability of its own let a process that joins open a gate in the container's network namespace? Where none of
 * those in it was given a gate, there is none.
 */
static int check_authority(
	const struct settings *settings, struct record *record, const char *capability, struct error *err)
{
	if (!capability)
		return 0;
	char path[sizeof("/proc//ns/net") + 3 * sizeof(record->pid)];
	(void) snprintf(path, sizeof(path), "/proc/%d/ns/net", (int) record->pid);
	_cleanup_close_ int run = -1, netns = open(path, O_RDONLY | O_CLOEXEC);
	enum authority authority = AUTHORITY_ALL;
	if (netns < 0)
		return error_set(err, errno, "%s", path);
	int r = rundir_open(settings->run, &run, err);
	if (r == 0)
		r = record_each(run, find_gated, record, err);
	if (r <= 0)
		return r;
	r = authority_over(netns, record->pid, &authority, err);
	if (r == 0 && !record_alive(record))
		return error_say(err, ESRCH, "container %s has ended", record->id);
	if (r == 0 && authority != AUTHORITY_NONE)
		return error_say(err, EPERM,
			"%s over the network namespace of container %s, which has a gate, could open that; exec "
			"without it",
			capability, record->id);
	return r;
}

static int edit_process(const struct settings *settings, const char *path, struct record *record,
	const struct bouquet *bouquet, struct error *err)
{
	struct document document = DOCUMENT_EMPTY;
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = document_open(NULL, path, PROCESS_SIZE_MAX, &document, err);
	if (r == 0 && document.strange.code < 0) {
		*err = document.strange;
		r = err->code;
	}
	if (r == 0)
		r = json_parse(document.path, document.text, document.len, false, &json, err);
	const char *capability = NULL;
	if (r == 0)
		r = config_read_process(json, &capability, err);
	if (r == 0)
		r = check_authority(settings, record, capability, err);
	if (r == 0)
		r = prepare_process(json, bouquet, &text, &len, err);
	if (r == 0)
		r = document_replace(&document, text, len, err);
	document_clear(&document);
	return r;
}

int runtime_edit_exec(const struct settings *settings, const struct runtime_args *args, int argc, char **argv,
	struct bouquet *ret_bouquet, struct error *err)
{
	ret_bouquet->n = 0;
	if (args->id == 0)
		return 0;
	struct record record;
	int r = check_doubt(settings, args, argc, argv, err);
	if (r == 0)
		r = find_record(settings, argv[args->id], &record, err);
	if (r < 0 || record.state == 0 || record.state == RECORD_OPEN)
		return r;
	if (record.state == RECORD_STARTING)
		return error_say(err, EAGAIN, "container %s is only being started: a process would join it unguarded",
			record.id);

	r = check_authority(settings, &record, args->admin_capability, err);
	if (r < 0)
		return r;
	struct bouquet bouquet;
	known_bouquet(settings, &record, &bouquet);
	if (args->process)
		return edit_process(settings, args->process, &record, &bouquet, err);
	bouquet_leave_appended(&bouquet); /* of what is there runc knows, from config.json, and crun nothing */
	*ret_bouquet = bouquet;
	return 0;
}
