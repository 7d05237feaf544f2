# SPDX-License-Identifier: Apache-2.0
# Sourced by tests/run and tests/demo: what a fresh Debian 12 needs, and the builds. Needs root for the packages and for
# the tests, which make network namespaces.

BUILD_PACKAGES='gcc libc6-dev meson ninja-build pkg-config python3 libnl-route-3-dev libseccomp-dev libyajl-dev libcmocka-dev'
ENGINE_PACKAGES='runc crun podman conmon containernetworking-plugins catatonit uidmap slirp4netns busybox-static iproute2 procps util-linux nftables tinyproxy-bin squid curl openssl fish zsh docker.io python3-yaml'
# What the tunnels benchmark measures beside the proxy.
PEER_PACKAGES='haproxy squid tinyproxy-bin privoxy apache2-bin microsocks dante-server nginx-light'
CLIENT_PACKAGES='apt-utils busybox-static curl git golang-go iproute2 nghttp2-server openssl python3-grpcio python3-httpx python3-requests python3-websocket wget'
READER_PACKAGES='apache2-bin golang-go iproute2 nginx-light python3-h11'
FUZZ_PACKAGES='clang libclang-rt-14-dev'
WARNING_PACKAGES='clang gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
# What the arm64 build links with; unpacked into a directory, never installed.
ARM64_PACKAGES='libnl-3-dev libnl-3-200 libnl-route-3-dev libnl-route-3-200 libseccomp-dev libseccomp2 libyajl-dev libyajl2 libcmocka-dev libcmocka0'

builds=$top/build

die()
{
	echo "${0##*/}: $*" >&2
	exit 2
}

need_root()
{
	[ "$(id -u)" = 0 ] || die 'needs root: it makes network namespaces. Try sudo.'
}

# install PACKAGE...: those that are missing, with apt-get.
install()
{
	missing=
	for package in "$@"; do
		dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
			missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "not Debian; please install what corresponds to:$missing"
	echo "installing:$missing"
	need_root
	# Servers are not started: policy-rc.d is Debian's own way to say so, and only where nobody has said anything yet.
	guard=
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		guard=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >$guard
		chmod 755 $guard
	fi
	status=0
	{
		apt-get -q update &&
			DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends $missing
	} >"$builds/install.log" 2>&1 || status=$?
	[ -z "$guard" ] || rm -f $guard
	[ $status = 0 ] || { tail -n 20 "$builds/install.log" >&2; die "apt-get failed; all of it is in $builds/install.log"; }
}

# build NAME MESON_OPTION...: configures build/NAME once, and builds all of it, or the targets in $targets. CC is obeyed.
build()
{
	name=$1
	shift
	if [ ! -e "$builds/$name/build.ninja" ]; then
		rm -rf "${builds:?}/$name"
		meson setup "$builds/$name" "$top" "$@" >"$builds/$name.log" 2>&1 ||
			{ tail -n 30 "$builds/$name.log" >&2; die "meson setup of build/$name failed"; }
	fi
	ninja -k 0 -C "$builds/$name" ${targets:-} >"$builds/$name.log" 2>&1 ||
		{ grep -A 8 -E 'error:|warning:|undefined reference' "$builds/$name.log" | head -n 60 >&2; die "the build in build/$name failed; all of it is in build/$name.log"; }
}

mkdir -p "$builds"
