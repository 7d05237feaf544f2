/* SPDX-License-Identifier: Apache-2.0 */
/* `oci-egress compile`: a policy's image, as hooks take it and keepers when the policy has changed. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "hook/command.h"
#include "hook/images.h"
#include "hook/rundir.h"
#include "oci/policy.h"
#include "proxy/compiling.h"

static struct command_places places;
static const char *on_failure, *answer_fd, *images_fd;

static const struct option_row options[] = {
	{ "config", "FILE", "the host's settings (/etc/oci-egress/config.json)", &places.config, NULL },
	{ "policies", "DIR", "where policies are (/etc/oci-egress/policies)", &places.policies, NULL },
	{ "run", "DIR", "what is known of running containers (/run/oci-egress)", &places.run, NULL },
	{ "on-failure", "open|closed", "what holds where the policy does not say", &on_failure, NULL },
	{ "answer", "FD", "the descriptor that gets the answer, instead of stdout and stderr", &answer_fd, NULL },
	{ "images", "FD", "the descriptor of the policy's directory below the run directory, to be used instead",
		&images_fd, NULL },
	{ 0 },
};

static int parse_on_failure(enum image_on_failure *ret, struct error *err)
{
	if (!on_failure)
		return 0;
	if (strcmp(on_failure, "open") == 0)
		*ret = IMAGE_ON_FAILURE_OPEN;
	else if (strcmp(on_failure, "closed") == 0)
		*ret = IMAGE_ON_FAILURE_CLOSED;
	else
		return error_say(err, EINVAL, "--on-failure %s: expected open or closed", on_failure);
	return 0;
}

static int compile(const char *name, char ret_image[NAME_MAX + 1], struct settings *settings, struct error *err)
{
	bool given = !places.config && places.policies && places.run && on_failure;
	int r = given ? command_given_settings(&places, settings, err) : command_settings(&places, settings, err);
	if (r == 0)
		r = parse_on_failure(&settings->on_failure, err);
	if (r < 0)
		return r;

	_cleanup_close_ int fd = -1, run = -1, image = -1;
	char file[PATH_MAX];
	r = policy_open(settings->policies, name, &fd, file, err);
	if (r == 0)
		r = rundir_open(settings->run, &run, err);
	if (r < 0)
		return r;
	const struct images_source source = {
		.fd = fd, .file = file, .name = name, .on_failure = settings->on_failure
	};
	return images_fd ? images_take_in(atoi(images_fd), &source, ret_image, &image, err)
			 : images_take(run, &source, ret_image, &image, err);
}

/* To people, or to a keeper that asked for it. */
static void answer(bool good, const char *text)
{
	char line[ERROR_MESSAGE_MAX + NAME_MAX];
	if (!answer_fd) {
		(void) fprintf(good ? stdout : stderr, "%s%s\n", good ? "" : "oci-egress compile: ", text);
		return;
	}
	int len = snprintf(line, sizeof(line), "%c%s", good ? COMPILING_GOOD : COMPILING_BAD, text);
	(void) io_write_all(atoi(answer_fd), line, (size_t) len, NULL);
}

static int run_compile(int argc, char **argv)
{
	static struct settings settings;
	char image[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 16];
	struct error err;
	int r = options_parse(&argc, argv, options, &err);
	if (r == 0 && argc != 2)
		r = error_say(&err, EINVAL, "expected the name of one policy");
	if (r == 0)
		r = compile(argv[1], image, &settings, &err);
	if (r < 0) {
		answer(false, err.msg);
		return 2;
	}
	(void) snprintf(path, sizeof(path), "%s/images/%s", settings.run, image);
	answer(true, answer_fd ? image : path);
	return 0;
}

const struct command command_compile = {
	.name = "compile",
	.operands = "POLICY",
	.text = "compile a policy for all containers that use it, and say which file holds it",
	.run = run_compile,
	.options = options,
};
