/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/gating.h"

#include <errno.h>
#include <string.h>

#include "netns/authority.h"
#include "netns/gate.h"
#include "netns/link.h"

/* Who can change the namespace opens any gate in it: with a later chain, an entry of conntrack's, or by moving eth0. */
static int check_authority(const struct plan *plan, const struct foreign *foreign, struct error *err)
{
	enum authority authority;
	int r = authority_over(plan->netns, plan->pid, &authority, err);
	if (r < 0)
		return r;
	const char *with = foreign->n > 0 ? foreign->names[0] : "a gate";
	if (authority == AUTHORITY_ALL)
		return error_say(err, EPERM,
			"the container's network namespace, with %s, belongs to a user namespace below the "
			"container's: "
			"whoever has the right uid in there could open any gate; give both the same user namespace",
			with);
	if (authority != AUTHORITY_CAPABILITIES || !plan->admin_capability)
		return 0;
	if (foreign->n > 0)
		return error_say(err, EPERM,
			"%s over a network namespace with %s could open any gate; drop it (process.capabilities), or "
			"give the container a network namespace with nothing in it (podman and docker: --network none)",
			plan->admin_capability, with);
	return error_say(err, EPERM,
		"%s over a network namespace that may get interfaces later could open any gate; drop it "
		"(process.capabilities), or, where nothing adds any (--network none), set \"gate\": \"never\" in "
		"policy %s",
		plan->admin_capability, plan->policy);
}

/* Its administrator's word that nothing is added is believed; what is there already is seen. */
static int check_empty(const struct plan *plan, const struct foreign *foreign, struct error *err)
{
	if (foreign->n == 0)
		return 0;
	return error_say(err, EPERM,
		"the container's network namespace has %s, and policy %s has \"gate\": \"never\": nothing would close "
		"it; "
		"take that out of the policy, or give the container a network namespace with nothing in it",
		foreign->names[0], plan->policy);
}

static bool is_wanted(const struct plan *plan, const struct foreign *foreign)
{
	if (plan->image->gate == IMAGE_GATE_AUTO)
		return foreign->n > 0 || plan->may_gain_interfaces;
	return plan->image->gate == IMAGE_GATE_ALWAYS;
}

int gating_check(const struct plan *plan, bool shared, struct gating *ret, struct error *err)
{
	int r = shared ? link_check_shared(plan->netns, &ret->foreign, err)
		       : link_check(plan->netns, &ret->foreign, err);
	if (r < 0)
		return r;
	ret->wanted = is_wanted(plan, &ret->foreign);
	r = ret->wanted ? check_authority(plan, &ret->foreign, err) : check_empty(plan, &ret->foreign, err);
	return r < 0 ? error_close(err) : 0;
}

int gating_raise(const struct plan *plan, struct gating *gating, struct error *err)
{
	if (!gating->wanted)
		return 0;
	struct network direct[IMAGE_DIRECT_MAX];
	const struct image_table *table = &plan->image->direct;
	const struct image_network *records = image_records(plan->image, *table);
	for (uint32_t i = 0; i < table->count; i++) {
		direct[i] = (struct network){ .base.family = records[i].family, .prefix = (uint8_t) records[i].prefix };
		memcpy(direct[i].base.bytes, records[i].bytes, sizeof(direct[i].base.bytes));
	}
	const struct gate_config config = {
		.foreign = &gating->foreign,
		.direct = direct,
		.n_direct = table->count,
		.inbound = plan->image->inbound == IMAGE_INBOUND_ALLOW,
	};
	return gate_raise(plan->netns, &config, &gating->made, err);
}

void gating_undo(const struct plan *plan, struct gating *gating)
{
	if (gating->made)
		gate_remove(plan->netns);
	gating->made = false;
}
