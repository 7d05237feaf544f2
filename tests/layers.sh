#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A folder includes only what it may use: hook -> netns, proxy, oci -> base; proxy may see the image's layout in oci.
cd "$(dirname "$0")/.." || exit 2
failed=0

# forbid FOLDER PATTERN: no file of FOLDER includes a header whose path matches.
forbid()
{
	if grep -nE "^#include \"($2)" "$1"/*.[ch]; then
		echo "$1: may not include these"
		failed=1
	fi
}

forbid base '(oci|netns|proxy|hook)/'
forbid oci '(netns|proxy|hook)/'
forbid netns '(oci|proxy|hook)/'
forbid proxy '(netns|hook)/|oci/[^i]|oci/i[^m]'
exit $failed
