/* SPDX-License-Identifier: BSD-2-Clause */
/* Which frames come in, on which channel, and that what was set lasts. */
#include "tests/conformance/net/suite.h"

static const uint8_t foreign[6] = {0x52, 0x54, 0, 1, 2, 3};
static const uint8_t group[6] = {0x01, 0, 0x5e, 1, 2, 3};
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Does a frame to this address come in? */
static int comes(struct suite *t, const uint8_t to[6], bool *out)
{
	uint32_t got;

	make_frame(t, t->out, 77, true);
	memcpy(t->out, to, 6);
	if (wire_put(t, t->out, 77) != 0)
		return -1;
	/* One that must come stands behind it: then nobody waits for what does not. */
	make_frame(t, t->out, 78, true);
	memcpy(t->out, broadcast, 6);
	if (wire_put(t, t->out, 78) != 0)
		return -1;
	got = suite_take(t, t->in, NULL, SUITE_WAIT_NS);
	*out = got == 77;
	if (*out)
		got = suite_take(t, t->in, NULL, SUITE_WAIT_NS);
	SUITE_CHECK(t, got == 78, "a broadcast did not come in");
	return 0;
}

/* @must: it has to come in; otherwise it has to stay out, where the device can tell. */
static int expect(struct suite *t, const uint8_t to[6], bool must, const char *what)
{
	bool came;

	if (comes(t, to, &came) != 0)
		return -1;
	SUITE_CHECK(t, !must || came, "%s: a frame did not come in", what);
	SUITE_CHECK(t, must || !came || (t->info.abilities & OB_NET_CAN_FILTER) == 0, "%s: a frame came in", what);
	return 0;
}

static int set(struct suite *t, const struct ob_net_filter *filter)
{
	struct ob_net_filter now;
	int ret = ob_net_set_filter(t->net, filter);

	SUITE_CHECK(t, ret == 0 || (ret == -EOPNOTSUPP && (t->info.abilities & OB_NET_CAN_FILTER) == 0), "a filter: %s",
		    strerror(-ret));
	if (ret != 0)
		return 0;
	ob_net_get_filter(t->net, &now);
	SUITE_CHECK(t, now.promiscuous == filter->promiscuous && now.unicast_count == filter->unicast_count,
		    "the filter that was set is not the one that is there");
	return 0;
}

int check_filter(struct suite *t)
{
	struct ob_net_filter filter = {.promiscuous = false};

	if (t->wire.kind == WIRE_LOOP)
		return 0; /* whoever sends back may look at addresses */
	if (set(t, &filter) != 0 || expect(t, t->info.mac, true, "the own address") != 0 ||
	    expect(t, foreign, false, "a foreign address") != 0 || expect(t, group, false, "a foreign group") != 0)
		return -1;
	filter.unicast_count = filter.multicast_count = 1;
	memcpy(filter.unicast[0], foreign, 6);
	memcpy(filter.multicast[0], group, 6);
	if (set(t, &filter) != 0 || expect(t, foreign, true, "one more address") != 0 ||
	    expect(t, group, true, "a group") != 0)
		return -1;
	filter = (struct ob_net_filter){.all_multicast = true};
	if (set(t, &filter) != 0 || expect(t, group, true, "all groups") != 0 ||
	    expect(t, foreign, false, "all groups, a foreign address") != 0)
		return -1;
	filter = (struct ob_net_filter){.promiscuous = true};
	if (set(t, &filter) != 0 || expect(t, foreign, true, "everything") != 0)
		return -1;
	filter.promiscuous = false;
	return set(t, &filter) != 0 || expect(t, foreign, false, "nothing more") != 0 ? -1 : 0;
}

int check_mac(struct suite *t)
{
	static const uint8_t other[6] = {0x52, 0x54, 0, 9, 8, 7};
	struct ob_net_info info;
	int ret = ob_net_set_mac(t->net, group);

	SUITE_CHECK(t, ret == -EINVAL || ret == -EOPNOTSUPP, "a group's address was taken: %d", ret);
	if ((t->info.abilities & OB_NET_CAN_SET_MAC) == 0 || t->wire.kind == WIRE_LOOP)
		return 0;
	ret = ob_net_set_mac(t->net, other);
	SUITE_CHECK(t, ret == 0, "another address: %s", strerror(-ret));
	ob_net_info(t->net, &info);
	SUITE_CHECK(t, memcmp(info.mac, other, 6) == 0, "the address that was set is not the one that is there");
	if (expect(t, other, true, "the new address") != 0 || expect(t, t->info.mac, false, "the old address") != 0)
		return -1;
	ret = ob_net_set_mac(t->net, t->info.mac);
	SUITE_CHECK(t, ret == 0, "the first address again: %s", strerror(-ret));
	return 0;
}

/* ---- channels ---- */

/* Each sends, and what comes in comes in once, on whichever. */
int check_channels(struct suite *t)
{
	unsigned count = MIN(t->info.channels_max, SUITE_CHANNELS);

	if (suite_open(t, count) != 0)
		return -1;
	for (unsigned i = 0; i < 20 * count; i++) {
		make_frame(t, t->out, 64 + i, false);
		if (suite_send(t, i % count, make_packets(t, t->out, 64 + i, 1)) != 0)
			return -1;
		SUITE_CHECK(t, wire_take(t, t->in, SUITE_WAIT_NS) == 64 + i, "a frame from channel %u did not arrive",
			    i % count);
		make_frame(t, t->out, 64 + i, true);
		if (wire_put(t, t->out, 64 + i) != 0)
			return -1;
		SUITE_CHECK(t, suite_take(t, t->in, NULL, SUITE_WAIT_NS) == 64 + i,
			    "a frame to %u channels did not come", count);
	}
	SUITE_CHECK(t, suite_take(t, t->in, NULL, SUITE_QUIET_NS) == 0, "a frame came in on two channels");
	return 0;
}

/* ---- suspend ---- */

int check_suspend(struct suite *t)
{
	struct ob_device *dev = ob_net_device(t->net);
	struct ob_net_filter filter = {.promiscuous = true};
	int ret = ob_device_suspend(dev, ob_deadline(SUITE_WAIT_NS));

	if (ret == -EOPNOTSUPP)
		return 0;
	SUITE_CHECK(t, ret == 0, "suspend: %s", strerror(-ret));
	ret = ob_device_resume(dev, ob_deadline(SUITE_WAIT_NS));
	SUITE_CHECK(t, ret == 0, "resume: %s", strerror(-ret));
	if (check_sizes_in(t) != 0 || check_sizes_out(t) != 0)
		return -1;
	/* What was set before lasts. */
	if (t->wire.kind == WIRE_LOOP || set(t, &filter) != 0)
		return t->failed ? -1 : 0;
	ret = ob_device_suspend(dev, ob_deadline(SUITE_WAIT_NS));
	if (ret == 0)
		ret = ob_device_resume(dev, ob_deadline(SUITE_WAIT_NS));
	SUITE_CHECK(t, ret == 0, "suspend and resume once more: %s", strerror(-ret));
	if (expect(t, foreign, true, "everything, after a suspend") != 0)
		return -1;
	filter.promiscuous = false;
	return set(t, &filter);
}
