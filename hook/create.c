/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/create.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hook/arm.h"
#include "hook/gating.h"
#include "hook/launch.h"
#include "hook/openlog.h"
#include "hook/plan.h"
#include "hook/record.h"
#include "hook/rundir.h"
#include "hook/sweep.h"
#include "oci/bouquet.h"
#include "oci/prepare.h"
#include "oci/seccomp.h"

#define ARM_TIMEOUT_MS 10000

/* One container's start: what each step has made, for its undo. */
struct create {
	const struct settings *settings;
	const struct create_order *order;
	struct launch_place place;
	struct timings *timings;
	struct plan plan;
	struct record record;
	int lock;
	struct gating gating;
	struct link link;
	bool joined;    /* a keeper that was there */
	bool made_link; /* by us, not by a sibling; we hold its listener beside the keeper, until nothing is to be
			   undone */
	struct launch launch;
	bool prepared; /* config.json has the bouquet for this very link, and the filter */
	struct sock_fprog filter;
	struct arm arm;
};

static enum link_kind link_kind(const struct image *image)
{
	switch (image->link) {
	case IMAGE_LINK_VETH:
		return LINK_VETH;
	case IMAGE_LINK_SOCKET:
		return LINK_SOCKET;
	default:
		return LINK_AUTO;
	}
}

/* What cannot be written down cannot be guarded, nor said to be unguarded: always closed. */
static int reserve(struct create *c, struct error *err)
{
	const struct plan *plan = &c->plan;
	struct record *record = &c->record;

	*record = (struct record){
		.state = RECORD_STARTING,
		.pid = plan->pid,
		.start_time = plan->start_time,
		.since = (int64_t) time(NULL),
	};
	(void) snprintf(record->id, sizeof(record->id), "%s", plan->state->id);
	(void) snprintf(record->log, sizeof(record->log), "%s", plan->state->id);
	naming_read(plan->state, &record->names);
	(void) snprintf(record->policy, sizeof(record->policy), "%s", plan->policy);
	memcpy(record->key, plan->key, sizeof(record->key));
	(void) snprintf(
		record->fingerprint, sizeof(record->fingerprint), "%016" PRIx64, image_fingerprint(plan->image));

	int r = rundir_open(c->settings->run, &c->place.run, err);
	if (r == 0)
		r = rundir_lock(c->place.run, plan->key, &c->lock, err);
	if (r == 0)
		r = record_reserve(c->place.run, record, err);
	return r < 0 ? error_close(err) : r;
}

static int make_link(struct create *c, struct error *err)
{
	const struct link_config config = {
		.kind = link_kind(c->plan.image),
		.proxy = c->settings->proxy,
		.container = c->settings->container,
		.prefix = c->settings->prefix,
		.port = c->settings->port,
	};
	int r = link_make(c->plan.netns, &config, &c->link, err);
	if (r < 0)
		return error_wrap(err, "link");
	c->made_link = true;
	return 0;
}

static int write_link(struct create *c, struct error *err)
{
	const struct rundir_link link = {
		.kind = c->link.kind,
		.proxy = c->link.proxy,
		.container = c->link.container,
		.port = c->link.port,
		.keeper = c->launch.keeper,
	};
	return rundir_write_link(c->lock, &link, err);
}

struct siblings {
	const struct record *ours;
	struct record rival; /* one that has another policy */
	bool any;
};

static int find_sibling(const struct record *record, void *arg)
{
	struct siblings *siblings = arg;
	const struct record *ours = siblings->ours;
	if (strcmp(record->key, ours->key) != 0 || strcmp(record->id, ours->id) == 0 ||
		record->state != RECORD_GUARDED || !record_alive(record))
		return 0;
	siblings->any = true;
	if (strcmp(record->policy, ours->policy) != 0)
		siblings->rival = *record;
	return 0;
}

/*
 * Guarded containers in our namespace share its link, proxy and gate with us: with another policy, one of us would have
 * the other's egress. A keeper that is there says the same; one that was killed leaves nobody who would.
 */
static int check_siblings(const struct create *c, bool *ret_any, struct error *err)
{
	struct siblings siblings = { .ours = &c->record };
	int r = record_each(c->place.run, find_sibling, &siblings, err);
	*ret_any = siblings.any;
	if (r == 0 && siblings.rival.id[0] != '\0')
		r = error_say(err, EEXIST,
			"container %s in this network namespace has another policy, %s, than this one, %s: they would "
			"come "
			"by each other's egress; containers that share a network namespace share a policy",
			siblings.rival.id, siblings.rival.policy, c->record.policy);
	return r < 0 ? error_close(err) : 0;
}

/* A namespace that has a keeper, or had one: what goes wrong there can be a sibling's doing. */
static int join_keeper(struct create *c, struct error *err)
{
	struct rundir_link link;
	bool siblings;
	int r = gating_check(&c->plan, true, &c->gating, err);
	if (r == 0)
		r = check_siblings(c, &siblings, err);
	if (r == 0)
		r = rundir_read_link(c->lock, &link, err);
	if (r == 0) {
		c->link = (struct link){
			.kind = link.kind,
			.listener = -1,
			.proxy = link.proxy,
			.container = link.container,
			.port = link.port,
		};
		r = launch_prove(&c->launch, &c->plan, &c->link, err);
	}
	if (r == 0) /* not before the keeper has said that it is the same policy */
		r = gating_raise(&c->plan, &c->gating, err);
	return r;
}

/* Everything of arming that can be done before its turn comes. */
static int prepare_arms(struct create *c, struct error *err)
{
	struct bouquet bouquet;
	bouquet_make(c->plan.image, c->link.proxy, c->link.port, &bouquet);
	char fingerprint[PREPARE_FINGERPRINT_SIZE];
	c->prepared = c->order->prepared && strcmp(c->order->prepared, prepare_fingerprint(&bouquet, fingerprint)) == 0;
	if (c->prepared)
		return 0;

	int r = seccomp_filter_get(&c->filter, err);
	if (r < 0)
		return error_wrap(err, "seccomp filter");
	const struct arm_request request = {
		.pid = c->plan.pid,
		.pidfd = c->plan.pidfd,
		.filter = &c->filter,
		.bouquet = &bouquet,
		.has_seccomp_profile = c->plan.has_seccomp_profile,
	};
	return arm_prepare(&request, &c->arm, err);
}

/*
 * The keeper and its worker come up while we do the rest. What is refused for its namespace is refused before that: an
 * external proxy is somebody's command.
 */
static int start_keeper(struct create *c, bool had_keeper, struct error *err)
{
	int r = gating_check(&c->plan, false, &c->gating, err);
	timings_mark(c->timings, "check");
	if (r == 0)
		r = launch_start(&c->place, &c->plan, &c->launch, err);
	timings_mark(c->timings, "spawn");
	if (r == 0)
		r = make_link(c, err);
	if (r == 0)
		r = launch_listen(&c->launch, &c->link, err);
	if (r == 0)
		r = write_link(c, err);
	timings_mark(c->timings, "link");
	if (r == 0)
		r = prepare_arms(c, err);
	sweep_run(c->place.run);
	bool siblings;
	int rivals = check_siblings(c, &siblings, r == 0 ? err : NULL);
	if (r == 0)
		r = rivals;
	timings_mark(c->timings, "prepare");
	if (r == 0)
		r = gating_raise(&c->plan, &c->gating, err);
	timings_mark(c->timings, "gate");
	if (r == 0)
		r = launch_prove(&c->launch, &c->plan, &c->link, err);
	return r < 0 && (had_keeper || siblings) ? error_close(err) : r;
}

static int take_log(const struct record *record, void *arg)
{
	struct record *ours = arg;
	if (record->state != RECORD_GUARDED || strcmp(record->key, ours->key) != 0 || record->log[0] == '\0' ||
		strcmp(record->id, ours->id) == 0 || !record_alive(record))
		return 0;
	(void) snprintf(ours->log, sizeof(ours->log), "%s", record->log);
	return 1;
}

static int connect_proxy(struct create *c, struct error *err)
{
	int r = launch_find(&c->place, &c->plan, &c->launch, err);
	if (r == 0) {
		c->joined = true;
		r = join_keeper(c, err);
		if (r == 0)
			r = prepare_arms(c, err);
		if (r == 0 && record_each(c->place.run, take_log, &c->record, err) < 0)
			r = err->code;
	} else if (r == -ENOENT || r == -EEXIST) {
		bool had_keeper = r == -EEXIST;
		rundir_remove_socket(c->place.run, c->plan.key);
		r = start_keeper(c, had_keeper, err);
	} else {
		(void) error_close(err); /* there is one, which does not answer */
	}
	timings_mark(c->timings, "proxy");
	return r;
}

static int arm_and_commit(struct create *c, struct error *err)
{
	int r = c->prepared ? 0 : arm_start(&c->arm, ARM_TIMEOUT_MS, err);
	timings_mark(c->timings, "arm");
	if (r < 0)
		return error_wrap(err, "arm process %d", (int) c->plan.pid);

	/* From here on everything is closed: the filter cannot be taken back. */
	c->record.state = RECORD_GUARDED;
	c->record.link = c->link.kind;
	c->record.proxy = c->link.proxy;
	c->record.port = c->link.port;
	c->record.gated = c->gating.wanted;
	r = record_write(c->place.run, &c->record, err);
	if (r == 0)
		r = launch_commit(&c->launch, err);
	if (r < 0)
		return error_close(err);
	r = c->prepared ? 0 : arm_commit(&c->arm, err);
	timings_mark(c->timings, "commit");
	if (r == 0 && naming_known(&c->record.names))
		openlog_write_names(c->place.log, &c->record);
	return r;
}

static int guard(struct create *c, struct error *err)
{
	int r = connect_proxy(c, err);
	if (r == 0)
		r = arm_and_commit(c, err);
	/* What config.json gives the container is there, guarded or not: open would be half of it. */
	return r < 0 && (c->joined || c->order->prepared) ? error_close(err) : r;
}

/* In reverse. */
static void undo(struct create *c)
{
	bool our_keeper = c->launch.keeper > 0;
	arm_abort(&c->arm);
	launch_undo(&c->launch);
	if (c->made_link)
		link_undo(c->plan.netns, &c->link);
	gating_undo(&c->plan, &c->gating);
	/* What the killed keeper was about to execute may hold its socket for a moment longer, so that it seems to
	 * live. */
	if (our_keeper)
		rundir_remove_key(c->place.run, c->plan.key);
	else
		sweep_key(c->place.run, c->plan.key);
}

/* The container starts as if we were not installed, and that is said in three places: syslog, its log and status. */
static int start_open(struct create *c, const struct error *why)
{
	struct error err;
	c->record.state = RECORD_OPEN;
	(void) snprintf(c->record.reason, sizeof(c->record.reason), "%s", why->msg);
	if (record_write(c->place.run, &c->record, &err) < 0) {
		log_error("container %s: %s; and it cannot be written down that it would start unguarded, so it does "
			  "not start: %s",
			c->record.id, why->msg, err.msg);
		record_remove(c->place.run, c->record.id);
		return 1;
	}
	openlog_write(c->place.log, &c->record);
	log_warning("container %s starts WITHOUT A GUARD, as on_failure \"open\" of policy %s has it: %s", c->record.id,
		c->record.policy, why->msg);
	return 0;
}

static int fail(struct create *c, const struct error *err)
{
	if (!err->closed && c->plan.image->on_failure == IMAGE_ON_FAILURE_OPEN)
		return start_open(c, err);
	log_error("container %s does not start: %s", c->record.id, err->msg);
	if (c->record.state != 0)
		record_remove(c->place.run, c->record.id);
	return 1;
}

/* For this very container: by another hook of ours, as when hooks.d has one, beside the wrapper's. */
static int called_before(const struct create *c)
{
	if (!c->order->policy || strcmp(c->record.policy, c->plan.policy) == 0)
		return 0;
	log_error("container %s does not start: it is to have policy %s, and another hook has given it %s",
		c->record.id, c->plan.policy, c->record.policy);
	return 1;
}

static int run(struct create *c, const char *state, size_t len)
{
	struct error err;
	int r = plan_make(c->settings, c->order->policy, state, len, &c->plan, &err);
	timings_mark(c->timings, "plan");
	if (r < 0) {
		log_error("container %s does not start: %s", c->plan.state ? c->plan.state->id : "(unknown)", err.msg);
		return 1;
	}
	if (!c->plan.image)
		return 0;

	r = reserve(c, &err);
	timings_mark(c->timings, "record");
	if (r > 0)
		return called_before(c);
	if (r < 0) {
		log_error("container %s does not start: %s", c->plan.state->id, err.msg);
		if (c->lock >= 0)
			sweep_key(c->place.run, c->plan.key);
		return 1;
	}

	r = guard(c, &err);
	if (r == 0)
		return 0;
	undo(c);
	return fail(c, &err);
}

int create_run(const struct settings *settings, const char *keeper, const struct create_order *order, const char *state,
	size_t len, struct timings *timings)
{
	struct create c = {
		.settings = settings,
		.order = order,
		.place = { .run = -1,
			.log = settings->log,
			.state = settings->state,
			.keeper = keeper,
			.on_failure = settings->on_failure },
		.timings = timings,
		.plan = PLAN_EMPTY,
		.lock = -1,
		.link = { .listener = -1 },
		.launch = LAUNCH_EMPTY,
		.arm = ARM_NONE,
	};
	int status = run(&c, state, len);

	seccomp_filter_free(&c.filter);
	launch_clear(&c.launch);
	link_release(&c.link);
	cleanup_close(&c.lock);
	cleanup_close(&c.place.run);
	plan_clear(&c.plan);
	return status;
}
