/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts, authorities and networks: what is taken is canonical, and canonical text parses to the same thing again. */
#include <stdlib.h>
#include <string.h>

#include "base/host.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_host(const struct host *host)
{
	struct host again;
	host_problem problem = host->kind == HOST_ADDRESS && host->address.family == AF_INET6
				       ? host_parse_bracketed(host->name, host->len, &again)
				       : host_parse(host->name, host->len, &again);
	check(!problem && host_equal(host, &again) && address_equal(&host->address, &again.address));
	check(host->len > 0 && host->len <= HOST_NAME_MAX_LEN && strlen(host->name) == host->len);
	for (size_t i = 0; i < host->len; i++)
		check(!(host->name[i] >= 'A' && host->name[i] <= 'Z'));
}

static void check_authority(const char *bytes, size_t len)
{
	struct host host, loose_host;
	uint16_t port = 0, loose_port;
	bool strict = host_parse_authority(bytes, len, true, &host, &port) == NULL;
	bool loose = host_parse_authority(bytes, len, false, &loose_host, &loose_port) == NULL;
	check(loose || !strict);
	check(strict == (loose && loose_port != 0));
	if (loose)
		check_host(&loose_host);
	if (strict)
		check(port == loose_port && host_equal(&host, &loose_host));
}

static void check_network(const char *bytes, size_t len)
{
	struct network network, again;
	char text[NETWORK_TEXT_MAX];
	if (network_parse(bytes, len, &network))
		return;
	check(network_contains(&network, &network.base));
	network_format(&network, text);
	check(network_parse(text, strlen(text), &again) == NULL);
	check(again.prefix == network.prefix && address_equal(&again.base, &network.base));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *) data;
	struct host host;
	if (host_parse(bytes, size, &host) == NULL)
		check_host(&host);
	if (host_parse_bracketed(bytes, size, &host) == NULL)
		check_host(&host);
	check_authority(bytes, size);
	check_network(bytes, size);
	return 0;
}
