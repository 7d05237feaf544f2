/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "oci/policy.h"
#include "tests/oci/test.h"

static struct image *compile(const char *text)
{
	struct image *image = NULL;
	struct error err = { 0 };
	if (policy_compile("F", "name", text, strlen(text), IMAGE_ON_FAILURE_OPEN, &image, &err) < 0)
		fail_msg("%s", err.msg);
	return image;
}

static const char builtin[] = "{\"allow\":[\"a.example.com\",\"b.example.com\",\"8.8.8.8\",\"*.c.example.com\"],"
			      "\"deny\":[\"d.example.com\"],\"networks\":[\"10.0.0.0/8\",\"::1/128\"]}";
static const char variables[] = "{\"environment\":{\"set\":{\"AB\":\"x\"},\"keep\":[\"no_proxy\"]}}";
static const char external[] = "{\"proxy\":{\"command\":[\"/p\",\"x\"],\"user\":\"u\"}}";

static struct image_network *networks(struct image *image)
{
	return (void *) ((char *) image + image->networks.offset);
}

static uint16_t *ports(struct image *image)
{
	return (void *) ((char *) image + image->ports.offset);
}

static struct image_text *argv(struct image *image)
{
	return (void *) ((char *) image + image->external.argv.offset);
}

static struct image_text *set(struct image *image)
{
	return (void *) ((char *) image + image->environment.set.offset);
}

static struct image_text *keep(struct image *image)
{
	return (void *) ((char *) image + image->environment.keep.offset);
}

static char *bytes(struct image *image, struct image_text text)
{
	return (char *) image + text.offset;
}

/* What somebody could do to an image, and the check must see. */
#define DAMAGE(what) static void damage_##what(struct image *i)
DAMAGE(magic)
{
	i->magic++;
}
DAMAGE(version)
{
	i->version++;
}
DAMAGE(size_more)
{
	i->size++;
}
DAMAGE(size_less)
{
	i->size--;
}
DAMAGE(proxy_zero)
{
	i->proxy = 0;
}
DAMAGE(proxy_past)
{
	i->proxy = 3;
}
DAMAGE(link_zero)
{
	i->link = 0;
}
DAMAGE(link_past)
{
	i->link = 4;
}
DAMAGE(on_failure)
{
	i->on_failure = 3;
}
DAMAGE(startup)
{
	i->startup_timeout_ms = 0;
}
DAMAGE(sni)
{
	i->sni = IMAGE_SNI_OFF + 1;
}
DAMAGE(on_reload)
{
	i->on_reload = 0;
}
DAMAGE(connections_none)
{
	i->limits.connections = 0;
}
DAMAGE(connections_many)
{
	i->limits.connections = IMAGE_CONNECTIONS_MAX + 1;
}
DAMAGE(head)
{
	i->limits.head_bytes = UINT32_MAX;
}
DAMAGE(log)
{
	i->limits.log_bytes = 0;
}
DAMAGE(name_far)
{
	i->name.offset = UINT32_MAX;
}
DAMAGE(name_long)
{
	i->name.len = UINT32_MAX;
}
DAMAGE(name_wraps)
{
	i->name = (struct image_text){ UINT32_MAX, UINT32_MAX };
}
DAMAGE(name_in_header)
{
	i->name = (struct image_text){ offsetof(struct image, version) + 1, 0 }; /* a 0, where no text may be */
}
DAMAGE(name_open)
{
	i->name.len--;
}
DAMAGE(name_nul)
{
	bytes(i, i->name)[1] = '\0';
}
DAMAGE(file_far)
{
	i->file.offset = i->size;
}
DAMAGE(groups_many)
{
	i->groups.count = UINT32_MAX;
}
DAMAGE(groups_far)
{
	i->groups.offset = i->size & ~3u;
}
DAMAGE(groups_askew)
{
	i->groups.offset++;
	i->groups.count = 0;
}
DAMAGE(groups_header)
{
	i->groups.offset = 0;
}
DAMAGE(unit_zero)
{
	i->unit = 0;
}
DAMAGE(unit_odd)
{
	i->unit = 12;
}
DAMAGE(end_open)
{
	((char *) i)[i->size - 1] = 'x';
}
DAMAGE(network_family)
{
	networks(i)[0].family = AF_UNIX;
}
DAMAGE(network_prefix)
{
	networks(i)[0].prefix = 33;
}
DAMAGE(network_prefix6)
{
	networks(i)[1].prefix = 129;
}
DAMAGE(network_text)
{
	networks(i)[1].text.len++;
}
DAMAGE(network_order)
{
	networks(i)[1] = networks(i)[0];
}
DAMAGE(networks_far)
{
	i->networks.count = 1u << 27;
}
DAMAGE(port_zero)
{
	ports(i)[0] = 0;
}
DAMAGE(port_order)
{
	ports(i)[1] = ports(i)[0];
}
DAMAGE(ports_none)
{
	i->ports.count = 0;
}
DAMAGE(ports_askew)
{
	i->ports.offset++;
	i->ports.count = 1;
}
DAMAGE(builtin_command)
{
	i->external.argv = (struct image_table){ i->networks.offset, 1 };
}
DAMAGE(builtin_as_external)
{
	i->proxy = IMAGE_PROXY_EXTERNAL;
}
DAMAGE(user_far)
{
	i->external.user.offset = UINT32_MAX;
}
DAMAGE(external_as_builtin)
{
	i->proxy = IMAGE_PROXY_BUILTIN;
}
DAMAGE(argv_none)
{
	i->external.argv.count = 0;
}
DAMAGE(argv_far)
{
	argv(i)[1].offset = UINT32_MAX;
}
DAMAGE(argv_relative)
{
	bytes(i, argv(i)[0])[0] = 'p';
}
DAMAGE(external_port)
{
	i->external.port = 65536;
}
DAMAGE(external_stop)
{
	i->external.stop_timeout_ms = 60001;
}
DAMAGE(profile_none)
{
	i->environment.profile = 0;
}
DAMAGE(profile_past)
{
	i->environment.profile = IMAGE_PROFILE_FULL + 1;
}
DAMAGE(all_proxy)
{
	i->environment.all_proxy = IMAGE_ALL_PROXY_SOCKS5H + 1;
}
DAMAGE(set_many)
{
	i->environment.set.count = IMAGE_SET_MAX + 1;
}
DAMAGE(set_far)
{
	i->environment.set.offset = i->size & ~3u;
}
DAMAGE(set_open)
{
	set(i)[0].len--;
}
DAMAGE(set_nul)
{
	bytes(i, set(i)[0])[2] = '\0';
}
DAMAGE(set_nameless)
{
	bytes(i, set(i)[0])[0] = '=';
	bytes(i, set(i)[0])[2] = 'x';
}
DAMAGE(set_long)
{
	set(i)[0].len = IMAGE_SET_BYTES_MAX;
}
DAMAGE(keep_many)
{
	i->environment.keep.count = IMAGE_KEEP_MAX + 1;
}
DAMAGE(keep_askew)
{
	i->environment.keep.offset++;
}
DAMAGE(keep_far)
{
	keep(i)[0].offset = UINT32_MAX;
}

#define ROW(policy, what)                    \
	{                                    \
		policy, #what, damage_##what \
	}
static const struct {
	const char *policy;
	const char *name;
	void (*damage)(struct image *image);
} damages[] = {
	ROW(variables, profile_none),
	ROW(variables, profile_past),
	ROW(variables, all_proxy),
	ROW(variables, set_many),
	ROW(variables, set_far),
	ROW(variables, set_open),
	ROW(variables, set_nul),
	ROW(variables, set_nameless),
	ROW(variables, set_long),
	ROW(variables, keep_many),
	ROW(variables, keep_askew),
	ROW(variables, keep_far),
	ROW(builtin, magic),
	ROW(builtin, version),
	ROW(builtin, size_more),
	ROW(builtin, size_less),
	ROW(builtin, proxy_zero),
	ROW(builtin, proxy_past),
	ROW(builtin, link_zero),
	ROW(builtin, link_past),
	ROW(builtin, on_failure),
	ROW(builtin, startup),
	ROW(builtin, sni),
	ROW(builtin, on_reload),
	ROW(builtin, connections_none),
	ROW(builtin, connections_many),
	ROW(builtin, head),
	ROW(builtin, log),
	ROW(builtin, name_far),
	ROW(builtin, name_long),
	ROW(builtin, name_wraps),
	ROW(builtin, name_in_header),
	ROW(builtin, name_open),
	ROW(builtin, name_nul),
	ROW(builtin, file_far),
	ROW(builtin, groups_many),
	ROW(builtin, groups_far),
	ROW(builtin, groups_askew),
	ROW(builtin, groups_header),
	ROW(builtin, unit_zero),
	ROW(builtin, unit_odd),
	ROW(builtin, end_open),
	ROW(builtin, network_family),
	ROW(builtin, network_prefix),
	ROW(builtin, network_prefix6),
	ROW(builtin, network_text),
	ROW(builtin, network_order),
	ROW(builtin, networks_far),
	ROW(builtin, port_zero),
	ROW(builtin, port_order),
	ROW(builtin, ports_none),
	ROW(builtin, ports_askew),
	ROW(builtin, builtin_command),
	ROW(builtin, builtin_as_external),
	ROW(builtin, user_far),
	ROW(external, external_as_builtin),
	ROW(external, argv_none),
	ROW(external, argv_far),
	ROW(external, argv_relative),
	ROW(external, external_port),
	ROW(external, external_stop),
};

static void test_damage(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct image *image = compile(damages[i].policy);
		size_t len = image->size;
		const struct image *checked = NULL;
		struct error err = { 0 };
		assert_int_equal(image_check(image, len, &checked, &err), 0);
		assert_ptr_equal(checked, image);
		checked = NULL;
		damages[i].damage(image);
		if (image_check(image, len, &checked, &err) != -EINVAL)
			fail_msg("%s: not seen", damages[i].name);
		assert_null(checked);
		free(image);
	}
}

/* Every shorter one, with nothing behind it, its own size corrected or not. */
static void test_cut(void **state)
{
	(void) state;
	struct image *image = compile(builtin);
	for (uint32_t len = 0; len < image->size; len++) {
		_cleanup_free_ char *cut = copy_of((const char *) image, len);
		const struct image *checked = NULL;
		struct error err = { 0 };
		assert_int_equal(image_check(cut, len, &checked, &err), -EINVAL);
		if (len < sizeof(*image))
			continue;
		((struct image *) (void *) cut)->size = len;
		assert_int_equal(image_check(cut, len, &checked, &err), -EINVAL);
	}
	free(image);
}

static void test_not_aligned(void **state)
{
	(void) state;
	struct image *image = compile(builtin);
	_cleanup_free_ char *copy = malloc(image->size + 1);
	memcpy(copy + 1, image, image->size);
	const struct image *checked = NULL;
	assert_int_equal(image_check(copy + 1, image->size, &checked, NULL), -EINVAL);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_not_aligned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
