/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PRP and SGL against a reader that does what a controller does with them: random segment lists in, the same bytes in
 * the same order out, and nothing beyond the list touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"
#include "tests/random.h"

#define PAGE         NVME_PAGE_BYTES
#define WINDOW_IOVA  0x123450000000ull
#define WINDOW_BYTES (4u << 20)
#define LIST_IOVA    0x777000400ull
#define LIST_MAX     4096u
#define SEGMENTS_MAX 300u
#define GUARD        0xa5
#define ROUNDS       20000u

struct bed {
	struct ob_window window;
	uint8_t list[LIST_MAX + 64];
	struct ob_segment segments[SEGMENTS_MAX];
	struct ob_block_request request;
	struct random random;
};

/* A run of bytes, in the order of the transfer. */
struct piece {
	uint64_t address;
	uint64_t len_bytes;
};

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->window.base = aligned_alloc(PAGE, WINDOW_BYTES);
	b->window.len_bytes = WINDOW_BYTES;
	b->window.grant[3] = (struct ob_grant){WINDOW_IOVA, OB_DMA_BOTH};
	b->request.window = &b->window;
	b->request.segments = b->segments;
	b->random.state = 20261120;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	free(b->window.base);
	free(b);
	return 0;
}

static uint64_t iova_of(const struct bed *b, const struct ob_segment *s)
{
	return WINDOW_IOVA + (uint64_t)((const uint8_t *)s->base - b->window.base);
}

/* Pieces that touch become one, so that lists can be compared however they were cut. */
static void append(struct piece *pieces, unsigned *count, uint64_t address, uint64_t len_bytes)
{
	if (len_bytes == 0)
		return;
	if (*count > 0 && pieces[*count - 1].address + pieces[*count - 1].len_bytes == address) {
		pieces[*count - 1].len_bytes += len_bytes;
		return;
	}
	pieces[(*count)++] = (struct piece){address, len_bytes};
}

/* What the caller meant. */
static unsigned expected(const struct bed *b, struct piece *pieces)
{
	unsigned count = 0;

	for (unsigned i = 0; i < b->request.segment_count; i++)
		append(pieces, &count, iova_of(b, &b->segments[i]), b->segments[i].len_bytes);
	return count;
}

/* As a controller walks PRPs (§4.3): PRP1 to the end of its page, then pages, from PRP2 or from the list in it. */
static unsigned read_prp(const struct bed *b, const struct nvme_data_pointer *p, uint64_t total, struct piece *pieces)
{
	uint64_t first = PAGE - p->word[0] % PAGE, left = total;
	unsigned count = 0, index = 0;
	bool list;

	assert_int_equal(p->psdt, NVME_PSDT_PRP);
	append(pieces, &count, p->word[0], first < left ? first : left);
	left -= first < left ? first : left;
	list = left > PAGE;
	if (left == 0)
		assert_int_equal(p->word[1], 0);
	if (list)
		assert_int_equal(p->word[1], LIST_IOVA);
	while (left > 0) {
		uint64_t entry = list ? ob_le64_to_cpu(((const ob_le64 *)(const void *)b->list)[index++]) : p->word[1];
		uint64_t len = left < PAGE ? left : PAGE;

		assert_int_equal(entry % PAGE, 0);
		append(pieces, &count, entry, len);
		left -= len;
	}
	return count;
}

/* As a controller walks an SGL (§4.4). */
static unsigned read_sgl(const struct bed *b, const struct nvme_data_pointer *p, struct piece *pieces)
{
	unsigned type = (unsigned)(p->word[1] >> 60), count = 0;
	uint32_t len = (uint32_t)p->word[1];

	assert_int_equal(p->psdt, NVME_PSDT_SGL);
	assert_int_equal((p->word[1] >> 32) & 0x0fffffff, 0);
	if (type == NVME_SGL_DATA_BLOCK) {
		append(pieces, &count, p->word[0], len);
		return count;
	}
	assert_int_equal(type, NVME_SGL_LAST_SEGMENT);
	assert_int_equal(p->word[0], LIST_IOVA);
	assert_int_equal(len % sizeof(struct nvme_sgl), 0);
	assert_true(len <= LIST_MAX);
	for (unsigned i = 0; i < len / sizeof(struct nvme_sgl); i++) {
		const struct nvme_sgl *d = (const struct nvme_sgl *)(const void *)b->list + i;

		assert_int_equal(d->type, NVME_SGL_DATA_BLOCK << 4);
		assert_int_equal(d->rsvd12[0] | d->rsvd12[1] | d->rsvd12[2], 0);
		assert_true(ob_le32_to_cpu(d->length) > 0);
		append(pieces, &count, ob_le64_to_cpu(d->addr), ob_le32_to_cpu(d->length));
	}
	return count;
}

static void compare(const struct bed *b, const struct piece *got, unsigned got_count)
{
	static struct piece want[SEGMENTS_MAX];
	unsigned want_count = expected(b, want);

	assert_int_equal(got_count, want_count);
	for (unsigned i = 0; i < want_count; i++) {
		assert_int_equal(got[i].address, want[i].address);
		assert_int_equal(got[i].len_bytes, want[i].len_bytes);
	}
}

static uint64_t total_of(const struct bed *b)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < b->request.segment_count; i++)
		total += b->segments[i].len_bytes;
	return total;
}

/* @pages: inner ends on pages, as PRPs need it. */
static void random_segments(struct bed *b, unsigned max, bool pages)
{
	unsigned count = 1 + (unsigned)random_below(&b->random, max);

	b->request.segment_count = (uint16_t)count;
	for (unsigned i = 0; i < count; i++) {
		uint64_t len = 4 * (1 + random_below(&b->random, 3 * PAGE / 4));
		uint64_t offset = 4 * random_below(&b->random, (WINDOW_BYTES - 4 * PAGE) / 4);

		if (pages && i > 0)
			offset = offset / PAGE * PAGE;
		if (pages && i + 1 < count) {
			len = (len + PAGE - 1) / PAGE * PAGE;
			len -= i == 0 ? offset % PAGE : 0;
		}
		b->segments[i] = (struct ob_segment){b->window.base + offset, len};
	}
}

static struct nvme_list fresh_list(struct bed *b, uint32_t len_bytes)
{
	memset(b->list, GUARD, sizeof(b->list));
	return (struct nvme_list){b->list, {LIST_IOVA}, len_bytes};
}

static void check_guard(const struct bed *b, uint32_t len_bytes)
{
	for (unsigned i = len_bytes; i < sizeof(b->list); i++)
		assert_int_equal(b->list[i], GUARD);
}

static void test_prp_random_segments_read_back_the_same(void **state)
{
	static struct piece pieces[LIST_MAX / 8 + 2];
	struct bed *b = *state;
	unsigned built = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t len = 64u << random_below(&b->random, 7);
		struct nvme_list list = fresh_list(b, len);
		struct nvme_data_pointer p;
		uint64_t total, entries;
		int ret;

		random_segments(b, 40, true);
		total = total_of(b);
		ret = nvme_prp_build(&list, &b->request, 3, OB_DMA_READ, &p);
		check_guard(b, len);
		entries = (iova_of(b, &b->segments[0]) % PAGE + total + PAGE - 1) / PAGE - 1;
		assert_int_equal(ret, entries > len / 8 ? -EINVAL : 0);
		if (ret != 0)
			continue;
		built++;
		compare(b, pieces, read_prp(b, &p, total, pieces));
	}
	assert_true(built > ROUNDS / 4);
}

static void test_prp_inner_end_off_page_is_refused(void **state)
{
	struct bed *b = *state;
	struct nvme_data_pointer p;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct nvme_list list = fresh_list(b, LIST_MAX);
		bool fits = true;

		random_segments(b, 4, random_percent(&b->random, 80));
		/* Starts on pages, and one end in the middle of one. */
		if (random_percent(&b->random, 50))
			b->segments[0].len_bytes = b->segments[0].len_bytes > 4 ? b->segments[0].len_bytes - 4 : 4;
		for (unsigned i = 0; i + 1 < b->request.segment_count; i++)
			fits &= (iova_of(b, &b->segments[i]) + b->segments[i].len_bytes) % PAGE == 0 &&
				iova_of(b, &b->segments[i + 1]) % PAGE == 0;
		assert_int_equal(nvme_prp_build(&list, &b->request, 3, OB_DMA_READ, &p), fits ? 0 : -EINVAL);
	}
}

static void test_sgl_random_segments_read_back_the_same(void **state)
{
	static struct piece pieces[LIST_MAX / 16 + 2];
	struct bed *b = *state;
	unsigned built = 0, refused = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t len = 64u << random_below(&b->random, 7);
		struct nvme_list list = fresh_list(b, len);
		struct nvme_data_pointer p;
		static struct piece want[SEGMENTS_MAX];
		int ret;

		random_segments(b, 60, false);
		ret = nvme_sgl_build(&list, &b->request, 3, OB_DMA_WRITE, &p);
		check_guard(b, len);
		assert_int_equal(ret, expected(b, want) > MAX(len / 16, 1u) ? -EINVAL : 0);
		refused += ret != 0;
		if (ret != 0)
			continue;
		built++;
		compare(b, pieces, read_sgl(b, &p, pieces));
	}
	assert_true(built > ROUNDS / 4 && refused > 100);
}

static void test_sgl_neighbours_become_one_block(void **state)
{
	struct bed *b = *state;
	struct nvme_list list = fresh_list(b, 64);
	struct nvme_data_pointer p;

	b->request.segment_count = 3;
	for (unsigned i = 0; i < 3; i++)
		b->segments[i] = (struct ob_segment){b->window.base + i * 512, 512};
	assert_int_equal(nvme_sgl_build(&list, &b->request, 3, OB_DMA_READ, &p), 0);
	check_guard(b, 0);
	assert_int_equal(p.word[0], WINDOW_IOVA);
	assert_int_equal(p.word[1], 3 * 512);
}

static void test_build_without_grant_or_outside_is_refused(void **state)
{
	struct bed *b = *state;
	struct nvme_list list = fresh_list(b, LIST_MAX);
	struct nvme_data_pointer p;

	b->request.segment_count = 1;
	b->segments[0] = (struct ob_segment){b->window.base, PAGE};
	assert_int_equal(nvme_prp_build(&list, &b->request, 4, OB_DMA_READ, &p), -EACCES);
	assert_int_equal(nvme_sgl_build(&list, &b->request, 4, OB_DMA_READ, &p), -EACCES);
	b->segments[0].base = b->window.base + WINDOW_BYTES - 4;
	assert_int_equal(nvme_prp_build(&list, &b->request, 3, OB_DMA_READ, &p), -EFAULT);
	assert_int_equal(nvme_sgl_build(&list, &b->request, 3, OB_DMA_READ, &p), -EFAULT);
	b->segments[0] = (struct ob_segment){b->window.base, 0};
	assert_int_equal(nvme_prp_build(&list, &b->request, 3, OB_DMA_READ, &p), -EINVAL);
	assert_int_equal(nvme_sgl_build(&list, &b->request, 3, OB_DMA_READ, &p), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_prp_random_segments_read_back_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prp_inner_end_off_page_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sgl_random_segments_read_back_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sgl_neighbours_become_one_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_build_without_grant_or_outside_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
