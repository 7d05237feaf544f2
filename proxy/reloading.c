/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/reloading.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "oci/imagefile.h"
#include "oci/imageversion.h"
#include "proxy/hostsfile.h"
#include "proxy/inherited.h"
#include "proxy/keeping.h"
#include "proxy/resolvconf.h"

/* A file that is being written is left alone until nothing has come for a moment, and for so long at most. */
#define SETTLE_MS 50
#define SETTLE_MAX_MS 500

/* What a worker has for a review: it is a moment's work, even of a hundred thousand connections. */
#define REVIEW_TIMEOUT_MS 10000

#define TRIES_MAX 5

/* How long to wait for what others compile, before another look: twice as long each time. */
#define WAIT_MIN_MS 16
#define WAIT_MAX_MS 512

_Static_assert(SETTLE_MS > STAMP_SETTLED_MS, "a version that is compiled has settled");

bool reloading_is_busy(const struct keeper *keeper)
{
	return keeper->reloading.compiling.answer >= 0 || keeper->reloading.offered;
}

bool reloading_is_due(const struct keeper *keeper)
{
	return keeper->reloading.due_ms != INT64_MAX;
}

static bool same_text(const struct image *a, struct image_text in_a, const struct image *b, struct image_text in_b)
{
	return in_a.len == in_b.len && memcmp(image_string(a, in_a), image_string(b, in_b), in_a.len) == 0;
}

/* Would the external proxy be started in the same way by both? */
static bool same_external(const struct image *a, const struct image *b)
{
	const struct image_text *argv_a = image_records(a, a->external.argv),
				*argv_b = image_records(b, b->external.argv);
	if (a->external.argv.count != b->external.argv.count || a->external.port != b->external.port ||
		!same_text(a, a->external.user, b, b->external.user))
		return false;
	for (uint32_t i = 0; i < a->external.argv.count; i++)
		if (!same_text(a, argv_a[i], b, argv_b[i]))
			return false;
	return true;
}

/* FNV-1a: of what root has written twice. */
uint64_t reloading_gate(const struct image *image)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ image->inbound ^ (uint64_t) image->gate << 32;
	const struct image_network *direct = image_records(image, image->direct);
	for (uint32_t i = 0; i < image->direct.count; i++) {
		hash = (hash ^ direct[i].family ^ (uint64_t) direct[i].prefix << 16) * UINT64_C(0x100000001b3);
		for (size_t j = 0; j < sizeof(direct[i].bytes); j++)
			hash = (hash ^ direct[i].bytes[j]) * UINT64_C(0x100000001b3);
	}
	return hash;
}

void reloading_init(struct keeper *keeper, const char *stamp, const char *on_failure)
{
	struct reloading *reloading = &keeper->reloading;
	*reloading = (struct reloading){
		.on_failure = on_failure,
		.names = {
			{ "/etc/resolv.conf", KEEPER_FD_RESOLV_CONF, CHANNEL_RESOLV_CONF, RESOLVCONF_SIZE_MAX, "" },
			{ "/etc/hosts", KEEPER_FD_HOSTS, CHANNEL_HOSTS, HOSTSFILE_SIZE_MAX, "" },
		},
		.watching = WATCHING_INIT,
		.compiling = COMPILING_INIT,
		.due_ms = INT64_MAX,
		.offered_fd = -1,
		.link = keeper->image->link,
		.gate = reloading_gate(keeper->image),
		.since = (int64_t) time(NULL),
	};
	(void) snprintf(reloading->stamp, sizeof(reloading->stamp), "%s", stamp);
}

static const char *policy_file(const struct keeper *keeper)
{
	return image_string(keeper->image, keeper->image->file);
}

void reloading_begin(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	struct watching *watching = &reloading->watching;
	struct error err;
	int r = watching_open(watching, &err);
	if (r == 0)
		r = watching_add(watching, policy_file(keeper), 2, &err);
	for (size_t i = 0; i < ARRAY_SIZE(reloading->names) && r == 0; i++)
		r = watching_add(watching, reloading->names[i].path, 1, &err);
	if (r < 0)
		log_warning(
			"network namespace %s: changes are seen by oci-egress reload alone: %s", keeper->key, err.msg);
	reloading->due_ms = clock_now_ms();
}

void reloading_ask(struct keeper *keeper)
{
	keeper->reloading.due_ms = clock_now_ms();
}

void reloading_doubt(struct keeper *keeper)
{
	keeper->reloading.stamp[0] = '\0';
	reloading_ask(keeper);
}

bool reloading_is_overtaken(const struct keeper *keeper, const struct image *image)
{
	return image_fingerprint(image) == keeper->reloading.before;
}

void reloading_on_change(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	int64_t now = clock_now_ms();
	watching_take(&reloading->watching);
	if (reloading->first_ms == 0)
		reloading->first_ms = now;
	int64_t latest = reloading->first_ms + SETTLE_MAX_MS;
	reloading->due_ms = now + SETTLE_MS < latest ? now + SETTLE_MS : latest;
}

static void log_policy(struct keeper *keeper, uint32_t ended, const char *error)
{
	builtin_log_policy(&keeper->builtin, ended, error);
	retiring_rotate_log(keeper, NULL);
}

static void fail(struct keeper *keeper, const struct error *err)
{
	struct reloading *reloading = &keeper->reloading;
	reloading->failure = *err;
	log_warning("network namespace %s: policy %s stays as it was: %s", keeper->key,
		image_string(keeper->image, keeper->image->name), err->msg);
	log_policy(keeper, 0, err->msg);
	server_on_reload(keeper);
}

static void settle(struct keeper *keeper)
{
	keeper->reloading.failure = (struct error){ 0 };
	server_on_reload(keeper);
}

/* -- the names -- */

static void look_at_names(struct keeper *keeper, struct names_file *file)
{
	struct error err;
	size_t len = 0;
	int r = names_look(file, &len, &err);
	if (r < 0)
		log_warning("network namespace %s: %s; the one before goes on", keeper->key, err.msg);
	if (r <= 0)
		return;
	int fd = inherited_fd(file->fd);
	if (builtin_tell(&keeper->builtin, file->type, fd, (uint32_t) len) < 0)
		builtin_kill(&keeper->builtin); /* the next one is started with it */
	retiring_tell(keeper, file->type, fd, (uint32_t) len);
}

/* -- the policy -- */

/* Takes fd over. */
static int take_image(struct keeper *keeper, int fd, struct error *err)
{
	_cleanup_close_ int own = fd;
	const struct image *image;
	size_t len;
	int r = imagefile_map(own, &image, &len, err);
	if (r < 0)
		return r;
	bool same = image_fingerprint(image) == image_fingerprint(keeper->image);
	if (!same)
		r = reloading_offer(keeper, image, len, own, err);
	if (!same && r == 0) {
		(void) TAKE_FD(own);
		return 0;
	}
	(void) munmap((void *) (uintptr_t) image, len);
	if (r == 0)
		settle(keeper);
	return r;
}

/* What others have compiled already, or found to be wrong. 0: nothing; 1: taken; -errno: what is wrong with it. */
static int take_ready(struct keeper *keeper, int images, const struct stat *st, struct error *err)
{
	bool open = strcmp(keeper->reloading.on_failure, "open") == 0;
	char version[IMAGEVERSION_NAME_SIZE];
	int fd;
	imageversion_name(st, open ? IMAGE_ON_FAILURE_OPEN : IMAGE_ON_FAILURE_CLOSED, version);
	if (imageversion_open(images, version, image_string(keeper->image, keeper->image->name), &fd, NULL) < 0)
		return imageversion_read_failure(images, version, err);
	int r = take_image(keeper, fd, err);
	return r < 0 ? r : 1;
}

/* False: somebody compiles it now. The compiler has the descriptor too, and so the lock until it has ended. */
static bool lock(int images)
{
	return flock(images, LOCK_EX | LOCK_NB) == 0;
}

/* Another look, of each keeper at a time of its own. False: it has waited for long enough. */
static bool wait_for(struct reloading *reloading, int unsettled_ms)
{
	int64_t now = clock_now_ms();
	if (reloading->wait_ms == 0) {
		reloading->wait_ms = WAIT_MIN_MS;
		reloading->wait_end_ms = now + COMPILING_TIMEOUT_MS;
	}
	if (now >= reloading->wait_end_ms)
		return false;
	reloading->stamp[0] = '\0';
	reloading->due_ms = now + unsettled_ms + reloading->wait_ms + getpid() % reloading->wait_ms;
	if (unsettled_ms == 0 && reloading->wait_ms < WAIT_MAX_MS)
		reloading->wait_ms *= 2;
	return true;
}

static int start_compiler(struct keeper *keeper, int images, struct error *err)
{
	struct reloading *reloading = &keeper->reloading;
	int program = inherited_fd(KEEPER_FD_COMPILER);
	if (program < 0)
		return error_say(err, ENOENT, "there is no oci-egress to compile it");
	return compiling_start(
		&reloading->compiling, program, KEEPER_FD_RUN, images, keeper->image, reloading->on_failure, err);
}

/*
 * All keepers of a policy, of which there may be a thousand, see its change in the same moment: one compiles, and the
 * others wait for what comes of that, rather than for the lock in a thousand processes.
 */
static int take_version(struct keeper *keeper, const struct stat *st, struct error *err)
{
	struct reloading *reloading = &keeper->reloading;
	_cleanup_close_ int images =
		imageversion_open_directory(KEEPER_FD_RUN, image_string(keeper->image, keeper->image->name), err);
	if (images < 0)
		return images;
	int unsettled_ms = imageversion_unsettled_ms(st);
	int r = unsettled_ms > 0 ? 0 : take_ready(keeper, images, st, err);
	if (r == 0 && (unsettled_ms > 0 || !lock(images)) && wait_for(reloading, unsettled_ms))
		return 0;
	reloading->wait_ms = 0;
	return r == 0 ? start_compiler(keeper, images, err) : r;
}

static void look_at_policy(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	char stamp[STAMP_SIZE] = STAMP_NONE;
	struct stat st;
	struct error err;
	int r = stat(policy_file(keeper), &st) < 0 ? -errno : 0;
	if (r == 0)
		stamp_make(&st, stamp);
	bool is_new = strcmp(stamp, reloading->stamp) != 0;
	bool again = reloading->failure.code != 0 && server_awaits_reload(&keeper->server);
	if (!is_new && !again) {
		server_on_reload(keeper);
		return;
	}
	memcpy(reloading->stamp, stamp, sizeof(stamp));
	r = r < 0 ? error_say(&err, ENOENT, "%s: is gone", policy_file(keeper)) : take_version(keeper, &st, &err);
	if (r < 0)
		fail(keeper, &err);
}

static void look(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	reloading->due_ms = INT64_MAX;
	reloading->first_ms = 0;
	server_on_look(keeper);
	for (size_t i = 0; i < ARRAY_SIZE(reloading->names); i++) {
		if (reloading->watching.signals >= 0) /* it may be a link that leads elsewhere now */
			(void) watching_add(&reloading->watching, reloading->names[i].path, 1, NULL);
		look_at_names(keeper, &reloading->names[i]);
	}
	look_at_policy(keeper);
}

uint32_t reloading_needs(const struct keeper *keeper)
{
	const struct reloading *reloading = &keeper->reloading;
	const struct image *image = keeper->image;
	uint32_t bits = 0;
	if (image->link != reloading->link)
		bits |= CONTROL_NEEDS_LINK;
	if (keeper->external.image && !same_external(keeper->external.image, image))
		bits |= CONTROL_NEEDS_PROXY;
	if (image->limits.connections > keeper->builtin.n_slots)
		bits |= CONTROL_NEEDS_CONNECTIONS;
	if (image->limits.log_bytes > keeper->builtin.log_bytes)
		bits |= CONTROL_NEEDS_LOG_BYTES;
	if (reloading_gate(image) != reloading->gate)
		bits |= CONTROL_NEEDS_GATE;
	return bits;
}

void reloading_follow_gate(struct keeper *keeper, uint64_t gate)
{
	keeper->reloading.gate = gate;
	keeper->reloading.needs = reloading_needs(keeper);
}

static void adopt(struct keeper *keeper, uint32_t ended)
{
	struct reloading *reloading = &keeper->reloading;
	const struct image *before = keeper->image;
	int r = inherited_put(KEEPER_FD_IMAGE, reloading->offered_fd);
	if (r < 0) /* else the next worker would have the version before */
		log_error("network namespace %s: keep the new policy: %s", keeper->key, strerror(-r));
	close(reloading->offered_fd);
	reloading->offered_fd = -1;

	reloading->before = image_fingerprint(before);
	keeper->image = reloading->offered;
	builtin_follow(&keeper->builtin, keeper->image);
	retiring_follow(keeper);
	reloading->offered = NULL;
	reloading->reviews = 0;
	reloading->needs = reloading_needs(keeper);
	reloading->count++;
	reloading->since = (int64_t) time(NULL);
	if (before != keeper->external.image)
		(void) munmap((void *) (uintptr_t) before, before->size);
	log_policy(keeper, ended, NULL);
	/* One that a hook has brought in doubt, or amid a compilation, is not what anybody waits for. */
	if (reloading->stamp[0] != '\0' && reloading->compiling.answer < 0)
		settle(keeper);
}

/* One that is offered already is overtaken. */
static void withdraw(struct reloading *reloading)
{
	if (!reloading->offered)
		return;
	(void) munmap((void *) (uintptr_t) reloading->offered, reloading->offered_len);
	close(reloading->offered_fd);
	reloading->offered = NULL;
	reloading->offered_fd = -1;
}

void reloading_stop(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	compiling_stop(&reloading->compiling);
	withdraw(reloading);
	reloading->reviews = 0;
	reloading->due_ms = INT64_MAX;
}

int reloading_offer(struct keeper *keeper, const struct image *image, size_t len, int fd, struct error *err)
{
	struct reloading *reloading = &keeper->reloading;
	if (image->proxy != keeper->image->proxy)
		return error_say(err, EEXIST,
			"%s: proxy: was changed between builtin and external, which needs a new container (network "
			"namespace)",
			policy_file(keeper));
	int r = builtin_tell(&keeper->builtin, CHANNEL_POLICY, fd, image->size);
	if (r < 0)
		builtin_kill(&keeper->builtin);
	retiring_tell(keeper, CHANNEL_POLICY, fd, image->size);
	withdraw(reloading);
	reloading->offered = image;
	reloading->offered_len = len;
	reloading->offered_fd = fd;
	reloading->offered_end_ms = clock_now_ms() + REVIEW_TIMEOUT_MS;
	reloading->reviews += r > 0;
	if (r == 0)
		adopt(keeper, 0);
	return 0;
}

static int take_compiled(struct keeper *keeper, const char *name, struct error *err)
{
	char path[NAME_MAX + 1];
	int fd;
	(void) snprintf(path, sizeof(path), "images/%s", name);
	int r = imagefile_open(KEEPER_FD_RUN, path, path, &fd, err);
	return r < 0 ? r : take_image(keeper, fd, err);
}

void reloading_on_compiler(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	const char *name;
	struct error err;
	if (reloading->compiling.answer < 0)
		return;
	int r = compiling_look(&reloading->compiling, &name, &err);
	if (r == 0)
		return;
	if (r > 0)
		r = take_compiled(keeper, name, &err);
	if (r == -ENOENT && ++reloading->tries < TRIES_MAX) {
		reloading->stamp[0] = '\0'; /* a newer version has taken its place in between */
		reloading->due_ms = clock_now_ms();
		return;
	}
	reloading->tries = 0;
	if (r < 0)
		fail(keeper, &err);
}

void reloading_on_review(struct keeper *keeper, uint32_t ended)
{
	struct reloading *reloading = &keeper->reloading;
	if (reloading->offered && reloading->reviews > 0 && --reloading->reviews == 0)
		adopt(keeper, ended);
}

void reloading_on_worker_gone(struct keeper *keeper)
{
	if (keeper->reloading.offered)
		adopt(keeper, 0);
}

void reloading_advance(struct keeper *keeper)
{
	struct reloading *reloading = &keeper->reloading;
	int64_t now = clock_now_ms();
	if (reloading->compiling.answer >= 0 && now >= reloading->compiling.end_ms)
		reloading_on_compiler(keeper);
	if (reloading->offered && now >= reloading->offered_end_ms) {
		reloading->offered_end_ms = INT64_MAX;
		builtin_kill(&keeper->builtin);
	}
	if (keeper->state != CONTROL_STATE_FAILED && !reloading_is_busy(keeper) && now >= reloading->due_ms)
		look(keeper);
}

int64_t reloading_next_ms(const struct keeper *keeper)
{
	const struct reloading *reloading = &keeper->reloading;
	if (reloading->compiling.answer >= 0)
		return reloading->compiling.end_ms;
	if (reloading->offered)
		return reloading->offered_end_ms;
	return keeper->state == CONTROL_STATE_FAILED ? INT64_MAX : reloading->due_ms;
}

void reloading_status(const struct keeper *keeper, struct control_status *status)
{
	const struct reloading *reloading = &keeper->reloading;
	if (!keeper->image)
		return;
	status->policy_version = image_fingerprint(keeper->image);
	status->policy_since = reloading->since;
	status->reloads = reloading->count;
	status->needs = reloading->needs;
	if (reloading->failure.code != 0)
		(void) snprintf(status->reload_error, sizeof(status->reload_error), "%.*s",
			(int) sizeof(status->reload_error) - 1, reloading->failure.msg);
}
