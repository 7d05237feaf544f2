/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/spawn.h"

#define NFT_TIMEOUT_MS 10000
#define NFT_SAYS_MAX 65536
#define NFT_NAME_USED 64 /* of what is ours; the kernel takes longer names */

/* By absolute path, and never by a PATH, which is the runtime's and through it perhaps the container's. */
static int nft_open(struct error *err)
{
	static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int fd = open(places[i], O_PATH | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != ENOENT && errno != ENOTDIR)
			return error_set(err, errno, "%s", places[i]);
	}
	return error_say(err, ENOENT,
		"there is no nft, which loads the gate of a network namespace with other interfaces (looked for %s); "
		"install the package nftables",
		places[0]);
}

/* What it says goes into one line: the first, which names what is wrong; the others draw arrows to it. */
static void keep_first_line(char *says)
{
	says[strcspn(says, "\n")] = '\0';
	for (char *c = says; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
}

static int nft_wait(pid_t pid, struct error *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "wait for nft");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until nft has nothing more to say, which is when it ends. */
static int nft_hear(pid_t pid, int from, char **ret_says, struct error *err)
{
	size_t len;
	int r = io_read_all_within(from, NFT_SAYS_MAX, NFT_TIMEOUT_MS, ret_says, &len, err);
	if (r < 0) {
		(void) kill(pid, SIGKILL);
		(void) nft_wait(pid, NULL);
		return error_wrap(err, "nft");
	}
	return nft_wait(pid, err);
}

int nft_load(const char *text, struct error *err)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	_cleanup_close_ int exe = nft_open(err);
	if (exe < 0)
		return exe;
	_cleanup_close_ int input = -1;
	int r = io_memfd("gate", text, strlen(text), &input, err);
	if (r < 0)
		return r;
	if (lseek(input, 0, SEEK_SET) < 0) /* nft reads on from where we have written to */
		return error_set(err, errno, "rules for nft");
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	_cleanup_close_ int from = pair[0];
	_cleanup_close_ int to = pair[1];

	pid_t pid;
	r = spawn_stdio(exe, argv, (const int[]){ input, to, to }, &pid, NULL, err);
	if (r < 0)
		return r;
	cleanup_close(&to);
	to = -1;
	_cleanup_free_ char *says = NULL;
	r = nft_hear(pid, from, &says, err);
	if (r <= 0)
		return r;
	keep_first_line(says);
	int errnum = strstr(says, "File exists") ? EEXIST : strstr(says, "No such file or directory") ? ENODEV : EIO;
	return error_say(err, errnum, "nft, status %d: %s", r, says);
}

/* A question about one chain, nfnetlink's. */
struct question {
	_Alignas(4) char bytes[256];
	size_t len;
};

static void put(struct question *question, const void *bytes, size_t len)
{
	memcpy(question->bytes + question->len, bytes, len);
	question->len += NLMSG_ALIGN(len);
}

static void put_string(struct question *question, uint16_t type, const char *string)
{
	size_t len = strlen(string) + 1;
	struct nlattr attr = { .nla_type = type, .nla_len = (uint16_t) (sizeof(attr) + len) };
	put(question, &attr, sizeof(attr));
	put(question, string, len);
}

static int open_nfnetlink(struct error *err)
{
	const struct timeval patience = { .tv_sec = 5 };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return error_set(err, errno, "nfnetlink socket");
	return TAKE_FD(fd);
}

int nft_has_chain(uint8_t family, const char *table, const char *chain, struct error *err)
{
	if (strlen(table) >= NFT_NAME_USED || strlen(chain) >= NFT_NAME_USED)
		return error_say(err, ENAMETOOLONG, "chain %s", chain);
	struct question question = { .len = NLMSG_HDRLEN };
	put(&question, &(struct nfgenmsg){ .nfgen_family = family, .version = NFNETLINK_V0 }, sizeof(struct nfgenmsg));
	put_string(&question, NFTA_CHAIN_TABLE, table);
	put_string(&question, NFTA_CHAIN_NAME, chain);
	struct nlmsghdr header = {
		.nlmsg_len = (uint32_t) question.len,
		.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN,
		.nlmsg_flags = NLM_F_REQUEST,
	};
	memcpy(question.bytes, &header, sizeof(header));

	_cleanup_close_ int fd = open_nfnetlink(err);
	if (fd < 0)
		return fd;
	_Alignas(4) char answer[4096];
	if (send(fd, question.bytes, question.len, 0) < 0 || recv(fd, answer, sizeof(answer), 0) < NLMSG_HDRLEN)
		return error_set(err, errno, "chain %s", chain);
	memcpy(&header, answer, sizeof(header));
	return header.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN);
}
