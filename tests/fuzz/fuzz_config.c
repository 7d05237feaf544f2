/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, and the host's settings by the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/config.h"
#include "oci/settings.h"

static void parse_settings(const char *text, size_t len)
{
	struct settings settings;
	struct error err;
	settings_defaults(&settings);
	if (settings_parse("settings", text, len, &settings, &err) < 0)
		return;
	if (settings.log[0] != '/' || settings.port == 0 || settings.proxy.s_addr == settings.container.s_addr)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	struct config *config;
	struct error err;
	parse_settings(text, size);
	if (config_parse("config", text, size, &config, &err) < 0)
		return 0;
	if (config->unsafe_annotation && !config_annotation_unsafe(config->unsafe_annotation))
		abort();
	config_free(config);
	return 0;
}
