#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# node.sh crio|containerd: sets up the node whose / is at $OCI_EGRESS_HOST, from within a container of the image. The
# engine is restarted, by the node's own systemctl, where something has changed.
set -eu
engine=$1
host=${OCI_EGRESS_HOST:-/host}
programs=${OCI_EGRESS_PROGRAMS:-/opt/oci-egress}

# Each by rename(2): the program before may be running.
cd "$programs"
find . -type d | while read -r dir; do
	mkdir -p "$host$programs/$dir"
done
find . ! -type d | while read -r file; do
	cp -a "$file" "$host$programs/$file.new"
	mv -f "$host$programs/$file.new" "$host$programs/$file"
done

said=$("$programs/bin/oci-egress" install "$engine" --root "$host" --programs "$programs/bin")
printf '%s\n' "$said"
case $said in
*'nothing to change'*) ;;
*) [ -n "${OCI_EGRESS_NO_RESTART:-}" ] || nsenter --target 1 --mount systemctl restart "$engine" ;;
esac
