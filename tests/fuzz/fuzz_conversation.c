/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole conversations: clients and origins that say, read, end and reset as the input tells them to, time included,
 * with the proxy's own state machine between them on real sockets. The input is a script, one step a line:
 *
 *     x       (first) an external proxy           p N     (first) the policy, else a new version of it
 *     c       another client                      0 to 3  the client that is meant from here on
 *     >BYTES  it says                             <BYTES  an origin says, \r \n \\ and \xHH among them
 *     + N     it says so many bytes               - N     an origin does
 *     u BYTES it says, the last one urgently      U BYTES an origin does
 *     g N     it reads at most so many            G N     an origin does
 *     e       it half-closes                      E       an origin does
 *     q, r    it closes, or resets                Q, R    an origin does
 *     @ N     the origin's connection that is meant from here on; else the newest
 *     n HOW   the name server answers: A, N or BYTES
 *     t N     so many milliseconds pass           .       one turn of the loop
 *     $       nobody says that it is over: deadlines must do
 *
 * After each step the loop runs until there is nothing left to do; a step in front of which there is a space it does
 * not notice at once.
 */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/http_answer.h"
#include "proxy/http_request.h"
#include "proxy/socks.h"
#include "talk.h"
#include "talk_proxy.h"

#define SCRIPT_MAX 16384
#define STEPS_MAX 200
#define HEAD_MAX 65536
#define WAKES_MAX 20000
#define ALERT_LEN 7

struct script {
	struct talk_end *client;
	size_t origin; /* its number; beyond those there are: the newest */
	bool is_external;
	bool is_silent; /* at its end */
	bool has_reloaded;
	uint8_t bytes[SCRIPT_MAX];
	size_t n; /* in bytes: of the step */
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	signal(SIGPIPE, SIG_IGN); /* as a worker has it */
	talk_world();
	talk_proxy_world();
	return 0;
}

/* -- steps -- */

static int hex(uint8_t digit)
{
	return isdigit(digit) ? digit - '0' : isxdigit(digit) ? (digit | 0x20) - 'a' + 10 : -1;
}

static void unescape(struct script *script, const uint8_t *at, size_t n)
{
	script->n = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = at[i], next = i + 1 < n ? at[i + 1] : 0;
		if (byte == '\\' && next == 'x' && i + 3 < n && hex(at[i + 2]) >= 0 && hex(at[i + 3]) >= 0) {
			byte = (uint8_t) (hex(at[i + 2]) << 4 | hex(at[i + 3]));
			i += 3;
		} else if (byte == '\\' && next) {
			byte = next == 'r' ? '\r' : next == 'n' ? '\n' : next;
			i++;
		}
		script->bytes[script->n++] = byte;
	}
}

static struct talk_end *origin_of(const struct script *script)
{
	static struct talk_end nobody = { .fd = -1 };
	if (talk.n_origins == 0)
		return &nobody;
	return &talk.origins[script->origin < talk.n_origins ? script->origin : talk.n_origins - 1];
}

static size_t number(const uint8_t *at, size_t n)
{
	size_t number = 0;
	for (size_t i = 0; i < n && number < 10000000; i++)
		if (isdigit(at[i]))
			number = number * 10 + (size_t) (at[i] - '0');
	return number;
}

/* What both kinds of ends can do. */
static void end_step(struct talk_end *end, char what, const struct script *script, size_t n)
{
	switch (what) {
	case '>':
		talk_send(end, script->bytes, script->n, false);
		break;
	case '+':
		talk_fill(end, n);
		break;
	case 'u':
		talk_send(end, script->bytes, script->n, true);
		break;
	case 'g':
		(void) talk_read(end, n > 0 ? n : SIZE_MAX);
		break;
	case 'e':
		talk_half_close(end);
		break;
	case 'q':
	case 'r':
		talk_close(end, what == 'r');
		break;
	}
}

static void step(struct script *script, char what, const uint8_t *rest, size_t len)
{
	static const char by_origin[] = "<-UGEQR", by_client[] = ">+ugeqr";
	const char *of_origin = strchr(by_origin, what);
	size_t n = number(rest, len);
	unescape(script, rest, len);
	if (strchr(by_client, what)) {
		if (script->client)
			end_step(script->client, what, script, n);
	} else if (of_origin) {
		end_step(origin_of(script), by_client[of_origin - by_origin], script, n);
	} else if (what == 'c') {
		struct talk_end *client = talk_connect();
		script->client = client ? client : script->client;
	} else if (what >= '0' && what < '0' + TALK_CLIENTS) {
		if ((size_t) (what - '0') < talk.n_clients)
			script->client = &talk.clients[what - '0'];
	} else if (what == '@') {
		script->origin = n;
	} else if (what == 'n') {
		char how = script->n > 0 ? (char) script->bytes[0] : 'N';
		talk_answer(how, script->bytes, script->n);
	} else if (what == 'p') {
		talk_proxy_reload((unsigned) n);
		script->has_reloaded = true;
	} else if (what == 't') {
		talk_proxy_wait((int64_t) n);
	} else if (what == '.') {
		(void) talk_proxy_turn();
	} else if (what == '$') {
		script->is_silent = true;
	}
}

static size_t line_len(const uint8_t *at, size_t left)
{
	const uint8_t *end = memchr(at, '\n', left);
	return end ? (size_t) (end - at) : left;
}

/* What holds from the beginning. Returns where the steps begin. */
static size_t begin(struct script *script, const uint8_t *data, size_t size)
{
	size_t at = 0;
	unsigned policy = 0;
	if (at < size && data[at] == 'x') {
		script->is_external = true;
		at += line_len(data, size) + 1;
	}
	if (at < size && data[at] == 'p') {
		size_t len = line_len(data + at, size - at);
		policy = (unsigned) number(data + at, len);
		at += len + 1;
	}
	talk_proxy_begin(policy, script->is_external);
	return at;
}

static void run(struct script *script, const uint8_t *data, size_t size)
{
	size_t at = begin(script, data, size);
	for (int steps = 0; at < size && steps < STEPS_MAX; steps++) {
		size_t len = line_len(data + at, size - at);
		bool hidden = len > 0 && data[at] == ' ';
		const uint8_t *first = data + at + hidden;
		if (len > hidden && *first != '\0')
			step(script, (char) *first, first + 1, len - hidden - 1);
		if (!hidden && (len == 0 || *first != '.'))
			talk_proxy_settle();
		at += len + 1;
	}
}

/* -- the end -- */

static bool read_all(void)
{
	bool any = false;
	for (size_t i = 0; i < talk.n_clients; i++)
		any |= talk_read(&talk.clients[i], SIZE_MAX);
	for (size_t i = 0; i < talk.n_origins; i++)
		any |= talk_read(&talk.origins[i], SIZE_MAX);
	return any;
}

/*
 * The kernel's clock is not the script's: what it has not sent for want of room comes when its own time has passed.
 * What has not come then is for somebody who does not read, *stuck bytes of it, and is not waited for again.
 */
static void exhaust(size_t *stuck)
{
	for (bool more = true; more;) {
		talk_proxy_settle();
		more = read_all();
		size_t unsent = more ? 0 : talk_proxy_unsent();
		if (unsent == 0 || unsent == *stuck)
			continue;
		more = talk_await_bytes();
		*stuck = more ? 0 : unsent;
	}
}

static void end_all(size_t *stuck)
{
	exhaust(stuck);
	for (size_t i = 0; i < talk.n_clients; i++)
		talk_half_close(&talk.clients[i]);
	exhaust(stuck);
	for (size_t i = 0; i < talk.n_origins; i++)
		talk_half_close(&talk.origins[i]);
	exhaust(stuck);
}

/* Until nothing is left that will ever happen. */
static void outlast(const struct script *script)
{
	size_t stuck = 0;
	if (!script->is_silent)
		end_all(&stuck);
	for (int wakes = 0; talk_proxy_wake(); wakes++) {
		talk_check(wakes < WAKES_MAX, "it comes to an end");
		if (!script->is_silent)
			exhaust(&stuck);
	}
}

/* What a client asks for first decides what its bytes may come to. */
enum asked { ASKED_NOTHING, ASKED_TUNNEL, ASKED_SOCKS, ASKED_OTHER };

/* *ret_len is how many bytes lie in front of those of the tunnel. */
static enum asked asked_by_socks(const struct talk_bytes *sent, size_t *ret_len)
{
	size_t greeting;
	enum socks_method method;
	struct socks_request request;
	if (socks_parse_greeting(sent->bytes, sent->n, &greeting, &method) != PARSE_DONE ||
		method != SOCKS_NO_AUTHENTICATION ||
		socks_parse_request(sent->bytes + greeting, sent->n - greeting, &request) != PARSE_DONE)
		return ASKED_NOTHING;
	*ret_len = greeting + request.len;
	return ASKED_SOCKS;
}

static enum asked asked_by(const struct talk_bytes *sent, size_t *ret_len)
{
	struct http_head head;
	struct http_request request;
	const char *problem, *bytes = (const char *) sent->bytes;
	if (sent->n > 0 && sent->bytes[0] == SOCKS_VERSION)
		return asked_by_socks(sent, ret_len);
	http_head_init(&head);
	if (http_head_parse(&head, bytes, sent->n, HEAD_MAX) != PARSE_DONE ||
		http_request_read(&head, bytes, &request, &problem) != REASON_NONE)
		return ASKED_NOTHING;
	*ret_len = head.len;
	return request.is_connect ? ASKED_TUNNEL : ASKED_OTHER;
}

static bool begins_with(const uint8_t *bytes, size_t n, const void *with, size_t len)
{
	return n >= len && memcmp(bytes, with, len) == 0;
}

/* Whether these are the first of what was sent from there on. */
static bool is_part(const uint8_t *bytes, size_t n, const struct talk_bytes *sent, size_t from)
{
	return sent->n >= from && begins_with(sent->bytes + from, sent->n - from, bytes, n);
}

static bool is_forwarded(const struct talk_bytes *got)
{
	static const char line[] = " HTTP/1.1\r\n";
	const uint8_t *end = memmem(got->bytes, got->n, "\r\n", 2);
	const uint8_t *space = memchr(got->bytes, ' ', got->n);
	if (!end)
		return true;
	return space && space < end && (space[1] == '/' || space[1] == '*') && end - got->bytes > (int) sizeof(line) &&
	       memcmp(end + 2 - strlen(line), line, strlen(line)) == 0;
}

/* Whether some client has said what an origin got. */
static bool is_somebodys(const struct script *script, const struct talk_bytes *got)
{
	for (size_t i = 0; i < talk.n_clients; i++) {
		const struct talk_bytes *sent = &talk.clients[i].sent;
		size_t from = 0;
		enum asked asked = script->is_external ? ASKED_TUNNEL : asked_by(sent, &from);
		if ((asked == ASKED_TUNNEL || asked == ASKED_SOCKS) && is_part(got->bytes, got->n, sent, from))
			return true;
		/* a CONNECT may follow on other requests */
		if (asked == ASKED_OTHER && (is_forwarded(got) || memmem(sent->bytes, sent->n, got->bytes, got->n)))
			return true;
	}
	return got->n == 0;
}

/* Whether some origin has said what a client got, from there on. */
static bool is_some_origins(const struct talk_bytes *got, size_t from)
{
	static const uint8_t alert[ALERT_LEN] = { 21, 3, 3, 0, 2, 2, 112 };
	size_t n = got->n > from ? got->n - from : 0;
	for (size_t i = 0; i < talk.n_origins; i++)
		if (is_part(got->bytes + from, n, &talk.origins[i].sent, 0))
			return true;
	return n == 0 || is_part(got->bytes + from, n, &(struct talk_bytes){ (uint8_t *) (uintptr_t) alert, 7, 7 }, 0);
}

static size_t socks_answer_len(const struct talk_bytes *got)
{
	talk_check(got->n < 2 || (got->bytes[0] == SOCKS_VERSION && (got->bytes[1] == 0 || got->n == 2)), "a method");
	if (got->n < SOCKS_METHOD_LEN + SOCKS_REPLY_LEN)
		return got->n;
	bool succeeded = got->bytes[3] == SOCKS_SUCCEEDED;
	talk_check(got->bytes[2] == SOCKS_VERSION, "a reply");
	talk_check(succeeded || got->n == SOCKS_METHOD_LEN + SOCKS_REPLY_LEN, "nothing follows on a refusal");
	return SOCKS_METHOD_LEN + SOCKS_REPLY_LEN;
}

static void check_client(const struct script *script, const struct talk_end *client)
{
	const struct talk_bytes *got = &client->got;
	size_t from = 0, answer = strlen(HTTP_TUNNEL_ANSWER);
	enum asked asked = asked_by(&client->sent, &from);
	if (script->is_external)
		talk_check(is_some_origins(got, 0), "what a client gets from an external proxy");
	else if (client->sent.n > 0 && client->sent.bytes[0] == SOCKS_VERSION)
		talk_check(is_some_origins(got, socks_answer_len(got)), "what a client of SOCKS gets");
	else if (asked != ASKED_OTHER && begins_with(got->bytes, got->n, HTTP_TUNNEL_ANSWER, answer))
		talk_check(asked == ASKED_TUNNEL && is_some_origins(got, answer), "what a tunnel's client gets");
	else
		talk_check(got->n < 9 || begins_with(got->bytes, got->n, "HTTP/1.1 ", 9), "an answer");
}

/* A tunnel that ended in good order has lost nothing, where neither end was closed under it. */
static bool is_whole(const struct script *script)
{
	const struct talk_end *client = &talk.clients[0], *origin = &talk.origins[0];
	size_t up = 0, down = 0;
	enum asked asked = script->is_external ? ASKED_TUNNEL : asked_by(&client->sent, &up);
	if (asked != ASKED_TUNNEL && asked != ASKED_SOCKS)
		return true;
	if (!script->is_external)
		down = asked == ASKED_SOCKS ? SOCKS_METHOD_LEN + SOCKS_REPLY_LEN : strlen(HTTP_TUNNEL_ANSWER);
	return origin->got.n == client->sent.n - up && client->got.n == origin->sent.n + down;
}

static void check_whole(const struct script *script, const struct talk_log *log)
{
	if (talk.n_clients != 1 || talk.n_origins != 1 || log->n_lines != 1 || log->n_allowed != 1)
		return;
	const struct talk_end *client = &talk.clients[0], *origin = &talk.origins[0];
	if (!script->is_silent && !log->was_long && !client->gone && !origin->gone)
		talk_check(is_whole(script), "a tunnel loses nothing");
}

static void check_bytes(const struct script *script)
{
	for (size_t i = 0; i < talk.n_origins; i++)
		talk_check(is_somebodys(script, &talk.origins[i].got), "an origin gets what a client has sent");
	for (size_t i = 0; i < talk.n_clients; i++)
		check_client(script, &talk.clients[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct script script;
	struct talk_log log;
	if (size > SCRIPT_MAX)
		return -1;
	script.client = NULL;
	script.origin = SIZE_MAX;
	script.is_external = script.is_silent = script.has_reloaded = false;

	talk_begin();
	run(&script, data, size);
	outlast(&script);
	talk_part();
	talk_proxy_end(&log);
	check_bytes(&script);
	check_whole(&script, &log);
	if (log.n_unreached == log.n_lines && !script.has_reloaded)
		talk_check(talk.n_origins == 0, "nobody is asked for what is denied");
	return 0;
}
