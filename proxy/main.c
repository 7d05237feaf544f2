/* SPDX-License-Identifier: Apache-2.0 */
/* oci-egress-keeper: what lives as long as a container. Started by the hook and by itself, not by people. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "proxy/init.h"
#include "proxy/keeper.h"
#include "proxy/title.h"
#include "proxy/worker.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} roles[] = {
	{ "keeper", keeper_main },
	{ "worker", worker_main },
	{ "init", init_main },
};

int main(int argc, char **argv)
{
	title_take(argv);
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("oci-egress-keeper " VERSION) < 0;
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (argc >= 2 && strcmp(argv[1], roles[i].name) == 0)
			return roles[i].main(argc - 2, argv + 2);
	fputs("oci-egress-keeper: started by oci-egress, not by hand\n", stderr);
	return 2;
}
