/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/runtime_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/hook/cmocka_all.h"

#define WORDS_MAX 40

struct row {
	const char *line; /* the words, each ended by a space */
	enum runtime_command command;
	const char *log, *format, *bundle, *config, *process, *id, *doubt, *admin;
};

/* What engines call (docker 20.10, containerd, BuildKit, conmon for podman and CRI-O), and what runtimes take. */
static const struct row rows[] = {
	{ .line = "--root /r --log /l --log-format json create --bundle /b --pid-file /p ID",
		.command = RUNTIME_CREATE,
		.log = "/l",
		.format = "json",
		.bundle = "/b" },
	{ .line = "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p "
		  "--console-socket /c "
		  "ID",
		.command = RUNTIME_CREATE,
		.log = "/l",
		.format = "json",
		.bundle = "/b" },
	{ .line = "--root /r --log /l --log-format json exec --process /f --detach --pid-file /p ID",
		.command = RUNTIME_EXEC,
		.log = "/l",
		.format = "json",
		.process = "/f",
		.id = "ID" },
	{ .line = "--root /r --log /l --log-format json exec --process /f --console-socket /c --detach --pid-file /p "
		  "ID",
		.command = RUNTIME_EXEC,
		.log = "/l",
		.format = "json",
		.process = "/f",
		.id = "ID" },
	{ .line = "--root /r --log /l --log-format json start ID",
		.command = RUNTIME_OTHER,
		.log = "/l",
		.format = "json" },
	{ .line = "--root /r --log /l --log-format json kill --all ID 9",
		.command = RUNTIME_OTHER,
		.log = "/l",
		.format = "json" },
	{ .line = "--root /r --log /l --log-format json delete --force ID",
		.command = RUNTIME_OTHER,
		.log = "/l",
		.format = "json" },
	{ .line = "--root /r --log /l --log-format json update --resources=- ID",
		.command = RUNTIME_OTHER,
		.log = "/l",
		.format = "json" },
	{ .line = "--root /r --log /l --log-format json state ID",
		.command = RUNTIME_OTHER,
		.log = "/l",
		.format = "json" },
	{ .line = "--log /l --log-format json run --bundle /b --keep ID",
		.command = RUNTIME_CREATE,
		.log = "/l",
		.format = "json",
		.bundle = "/b" },
	{ .line = "--root=/r --systemd-cgroup create --bundle /b --pid-file /p --no-pivot ID",
		.command = RUNTIME_CREATE,
		.bundle = "/b" },
	{ .line = "--systemd-cgroup exec --pid-file /p --process /f --detach ID",
		.command = RUNTIME_EXEC,
		.process = "/f",
		.id = "ID" },
	{ .line = "--cgroup-manager systemd --log-level debug --log=file:/l create --bundle=/b --config /c.json ID",
		.command = RUNTIME_CREATE,
		.log = "file:/l",
		.bundle = "/b",
		.config = "/c.json" },
	{ .line = "restore --image-path /i --work-path /w --bundle /b --detach ID",
		.command = RUNTIME_CREATE,
		.bundle = "/b" },
	{ .line = "--version", .command = RUNTIME_OTHER },
	{ .line = "-v", .command = RUNTIME_OTHER },
	{ .line = "features", .command = RUNTIME_OTHER },
	{ .line = "", .command = RUNTIME_OTHER },
	/* Ways to write it. */
	{ .line = "-root /r -log=/l create -bundle /b ID", .command = RUNTIME_CREATE, .log = "/l", .bundle = "/b" },
	{ .line = "create -b /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create -b=/b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create -b/b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create ID --bundle /b", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create --bundle /a --bundle /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "run -d -b /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "run -db /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create --new-flag --bundle /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create -- ID --bundle /x", .command = RUNTIME_CREATE },
	{ .line = "create ID", .command = RUNTIME_CREATE },
	{ .line = "create --bundle", .command = RUNTIME_CREATE },
	{ .line = "exec -t -e A=b -u 0 --cwd / -c CAP_X ID sh -p /x", .command = RUNTIME_EXEC, .id = "ID" },
	{ .line = "exec -c CAP_NET_ADMIN -c CAP_X ID sh",
		.command = RUNTIME_EXEC,
		.id = "ID",
		.admin = "CAP_NET_ADMIN" },
	{ .line = "exec --cap=x,sys_admin ID sh", .command = RUNTIME_EXEC, .id = "ID", .admin = "x,sys_admin" },
	{ .line = "exec -c12 ID sh", .command = RUNTIME_EXEC, .id = "ID", .admin = "12" },
	{ .line = "exec --ca=CAP_NET_ADMIN --proc /f ID sh",
		.command = RUNTIME_EXEC,
		.process = "/f",
		.id = "ID",
		.admin = "CAP_NET_ADMIN" },
	{ .line = "run --bun /b --bundle= ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "create --bundle= ID", .command = RUNTIME_CREATE },
	{ .line = "exec -tp /f ID", .command = RUNTIME_EXEC, .process = "/f", .id = "ID" },
	{ .line = "exec -p=/f ID --process /g", .command = RUNTIME_EXEC, .process = "/f", .id = "ID" },
	{ .line = "exec -- -ID sh", .command = RUNTIME_EXEC, .id = "-ID" },
	{ .line = "exec", .command = RUNTIME_EXEC },
	{ .line = "exec --new=1 ID sh", .command = RUNTIME_EXEC, .id = "ID" },
	{ .line = "exec --new ID sh", .command = RUNTIME_EXEC, .id = "ID", .doubt = "--new" },
	{ .line = "exec -tx ID sh", .command = RUNTIME_EXEC, .id = "ID", .doubt = "-tx" },
	/* Options and commands that are new to us. */
	{ .line = "--new=1 create --bundle /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "--new create --bundle /b ID", .command = RUNTIME_CREATE, .bundle = "/b" },
	{ .line = "--new --log /l exec ID sh", .command = RUNTIME_EXEC, .log = "/l", .id = "ID" },
	{ .line = "--new /x kill ID", .command = RUNTIME_OTHER },
	{ .line = "newcommand create", .command = RUNTIME_OTHER },
	{ .line = "kill create", .command = RUNTIME_OTHER },
};

static int split(char *line, char *argv[WORDS_MAX])
{
	int n = 0;
	argv[n++] = line + strlen(line);
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
		assert_true(n < WORDS_MAX);
		argv[n++] = word;
	}
	return n;
}

static void assert_same(const char *line, const char *what, const char *got, const char *expected)
{
	bool same = got && expected ? strcmp(got, expected) == 0 : got == expected;
	if (!same)
		fail_msg("%s: %s: got %s, expected %s", line, what, got ? got : "none", expected ? expected : "none");
}

static void test_rows(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		_cleanup_free_ char *line = strdup(row->line);
		char *argv[WORDS_MAX];
		int argc = split(line, argv);
		struct runtime_args args;
		struct error err = { 0 };
		if (runtime_args_parse(argc, argv, &args, &err) < 0)
			fail_msg("%s: %s", row->line, err.msg);
		assert_int_equal(args.command, row->command);
		assert_same(row->line, "log", args.log, row->log);
		assert_same(row->line, "format", args.log_format, row->format);
		assert_same(row->line, "bundle", args.bundle, row->bundle);
		assert_same(row->line, "config", args.config, row->config);
		assert_same(row->line, "process", args.process, row->process);
		assert_same(row->line, "id", args.id ? argv[args.id] : NULL, row->id);
		assert_same(row->line, "doubt", args.doubt, row->doubt);
		assert_same(row->line, "admin", args.admin_capability, row->admin);
	}
}

/* In front of the word that ends the options. */
static void test_where_another_option_can_stand(void **state)
{
	(void) state;
	static const struct {
		const char *line;
		int at;
	} lines[] = { { "exec -t ID sh", 3 }, { "exec -t -- ID -- sh", 3 }, { "exec -e -- ID sh", 4 } };
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *line = strdup(lines[i].line);
		char *argv[WORDS_MAX];
		struct runtime_args args;
		struct error err = { 0 };
		assert_int_equal(runtime_args_parse(split(line, argv), argv, &args, &err), 0);
		assert_int_equal(args.options_end, lines[i].at);
	}
}

/* What stands in the corpus for a path, or NULL where the line has none. */
static const char *placeholder(const char *line, const char *name)
{
	return strstr(line, name) ? name : NULL;
}

/* As engines call, all their commands: tests/corpus/argv.tsv. */
static void check_call(const char *by, const char *does, const char *text)
{
	_cleanup_free_ char *line = strdup(text);
	char *argv[WORDS_MAX];
	int argc = split(line, argv);
	struct runtime_args args;
	struct error err = { 0 };
	if (runtime_args_parse(argc, argv, &args, &err) < 0)
		fail_msg("%s: %s: %s", by, text, err.msg);
	bool create = strcmp(does, "create") == 0, exec = strcmp(does, "exec") == 0;
	if (!create && !exec)
		assert_string_equal(does, "other");
	if (args.command != (create ? RUNTIME_CREATE : exec ? RUNTIME_EXEC : RUNTIME_OTHER))
		fail_msg("%s: %s: is no %s", by, text, does);
	assert_same(text, "log", args.log, strstr(text, "file:LOG") ? "file:LOG" : placeholder(text, "LOG"));
	assert_same(text, "format", args.log_format, strstr(text, "--log-format") ? "json" : NULL);
	assert_same(text, "bundle", args.bundle, create ? placeholder(text, "BUNDLE") : NULL);
	assert_same(text, "config", args.config, create ? placeholder(text, "CONFIG") : NULL);
	assert_same(text, "process", args.process, exec ? placeholder(text, "PROCESS") : NULL);
	assert_same(text, "id", args.id ? argv[args.id] : NULL, exec ? "ID" : NULL);
	assert_same(text, "doubt", args.doubt, NULL);
}

static void test_engines(void **state)
{
	(void) state;
	const char *path = getenv("ARGV_CORPUS");
	assert_non_null(path);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	_cleanup_free_ char *row = NULL;
	size_t size = 0, n = 0;
	while (getline(&row, &size, file) > 0) {
		if (row[0] == '#')
			continue;
		char *at = row;
		const char *by = strsep(&at, "\t"), *does = strsep(&at, "\t"), *line = strsep(&at, "\n");
		if (!by || !does || !line)
			fail_msg("%s: three columns are expected", row);
		else
			check_call(by, does, line);
		n++;
	}
	(void) fclose(file);
	assert_true(n > 100);
}

/* What may be the command, or may be the value of an option that is new: not guessed where a container depends on it.
 */
static void test_not_guessed(void **state)
{
	(void) state;
	static const char *const lines[] = { "--new x create --bundle /b ID", "--log /l --new x exec ID sh",
		"-x y run ID" };
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *line = strdup(lines[i]);
		char *argv[WORDS_MAX];
		int argc = split(line, argv);
		struct runtime_args args;
		struct error err = { 0 };
		assert_int_equal(runtime_args_parse(argc, argv, &args, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "=VALUE"));
		assert_true(i != 1 || strcmp(args.log, "/l") == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_where_another_option_can_stand),
		cmocka_unit_test(test_engines),
		cmocka_unit_test(test_not_guessed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
