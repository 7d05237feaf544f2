/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/retiring.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/inherited.h"
#include "proxy/keeping.h"

#define READY_TIMEOUT_MS 10000

static bool is_under_way(const struct retiring *retiring)
{
	return retiring->program >= 0;
}

/* What every worker's RLIMIT_FSIZE has room for: one that sees its log full before we do would wait for ever. */
static void limit_log(struct keeper *keeper)
{
	struct logfile *log = &keeper->log;
	log->max_bytes = keeper->image->limits.log_bytes;
	if (keeper->builtin.log_bytes < log->max_bytes)
		log->max_bytes = keeper->builtin.log_bytes;
	for (size_t i = 0; i < keeper->retiring.n; i++)
		if (keeper->retiring.v[i].log_bytes < log->max_bytes)
			log->max_bytes = keeper->retiring.v[i].log_bytes;
}

int retiring_begin(struct keeper *keeper, int program, struct error *err)
{
	struct retiring *retiring = &keeper->retiring;
	if (keeper->state != CONTROL_STATE_RUNNING || !keeper->builtin.ready || keeper->reloading.offered)
		return error_say(err, EAGAIN, "the worker is busy coming up, or with a new policy: try again");
	if (is_under_way(retiring))
		return error_say(err, EBUSY, "a restart is under way");
	if (retiring->n >= RETIRING_MAX)
		return error_say(err, EBUSY, "%d workers before this one still have connections open", RETIRING_MAX);

	struct builtin before = keeper->builtin;
	int r = builtin_renew(&keeper->builtin, program, err);
	if (r == 0) {
		r = builtin_start(&keeper->builtin, err);
		if (r < 0)
			builtin_forget(&keeper->builtin);
	}
	if (r < 0) {
		keeper->builtin = before;
		return r;
	}
	retiring->v[retiring->n++] = before;
	retiring->program = program;
	retiring->end_ms = clock_now_ms() + READY_TIMEOUT_MS;
	builtin_cancel_probe(&before);
	server_on_worker_gone(&keeper->server);
	limit_log(keeper);
	return 0;
}

static void over(struct retiring *retiring)
{
	close(retiring->program);
	retiring->program = -1;
}

void retiring_on_ready(struct keeper *keeper)
{
	struct retiring *retiring = &keeper->retiring;
	if (!is_under_way(retiring))
		return;
	(void) inherited_put(KEEPER_FD_PROGRAM, retiring->program);
	keeper->builtin.program = KEEPER_FD_PROGRAM;
	over(retiring);
	struct builtin *before = &retiring->v[retiring->n - 1];
	if (builtin_tell(before, CHANNEL_RETIRE, -1, 0) < 0)
		builtin_kill(before);
	keeper->reloading.needs = reloading_needs(keeper);
	server_on_restart(keeper, NULL);
}

bool retiring_on_worker_end(struct keeper *keeper)
{
	struct retiring *retiring = &keeper->retiring;
	struct error err;
	if (!is_under_way(retiring))
		return false;
	builtin_bury(&keeper->builtin, REASON_WORKER_DIED, &retiring->past);
	keeper->builtin = retiring->v[--retiring->n];
	over(retiring);
	limit_log(keeper);
	(void) error_say(&err, EIO, "the new worker ended before it was ready; the one before goes on");
	log_error("network namespace %s: restart: %s", keeper->key, err.msg);
	server_on_restart(keeper, &err);
	return true;
}

void retiring_rotate_log(struct keeper *keeper, const struct builtin *full)
{
	struct retiring *retiring = &keeper->retiring;
	int r = logfile_rotate(&keeper->log, NULL);
	if (r == 0 && full)
		builtin_exchange_log(full); /* somebody else has had it rotated before */
	if (r <= 0)
		return;
	builtin_exchange_log(&keeper->builtin);
	for (size_t i = 0; i < retiring->n; i++)
		builtin_exchange_log(&retiring->v[i]);
}

void retiring_on_channel(struct keeper *keeper, size_t i)
{
	struct builtin *builtin = &keeper->retiring.v[i];
	struct channel_message message;
	if (!builtin_receive(builtin, &message))
		return;
	if (message.type == CHANNEL_LOG_FULL)
		retiring_rotate_log(keeper, builtin);
	else if (message.type == CHANNEL_RETIRED)
		builtin->listening = false;
}

bool retiring_listens(const struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->retiring.n; i++)
		if (keeper->retiring.v[i].listening)
			return true;
	return false;
}

void retiring_on_end(struct keeper *keeper, size_t i)
{
	struct builtin *builtin = &keeper->retiring.v[i];
	if (!handle_ended(&builtin->handle))
		return;
	builtin_bury(builtin, REASON_WORKER_DIED, &keeper->retiring.past);
	/* The one that serves until its successor is ready has died: it will have served. */
	if (is_under_way(&keeper->retiring) && i == keeper->retiring.n - 1)
		retiring_on_ready(keeper);
}

void retiring_sweep(struct keeper *keeper)
{
	struct retiring *retiring = &keeper->retiring;
	size_t n = 0;
	for (size_t i = 0; i < retiring->n; i++)
		if (retiring->v[i].handle.pidfd >= 0)
			retiring->v[n++] = retiring->v[i];
	if (n == retiring->n)
		return;
	retiring->n = n;
	limit_log(keeper);
}

void retiring_tell(struct keeper *keeper, enum channel_type type, int fd, uint32_t size)
{
	for (size_t i = 0; i < keeper->retiring.n; i++)
		if (builtin_tell(&keeper->retiring.v[i], type, fd, size) < 0)
			builtin_kill(&keeper->retiring.v[i]);
}

void retiring_follow(struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->retiring.n; i++)
		keeper->retiring.v[i].image = keeper->image;
	limit_log(keeper);
}

void retiring_stop(struct keeper *keeper)
{
	struct retiring *retiring = &keeper->retiring;
	for (size_t i = 0; i < retiring->n; i++) {
		builtin_stop(&retiring->v[i]);
		builtin_count(&retiring->v[i], &retiring->past);
		builtin_forget(&retiring->v[i]);
	}
	retiring->n = 0;
	if (is_under_way(retiring))
		over(retiring);
}

void retiring_advance(struct keeper *keeper)
{
	struct retiring *retiring = &keeper->retiring;
	if (!is_under_way(retiring) || clock_now_ms() < retiring->end_ms)
		return;
	retiring->end_ms = INT64_MAX;
	builtin_kill(&keeper->builtin);
}

int64_t retiring_next_ms(const struct keeper *keeper)
{
	return is_under_way(&keeper->retiring) ? keeper->retiring.end_ms : INT64_MAX;
}

void retiring_status(const struct keeper *keeper, struct control_status *status)
{
	const struct retiring *retiring = &keeper->retiring;
	const struct control_status *past = &retiring->past;
	for (size_t i = 0; i < retiring->n; i++)
		builtin_count(&retiring->v[i], status);
	status->accepted += past->accepted;
	status->allowed += past->allowed;
	status->denied += past->denied;
	status->failed += past->failed;
	status->bytes_up += past->bytes_up;
	status->bytes_down += past->bytes_down;
	status->lines_lost += past->lines_lost;
	for (int i = 0; i < REASON_COUNT; i++)
		status->reasons[i] += past->reasons[i];
}
