/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress proxy`: the builtin proxy in the foreground, as the caller. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/host.h"
#include "base/io.h"
#include "hook/command.h"
#include "hook/policyfile.h"
#include "hook/snapshot.h"
#include "proxy/worker.h"

static struct command_places places;
static const char *policy_file, *listen_at;

static const struct option_row options[] = {
	{ "policy", "FILE", "the policy", &policy_file, NULL },
	{ "listen", "ADDR:PORT", "where to listen; port 0: any that is free, printed", &listen_at, NULL },
	{ "keeper", "FILE", "the program that serves (" KEEPER_PROGRAM ")", &places.keeper, NULL },
	{ 0 },
};

/* "ADDR:PORT", "[ADDR]:PORT"; port 0 is this command's own. */
static int parse_listen(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len, struct error *err)
{
	size_t len = strlen(text);
	bool any_port = len > 2 && strcmp(text + len - 2, ":0") == 0;
	struct host host;
	uint16_t port = 0;

	const char *problem = host_parse_authority(text, any_port ? len - 2 : len, !any_port, &host, &port);
	if (problem)
		return error_say(err, EINVAL, "--listen %s: %s", text, problem);
	if (host.kind != HOST_ADDRESS)
		return error_say(err, EINVAL, "--listen %s: expected an address, not a name", text);
	*ret_len = address_to_sockaddr(&host.address, port, ret);
	return 0;
}

static int listener_open(const char *text, int *ret_fd, struct error *err)
{
	struct sockaddr_storage addr;
	socklen_t len = 0;
	int r = parse_listen(text, &addr, &len, err);
	if (r < 0)
		return r;

	_cleanup_close_ int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "socket");
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	(void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	if (bind(fd, (const struct sockaddr *) &addr, len) < 0 || listen(fd, SOMAXCONN) < 0)
		return error_set(err, errno, "listen at %s", text);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int print_address(int listener, struct error *err)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	struct address address;
	uint16_t port;
	if (getsockname(listener, (struct sockaddr *) &addr, &len) < 0 ||
		!address_from_sockaddr((const struct sockaddr *) &addr, &address, &port))
		return error_set(err, errno, "getsockname");
	char text[ADDRESS_TEXT_MAX];
	address_format(&address, text);
	(void) printf(
		address.family == AF_INET6 ? "listening on [%s]:%u\n" : "listening on %s:%u\n", text, (unsigned) port);
	(void) fflush(stdout);
	return 0;
}

/* Puts fds where the worker looks for them and becomes it. */
static int become_worker(const char *program, int *fds, struct error *err)
{
	const char *const argv[] = { "oci-egress-keeper", "worker", "foreground", NULL };
	const char *const no_environment[] = { NULL };

	for (int i = 0; i < WORKER_FD_END; i++) {
		if (fds[i] < 0)
			continue;
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, WORKER_FD_END);
		if (fds[i] < 0)
			return error_set(err, errno, "dup");
	}
	for (int i = WORKER_FD_LISTENER; i < WORKER_FD_END; i++) {
		if (fds[i] < 0)
			(void) close(i);
		else if (dup2(fds[i], i) < 0)
			return error_set(err, errno, "dup2");
	}
	(void) execve(program, (char *const *) (size_t) argv, (char *const *) (size_t) no_environment);
	return error_set(err, errno, "%s", program);
}

static int serve(struct error *err)
{
	if (!policy_file || !listen_at)
		return error_say(err, EINVAL, "expected --policy FILE and --listen ADDR:PORT");

	_cleanup_free_ struct image *image = NULL;
	int r = policyfile_compile(policy_file, &image, err);
	if (r < 0)
		return r;
	if (image->proxy != IMAGE_PROXY_BUILTIN)
		return error_say(err, EINVAL,
			"%s: has an external proxy: there is nothing for the builtin one to serve", policy_file);

	const char *program = command_keeper(&places);
	if (access(program, X_OK) < 0)
		return error_set(err, errno, "%s", program);

	int fds[WORKER_FD_END];
	for (int i = 0; i < WORKER_FD_END; i++)
		fds[i] = -1;
	fds[WORKER_FD_LOG] = STDERR_FILENO;
	r = io_memfd("policy", image, image->size, &fds[WORKER_FD_IMAGE], err);
	if (r == 0)
		r = snapshot("/etc/resolv.conf", &fds[WORKER_FD_RESOLV_CONF], err);
	if (r == 0)
		r = snapshot("/etc/hosts", &fds[WORKER_FD_HOSTS], err);
	if (r == 0)
		r = listener_open(listen_at, &fds[WORKER_FD_LISTENER], err);
	if (r == 0)
		r = print_address(fds[WORKER_FD_LISTENER], err);
	return r < 0 ? r : become_worker(program, fds, err);
}

static int run_proxy(int argc, char **argv)
{
	struct error err;
	int r = options_parse(&argc, argv, options, &err);
	if (r == 0 && argc > 1)
		r = error_say(&err, EINVAL, "unexpected \"%s\"", argv[1]);
	if (r == 0)
		r = serve(&err);
	(void) fprintf(stderr, "oci-egress proxy: %s\n", err.msg);
	return 2;
}

const struct command command_proxy = {
	.name = "proxy",
	.operands = "",
	.text = "run the builtin proxy in the foreground, as you, with its log on stderr",
	.run = run_proxy,
	.options = options,
};
