/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/io.h"
#include "hook/doctor.h"
#include "oci/json.h"
#include "oci/policy.h"
#include "proxy/dns_message.h"
#include "proxy/resolvconf.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define DNS_PORT 53
#define ANSWER_TIMEOUT_MS 1500
#define TRIES 2

/* Of the first policy that lists one; else one that every server can answer by itself, RFC 6761 section 6.4. */
#define ANY_NAME "invalid"

struct question {
	struct resolvconf_server server;
	int fd;
	int error; /* errno, where the question could not be sent; 0: sent */
	bool answered, refused;
};

static bool take_name(const struct json_value *allow, char ret[256])
{
	for (const struct json_value *v = allow && allow->kind == JSON_ARRAY ? allow->first : NULL; v; v = v->next) {
		struct host host;
		uint16_t port;
		if (v->kind != JSON_STRING || v->len == 0 || v->bytes[0] == '*' ||
			host_parse_authority(v->bytes, v->len, false, &host, &port) || host.kind != HOST_NAME)
			continue;
		(void) snprintf(ret, 256, "%.*s", (int) host.len, host.name);
		return true;
	}
	return false;
}

static bool name_in(const char *dir, const char *policy, char ret[256])
{
	char file[PATH_MAX];
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ struct json *json = NULL;
	size_t len;
	return policy_read(dir, policy, &text, &len, file, NULL) == 0 &&
	       json_parse(file, text, len, true, &json, NULL) == 0 &&
	       take_name(json_member(json_root(json), "allow"), ret);
}

static void find_name(const char *dir, char ret[256])
{
	(void) snprintf(ret, 256, "%s", ANY_NAME);
	_cleanup_closedir_ DIR *stream = opendir(dir);
	for (const struct dirent *e = stream ? readdir(stream) : NULL; e; e = readdir(stream)) {
		char policy[POLICY_NAME_MAX + 1];
		size_t len = strlen(e->d_name);
		if (len <= strlen(".json") || len - strlen(".json") > POLICY_NAME_MAX)
			continue;
		(void) snprintf(policy, sizeof(policy), "%.*s", (int) (len - strlen(".json")), e->d_name);
		if (policy_name_valid(policy) && name_in(dir, policy, ret))
			return;
	}
}

static void ask(struct question *question, const uint8_t *query, size_t len)
{
	struct sockaddr_storage to;
	socklen_t size = address_to_sockaddr(&question->server.address, DNS_PORT, &to);
	if (to.ss_family == AF_INET6 && question->server.scope[0] != '\0')
		((struct sockaddr_in6 *) &to)->sin6_scope_id = if_nametoindex(question->server.scope);
	if (question->fd < 0)
		question->fd = socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	question->error = 0;
	if (question->fd < 0 || connect(question->fd, (const struct sockaddr *) &to, size) < 0 ||
		send(question->fd, query, len, MSG_NOSIGNAL) < 0)
		question->error = errno;
}

static void hear(struct question *question, const uint8_t *query, size_t len)
{
	uint8_t answer[4096];
	ssize_t n = recv(question->fd, answer, sizeof(answer), 0);
	if (n < 0 && errno != EAGAIN)
		question->error = errno;
	if (n <= 0 || !dns_is_answer(answer, (size_t) n, query, len))
		return;
	struct dns_answer parsed;
	dns_parse_answer(answer, (size_t) n, query, len, &parsed);
	question->answered = true;
	question->refused = parsed.verdict == DNS_FAILED;
}

static bool is_open(const struct question *question)
{
	return !question->answered && question->error == 0;
}

/* All servers at once: those that are silent cost one wait together. */
static void hear_all(struct question *questions, size_t n, const uint8_t *query, size_t len)
{
	int64_t deadline = clock_now_ms() + ANSWER_TIMEOUT_MS;
	for (;;) {
		struct pollfd fds[RESOLVCONF_SERVERS_MAX];
		size_t open = 0;
		for (size_t i = 0; i < n; i++) {
			fds[i] = (struct pollfd){ .fd = is_open(&questions[i]) ? questions[i].fd : -1,
				.events = POLLIN };
			open += is_open(&questions[i]);
		}
		int64_t left = deadline - clock_now_ms();
		if (open == 0 || left <= 0 || poll(fds, n, (int) left) <= 0)
			return;
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents != 0)
				hear(&questions[i], query, len);
	}
}

static void say(struct findings *findings, const struct question *question, const char *name)
{
	char server[ADDRESS_TEXT_MAX], mend[256];
	address_format(&question->server.address, server);
	if (question->answered && !question->refused) {
		findings_ok(findings, "resolver", "%s answers for %s", server, name);
		return;
	}
	(void) snprintf(mend, sizeof(mend), "start it, or take \"nameserver %s\" out of " RESOLV_CONF, server);
	if (question->answered)
		findings_fault(findings, "resolver", mend, "%s fails, or refuses, to answer for %s", server, name);
	else if (question->error != 0)
		findings_fault(findings, "resolver", mend, "%s: %s", server, strerror(question->error));
	else
		findings_fault(findings, "resolver", mend, "%s does not answer", server);
}

static size_t read_servers(struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX])
{
	_cleanup_close_ int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	if (fd >= 0 && io_read_all(fd, RESOLVCONF_SIZE_MAX, &text, &len, NULL) < 0)
		len = 0;
	return resolvconf_servers(text ? text : "", len, servers);
}

void doctor_names(struct doctor *doctor)
{
	struct resolvconf_server servers[RESOLVCONF_SERVERS_MAX];
	struct question questions[RESOLVCONF_SERVERS_MAX];
	char name[256];
	uint8_t query[DNS_QUERY_MAX];
	uint16_t id = 0;
	size_t n = read_servers(servers);
	for (size_t i = 0; i < n; i++)
		questions[i] = (struct question){ .server = servers[i], .fd = -1 };

	find_name(doctor->settings->policies, name);
	(void) !getrandom(&id, sizeof(id), GRND_NONBLOCK);
	size_t len = dns_write_query(name, DNS_A, id, query);
	for (int try = 0; try < TRIES && len > 0; try++) {
		for (size_t i = 0; i < n; i++)
			if (!questions[i].answered)
				ask(&questions[i], query, len);
		hear_all(questions, n, query, len);
	}
	for (size_t i = 0; i < n; i++) {
		say(&doctor->findings, &questions[i], name);
		cleanup_close(&questions[i].fd);
	}
}
