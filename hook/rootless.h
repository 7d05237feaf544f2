/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are for a user whose engine needs no root: in places of the user's own. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "oci/settings.h"

/*
 * Is whoever runs this no root, or root of a user namespace in the host's own file system? In a container of its own,
 * root of a user namespace is root.
 */
bool rootless(void);

/*
 * Puts the user's places over *settings: policies and settings below ~/.config/oci-egress, logs and state below
 * ~/.local/state/oci-egress, the run directory in $XDG_RUNTIME_DIR, or else /run/user/UID. Home is what /etc/passwd
 * says, or else $HOME: engines hand on no XDG_CONFIG_HOME and no XDG_STATE_HOME, and now and then nothing at all. The
 * policies that settings names till then are the administrator's, settings->admin_policies from now on. ret_config
 * (PATH_MAX): the user's config.json.
 */
int rootless_places(struct settings *settings, char *ret_config, struct error *err);

/* Clears the environment, but for what rootless_places() asks for. */
void rootless_clearenv(void);
