/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/beside.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (128 * 1024)
#define THREAD_STACK_SIZE (STACK_SIZE + 64 * 1024)

struct beside {
	void (*run)(void *arg);
	void *arg;
	sem_t started;
	pid_t pid;
	int failure;
};

struct life {
	void (*run)(void *arg);
	void *arg;
};

static int child(void *arg)
{
	const struct life *life = arg;
	life->run(life->arg);
	_exit(1);
}

/*
 * The C library's thread-local storage belongs to a thread of its making. This one makes the child, which then has it,
 * and a part of its stack, while the thread sleeps until the child has ended or the process ends.
 */
static void *lend(void *arg)
{
	struct beside *beside = arg;
	struct life life = { beside->run, beside->arg };
	_Alignas(16) char stack[STACK_SIZE];

	pid_t pid = clone(child, stack + sizeof(stack), CLONE_VM | SIGCHLD, &life);
	beside->pid = pid;
	beside->failure = pid < 0 ? errno : 0;
	(void) sem_post(&beside->started); /* it is gone from here on */

	siginfo_t info;
	while (pid > 0 && waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	free(life.arg);
	return NULL;
}

static int start_thread(struct beside *beside)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r = pthread_attr_init(&attr);
	if (r != 0)
		return r;
	r = pthread_attr_setstacksize(&attr, THREAD_STACK_SIZE);
	if (r == 0)
		r = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (r == 0)
		r = pthread_create(&thread, &attr, lend, beside);
	(void) pthread_attr_destroy(&attr);
	return r;
}

int beside_start(void (*run)(void *arg), void *arg, pid_t *ret, struct error *err)
{
	struct beside beside = { .run = run, .arg = arg };
	(void) sem_init(&beside.started, 0, 0);
	int r = start_thread(&beside);
	if (r != 0) {
		free(arg);
		return error_set(err, r, "thread");
	}
	while (sem_wait(&beside.started) < 0)
		; /* EINTR */
	if (beside.failure != 0)
		return error_set(err, beside.failure, "clone");
	*ret = beside.pid;
	return 0;
}
