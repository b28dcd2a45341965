/* SPDX-License-Identifier: BSD-2-Clause */
/* Register and port access, its order and its pipelining, and the memory that QEMU and we share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "tests/qemu_raw.h"

#define EDU         (1u << 3) /* function on bus 0 */
#define EDU_BAR     0xd0000000u
#define EDU_ID      0x00
#define EDU_INVERSE 0x04 /* reads back what was written, inverted */
#define EDU_DMA_SRC 0x80 /* 8 bytes wide */
#define THREADS     4
#define WRITES      20000u /* of some 28 bytes: 560 KiB on the socket */

static int set_up(void **state)
{
	static struct raw r;

	*state = &r;
	if (raw_open(&r, "q35?device=edu") < 0)
		return -1;
	raw_place(&r, EDU, EDU_BAR);
	return 0;
}

static int tear_down(void **state)
{
	raw_close(*state);
	return 0;
}

static void test_config_by_ecam_and_by_ports_agree(void **state)
{
	struct raw *r = *state;
	const struct machine_ops *ops = r->m->ops;
	const struct machine_bus *bus = ops->buses(r->m);

	assert_int_equal(bus[0].kind, MACHINE_BUS_PCI);
	assert_int_equal(bus[1].kind, MACHINE_BUS_END);
	assert_false(bus[0].u.pci.assigned);
	assert_true(bus[0].u.pci.has_cf8);
	assert_int_equal(bus[0].u.pci.hidden_count, 1);
	assert_int_equal(raw_config_read(r, bus[0].u.pci.hidden[0], 0, 4), 0x11101af4);
	for (unsigned slot = 0; slot < 32; slot++) {
		uint32_t by_port;

		ops->write(r->m, MACHINE_SPACE_PORT, 0xcf8, 4, 0x80000000u | slot << 11);
		by_port = (uint32_t)ops->read(r->m, MACHINE_SPACE_PORT, 0xcfc, 4);
		assert_int_equal(by_port, raw_config_read(r, slot << 3, 0, 4));
	}
	assert_int_equal(raw_config_read(r, EDU, 0, 2), 0x1234);
	assert_int_equal(raw_config_read(r, EDU, 2, 2), 0x11e8);
	assert_int_equal(raw_config_read(r, EDU, 3, 1), 0x11);
	assert_int_equal(raw_config_read(r, 7 << 3, 0, 1), 0xff);
}

static void test_access_sizes_reach_the_device(void **state)
{
	struct raw *r = *state;
	struct ob_region region;

	assert_int_equal(r->m->ops->region_open(r->m, NULL, MACHINE_SPACE_MEMORY, EDU_BAR, 0x100000, &region), 0);
	assert_null(region.base);
	assert_int_equal(ob_mmio_read32(&region, EDU_ID), 0x010000ed);
	ob_mmio_write64(&region, EDU_DMA_SRC, 0x123456789abcdef0ull);
	assert_true(ob_mmio_read64(&region, EDU_DMA_SRC) == 0x123456789abcdef0ull);
	ob_mmio_flush(&region);
	r->m->ops->region_close(r->m, &region);
	/* Narrow ones, in memory. */
	raw_write(r, 0x200000, 8, 0x1122334455667788ull);
	raw_write(r, 0x200000, 1, 0x1aa); /* the value's upper part is cut */
	raw_write(r, 0x200002, 2, 0xbbbb);
	assert_true(raw_read(r, 0x200000, 8) == 0x11223344bbbb77aaull);
	assert_int_equal(raw_read(r, 0x200003, 1), 0xbb);
	assert_int_equal(raw_read(r, 0x200001, 2), 0xbb77);
	assert_int_equal(r->m->ops->region_open(r->m, NULL, MACHINE_SPACE_PORT, 0xcf8, 8, &region), 0);
	ob_mmio_write32(&region, 0, 0x80000000u);
	assert_int_equal(ob_mmio_read32(&region, 4), 0x29c08086);
	assert_true(ob_mmio_read64(&region, 0) == 0x29c0808680000000ull);
	r->m->ops->region_close(r->m, &region);
}

static void test_read_comes_after_posted_writes(void **state)
{
	struct raw *r = *state;

	for (uint32_t i = 0; i < 500; i++) {
		for (uint32_t k = 0; k < i % 7; k++)
			raw_write(r, EDU_BAR + EDU_INVERSE, 4, k);
		raw_write(r, EDU_BAR + EDU_INVERSE, 4, i);
		assert_int_equal(raw_read(r, EDU_BAR + EDU_INVERSE, 4), (uint32_t)~i);
	}
}

static void test_many_posted_writes_all_arrive(void **state)
{
	struct raw *r = *state;
	struct machine_dma_memory memory;
	const uint32_t *words;

	assert_int_equal(r->m->ops->dma_alloc(r->m, 4 * WRITES, 0, &memory), 0);
	for (uint32_t i = 0; i < WRITES; i++)
		raw_write(r, memory.iova + 4 * i, 4, i + 1);
	assert_int_equal(r->m->ops->flush(r->m), 0);
	words = memory.base;
	for (uint32_t i = 0; i < WRITES; i++)
		assert_int_equal(words[i], i + 1);
	assert_int_equal(r->qemu->qtest.posted, 0);
	assert_int_equal(r->qemu->qtest.refused, 0);
	r->m->ops->dma_free(r->m, &memory);
}

struct job {
	struct raw *r;
	uint64_t base;
	unsigned failures;
};

static void *write_and_read(void *arg)
{
	struct job *job = arg;

	for (uint32_t i = 0; i < 2000; i++) {
		raw_write(job->r, job->base + 4 * (i % 64), 4, i);
		if (i % 5 == 0 && raw_read(job->r, job->base + 4 * (i % 64), 4) != i)
			job->failures++;
	}
	return NULL;
}

static void test_several_threads_share_the_socket(void **state)
{
	struct raw *r = *state;
	struct machine_dma_memory memory[THREADS];
	struct job job[THREADS];
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(r->m->ops->dma_alloc(r->m, 4096, 0, &memory[i]), 0);
		job[i] = (struct job){.r = r, .base = memory[i].iova};
		assert_int_equal(pthread_create(&thread[i], NULL, write_and_read, &job[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(job[i].failures, 0);
		r->m->ops->dma_free(r->m, &memory[i]);
	}
}

static void test_memory_is_shared_zeroed_and_aligned(void **state)
{
	struct raw *r = *state;
	struct machine_dma_memory memory;

	for (unsigned round = 0; round < 2; round++) {
		/* Small ones are cleared, large ones get fresh pages: both must come back zero. */
		static const size_t sizes[] = {1, 4096, 100000, 8 * OB_MIB};

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			assert_int_equal(r->m->ops->dma_alloc(r->m, sizes[i], 65536, &memory), 0);
			assert_true(memory.iova >= OB_MIB && IS_ALIGNED(memory.iova, 65536));
			for (size_t k = 0; k < memory.len_bytes; k += 512)
				assert_int_equal(((uint8_t *)memory.base)[k], 0);
			memset(memory.base, 0xa5, memory.len_bytes);
			assert_int_equal(raw_read(r, memory.iova + memory.len_bytes - 4, 4), 0xa5a5a5a5);
			r->m->ops->dma_free(r->m, &memory);
		}
	}
	assert_int_equal(r->m->ops->dma_alloc(r->m, 0, 0, &memory), -EINVAL);
	assert_int_equal(r->m->ops->dma_alloc(r->m, 4096, 3, &memory), -EINVAL);
	assert_int_equal(r->m->ops->dma_alloc(r->m, OB_GIB, 0, &memory), -ENOMEM);
	assert_int_equal(r->m->ops->dma_alloc(r->m, SIZE_MAX, 0, &memory), -ENOMEM);
	assert_int_equal(r->m->ops->dma_import(r->m, &memory, 4096, &memory), -EOPNOTSUPP);
}

/* A large machine's memory continues at 4 GiB. */
static void test_memory_above_4g_is_reached(void **state)
{
	struct machine_dma_memory low, high;
	struct raw r;

	assert_int_equal(raw_open(&r, "?mem=4G"), 0);
	assert_int_equal(r.m->ops->dma_alloc(r.m, 1900 * OB_MIB, 0, &low), 0);
	assert_int_equal(r.m->ops->dma_alloc(r.m, 256 * OB_MIB, 0, &high), 0);
	assert_true(low.iova < OB_GIB && high.iova >= 4 * OB_GIB);
	raw_write(&r, high.iova + 0x1234, 4, 0xfeedbeef);
	assert_int_equal(r.m->ops->flush(r.m), 0);
	assert_memory_equal((uint8_t *)high.base + 0x1234, "\xef\xbe\xed\xfe", 4);
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_by_ecam_and_by_ports_agree),
		cmocka_unit_test(test_access_sizes_reach_the_device),
		cmocka_unit_test(test_read_comes_after_posted_writes),
		cmocka_unit_test(test_many_posted_writes_all_arrive),
		cmocka_unit_test(test_several_threads_share_the_socket),
		cmocka_unit_test(test_memory_is_shared_zeroed_and_aligned),
		cmocka_unit_test(test_memory_above_4g_is_reached),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
