/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hook/command.h"
#include "hook/runtime.h"

static const struct command *const commands[] = { &command_hook, &command_proxy, &command_check, &command_env,
	&command_compile, &command_reload, &command_restart, &command_status, &command_log, &command_runtime,
	&command_doctor, &command_canary, &command_install, &command_uninstall };

static void print_help(FILE *to)
{
	(void) fprintf(to,
		"oci-egress: gives every container one guarded way out\n\nusage: oci-egress COMMAND [OPTION...]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i]->text)
			(void) fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->text);
	(void) fprintf(to, "\noci-egress COMMAND --help says more; so do oci-egress(1) and oci-egress-policy(5).\n");
}

static void print_command_help(const struct command *command)
{
	(void) printf(
		"usage: oci-egress %s [OPTION...] %s\n\n%s.\n\n", command->name, command->operands, command->text);
	options_print(command->options);
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

/* Where 0, 1 or 2 is closed, the next file that is opened would take its number, and what we print would go into it. */
static int open_stdio(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd;
}

int main(int argc, char **argv)
{
	if (open_stdio() < 0)
		return 1;
	if (argc > 0 && runtime_is_name(argv[0]))
		return runtime_main(argc, argv);
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0) {
		print_help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void) printf("oci-egress %s\n", VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i]->name) != 0)
			continue;
		if (commands[i]->text && asks_for_help(argc - 1, argv + 1)) {
			print_command_help(commands[i]);
			return 0;
		}
		return commands[i]->run(argc - 1, argv + 1);
	}
	(void) fprintf(
		stderr, "oci-egress: there is no command \"%s\"; oci-egress --help lists those there are\n", argv[1]);
	return 2;
}
