/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every variable of the bouquet. Both cases of the conventional ones, since some clients read only one of the two.
 *
 * The profile "proxy" has what is a convention: no program is surprised by it. "full" has what one client reads by
 * itself, and what some notice: a JVM prints a line about JAVA_TOOL_OPTIONS.
 *
 * Never in here: YARN_NO_PROXY (Yarn 2 and later end with an error: they take every YARN_* for a setting, and there is
 * no such one), NODE_TLS_REJECT_UNAUTHORIZED, PYTHONHTTPSVERIFY and GIT_SSL_NO_VERIFY (they switch the checking of
 * certificates off), NODE_OPTIONS (an image's own would be lost). Nor what does nothing or does harm: rsync_proxy
 * (rsync reads the capital name alone), CLOUDSDK_PROXY_* with a value (gcloud reads https_proxy, and ignores no_proxy
 * once it has settings of its own).
 */
#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "oci/bouquet.h"

#define CURL "curl(1)"
#define GO "https://pkg.go.dev/golang.org/x/net/http/httpproxy"
#define NODE "https://nodejs.org/api/cli.html"
#define ENGINES "https://docs.docker.com/engine/cli/proxy/"
#define WEBSOCKETS "https://websockets.readthedocs.io/en/stable/topics/proxies.html"
#define GRPC "https://github.com/grpc/grpc/blob/master/doc/environment_variables.md"
#define GLOBAL_AGENT "https://github.com/gajus/global-agent#environment-variables"
#define ELECTRON "https://electron.github.io/get/main/functions/initializeProxy.html"
#define NPM "https://docs.npmjs.com/cli/using-npm/config"
#define YARN "https://yarnpkg.com/configuration/yarnrc"
#define LWP "https://metacpan.org/pod/LWP::UserAgent"
#define RUBY "https://docs.ruby-lang.org/en/master/URI/Generic.html"
#define JAVA "https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/net/doc-files/net-properties.html"
#define GCLOUD "https://cloud.google.com/sdk/docs/proxy-settings"
#define NSS "https://firefox-source-docs.mozilla.org/security/nss/legacy/key_log_format/index.html"

#define MANY "curl, wget, git, Go, Python, Ruby, Perl, more"
#define OTHER_PROXY "gcloud would go to another proxy than ours, and tell it who it is"
#define ENGINES_OWN "the engine copies the host's into containers, credentials and all; our proxy speaks no FTP"

const struct bouquet_row bouquet_rows[] = {
	{ "http_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, MANY, CURL,
		"curl reads this one alone, and no HTTP_PROXY" },
	{ "HTTP_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "Go, Python, Node.js, and more", GO,
		"a CGI server makes it of a request's Proxy field, whatever was there (https://httpoxy.org): some "
		"clients do not read it where REQUEST_METHOD is set" },
	{ "https_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, MANY, CURL,
		"http:// is right here: it says how to talk to the proxy" },
	{ "HTTPS_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "curl, Go, Python, Node.js, and more", CURL,
		NULL },
	{ "all_proxy", BOUQUET_ALL_URL, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "curl, Python, and more", CURL,
		"with socks5h:// httpx fails where it has no socksio" },
	{ "ALL_PROXY", BOUQUET_ALL_URL, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "curl, httpx, and more", CURL,
		"as all_proxy" },
	{ "no_proxy", BOUQUET_DIRECT, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, MANY, CURL,
		"clients read networks (10.0.0.0/8) differently: curl since 7.86, Go and requests do, wget does not" },
	{ "NO_PROXY", BOUQUET_DIRECT, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "curl, Go, Python, Node.js, and more", GO,
		"as no_proxy" },
	{ "NODE_USE_ENV_PROXY", BOUQUET_ONE, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "Node.js 22.21, 24 and later",
		NODE "#node_use_env_proxy1", "older ones read no proxy variables by themselves" },
	{ "ftp_proxy", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "curl, wget, Python", ENGINES, ENGINES_OWN },
	{ "FTP_PROXY", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_PROXY, "curl, Python", ENGINES, ENGINES_OWN },

	{ "ws_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Python's websockets and aiohttp", WEBSOCKETS,
		"aiohttp reads it with trust_env=True" },
	{ "wss_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Python's websockets and aiohttp", WEBSOCKETS,
		"aiohttp reads it with trust_env=True" },
	{ "grpc_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL,
		"gRPC's C core and what is built on it, grpc-js", GRPC, "only http:// is understood" },
	{ "no_grpc_proxy", BOUQUET_DIRECT, BOUQUET_PROXY, IMAGE_PROFILE_FULL,
		"gRPC's C core and what is built on it, grpc-js", GRPC, "read instead of no_proxy, not beside it" },
	{ "RSYNC_PROXY", BOUQUET_HOST_PORT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "rsync, of rsync:// and ::", "rsync(1)",
		"host:port, no scheme; the policy has to allow port 873; not read over ssh" },
	{ "CGI_HTTP_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Ruby's URI and Perl's LWP, below CGI",
		RUBY, "read instead of HTTP_PROXY where REQUEST_METHOD is set (https://httpoxy.org)" },
	{ "GLOBAL_AGENT_HTTP_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Node.js with global-agent",
		GLOBAL_AGENT, NULL },
	{ "GLOBAL_AGENT_HTTPS_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Node.js with global-agent",
		GLOBAL_AGENT, NULL },
	{ "GLOBAL_AGENT_NO_PROXY", BOUQUET_DIRECT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Node.js with global-agent",
		GLOBAL_AGENT, "names and addresses, no networks" },
	{ "ELECTRON_GET_USE_PROXY", BOUQUET_TRUE, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "@electron/get", ELECTRON,
		"it goes by GLOBAL_AGENT_*" },
	{ "npm_config_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "npm, pnpm, node-gyp", NPM "#proxy",
		"holds over the image's .npmrc" },
	{ "npm_config_https_proxy", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "npm, pnpm, node-gyp",
		NPM "#https-proxy", "holds over the image's .npmrc" },
	{ "npm_config_noproxy", BOUQUET_DIRECT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "npm, pnpm", NPM "#noproxy",
		"noproxy, without a _ between" },
	{ "YARN_HTTP_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Yarn 2 and later", YARN "#httpProxy",
		"they read no HTTP_PROXY, and end with an error for YARN_NO_PROXY" },
	{ "YARN_HTTPS_PROXY", BOUQUET_URL, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Yarn 2 and later", YARN "#httpsProxy",
		"they read no HTTPS_PROXY, and end with an error for YARN_NO_PROXY" },
	{ "PERL_LWP_ENV_PROXY", BOUQUET_ONE, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "Perl's LWP", LWP,
		"without it LWP reads no proxy variables, unless a program asks it to" },
	{ "JAVA_TOOL_OPTIONS", BOUQUET_JAVA, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "every JVM: Maven, Gradle and others",
		JAVA,
		"a JVM says \"Picked up JAVA_TOOL_OPTIONS\" on stderr; the image's own stay in front; of direct what "
		"patterns of IPv4 addresses can say" },
	{ "CLOUDSDK_PROXY_TYPE", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "gcloud", GCLOUD, OTHER_PROXY },
	{ "CLOUDSDK_PROXY_ADDRESS", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "gcloud", GCLOUD, OTHER_PROXY },
	{ "CLOUDSDK_PROXY_PORT", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "gcloud", GCLOUD, OTHER_PROXY },
	{ "CLOUDSDK_PROXY_USERNAME", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "gcloud", GCLOUD, OTHER_PROXY },
	{ "CLOUDSDK_PROXY_PASSWORD", BOUQUET_OUT, BOUQUET_PROXY, IMAGE_PROFILE_FULL, "gcloud", GCLOUD, OTHER_PROXY },

	{ "OCI_EGRESS", BOUQUET_ONE, BOUQUET_MARKER, IMAGE_PROFILE_PROXY, "who wants to know whether we are here",
		"oci-egress(1)", "anybody can set it: it proves nothing" },

	{ "SSLKEYLOGFILE", BOUQUET_OUT, BOUQUET_SECRET, IMAGE_PROFILE_PROXY, "curl, Firefox, Chromium, Python", NSS,
		"clients write the keys of their TLS sessions into that file" },

	{ .name = NULL },
};

static_assert(ARRAY_SIZE(bouquet_rows) - 1 <= BOUQUET_ROWS_MAX, "room for every row");

const struct bouquet_row *bouquet_row(const char *name, size_t len)
{
	for (const struct bouquet_row *row = bouquet_rows; row->name; row++)
		if (strlen(row->name) == len && memcmp(row->name, name, len) == 0)
			return row;
	return NULL;
}

bool bouquet_row_may_stay(const struct bouquet_row *row)
{
	switch (row->value) {
	case BOUQUET_URL:
	case BOUQUET_ALL_URL:
	case BOUQUET_HOST_PORT:
		return false;
	case BOUQUET_OUT:
		return row->kind != BOUQUET_PROXY;
	case BOUQUET_DIRECT:
	case BOUQUET_ONE:
	case BOUQUET_TRUE:
	case BOUQUET_JAVA:
		break;
	}
	return true;
}
