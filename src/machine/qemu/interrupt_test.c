/* SPDX-License-Identifier: BSD-2-Clause */
/* Message interrupts and lines, raised by QEMU's edu device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/bits.h"
#include "tests/qemu_raw.h"

#define EDU_RAISE 0x60
#define EDU_ACK   0x64
#define WAIT_MS   2000
#define QUIET_MS  20

static int msi_alloc(struct raw *r, unsigned count, bool contiguous, struct machine_msi *msi)
{
	return r->m->ops->msi_alloc(r->m, NULL, count, contiguous, msi);
}

static void msi_free(struct raw *r, unsigned count, struct machine_msi *msi)
{
	r->m->ops->msi_free(r->m, NULL, count, msi);
}

static void test_every_vector_rings_its_own_eventfd(void **state)
{
	struct machine_msi msi[IVSHMEM_VECTORS], one;
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	assert_int_equal(msi_alloc(&r, IVSHMEM_VECTORS, false, msi), 0);
	assert_int_equal(msi_alloc(&r, 1, false, &one), -ENOSPC);
	assert_int_equal(msi_alloc(&r, 1, true, &one), -ENOSPC);
	for (unsigned i = 0; i < IVSHMEM_VECTORS; i++) {
		assert_true(msi[i].program);
		assert_true(msi[i].data <= UINT16_MAX); /* plain MSI has no more */
		raw_write(&r, msi[i].address, 4, msi[i].data);
		assert_true(raw_fired(msi[i].fd, WAIT_MS));
		for (unsigned k = 0; k < IVSHMEM_VECTORS; k += 37)
			assert_false(raw_fired(msi[k].fd, 0));
	}
	msi_free(&r, IVSHMEM_VECTORS, msi);
	assert_int_equal(msi_alloc(&r, IVSHMEM_VECTORS + 1, false, msi), -ENOSPC);
	assert_int_equal(msi_alloc(&r, 0, false, msi), -ENOSPC);
	raw_close(&r);
}

static void test_contiguous_vectors_are_aligned(void **state)
{
	struct machine_msi odd[3], block[32], single[1];
	struct raw r;

	assert_int_equal(raw_open(&r, ""), 0);
	assert_int_equal(msi_alloc(&r, 3, false, odd), 0);
	for (unsigned count = 1; count <= 32; count *= 2) {
		assert_int_equal(msi_alloc(&r, count, true, block), 0);
		assert_true(IS_ALIGNED(block[0].data, count));
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(block[i].data, block[0].data + i);
		msi_free(&r, count, block);
	}
	/* A hole is used again, and has forgotten what rang before. */
	raw_write(&r, odd[1].address, 4, odd[1].data);
	assert_int_equal(r.m->ops->flush(r.m), 0);
	msi_free(&r, 1, &odd[1]);
	assert_int_equal(msi_alloc(&r, 1, false, single), 0);
	assert_int_equal(single[0].data, 1);
	assert_false(raw_fired(single[0].fd, QUIET_MS));
	raw_close(&r);
}

static void test_msi_of_a_device_arrives(void **state)
{
	const uint32_t bar = 0xd0000000u;
	struct machine_msi msi[64];
	unsigned capability, function = 1 << 3;
	struct raw r;

	assert_int_equal(raw_open(&r, "?device=edu"), 0);
	raw_place(&r, function, bar);
	assert_int_equal(msi_alloc(&r, 64, false, msi), 0);
	capability = raw_capability(&r, function, 0x05);
	assert_int_not_equal(capability, 0);
	/* edu has 64-bit addresses: the data is at 12. */
	raw_config_write(&r, function, capability + 4, 4, (uint32_t)msi[63].address);
	raw_config_write(&r, function, capability + 8, 4, (uint32_t)(msi[63].address >> 32));
	raw_config_write(&r, function, capability + 12, 2, msi[63].data);
	raw_config_write(&r, function, capability + 2, 2, 1);
	for (unsigned i = 0; i < 20; i++) {
		raw_write(&r, bar + EDU_RAISE, 4, 1);
		assert_true(raw_fired(msi[63].fd, WAIT_MS));
		raw_write(&r, bar + EDU_ACK, 4, 1);
		assert_false(raw_fired(msi[63].fd, 0));
	}
	raw_close(&r);
}

static void test_msi_off_has_none(void **state)
{
	struct machine_msi msi;
	struct raw r;

	assert_int_equal(raw_open(&r, "?msi=off&device=edu,addr=1e"), 0);
	assert_int_equal(r.m->ops->buses(r.m)->u.pci.hidden_count, 0);
	assert_int_equal(raw_config_read(&r, 0x1e << 3, 0, 4), 0x11e81234);
	assert_int_equal(msi_alloc(&r, 1, false, &msi), -EOPNOTSUPP);
	raw_close(&r);
}

/* The line goes up with the raise, stays until the acknowledge, and goes down. */
static void check_line(struct raw *r, uint32_t bar, struct machine_intx *line)
{
	const struct machine_ops *ops = r->m->ops;

	assert_false(ops->intx_level(r->m, line));
	raw_write(r, bar + EDU_RAISE, 4, 1);
	assert_true(raw_fired(line->fd, WAIT_MS));
	assert_true(ops->intx_level(r->m, line));
	raw_write(r, bar + EDU_ACK, 4, 1);
	assert_false(ops->intx_level(r->m, line));
	assert_false(raw_fired(line->fd, 0));
}

static void test_line_of_every_kind_of_slot(void **state)
{
	/* The slots' rotation, ICH9's own routes, the old bridge's slot. */
	static const unsigned functions[] = {1 << 3,    2 << 3,    3 << 3,    4 << 3,    5 << 3,
					     0x18 << 3, 0x19 << 3, 0x1d << 3, 0x1e << 3, 0x1f << 3 | 4};

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		unsigned slot = functions[i] >> 3;
		struct machine_intx line;
		char rest[64];
		struct raw r;

		snprintf(rest, sizeof(rest), "?msi=off&device=edu,addr=%x.%x", slot, functions[i] & 7);
		assert_int_equal(raw_open(&r, rest), 0);
		raw_place(&r, functions[i], 0xd0000000u);
		assert_int_equal(raw_config_read(&r, functions[i], 0x3d, 1), 1); /* INTA */
		assert_int_equal(r.m->ops->intx_open(r.m, NULL, slot, 1, &line), 0);
		for (unsigned k = 0; k < 5; k++)
			check_line(&r, 0xd0000000u, &line);
		r.m->ops->intx_close(r.m, &line);
		raw_close(&r);
	}
}

static void test_shared_line_tells_all_and_falls_with_the_last(void **state)
{
	const uint32_t bar[2] = {0xd0000000u, 0xd0100000u};
	struct machine_intx line[2];
	const struct machine_ops *ops;
	struct raw r;

	assert_int_equal(raw_open(&r, "?device=edu,addr=1&device=edu,addr=5&intx=on"), 0);
	ops = r.m->ops;
	raw_place(&r, 1 << 3, bar[0]);
	raw_place(&r, 5 << 3, bar[1]);
	assert_int_equal(ops->intx_open(r.m, NULL, 1, 1, &line[0]), 0);
	assert_int_equal(ops->intx_open(r.m, NULL, 5, 1, &line[1]), 0);
	raw_write(&r, bar[0] + EDU_RAISE, 4, 1);
	assert_true(raw_fired(line[0].fd, WAIT_MS));
	assert_true(raw_fired(line[1].fd, WAIT_MS));
	/* The second device joins in: no edge is to be seen. */
	raw_write(&r, bar[1] + EDU_RAISE, 4, 1);
	assert_int_equal(ops->flush(r.m), 0);
	assert_false(raw_fired(line[1].fd, QUIET_MS));
	/* So who serves the first has the others look again. */
	raw_write(&r, bar[0] + EDU_ACK, 4, 1);
	assert_true(ops->intx_level(r.m, &line[0]));
	assert_true(raw_fired(line[1].fd, 0));
	assert_false(raw_fired(line[0].fd, 0));
	raw_write(&r, bar[1] + EDU_ACK, 4, 1);
	assert_false(ops->intx_level(r.m, &line[1]));
	assert_false(ops->intx_level(r.m, &line[0]));
	/* Who comes while the line is up learns of it. */
	ops->intx_close(r.m, &line[1]);
	raw_write(&r, bar[1] + EDU_RAISE, 4, 1);
	assert_true(raw_fired(line[0].fd, WAIT_MS));
	assert_int_equal(ops->intx_open(r.m, NULL, 5, 1, &line[1]), 0);
	assert_true(raw_fired(line[1].fd, 0));
	raw_close(&r);
}

static void test_line_wrong_or_off_is_refused(void **state)
{
	struct machine_intx line;
	struct raw r;

	assert_int_equal(raw_open(&r, "?intx=off"), 0);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 1, &line), -EOPNOTSUPP);
	raw_close(&r);
	assert_int_equal(raw_open(&r, ""), 0);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 32, 1, &line), -EINVAL);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 0, &line), -EINVAL);
	assert_int_equal(r.m->ops->intx_open(r.m, NULL, 1, 5, &line), -EINVAL);
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_vector_rings_its_own_eventfd),
		cmocka_unit_test(test_contiguous_vectors_are_aligned),
		cmocka_unit_test(test_msi_of_a_device_arrives),
		cmocka_unit_test(test_msi_off_has_none),
		cmocka_unit_test(test_line_of_every_kind_of_slot),
		cmocka_unit_test(test_shared_line_tells_all_and_falls_with_the_last),
		cmocka_unit_test(test_line_wrong_or_off_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
