/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A direction, in the order that its step looks:
 *
 * state                                            moves when                       by
 * what it has is not yet on its way, room is left  source readable                  fill()
 * start < end                                      target writable                  flow_send()
 * down: the response's head is still to come       origin readable                  read_response()
 * content complete                                 never
 *
 * So what is there goes out in one piece, and a request whose content is malformed from the start never leaves. Content
 * of the client is read up to where it is certain to reach, so that the next request stays in the socket; of the origin
 * whatever there is, so that bytes that answer nothing are found out, and its connection is not used again.
 */
#include "proxy/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "proxy/http_forward.h"

#define MOVES_PER_TURN 16
#define READS_PER_MOVE 64
#define CONTENT_BYTES (32u << 10)
#define RAW_BYTES (16u << 10) /* of a response's head, and what came with it; grows to the limit */
#define INTERIMS_MAX 8

enum step {
	STEP_MOVED,
	STEP_WAITS,
};

static enum step fail(struct exchange *exchange, enum reason reason, const char *problem)
{
	if (exchange->reason == REASON_NONE) {
		exchange->reason = reason;
		exchange->problem = problem;
	}
	return STEP_WAITS;
}

static bool is_chunked_out(const struct exchange_flow *flow)
{
	return flow->content.out == HTTP_CHUNKED && !flow->content.complete;
}

static bool flow_reserve(struct exchange_flow *flow, size_t head, bool content)
{
	flow->size = head + HTTP_FORWARD_MORE + (content ? CONTENT_BYTES + CHUNKED_FRONT + CHUNKED_BEHIND : 0);
	flow->start = flow->end = 0;
	free(flow->buf);
	flow->buf = malloc(flow->size);
	return flow->buf;
}

static bool write_request(
	struct exchange *exchange, const struct http_head *head, const char *buf, const struct http_request *request)
{
	struct exchange_flow *up = &exchange->flows[RELAY_CLIENT];
	if (!flow_reserve(up, head->len, !up->content.complete))
		return false;
	struct text text = text_init(up->buf, up->size);
	http_forward_request(&text, head, buf, request);
	exchange->request_len = text.len;
	return !text.cut;
}

struct exchange *exchange_new(const struct http_head *head, const char *buf, const struct http_request *request,
	const struct exchange_limits *limits)
{
	struct exchange *exchange = malloc(sizeof(*exchange));
	if (!exchange)
		return NULL;
	memset(exchange, 0, offsetof(struct exchange, head));
	memset(&exchange->raw, 0, sizeof(*exchange) - offsetof(struct exchange, raw));
	exchange->limits = *limits;
	exchange->to_head = request->is_head;
	exchange->to_websocket = request->websocket;
	exchange->to_old = head->minor == 0;
	exchange->keeps = request->keeps;
	exchange->can_repeat = request->is_idempotent && request->framing == HTTP_NO_CONTENT;
	http_content_init(&exchange->flows[RELAY_CLIENT].content, request->framing, request->framing, request->length,
		limits->trailer_bytes);
	if (write_request(exchange, head, buf, request))
		return exchange;
	exchange_free(exchange);
	return NULL;
}

void exchange_free(struct exchange *exchange)
{
	if (!exchange)
		return;
	for (int i = 0; i < RELAY_ENDS; i++)
		free(exchange->flows[i].buf);
	free(exchange->raw);
	free(exchange);
}

void exchange_start(struct exchange *exchange, int client, int origin, const bool quiet[RELAY_ENDS], bool reused)
{
	const int fds[RELAY_ENDS] = { client, origin };
	/* edges before are gone, so believe the best of an end that is not quiet: the first EAGAIN corrects it */
	for (int i = 0; i < RELAY_ENDS; i++)
		exchange->ends[i] = (struct exchange_end){ fds[i], !quiet[i], true, !quiet[i], false };
	exchange->flows[RELAY_CLIENT].start = 0;
	exchange->flows[RELAY_CLIENT].end = exchange->request_len;
	exchange->reused = reused;
	exchange->stale = false;
	exchange->raw_start = exchange->raw_len = 0;
	http_head_init_response(&exchange->head);
}

void exchange_note(struct exchange *exchange, enum relay_end end, uint32_t events)
{
	struct exchange_end *sock = &exchange->ends[end];
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		sock->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		sock->may_end = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		sock->writable = true;
	if (end == RELAY_CLIENT && (events & (EPOLLHUP | EPOLLERR)))
		(void) fail(exchange, REASON_CLIENT_RESET, NULL);
}

/* -- sockets -- */

static enum step send_failed(struct exchange *exchange, enum relay_end to)
{
	if (to == RELAY_CLIENT)
		return fail(exchange, REASON_CLIENT_RESET, NULL);
	/* it may have answered before it closed, and what it said is still there */
	exchange->ends[RELAY_ORIGIN].reset = true;
	exchange->ends[RELAY_ORIGIN].readable = exchange->ends[RELAY_ORIGIN].may_end = true;
	return STEP_MOVED;
}

static enum step flow_send(struct exchange *exchange, enum relay_end from)
{
	enum relay_end to = from == RELAY_CLIENT ? RELAY_ORIGIN : RELAY_CLIENT;
	struct exchange_flow *flow = &exchange->flows[from];
	struct exchange_end *target = &exchange->ends[to];
	if (!target->writable)
		return STEP_WAITS;
	ssize_t n = send(target->fd, flow->buf + flow->start, flow->end - flow->start, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN) {
		target->writable = false;
		return STEP_WAITS;
	}
	if (n < 0)
		return send_failed(exchange, to);
	flow->start += (size_t) n;
	flow->bytes += (uint64_t) n;
	if (flow->start == flow->end)
		flow->start = flow->end = 0;
	return STEP_MOVED;
}

/* What recv(2) has come to, where it is no bytes. */
enum source {
	SOURCE_IS_EMPTY,
	SOURCE_HAS_ENDED,
	SOURCE_IS_RESET,
};

/* At most most bytes, and what leave permits. Returns how many, or 0 and *ret. */
static size_t source_read(struct exchange *exchange, enum relay_end from, char *at, size_t most,
	struct relay_leave *leave, enum source *ret)
{
	struct exchange_end *source = &exchange->ends[from];
	*ret = SOURCE_IS_EMPTY;
	if (leave && leave->bytes[from] == 0)
		leave->wanted[from] = true;
	if (!source->readable || (leave && leave->bytes[from] == 0))
		return 0;
	if (leave && leave->bytes[from] < most)
		most = leave->bytes[from];
	ssize_t n = recv(source->fd, at, most, 0);
	if (n <= 0) {
		source->readable = false;
		*ret = n == 0 ? SOURCE_HAS_ENDED : errno == EAGAIN ? SOURCE_IS_EMPTY : SOURCE_IS_RESET;
		source->may_end = *ret != SOURCE_IS_EMPTY;
		return 0;
	}
	/* less than asked for is all there was, epoll(7); but for an end that was announced, or a mark of urgent data
	 */
	if ((size_t) n < most && !source->may_end)
		source->readable = false;
	if (leave)
		leave->bytes[from] -= (uint32_t) n;
	return (size_t) n;
}

/* -- content -- */

static bool has_input(const struct exchange *exchange, enum relay_end from)
{
	return exchange->ends[from].readable || (from == RELAY_ORIGIN && exchange->raw_len > 0);
}

/* Of the origin, what came with the response's head goes first. */
static size_t next_bytes(struct exchange *exchange, enum relay_end from, char *at, size_t room,
	struct relay_leave *leave, enum source *ret)
{
	if (from == RELAY_CLIENT) {
		uint64_t certain = http_content_certain(&exchange->flows[from].content);
		return source_read(exchange, from, at, room < certain ? room : (size_t) certain, leave, ret);
	}
	if (exchange->raw_len == 0)
		return source_read(exchange, from, at, room, leave, ret);
	size_t n = room < exchange->raw_len ? room : exchange->raw_len;
	memcpy(at, exchange->raw + exchange->raw_start, n);
	exchange->raw_start += n;
	exchange->raw_len -= n;
	if (exchange->raw_len == 0) {
		free(exchange->raw);
		exchange->raw = NULL;
		exchange->raw_size = exchange->raw_start = 0;
	}
	return n;
}

/* What is missing never comes. What has come from the origin is passed on all the same. */
static void source_broken(struct exchange *exchange, enum relay_end from, enum reason reason, const char *problem)
{
	if (from == RELAY_CLIENT)
		(void) fail(exchange, reason, problem);
	else if (exchange->broken == REASON_NONE)
		exchange->broken = reason;
}

static void source_ended(struct exchange *exchange, enum relay_end from, enum source source)
{
	struct http_content *content = &exchange->flows[from].content;
	if (source == SOURCE_IS_EMPTY || (source == SOURCE_HAS_ENDED && http_content_end(content)))
		return;
	if (from == RELAY_ORIGIN)
		source_broken(exchange, from, REASON_ORIGIN_CLOSED, NULL);
	else if (source == SOURCE_IS_RESET)
		source_broken(exchange, from, REASON_CLIENT_RESET, NULL);
	else
		source_broken(exchange, from, REASON_BAD_REQUEST, "It ended in the middle of its content.");
}

/* Reads and decodes into room bytes at at. Returns how many bytes of content there are. */
static size_t gather(struct exchange *exchange, enum relay_end from, char *at, size_t room, struct relay_leave *leave)
{
	struct http_content *content = &exchange->flows[from].content;
	size_t have = 0;
	for (int i = 0; i < READS_PER_MOVE && have < room && !content->complete && has_input(exchange, from); i++) {
		enum source source;
		size_t used, new, n = next_bytes(exchange, from, at + have, room - have, leave, &source);
		if (n == 0) {
			source_ended(exchange, from, source);
			break;
		}
		enum parse_result r = http_content_take(content, at + have, n, &used, &new);
		have += new;
		exchange->excess |= r == PARSE_DONE && used < n;
		if (r == PARSE_BAD) {
			source_broken(exchange, from, from == RELAY_CLIENT ? REASON_BAD_REQUEST : REASON_BAD_RESPONSE,
				content->chunked.problem);
			break;
		}
	}
	return have;
}

static size_t room_of(const struct exchange_flow *flow)
{
	size_t used = flow->end + (flow->content.out == HTTP_CHUNKED ? CHUNKED_FRONT + CHUNKED_BEHIND : 0);
	return used < flow->size ? flow->size - used : 0;
}

static bool can_fill(const struct exchange *exchange, enum relay_end from)
{
	const struct exchange_flow *flow = &exchange->flows[from];
	return !flow->content.complete && flow->start == 0 && room_of(flow) > 0 && has_input(exchange, from) &&
	       (from == RELAY_CLIENT || exchange->broken == REASON_NONE);
}

static void fill(struct exchange *exchange, enum relay_end from, struct relay_leave *leave)
{
	struct exchange_flow *flow = &exchange->flows[from];
	char *end = flow->buf + flow->end;
	if (!is_chunked_out(flow)) {
		flow->end += gather(exchange, from, end, room_of(flow), leave);
		return;
	}
	size_t len = gather(exchange, from, end + CHUNKED_FRONT, room_of(flow), leave);
	char *chunk = chunked_wrap(end + CHUNKED_FRONT, len, flow->content.complete, &len);
	memmove(end, chunk, len);
	flow->end += len;
}

/* -- the response's head -- */

static bool raw_has_room(struct exchange *exchange)
{
	size_t most = (size_t) exchange->limits.response_head_bytes + 1;
	if (exchange->raw_start > 0) {
		memmove(exchange->raw, exchange->raw + exchange->raw_start, exchange->raw_len);
		exchange->raw_start = 0;
	}
	if (exchange->raw_len < exchange->raw_size)
		return true;
	size_t size = exchange->raw_size ? exchange->raw_size * 2 : RAW_BYTES;
	if (size > most && most > RAW_BYTES)
		size = most;
	char *raw = size > exchange->raw_size ? realloc(exchange->raw, size) : NULL;
	if (!raw)
		return false;
	exchange->raw = raw;
	exchange->raw_size = size;
	return true;
}

static enum step raw_read(struct exchange *exchange, struct relay_leave *leave)
{
	if (!exchange->ends[RELAY_ORIGIN].readable)
		return STEP_WAITS;
	if (!raw_has_room(exchange))
		return fail(exchange, REASON_LIMIT_RESOURCES, NULL);
	enum source source;
	size_t n = source_read(exchange, RELAY_ORIGIN, exchange->raw + exchange->raw_len,
		exchange->raw_size - exchange->raw_len, leave, &source);
	exchange->raw_len += n;
	if (n > 0)
		return STEP_MOVED;
	if (source == SOURCE_IS_EMPTY)
		return STEP_WAITS;
	exchange->stale = exchange->reused && exchange->can_repeat && exchange->raw_len == 0 && exchange->interims == 0;
	return exchange->stale ? STEP_WAITS : fail(exchange, REASON_ORIGIN_CLOSED, NULL);
}

static enum http_framing framing_to_client(const struct exchange *exchange, enum http_framing in)
{
	if (in == HTTP_CHUNKED || in == HTTP_UNTIL_CLOSE)
		return exchange->to_old ? HTTP_UNTIL_CLOSE : HTTP_CHUNKED;
	return in;
}

static void begin_content(struct exchange *exchange, const struct http_response *response, enum http_framing out)
{
	struct http_content *content = &exchange->flows[RELAY_ORIGIN].content;
	if (response->is_upgrade) /* what the origin said behind it is the tunnel's already */
		http_content_init(content, HTTP_LENGTH, HTTP_LENGTH, exchange->raw_len, 0);
	else
		http_content_init(content, response->framing, out, response->length, exchange->limits.trailer_bytes);
	exchange->has_response = true;
	exchange->upgraded = response->is_upgrade;
	exchange->resets = out == HTTP_UNTIL_CLOSE;
	exchange->origin_fit = response->keeps;
}

/* All that was written before has been sent. */
static enum step pass_head(struct exchange *exchange, const struct http_response *response)
{
	struct exchange_flow *down = &exchange->flows[RELAY_ORIGIN];
	size_t len = exchange->head.len;
	enum http_framing out = framing_to_client(exchange, response->framing);
	if (!response->is_interim)
		exchange->keeps = exchange->keeps && !exchange_wants_request(exchange) && !response->is_upgrade &&
				  response->framing != HTTP_UNTIL_CLOSE;
	if (!response->is_interim || !exchange->to_old) {
		if (!flow_reserve(down, len, response->framing != HTTP_NO_CONTENT || response->is_upgrade))
			return fail(exchange, REASON_LIMIT_RESOURCES, NULL);
		struct text text = text_init(down->buf, down->size);
		http_forward_response(
			&text, &exchange->head, exchange->raw + exchange->raw_start, response, out, !exchange->keeps);
		if (text.cut)
			return fail(exchange, REASON_LIMIT_RESOURCES, NULL);
		down->end = text.len;
	}
	exchange->raw_start += len;
	exchange->raw_len -= len;
	if (response->is_interim)
		http_head_init_response(&exchange->head);
	else
		begin_content(exchange, response, out);
	return STEP_MOVED;
}

static enum step judge_head(struct exchange *exchange)
{
	struct http_response response;
	const char *problem = http_response_read(&exchange->head, exchange->raw + exchange->raw_start,
		exchange->to_head, exchange->to_websocket, &response);
	if (!problem && response.is_interim && ++exchange->interims > INTERIMS_MAX)
		problem = "There is no end of informational responses.";
	return problem ? fail(exchange, REASON_BAD_RESPONSE, problem) : pass_head(exchange, &response);
}

static enum step read_response(struct exchange *exchange, struct relay_leave *leave)
{
	if (exchange->head.len == exchange->raw_len) {
		enum step step = raw_read(exchange, leave);
		if (step == STEP_WAITS)
			return step;
	}
	switch (http_head_parse(&exchange->head, exchange->raw + exchange->raw_start, exchange->raw_len,
		exchange->limits.response_head_bytes)) {
	case PARSE_MORE:
		return STEP_MOVED;
	case PARSE_BAD:
		return exchange->head.reason == REASON_HEAD_TOO_LARGE
			       ? fail(exchange, REASON_RESPONSE_TOO_LARGE, NULL)
			       : fail(exchange, REASON_BAD_RESPONSE, exchange->head.problem);
	case PARSE_DONE:
		return judge_head(exchange);
	}
	return STEP_WAITS;
}

/* -- the two directions -- */

/* What was read may have been nothing but framing. */
static enum step nothing_to_send(const struct exchange *exchange, enum relay_end from, const struct relay_leave *leave)
{
	return can_fill(exchange, from) && !(leave && leave->wanted[from]) ? STEP_MOVED : STEP_WAITS;
}

static enum step up_step(struct exchange *exchange, struct relay_leave *leave)
{
	const struct exchange_flow *up = &exchange->flows[RELAY_CLIENT];
	if (exchange->ends[RELAY_ORIGIN].reset)
		return STEP_WAITS;
	if (can_fill(exchange, RELAY_CLIENT))
		fill(exchange, RELAY_CLIENT, leave);
	if (exchange->reason != REASON_NONE)
		return STEP_WAITS;
	return up->start < up->end ? flow_send(exchange, RELAY_CLIENT) : nothing_to_send(exchange, RELAY_CLIENT, leave);
}

static enum step down_step(struct exchange *exchange, struct relay_leave *leave)
{
	const struct exchange_flow *down = &exchange->flows[RELAY_ORIGIN];
	if (exchange->has_response && can_fill(exchange, RELAY_ORIGIN))
		fill(exchange, RELAY_ORIGIN, leave);
	if (down->start < down->end)
		return flow_send(exchange, RELAY_ORIGIN);
	return exchange->has_response ? nothing_to_send(exchange, RELAY_ORIGIN, leave) : read_response(exchange, leave);
}

static bool flow_run(struct exchange *exchange, enum step (*step)(struct exchange *, struct relay_leave *),
	struct relay_leave *leave)
{
	for (int i = 0; i < MOVES_PER_TURN && exchange->reason == REASON_NONE; i++)
		if (step(exchange, leave) == STEP_WAITS)
			return false;
	return true;
}

bool exchange_wants_request(const struct exchange *exchange)
{
	return !exchange->flows[RELAY_CLIENT].content.complete;
}

static enum exchange_status ended(struct exchange *exchange)
{
	const struct exchange_flow *up = &exchange->flows[RELAY_CLIENT];
	bool took_request = up->content.complete && up->start == up->end;
	exchange->client_fit = exchange->keeps;
	exchange->origin_fit = exchange->origin_fit && exchange->keeps && took_request && !exchange->excess &&
			       exchange->raw_len == 0 && !exchange->ends[RELAY_ORIGIN].reset;
	return exchange->upgraded ? EXCHANGE_UPGRADED : EXCHANGE_ENDED;
}

enum exchange_status exchange_run(struct exchange *exchange, struct relay_leave *leave)
{
	const struct exchange_flow *down = &exchange->flows[RELAY_ORIGIN];
	bool up_goes_on = flow_run(exchange, up_step, leave), down_goes_on = flow_run(exchange, down_step, leave);

	bool sent = exchange->has_response && down->start == down->end;
	if (exchange->reason == REASON_NONE && exchange->broken != REASON_NONE && sent)
		exchange->reason = exchange->broken;
	if (exchange->reason != REASON_NONE)
		return EXCHANGE_FAILED;
	if (exchange->stale)
		return EXCHANGE_STALE;
	if (sent && down->content.complete)
		return ended(exchange);
	return up_goes_on || down_goes_on ? EXCHANGE_GOES_ON : EXCHANGE_WAITS;
}
