/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that lies to the driver's end, and a driver that lies to the device's: each lie is found by the check that is
 * there for it, breaks the queue, and nothing behind it is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tests/ring_rig.h"
#include "virtqueue/layout.h"

#define SPLIT    BIT64(VIRTIO_F_VERSION_1)
#define PACKED   (SPLIT | BIT64(VIRTIO_F_RING_PACKED))
#define IN_ORDER BIT64(VIRTIO_F_IN_ORDER)
#define INDIRECT BIT64(VIRTIO_F_INDIRECT_DESC)
#define SIZE     8u

/* ---- a device that lies ---- */

/* Each lie is told to every way of taking. */
static int (*take)(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max);

static int take_in_general(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	return virtqueue_driver_take(q, used, max);
}

static int take_tokens(struct virtqueue_driver *q, struct ob_virtio_used *used, unsigned max)
{
	uint32_t tokens[SIZE];
	int n = virtqueue_driver_take_tokens(q, tokens, max);

	for (int i = 0; i < n; i++)
		used[i].token = tokens[i];
	return n;
}

static void expect_length(const struct ob_virtio_used *used, uint32_t len_bytes)
{
	if (take != take_tokens)
		assert_int_equal(used->len_bytes, len_bytes);
}

/* Four requests are with the device: tokens 10 to 13, of one piece to read and one of 64 bytes to write. */
static void open_with_four(struct ring_rig *rig, uint64_t features)
{
	struct ring_rig_config config = {.features = features, .size = SIZE, .chain_max = 2};
	struct ob_dma_piece piece[2];

	assert_int_equal(ring_rig_open(rig, &config), 0);
	piece[0] = (struct ob_dma_piece){{ring_rig_buffer(rig, 0)}, 16};
	piece[1] = (struct ob_dma_piece){{ring_rig_buffer(rig, 64)}, 64};
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(virtqueue_driver_add(&rig->driver, piece, 1, 1, 10 + i), 0);
	virtqueue_driver_kick(&rig->driver);
}

static struct virtq_used *used_ring(struct ring_rig *rig)
{
	return (struct virtq_used *)(uintptr_t)rig->driver.used_ring;
}

/* The requests' heads are 0, 2, 4, 6: two descriptors each. */
static void use_split(struct ring_rig *rig, unsigned at, uint32_t id, uint32_t len)
{
	ob_le32_store(&used_ring(rig)->ring[at % SIZE].id, id);
	ob_le32_store(&used_ring(rig)->ring[at % SIZE].len, len);
}

static void use_packed(struct ring_rig *rig, unsigned at, uint32_t id, uint32_t len, uint32_t flags)
{
	ob_le32_16_16_store(&rig->driver.pdesc[at].len, virtqueue_word(len, id, flags));
}

/* @good requests come back first; then the lie is told for what it is, and the queue has ended. */
static void expect_broken(struct ring_rig *rig, int good, const char *why)
{
	struct ob_dma_piece piece = {{ring_rig_buffer(rig, 0)}, 16};
	struct ob_virtio_used used[SIZE];
	unsigned kicks = rig->kicks;

	if (good > 0)
		assert_int_equal(take(&rig->driver, used, SIZE), good);
	for (int i = 0; i < good; i++)
		assert_int_equal(used[i].token, 10 + i);
	assert_int_equal(take(&rig->driver, used, SIZE), -EPROTO);
	assert_true(rig->driver.broken);
	assert_string_equal(rig->driver.why, why);
	assert_int_equal(rig->driver.stats.protocol_errors, 1);
	assert_int_equal(virtqueue_driver_add(&rig->driver, &piece, 1, 0, 0), -EPROTO);
	virtqueue_driver_kick(&rig->driver);
	assert_int_equal(rig->kicks, kicks);
	assert_int_equal(take(&rig->driver, used, SIZE), -EPROTO);
	assert_int_equal(rig->driver.stats.protocol_errors, 1);
	/* And works again after a reset. */
	virtqueue_driver_rewind(&rig->driver);
	assert_int_equal(virtqueue_driver_add(&rig->driver, &piece, 1, 0, 0), 0);
	assert_int_equal(take(&rig->driver, used, SIZE), 0);
	ring_rig_close(rig);
}

static void test_split_index_that_jumps_breaks_the_queue(void **state)
{
	static const uint16_t jumps[] = {5, SIZE, SIZE + 1, 0x7fff, 0x8000, 0xffff};

	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		struct ring_rig rig;

		open_with_four(&rig, SPLIT);
		ob_le16_store(&used_ring(&rig)->idx, jumps[i]);
		expect_broken(&rig, 0, "the used index is beyond what the device was given");
	}
}

/* As open_with_four(), but each is one buffer of 64 bytes to write: one descriptor, in order. */
static void open_with_singles(struct ring_rig *rig, uint64_t features)
{
	struct ring_rig_config config = {.features = features | IN_ORDER, .size = SIZE, .chain_max = 2};
	static const uint32_t tokens[] = {10, 11, 12, 13};

	assert_int_equal(ring_rig_open(rig, &config), 0);
	assert_int_equal(
		virtqueue_driver_add_buffers(&rig->driver, tokens, 4, (ob_iova){ring_rig_buffer(rig, 0)}, 64, 64), 4);
	virtqueue_driver_kick(&rig->driver);
}

/* The first one well, and the second with a lie, in buffers that are used one by one and in order. */
static void test_split_lies_in_a_run_break_the_queue(void **state)
{
	static const struct {
		uint32_t id, len;
		uint16_t index;
		int good;
		const char *why;
	} lies[] = {
		{1, 65, 2, 1, "more was written than there is room for"},
		{SIZE, 1, 2, 1, "an id in the used ring that is no descriptor"},
		{0, 1, 2, 1, "an id in the used ring that is not in flight"},
		{4, 1, 2, 1, "an id in the used ring that is not in flight"},
		{1, 1, 5, 0, "the used index is beyond what the device was given"},
		{1, 1, 0xffff, 0, "the used index is beyond what the device was given"},
	};
	struct ring_rig rig;

	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		open_with_singles(&rig, SPLIT);
		use_split(&rig, 0, 0, 64);
		use_split(&rig, 1, lies[i].id, lies[i].len);
		ob_le16_store(&used_ring(&rig)->idx, lies[i].index);
		expect_broken(&rig, lies[i].good, lies[i].why);
	}
}

static void test_packed_lies_in_a_run_break_the_queue(void **state)
{
	static const struct {
		uint32_t id, len;
		const char *why;
	} lies[] = {
		{1, 65, "more was written than there is room for"},
		{SIZE, 1, "a used descriptor with an id that was never given"},
		{0, 1, "a used descriptor with an id that is not in flight"},
		{4, 1, "a used descriptor with an id that is not in flight"},
		{2, 65, "more was written than there is room for"},
	};
	struct ob_virtio_used used[SIZE];
	struct ring_rig rig;

	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		open_with_singles(&rig, PACKED);
		use_packed(&rig, 0, 0, 64, VIRTQUEUE_PACKED_MARKS);
		use_packed(&rig, 1, lies[i].id, lies[i].len, VIRTQUEUE_PACKED_MARKS);
		expect_broken(&rig, 1, lies[i].why);
	}
	/* Behind the last one that is in flight. */
	open_with_singles(&rig, PACKED);
	for (unsigned i = 0; i < 5; i++)
		use_packed(&rig, i, i, 0, VIRTQUEUE_PACKED_MARKS);
	assert_int_equal(take(&rig.driver, used, SIZE), 4);
	assert_int_equal(take(&rig.driver, used, SIZE), 0);
	ring_rig_close(&rig);
}

/* Requests that were added and not yet shown are none that it could have used. */
static void test_split_index_beyond_what_was_kicked_breaks_the_queue(void **state)
{
	struct ob_dma_piece piece;
	struct ring_rig rig;

	open_with_four(&rig, SPLIT | INDIRECT);
	piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, 16};
	assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 1, 0, 14), 0);
	for (unsigned i = 0; i < 5; i++)
		use_split(&rig, i, i, 0);
	ob_le16_store(&used_ring(&rig)->idx, 5);
	expect_broken(&rig, 0, "the used index is beyond what the device was given");
}

static void test_split_id_that_is_no_descriptor_breaks_the_queue(void **state)
{
	static const uint32_t ids[] = {SIZE, 0xffff, 0x10000, 0x80000000, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		struct ring_rig rig;

		open_with_four(&rig, SPLIT);
		use_split(&rig, 0, 0, 64);
		use_split(&rig, 1, ids[i], 64);
		ob_le16_store(&used_ring(&rig)->idx, 2);
		expect_broken(&rig, 1, "an id in the used ring that is no descriptor");
	}
}

static void test_split_id_that_is_not_in_flight_breaks_the_queue(void **state)
{
	/* The middle of a chain; and one that was used a moment ago. */
	static const uint32_t ids[] = {3, 0};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		for (unsigned order = 0; order < 2; order++) {
			struct ring_rig rig;

			open_with_four(&rig, SPLIT | (order ? IN_ORDER : 0));
			use_split(&rig, 0, 0, 64);
			use_split(&rig, 1, ids[i], 0);
			ob_le16_store(&used_ring(&rig)->idx, 2);
			expect_broken(&rig, 1, "an id in the used ring that is not in flight");
		}
	}
}

static void test_split_length_beyond_the_room_breaks_the_queue(void **state)
{
	static const uint32_t lens[] = {65, 0x7fffffff, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		struct ring_rig rig;

		open_with_four(&rig, SPLIT);
		use_split(&rig, 0, 0, 64);
		use_split(&rig, 1, 2, lens[i]);
		ob_le16_store(&used_ring(&rig)->idx, 2);
		expect_broken(&rig, 1, "more was written than there is room for");
	}
}

static void test_split_batch_is_all_up_to_the_one_it_names(void **state)
{
	struct ob_virtio_used used[SIZE];
	struct ring_rig rig;

	/* One entry for three: those before the last were used whole (§2.7.9). */
	open_with_four(&rig, SPLIT | IN_ORDER);
	use_split(&rig, 0, 4, 7);
	ob_le16_store(&used_ring(&rig)->idx, 3);
	assert_int_equal(take(&rig.driver, used, 2), 2);
	assert_int_equal(used[0].token, 10);
	expect_length(&used[0], 64);
	assert_int_equal(used[1].token, 11);
	expect_length(&used[1], 64);
	assert_int_equal(take(&rig.driver, used, SIZE), 1);
	assert_int_equal(used[0].token, 12);
	expect_length(&used[0], 7);
	/* The next is where the batch's entries would have ended. */
	use_split(&rig, 3, 6, 5);
	ob_le16_store(&used_ring(&rig)->idx, 4);
	assert_int_equal(take(&rig.driver, used, SIZE), 1);
	assert_int_equal(used[0].token, 13);
	expect_length(&used[0], 5);
	ring_rig_close(&rig);
}

static void test_split_batch_beyond_its_index_breaks_the_queue(void **state)
{
	struct ring_rig rig;

	open_with_four(&rig, SPLIT | IN_ORDER);
	use_split(&rig, 0, 6, 0);
	ob_le16_store(&used_ring(&rig)->idx, 2);
	expect_broken(&rig, 2, "a batch in the used ring that goes beyond its index");
}

static void test_packed_id_that_was_never_given_breaks_the_queue(void **state)
{
	static const uint32_t ids[] = {SIZE, 0x8000, 0xffff};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		for (unsigned order = 0; order < 2; order++) {
			struct ring_rig rig;

			open_with_four(&rig, PACKED | (order ? IN_ORDER : 0));
			use_packed(&rig, 0, 0, 64, VIRTQUEUE_PACKED_MARKS);
			use_packed(&rig, 2, ids[i], 64, VIRTQUEUE_PACKED_MARKS);
			expect_broken(&rig, 1, "a used descriptor with an id that was never given");
		}
	}
}

static void test_packed_id_that_is_not_in_flight_breaks_the_queue(void **state)
{
	static const uint32_t ids[] = {0, 4, SIZE - 1};

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		struct ring_rig rig;

		open_with_four(&rig, PACKED);
		use_packed(&rig, 0, 0, 64, VIRTQUEUE_PACKED_MARKS);
		use_packed(&rig, 2, ids[i], 64, VIRTQUEUE_PACKED_MARKS);
		expect_broken(&rig, 1, "a used descriptor with an id that is not in flight");
	}
}

static void test_packed_length_beyond_the_room_breaks_the_queue(void **state)
{
	static const uint32_t flags[] = {VIRTQUEUE_PACKED_MARKS, VIRTQUEUE_PACKED_MARKS | VIRTQ_DESC_F_WRITE};

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct ring_rig rig;

		open_with_four(&rig, PACKED);
		use_packed(&rig, 0, 0, 64, VIRTQUEUE_PACKED_MARKS);
		use_packed(&rig, 2, 1, 65, flags[i]);
		expect_broken(&rig, 1, "more was written than there is room for");
	}
}

/* Where nothing can be written the length is reserved, unless the device says that it wrote (§2.8.4). */
static void test_packed_length_without_room_is_ignored_unless_claimed(void **state)
{
	for (unsigned claimed = 0; claimed < 2; claimed++) {
		struct ring_rig_config config = {.features = PACKED, .size = SIZE, .chain_max = 2};
		struct ob_virtio_used used[SIZE];
		struct ob_dma_piece piece;
		struct ring_rig rig;

		assert_int_equal(ring_rig_open(&rig, &config), 0);
		piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, 16};
		assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 1, 0, 10), 0);
		virtqueue_driver_kick(&rig.driver);
		use_packed(&rig, 0, 0, 1234, VIRTQUEUE_PACKED_MARKS | (claimed ? VIRTQ_DESC_F_WRITE : 0));
		if (claimed) {
			expect_broken(&rig, 0, "more was written than there is room for");
			continue;
		}
		assert_int_equal(take(&rig.driver, used, SIZE), 1);
		expect_length(&used[0], 0);
		ring_rig_close(&rig);
	}
}

static void test_packed_batch_is_all_up_to_the_one_it_names(void **state)
{
	struct ob_virtio_used used[SIZE];
	struct ring_rig rig;

	open_with_four(&rig, PACKED | IN_ORDER);
	use_packed(&rig, 0, 2, 7, VIRTQUEUE_PACKED_MARKS);
	assert_int_equal(take(&rig.driver, used, 2), 2);
	assert_int_equal(used[0].token, 10);
	assert_int_equal(used[1].token, 11);
	expect_length(&used[1], 64);
	assert_true(virtqueue_driver_arm(&rig.driver));
	assert_int_equal(take(&rig.driver, used, SIZE), 1);
	assert_int_equal(used[0].token, 12);
	expect_length(&used[0], 7);
	assert_false(virtqueue_driver_arm(&rig.driver));
	use_packed(&rig, 6, 3, 5, VIRTQUEUE_PACKED_MARKS);
	assert_int_equal(take(&rig.driver, used, SIZE), 1);
	assert_int_equal(used[0].token, 13);
	/* The ring has gone round by that: marks of the last round say nothing any more. */
	use_packed(&rig, 0, 0, 0, VIRTQUEUE_PACKED_MARKS);
	assert_int_equal(take(&rig.driver, used, SIZE), 0);
	ring_rig_close(&rig);
}

/* Nothing is believed of a device that has nothing. */
static void test_packed_marks_without_requests_are_nothing(void **state)
{
	struct ring_rig_config config = {.features = PACKED, .size = SIZE, .chain_max = 2};
	struct ob_virtio_used used[SIZE];
	struct ring_rig rig;

	assert_int_equal(ring_rig_open(&rig, &config), 0);
	use_packed(&rig, 0, 0, 0, VIRTQUEUE_PACKED_MARKS);
	assert_int_equal(take(&rig.driver, used, SIZE), 0);
	assert_false(virtqueue_driver_arm(&rig.driver));
	ring_rig_close(&rig);
}

/* ---- a driver that lies ---- */

/* Each of these writes a ring of its own, at the place of the rig's. */
struct lie {
	struct ring_rig rig;
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtqueue_piece pieces[SIZE];
	struct virtqueue_chain chain;
};

static void lie_open(struct lie *l, uint64_t features, bool through_ops)
{
	struct ring_rig_config config = {
		.features = features, .size = SIZE, .chain_max = 2, .through_ops = through_ops};

	assert_int_equal(ring_rig_open(&l->rig, &config), 0);
	l->desc = l->rig.driver.desc;
	l->avail = l->rig.driver.avail_ring;
}

static void desc(struct lie *l, unsigned at, uint64_t addr, uint32_t len, uint32_t middle, uint32_t last)
{
	ob_le64_store(&l->desc[at].addr, addr);
	ob_le32_16_16_store(&l->desc[at].len, virtqueue_word(len, middle, last));
}

static void show(struct lie *l, uint16_t head)
{
	ob_le16_store(&l->avail->ring[0], head);
	ob_le16_store(&l->avail->idx, 1);
}

static void expect_refused(struct lie *l, int error, const char *why)
{
	assert_int_equal(virtqueue_device_pop(&l->rig.device, l->pieces, SIZE, &l->chain), error);
	assert_true(l->rig.device.broken);
	assert_string_equal(l->rig.device.why, why);
	/* For good, and with no word to the driver. */
	assert_int_equal(virtqueue_device_pop(&l->rig.device, l->pieces, SIZE, &l->chain), -EPROTO);
	assert_int_equal(virtqueue_device_push(&l->rig.device, &l->chain, 0), -EPROTO);
	assert_int_equal(virtqueue_device_publish(&l->rig.device), -EPROTO);
	assert_false(virtqueue_device_must_signal(&l->rig.device));
	assert_false(virtqueue_device_arm(&l->rig.device));
	ring_rig_close(&l->rig);
}

#define N VIRTQ_DESC_F_NEXT
#define W VIRTQ_DESC_F_WRITE
#define I VIRTQ_DESC_F_INDIRECT

/* What may be wrong with a chain: a table of descriptors from 0 on, and the reason. Addresses: offsets of the buffers. */
struct broken_chain {
	const char *why;
	uint64_t features;
	int error;
	struct {
		uint64_t addr;
		uint32_t len, flags, next;
	} d[4], table[4]; /* table: at offset 4096 of the buffers */
	uint16_t head;
};

#define BUFFER(n) (n)
#define OUTSIDE   0x1000000000ull /* no memory is there */
#define TABLE     4096

static const struct broken_chain split_chains[] = {
	{"an entry of the avail ring that is no descriptor", 0, -EPROTO, {{0, 1, 0, 0}}, {{0}}, SIZE},
	{"an entry of the avail ring that is no descriptor", 0, -EPROTO, {{0, 1, 0, 0}}, {{0}}, 0xffff},
	{"a chain that leaves its table", 0, -EPROTO, {{0, 1, N, SIZE}}, {{0}}, 0},
	{"a chain that leaves its table", 0, -EPROTO, {{0, 1, N, 1}, {0, 1, N, 0xffff}}, {{0}}, 0},
	{"a chain that is too long, or a loop", 0, -EPROTO, {{0, 1, N, 0}}, {{0}}, 0},
	{"a chain that is too long, or a loop", 0, -EPROTO, {{0, 1, N, 1}, {0, 1, N, 0}}, {{0}}, 0},
	{"a descriptor of no bytes", 0, -EPROTO, {{0, 0, 0, 0}}, {{0}}, 0},
	{"a descriptor that wraps around", 0, -EPROTO, {{UINT64_MAX, 2, 0, 0}}, {{0}}, 0},
	{"a descriptor that wraps around", 0, -EPROTO, {{0ull - 0xfffffffeull, 0xffffffff, W, 0}}, {{0}}, 0},
	{"a chain of 4 GiB or more", 0, -EPROTO, {{0, 0xffffffff, N, 1}, {0, 1, 0, 0}}, {{0}}, 0},
	{"a chain of 4 GiB or more", 0, -EPROTO, {{0, 0x80000000, N | W, 1}, {0, 0x80000000, W, 0}}, {{0}}, 0},
	{"a piece to be read behind one to be written", 0, -EPROTO, {{0, 1, N | W, 1}, {0, 1, 0, 0}}, {{0}}, 0},
	{"an indirect descriptor, which was not negotiated", 0, -EPROTO, {{TABLE, 16, I, 0}}, {{0, 1, 0, 0}}, 0},
	{"a chain that goes on behind a table",
	 INDIRECT,
	 -EPROTO,
	 {{TABLE, 16, I | N, 1}, {0, 1, 0, 0}},
	 {{0, 1, 0, 0}},
	 0},
	{"an indirect table of a broken length", INDIRECT, -EPROTO, {{TABLE, 0, I, 0}}, {{0, 1, 0, 0}}, 0},
	{"an indirect table of a broken length", INDIRECT, -EPROTO, {{TABLE, 24, I, 0}}, {{0, 1, 0, 0}}, 0},
	{"an indirect table that wraps around", INDIRECT, -EPROTO, {{0ull - 8, 16, I, 0}}, {{0}}, 0},
	{"an indirect table in an indirect table", INDIRECT, -EPROTO, {{TABLE, 16, I, 0}}, {{TABLE, 16, I, 0}}, 0},
	{"a chain that leaves its table", INDIRECT, -EPROTO, {{TABLE, 32, I, 0}}, {{0, 1, N, 2}, {0, 1, 0, 0}}, 0},
	{"a chain that is too long, or a loop", INDIRECT, -EPROTO, {{TABLE, 16, I, 0}}, {{0, 1, N, 0}}, 0},
	{"a descriptor of no bytes", INDIRECT, -EPROTO, {{TABLE, 16, I, 0}}, {{0, 0, 0, 0}}, 0},
};

/* For the packed ring next is the id, and the marks come from the test. */
static const struct broken_chain packed_chains[] = {
	{"a buffer id beyond the ring's size", 0, -EPROTO, {{0, 1, 0, SIZE}}, {{0}}, 0},
	{"a buffer id beyond the ring's size", 0, -EPROTO, {{0, 1, N, 0}, {0, 1, 0, 0xffff}}, {{0}}, 0},
	{"a descriptor of no bytes", 0, -EPROTO, {{0, 0, 0, 0}}, {{0}}, 0},
	{"a descriptor that wraps around", 0, -EPROTO, {{UINT64_MAX, 2, 0, 0}}, {{0}}, 0},
	{"a chain of 4 GiB or more", 0, -EPROTO, {{0, 0xffffffff, N, 0}, {0, 1, 0, 0}}, {{0}}, 0},
	{"a piece to be read behind one to be written", 0, -EPROTO, {{0, 1, N | W, 0}, {0, 1, 0, 0}}, {{0}}, 0},
	{"an indirect descriptor, which was not negotiated", 0, -EPROTO, {{TABLE, 16, I, 0}}, {{0, 1, 0, 0}}, 0},
	{"an indirect table in a chain", INDIRECT, -EPROTO, {{TABLE, 16, I | N, 0}, {0, 1, 0, 0}}, {{0, 1, 0, 0}}, 0},
	{"an indirect table in a chain", INDIRECT, -EPROTO, {{0, 1, N, 0}, {TABLE, 16, I, 0}}, {{0, 1, 0, 0}}, 0},
	{"an indirect table of a broken length", INDIRECT, -EPROTO, {{TABLE, 8, I, 0}}, {{0, 1, 0, 0}}, 0},
	{"a chain that is too long, or a loop", INDIRECT, -EPROTO, {{0, 16 * (SIZE + 1), I, 0}}, {{0}}, 0},
	{"a descriptor of no bytes", INDIRECT, -EPROTO, {{TABLE, 32, I, 0}}, {{0, 1, 0, 0}, {0, 0, 0, 0}}, 0},
};

static uint64_t place(const struct ring_rig *rig, uint64_t addr)
{
	return addr < RING_RIG_BUFFER_BYTES ? ring_rig_buffer(rig, addr) : addr;
}

static void run_chain(const struct broken_chain *c, bool packed, bool through_ops)
{
	struct lie l;
	struct virtq_desc *table;

	lie_open(&l, (packed ? PACKED : SPLIT) | c->features, through_ops);
	/* So that what a test does not set is a good descriptor. */
	for (unsigned i = 0; i < RING_RIG_BUFFER_BYTES / 16; i++) {
		struct virtq_desc *d = ring_rig_pointer(&l.rig, ring_rig_buffer(&l.rig, i * 16ull));

		ob_le64_store(&d->addr, ring_rig_buffer(&l.rig, 0));
		ob_le32_16_16_store(&d->len, virtqueue_word(1, 0, 0));
	}
	table = ring_rig_pointer(&l.rig, ring_rig_buffer(&l.rig, TABLE));
	for (unsigned i = 0; i < 4; i++) {
		uint32_t next = c->d[i].next, flags = c->d[i].flags;

		if (packed)
			desc(&l, i, place(&l.rig, c->d[i].addr), c->d[i].len, next, flags | VIRTQ_PACKED_F_AVAIL);
		else
			desc(&l, i, place(&l.rig, c->d[i].addr), c->d[i].len, flags, next);
		ob_le64_store(&table[i].addr, place(&l.rig, c->table[i].addr));
		next = c->table[i].next;
		flags = c->table[i].flags;
		ob_le32_16_16_store(&table[i].len, packed ? virtqueue_word(c->table[i].len, next, flags)
							  : virtqueue_word(c->table[i].len, flags, next));
	}
	if (!packed)
		show(&l, c->head);
	expect_refused(&l, c->error, c->why);
}

static void test_broken_chains_are_refused(void **state)
{
	for (unsigned ops = 0; ops < 2; ops++) {
		for (unsigned i = 0; i < ARRAY_SIZE(split_chains); i++)
			run_chain(&split_chains[i], false, ops != 0);
		for (unsigned i = 0; i < ARRAY_SIZE(packed_chains); i++)
			run_chain(&packed_chains[i], true, ops != 0);
	}
}

static void test_split_avail_index_that_jumps_is_refused(void **state)
{
	static const uint16_t jumps[] = {SIZE + 1, 0x8000, 0xffff};
	struct lie l;

	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		lie_open(&l, SPLIT, false);
		ob_le16_store(&l.avail->idx, jumps[i]);
		expect_refused(&l, -EPROTO, "an avail index that jumps");
	}
	/* More than the ring has, with those that are with us already. */
	lie_open(&l, SPLIT, false);
	for (unsigned i = 0; i < SIZE; i++) {
		desc(&l, i, ring_rig_buffer(&l.rig, 0), 1, 0, 0);
		ob_le16_store(&l.avail->ring[i], (uint16_t)i);
	}
	ob_le16_store(&l.avail->idx, SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(virtqueue_device_pop(&l.rig.device, l.pieces, SIZE, &l.chain), 1);
	ob_le16_store(&l.avail->idx, SIZE + 1);
	expect_refused(&l, -EPROTO, "an avail index that jumps");
}

static void test_packed_ring_that_bites_itself_is_refused(void **state)
{
	struct lie l;

	/* A chain round the whole ring, in one go. */
	lie_open(&l, PACKED, false);
	for (unsigned i = 0; i < SIZE; i++)
		desc(&l, i, ring_rig_buffer(&l.rig, 0), 1, 0, N | VIRTQ_PACKED_F_AVAIL);
	expect_refused(&l, -EPROTO, "a chain longer than what is free of the ring");
	/* One that reaches into what is with us already. */
	lie_open(&l, PACKED, false);
	for (unsigned i = 0; i < SIZE; i++)
		desc(&l, i, ring_rig_buffer(&l.rig, 0), 1, 0, (i < SIZE / 2 ? 0 : N) | VIRTQ_PACKED_F_AVAIL);
	for (unsigned i = 0; i < SIZE / 2; i++)
		assert_int_equal(virtqueue_device_pop(&l.rig.device, l.pieces, SIZE, &l.chain), 1);
	expect_refused(&l, -EPROTO, "a chain longer than what is free of the ring");
	/* All of it is with us, and made available once more. */
	lie_open(&l, PACKED, false);
	for (unsigned i = 0; i < SIZE; i++)
		desc(&l, i, ring_rig_buffer(&l.rig, 0), 1, 0, VIRTQ_PACKED_F_AVAIL);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(virtqueue_device_pop(&l.rig.device, l.pieces, SIZE, &l.chain), 1);
	for (unsigned i = 0; i < SIZE; i++)
		desc(&l, i, ring_rig_buffer(&l.rig, 0), 1, 0, VIRTQ_PACKED_F_USED);
	expect_refused(&l, -EPROTO, "a descriptor that is in flight was made available again");
}

static void test_table_that_is_not_in_memory_is_refused(void **state)
{
	for (unsigned bits = 0; bits < 4; bits++) {
		bool packed = (bits & 1) != 0, ops = (bits & 2) != 0;
		struct lie l;

		lie_open(&l, (packed ? PACKED : SPLIT) | INDIRECT, ops);
		if (packed)
			desc(&l, 0, OUTSIDE, 32, 0, I | VIRTQ_PACKED_F_AVAIL);
		else
			desc(&l, 0, OUTSIDE, 32, I, 0);
		if (!packed)
			show(&l, 0);
		expect_refused(&l, -EACCES,
			       ops ? "a descriptor that cannot be read" : "an indirect table that is not in memory");
	}
}

static void test_table_that_is_not_aligned_is_refused_where_it_is_mapped(void **state)
{
	struct lie l;

	lie_open(&l, SPLIT | INDIRECT, false);
	desc(&l, 0, ring_rig_buffer(&l.rig, TABLE + 4), 16, I, 0);
	show(&l, 0);
	expect_refused(&l, -EPROTO, "an indirect table that is not aligned to 8 bytes");
}

static void test_request_that_ends_twice_is_refused(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct lie l;

		lie_open(&l, packed ? PACKED : SPLIT, false);
		if (packed)
			desc(&l, 0, ring_rig_buffer(&l.rig, 0), 1, 0, VIRTQ_PACKED_F_AVAIL);
		else
			desc(&l, 0, ring_rig_buffer(&l.rig, 0), 1, 0, 0);
		if (!packed)
			show(&l, 0);
		assert_int_equal(virtqueue_device_pop(&l.rig.device, l.pieces, SIZE, &l.chain), 1);
		assert_int_equal(virtqueue_device_push(&l.rig.device, &l.chain, 0), 0);
		assert_int_equal(virtqueue_device_push(&l.rig.device, &l.chain, 0), -EPROTO);
		assert_string_equal(l.rig.device.why, "a request that ends twice");
		ring_rig_close(&l.rig);
	}
}

static void test_rings_that_cannot_be_are_refused(void **state)
{
	struct virtqueue_device_config good, bad;
	struct virtqueue_device q;

	for (unsigned bits = 0; bits < 4; bits++) {
		static const uint16_t sizes[] = {0, 3, 0x8001};
		bool packed = (bits & 1) != 0;
		struct ring_rig_config config = {.features = packed ? PACKED : SPLIT,
						 .size = SIZE,
						 .chain_max = 2,
						 .through_ops = (bits & 2) != 0};
		struct ring_rig rig;

		assert_int_equal(ring_rig_open(&rig, &config), 0);
		good = rig.device.config;
		assert_int_equal(virtqueue_device_init(&q, &good), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			bad = good;
			bad.size = sizes[i];
			if (packed && sizes[i] == 3)
				continue;
			assert_int_equal(virtqueue_device_init(&q, &bad), -EINVAL);
		}
		bad = good;
		bad.desc += 8;
		assert_int_equal(virtqueue_device_init(&q, &bad), -EINVAL);
		bad = good;
		bad.driver += 1;
		assert_int_equal(virtqueue_device_init(&q, &bad), -EINVAL);
		bad = good;
		bad.device += 2;
		assert_int_equal(virtqueue_device_init(&q, &bad), -EINVAL);
		bad = good;
		bad.desc = 0ull - 16;
		assert_int_equal(virtqueue_device_init(&q, &bad), -EINVAL);
		/* Where memory is not mapped, what is not there shows when it is needed. */
		bad = good;
		bad.device = OUTSIDE;
		assert_int_equal(virtqueue_device_init(&q, &bad), config.through_ops ? 0 : -EACCES);
		bad = good;
		bad.desc = RING_RIG_ADDRESS + rig.memory_bytes - 64;
		assert_int_equal(virtqueue_device_init(&q, &bad), config.through_ops ? 0 : -EACCES);
		ring_rig_close(&rig);
	}
}

/* Each part of a ring that a model cannot reach, at its first use. */
static void test_ring_that_cannot_be_reached_breaks_the_queue(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct ring_rig_config config = {
			.features = packed ? PACKED : SPLIT, .size = SIZE, .chain_max = 2, .through_ops = true};
		struct virtqueue_device_config bad;
		struct virtqueue_piece pieces[SIZE];
		struct virtqueue_chain chain;
		struct ob_dma_piece piece;
		struct virtqueue_device q;
		struct ring_rig rig;

		assert_int_equal(ring_rig_open(&rig, &config), 0);
		piece = (struct ob_dma_piece){{ring_rig_buffer(&rig, 0)}, 16};
		assert_int_equal(virtqueue_driver_add(&rig.driver, &piece, 1, 0, 0), 0);
		virtqueue_driver_kick(&rig.driver);
		bad = rig.device.config;
		bad.desc = OUTSIDE;
		assert_int_equal(virtqueue_device_init(&q, &bad), 0);
		assert_int_equal(virtqueue_device_pop(&q, pieces, SIZE, &chain), -EACCES);
		assert_true(q.broken);
		bad = rig.device.config;
		bad.driver = OUTSIDE;
		assert_int_equal(virtqueue_device_init(&q, &bad), 0);
		if (!packed) {
			assert_int_equal(virtqueue_device_pop(&q, pieces, SIZE, &chain), -EACCES);
		} else {
			assert_int_equal(virtqueue_device_pop(&q, pieces, SIZE, &chain), 1);
			assert_int_equal(virtqueue_device_push(&q, &chain, 0), 0);
			assert_int_equal(virtqueue_device_publish(&q), 0);
			assert_false(virtqueue_device_must_signal(&q));
		}
		assert_true(q.broken);
		bad = rig.device.config;
		bad.device = OUTSIDE;
		assert_int_equal(virtqueue_device_init(&q, &bad), 0);
		virtqueue_device_disarm(&q);
		assert_true(q.broken);
		ring_rig_close(&rig);
	}
}

static void test_bases_that_cannot_be_are_refused(void **state)
{
	struct lie l;

	lie_open(&l, SPLIT, false);
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, 0x10000), -EINVAL);
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, SIZE + 1), -EINVAL);
	ring_rig_close(&l.rig);
	lie_open(&l, PACKED, false);
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, SIZE), -EINVAL);
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, 2u | SIZE << 16 | 1u << 31), -EINVAL);
	/* Used ahead of avail; avail more than a round ahead of used. */
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, 1u | 1u << 15 | 2u << 16 | 1u << 31), -EINVAL);
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, 3u | 2u << 16 | 1u << 31), -EINVAL);
	assert_int_equal(virtqueue_device_set_base(&l.rig.device, 2u | 2u << 16 | 1u << 31), 0);
	ring_rig_close(&l.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_index_that_jumps_breaks_the_queue),
		cmocka_unit_test(test_split_lies_in_a_run_break_the_queue),
		cmocka_unit_test(test_packed_lies_in_a_run_break_the_queue),
		cmocka_unit_test(test_split_index_beyond_what_was_kicked_breaks_the_queue),
		cmocka_unit_test(test_split_id_that_is_no_descriptor_breaks_the_queue),
		cmocka_unit_test(test_split_id_that_is_not_in_flight_breaks_the_queue),
		cmocka_unit_test(test_split_length_beyond_the_room_breaks_the_queue),
		cmocka_unit_test(test_split_batch_is_all_up_to_the_one_it_names),
		cmocka_unit_test(test_split_batch_beyond_its_index_breaks_the_queue),
		cmocka_unit_test(test_packed_id_that_was_never_given_breaks_the_queue),
		cmocka_unit_test(test_packed_id_that_is_not_in_flight_breaks_the_queue),
		cmocka_unit_test(test_packed_length_beyond_the_room_breaks_the_queue),
		cmocka_unit_test(test_packed_length_without_room_is_ignored_unless_claimed),
		cmocka_unit_test(test_packed_batch_is_all_up_to_the_one_it_names),
		cmocka_unit_test(test_packed_marks_without_requests_are_nothing),
		cmocka_unit_test(test_broken_chains_are_refused),
		cmocka_unit_test(test_split_avail_index_that_jumps_is_refused),
		cmocka_unit_test(test_packed_ring_that_bites_itself_is_refused),
		cmocka_unit_test(test_table_that_is_not_in_memory_is_refused),
		cmocka_unit_test(test_table_that_is_not_aligned_is_refused_where_it_is_mapped),
		cmocka_unit_test(test_request_that_ends_twice_is_refused),
		cmocka_unit_test(test_rings_that_cannot_be_are_refused),
		cmocka_unit_test(test_ring_that_cannot_be_reached_breaks_the_queue),
		cmocka_unit_test(test_bases_that_cannot_be_are_refused),
	};
	int failed;

	take = take_in_general;
	failed = cmocka_run_group_tests_name("one by one", tests, NULL, NULL);
	take = virtqueue_driver_take_singles;
	failed += cmocka_run_group_tests_name("in runs", tests, NULL, NULL);
	take = ring_rig_take_framed;
	failed += cmocka_run_group_tests_name("framed ones first", tests, NULL, NULL);
	take = take_tokens;
	failed += cmocka_run_group_tests_name("tokens alone", tests, NULL, NULL);
	return failed;
}
