/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapper: an OCI runtime that guards the containers which it is asked to make, and leaves the rest to a real one.
 */
#pragma once

#include <stdbool.h>

/* Is this program called as the wrapper, oci-egress-runtime or oci-egress-runtime@POLICY? */
bool runtime_is_name(const char *argv0);

/* Does not return but with an exit status, where it failed. */
int runtime_main(int argc, char **argv);
