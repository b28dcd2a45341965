/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows and rights, coherent memory, streaming mappings and bouncing. On the machine of tests/test_machine.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>

#include "tests/test_machine.h"

struct fixture {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_device *a, *b;
};

static void start(struct fixture *f, bool iommu)
{
	f->ob = test_context(1);
	assert_int_equal(ob_driver_register(f->ob, &test_plain_driver), 0);
	test_setup.iommu = iommu;
	test_setup.importable = true;
	test_add("a", 0x1234, 1, 2);
	test_add("b", 0x1234, 2, 2);
	assert_int_equal(test_open(f->ob, 0, &f->machine), 0);
	f->a = &test_device_of(f->machine, "a")->dev;
	f->b = &test_device_of(f->machine, "b")->dev;
}

static void finish(struct fixture *f)
{
	ob_machine_close(f->machine);
	ob_destroy(f->ob);
	assert_int_equal(test_setup.dma_live, 0);
	assert_int_equal(test_setup.grants_live, 0);
	assert_int_equal(test_setup.closes, 1);
}

static int iova_of(struct ob_window *window, struct ob_device *dev, const void *buffer, size_t len,
		   enum ob_dma_rights rights, ob_iova *out)
{
	return ob_window_iova(window, ob_device_dma_index(dev), buffer, len, rights, out);
}

/* ---- windows ---- */

static void test_window_rights_are_per_device_and_only_grow(void **state)
{
	for (unsigned iommu = 0; iommu < 2; iommu++) {
		struct ob_window *w;
		struct fixture f;
		ob_iova iova = {0}, again = {0};

		start(&f, iommu);
		assert_int_equal(ob_window_create(f.machine, 8000, &w), 0);
		assert_int_equal(w->len_bytes, 8192);
		assert_int_equal((uintptr_t)w->base % 4096, 0);
		assert_int_equal(iova_of(w, f.a, w->base, 512, OB_DMA_READ, &iova), -EACCES);
		assert_int_equal(ob_window_grant(w, f.a, OB_DMA_READ), 0);
		assert_int_equal(iova_of(w, f.a, w->base, 512, OB_DMA_READ, &iova), 0);
		assert_int_equal(iova_of(w, f.a, w->base, 512, OB_DMA_WRITE, &again), -EACCES);
		assert_int_equal(iova_of(w, f.a, w->base, 512, OB_DMA_BOTH, &again), -EACCES);
		assert_int_equal(iova_of(w, f.b, w->base, 512, OB_DMA_READ, &again), -EACCES);
		assert_int_equal(ob_window_grant(w, f.a, OB_DMA_WRITE), 0);
		assert_int_equal(ob_window_grant(w, f.a, OB_DMA_READ), 0);
		assert_int_equal(iova_of(w, f.a, w->base + 100, 512, OB_DMA_BOTH, &again), 0);
		assert_true(again.addr == iova.addr + 100);
		ob_window_revoke(w, f.a);
		assert_int_equal(iova_of(w, f.a, w->base, 512, OB_DMA_READ, &iova), -EACCES);
		ob_window_put(w);
		finish(&f);
	}
}

static void test_window_iova_outside_or_overflowing_is_refused(void **state)
{
	struct ob_window *w;
	struct fixture f;
	ob_iova iova;

	start(&f, false);
	assert_int_equal(ob_window_create(f.machine, 4096, &w), 0);
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_BOTH), 0);
	assert_int_equal(iova_of(w, f.a, w->base, 4096, OB_DMA_READ, &iova), 0);
	assert_int_equal(iova_of(w, f.a, w->base + 4096, 0, OB_DMA_READ, &iova), 0);
	assert_int_equal(iova_of(w, f.a, w->base, 4097, OB_DMA_READ, &iova), -EFAULT);
	assert_int_equal(iova_of(w, f.a, w->base + 1, 4096, OB_DMA_READ, &iova), -EFAULT);
	assert_int_equal(iova_of(w, f.a, w->base + 4097, 0, OB_DMA_READ, &iova), -EFAULT);
	assert_int_equal(iova_of(w, f.a, w->base - 1, 2, OB_DMA_READ, &iova), -EFAULT);
	assert_int_equal(iova_of(w, f.a, w->base + 16, SIZE_MAX - 8, OB_DMA_READ, &iova), -EFAULT);
	assert_int_equal(iova_of(w, f.a, &f, 8, OB_DMA_READ, &iova), -EFAULT);
	ob_window_put(w);
	finish(&f);
}

static void test_window_bad_arguments_are_refused(void **state)
{
	static _Alignas(4096) uint8_t own[8192];
	struct ob_window *w;
	struct fixture f;

	start(&f, false);
	assert_int_equal(ob_window_create(f.machine, 0, &w), -EINVAL);
	assert_int_equal(ob_window_create(f.machine, SIZE_MAX - 10, &w), -EINVAL);
	assert_null(w);
	assert_int_equal(ob_window_import(f.machine, own + 1, 4096, &w), -EINVAL);
	assert_int_equal(ob_window_import(f.machine, own, 0, &w), -EINVAL);
	assert_int_equal(ob_window_import(f.machine, NULL, 4096, &w), -EINVAL);
	assert_int_equal(ob_window_create(f.machine, 4096, &w), 0);
	assert_int_equal(ob_window_grant(w, f.a, (enum ob_dma_rights)0), -EINVAL);
	assert_int_equal(ob_window_grant(w, f.a, (enum ob_dma_rights)5), -EINVAL);
	assert_int_equal(ob_device_unbind(f.a), 0);
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_READ), -ENODEV);
	ob_window_put(w);
	ob_window_put(NULL);
	test_setup.importable = false;
	assert_int_equal(ob_window_import(f.machine, own, 4096, &w), -EOPNOTSUPP);
	finish(&f);
}

static void test_window_import_makes_own_memory_a_window(void **state)
{
	static _Alignas(4096) uint8_t own[8192];
	struct ob_window *w;
	struct fixture f;
	ob_iova iova;

	start(&f, false);
	assert_int_equal(ob_window_import(f.machine, own, sizeof(own), &w), 0);
	assert_ptr_equal(w->base, own);
	assert_int_equal(ob_window_grant(w, f.b, OB_DMA_WRITE), 0);
	assert_int_equal(iova_of(w, f.b, own + 4096, 4096, OB_DMA_WRITE, &iova), 0);
	ob_window_put(ob_window_get(w));
	assert_int_equal(iova_of(w, f.b, own + 4096, 4096, OB_DMA_WRITE, &iova), 0);
	ob_window_put(w);
	finish(&f);
}

static void test_window_grant_does_not_pass_to_the_next_device(void **state)
{
	struct ob_window *w;
	struct fixture f;
	unsigned index;
	ob_iova iova;

	start(&f, true);
	assert_int_equal(ob_window_create(f.machine, 4096, &w), 0);
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_BOTH), 0);
	index = ob_device_dma_index(f.a);
	assert_int_equal(ob_device_unbind(f.a), 0);
	assert_int_equal(ob_device_unbind(f.b), 0);
	assert_int_equal(ob_device_bind(f.b), 0);
	assert_int_equal(ob_device_dma_index(f.b), index);
	assert_int_equal(iova_of(w, f.b, w->base, 8, OB_DMA_READ, &iova), -EACCES);
	ob_window_put(w);
	finish(&f);
}

static void test_window_of_another_machine_is_refused(void **state)
{
	struct ob_machine *other;
	struct ob_window *w;
	struct ob_device *stranger;
	struct fixture f;
	ob_iova iova;

	start(&f, false);
	assert_int_equal(test_open(f.ob, 0, &other), 0);
	stranger = &test_device_of(other, "a")->dev;
	assert_int_equal(ob_window_create(f.machine, 4096, &w), 0);
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_BOTH), 0);
	assert_int_equal(ob_window_grant(w, f.b, OB_DMA_BOTH), 0);
	assert_int_equal(iova_of(w, f.a, w->base, 8, OB_DMA_READ, &iova), 0);
	assert_int_equal(ob_window_grant(w, stranger, OB_DMA_BOTH), -EINVAL);
	assert_int_equal(iova_of(w, stranger, w->base, 8, OB_DMA_READ, &iova), -EACCES);
	/* Nor does a right come to it by an index that one of the window's machine had. */
	assert_int_equal(ob_device_unbind(f.a), 0);
	assert_int_equal(ob_device_unbind(stranger), 0);
	assert_int_equal(ob_device_bind(stranger), 0);
	assert_int_equal(iova_of(w, stranger, w->base, 8, OB_DMA_READ, &iova), -EACCES);
	ob_window_put(w);
	ob_machine_close(other);
	test_setup.closes--;
	finish(&f);
}

static void test_dma_indexes_run_out_with_a_clear_error(void **state)
{
	enum {
		EACH = 64
	};
	struct ob *ob = test_context(1);
	struct ob_machine *machines[OB_DMA_DEVICE_MAX / EACH + 1];
	unsigned count = OB_DMA_DEVICE_MAX / EACH;
	char name[16];

	assert_int_equal(ob_driver_register(ob, &test_plain_driver), 0);
	for (unsigned i = 0; i < EACH; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		test_add(name, 0x1234, 1, 1);
	}
	for (unsigned i = 0; i <= count; i++)
		assert_int_equal(test_open(ob, 0, &machines[i]), 0);
	snprintf(name, sizeof(name), "d%u", EACH - 1);
	assert_int_equal(ob_device_state(&test_device_of(machines[count - 1], name)->dev), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_state(&test_device_of(machines[count], "d0")->dev), OB_DEVICE_FAILED);
	assert_int_equal(ob_device_error(&test_device_of(machines[count], "d0")->dev), -ENOSPC);
	/* One that a device gave back serves another machine. */
	assert_int_equal(ob_device_unbind(&test_device_of(machines[0], "d7")->dev), 0);
	assert_int_equal(ob_device_bind(&test_device_of(machines[count], "d0")->dev), 0);
	for (unsigned i = 0; i <= count; i++)
		ob_machine_close(machines[i]);
	ob_destroy(ob);
}

/* ---- coherent memory ---- */

static void test_coherent_memory_is_counted_and_freed(void **state)
{
	struct ob_dma_stats stats;
	struct ob_dma one, two;
	struct fixture f;

	start(&f, true);
	assert_int_equal(ob_dma_alloc(f.a, 100, 0, &one), 0);
	assert_int_equal(one.len_bytes, 128);
	assert_int_equal(ob_dma_alloc(f.a, 64, 65536, &two), 0);
	assert_int_equal((uintptr_t)two.base % 65536, 0);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(((uint8_t *)one.base)[i], 0);
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.coherent_bytes, 192);
	ob_dma_free(f.a, &one);
	assert_null(one.base);
	ob_dma_free(f.a, &one);
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.coherent_bytes, 64);
	/* Not this device's: named, not freed. */
	one = two;
	ob_dma_free(f.b, &one);
	assert_true(test_logged("b: freed DMA memory", NULL));
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.coherent_bytes, 64);
	ob_dma_free(f.a, &two);
	assert_int_equal(ob_dma_alloc(f.a, 0, 0, &one), -EINVAL);
	assert_int_equal(ob_dma_alloc(f.a, 64, 48, &one), -EINVAL);
	assert_int_equal(ob_dma_alloc(f.a, SIZE_MAX, 0, &one), -EINVAL);
	assert_null(one.base);
	ob_device_mark_gone(f.a, "test");
	assert_int_equal(ob_dma_alloc(f.a, 64, 0, &one), -ENODEV);
	finish(&f);
}

static void test_grant_that_the_machine_refuses_leaves_nothing(void **state)
{
	struct ob_dma_stats stats;
	struct ob_window *w;
	struct ob_dma dma;
	struct fixture f;

	start(&f, true);
	assert_int_equal(ob_window_create(f.machine, 4096, &w), 0);
	test_setup.grant_error = -ENOMEM;
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_BOTH), -ENOMEM);
	assert_int_equal(w->grant[ob_device_dma_index(f.a)].rights, 0);
	assert_int_equal(ob_dma_alloc(f.a, 64, 0, &dma), -ENOMEM);
	assert_int_equal(test_setup.dma_live, 1);
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.coherent_bytes, 0);
	ob_window_put(w);
	finish(&f);
}

/* ---- streaming ---- */

/* The device's view of a mapping. */
static uint8_t *bounce_of(const struct ob_dma_map *map, struct ob_device *dev)
{
	return test_device_view((struct test_device *)(void *)dev, map->iova.addr);
}

static void test_map_without_window_bounces_in_its_direction(void **state)
{
	uint8_t buffer[100];
	struct ob_dma_stats stats;
	struct ob_dma_map map;
	struct fixture f;

	start(&f, true);
	memset(buffer, 0x11, sizeof(buffer));
	assert_int_equal(ob_dma_map(f.a, NULL, buffer, sizeof(buffer), OB_DMA_READ, &map), 0);
	assert_int_equal(bounce_of(&map, f.a)[99], 0x11);
	bounce_of(&map, f.a)[0] = 0x22;
	ob_dma_unmap(f.a, &map);
	assert_int_equal(buffer[0], 0x11);

	assert_int_equal(ob_dma_map(f.a, NULL, buffer, sizeof(buffer), OB_DMA_WRITE, &map), 0);
	assert_int_equal(bounce_of(&map, f.a)[99], 0);
	memset(bounce_of(&map, f.a), 0x33, sizeof(buffer));
	assert_int_equal(buffer[50], 0x11);
	ob_dma_unmap(f.a, &map);
	assert_int_equal(buffer[0], 0x33);
	assert_int_equal(buffer[99], 0x33);

	assert_int_equal(ob_dma_map(f.a, NULL, buffer, sizeof(buffer), OB_DMA_BOTH, &map), 0);
	assert_int_equal(bounce_of(&map, f.a)[7], 0x33);
	bounce_of(&map, f.a)[7] = 0x44;
	ob_dma_unmap(f.a, &map);
	assert_int_equal(buffer[7], 0x44);

	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.maps, 3);
	assert_int_equal(stats.bounces, 3);
	assert_int_equal(stats.bounced_bytes, 300);
	assert_int_equal(stats.coherent_bytes, 0);
	ob_dma_count_bounce(f.a, 5);
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.bounced_bytes, 305);
	finish(&f);
}

static void test_map_in_a_window_needs_its_rights_and_does_not_bounce(void **state)
{
	struct ob_dma_stats stats;
	struct ob_dma_map map;
	struct ob_window *w;
	struct fixture f;

	start(&f, false);
	assert_int_equal(ob_window_create(f.machine, 4096, &w), 0);
	assert_int_equal(ob_dma_map(f.a, w, w->base, 64, OB_DMA_READ, &map), -EACCES);
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_READ), 0);
	assert_int_equal(ob_dma_map(f.a, w, w->base + 64, 64, OB_DMA_READ, &map), 0);
	assert_true(map.iova.addr == w->grant[ob_device_dma_index(f.a)].iova + 64);
	ob_dma_unmap(f.a, &map);
	assert_int_equal(ob_dma_map(f.a, w, w->base, 64, OB_DMA_WRITE, &map), -EACCES);
	assert_int_equal(ob_dma_map(f.a, w, w->base, 4097, OB_DMA_READ, &map), -EFAULT);
	assert_int_equal(ob_dma_map(f.a, NULL, NULL, 64, OB_DMA_READ, &map), -EFAULT);
	assert_int_equal(ob_dma_map(f.a, NULL, &f, 0, OB_DMA_READ, &map), -EFAULT);
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.maps, 1);
	assert_int_equal(stats.bounces, 0);
	ob_window_put(w);
	finish(&f);
}

static void test_list_in_a_window_joins_what_is_contiguous(void **state)
{
	struct ob_dma_piece pieces[2];
	struct ob_dma_list list;
	struct ob_segment segments[3];
	struct ob_window *w;
	struct fixture f;

	start(&f, false);
	assert_int_equal(ob_window_create(f.machine, 8192, &w), 0);
	segments[0] = (struct ob_segment){w->base, 100};
	segments[1] = (struct ob_segment){w->base + 100, 28};
	segments[2] = (struct ob_segment){w->base + 4096, 512};
	assert_int_equal(ob_dma_map_list(f.a, w, segments, 3, OB_DMA_READ, pieces, 2, &list), -EACCES);
	assert_int_equal(ob_window_grant(w, f.a, OB_DMA_READ), 0);
	assert_int_equal(ob_dma_map_list(f.a, w, segments, 3, OB_DMA_READ, pieces, 2, &list), 0);
	assert_int_equal(list.piece_count, 2);
	assert_int_equal(list.len_bytes, 640);
	assert_true(pieces[0].iova.addr == w->grant[ob_device_dma_index(f.a)].iova);
	assert_int_equal(pieces[0].len_bytes, 128);
	assert_true(pieces[1].iova.addr == pieces[0].iova.addr + 4096);
	assert_int_equal(pieces[1].len_bytes, 512);
	ob_dma_unmap_list(f.a, &list);
	assert_int_equal(ob_dma_map_list(f.a, w, segments, 3, OB_DMA_READ, pieces, 1, &list), -E2BIG);
	segments[2].len_bytes = 4097;
	assert_int_equal(ob_dma_map_list(f.a, w, segments, 3, OB_DMA_READ, pieces, 2, &list), -EFAULT);
	segments[2].len_bytes = SIZE_MAX - 50;
	assert_int_equal(ob_dma_map_list(f.a, NULL, segments, 3, OB_DMA_READ, pieces, 2, &list), -EFAULT);
	assert_int_equal(ob_dma_map_list(f.a, w, segments, 0, OB_DMA_READ, pieces, 2, &list), -EFAULT);
	ob_window_put(w);
	finish(&f);
}

static void test_list_without_window_is_one_bounce_that_goes_back_in_pieces(void **state)
{
	uint8_t first[30], second[70];
	const struct ob_segment segments[] = {{first, sizeof(first)}, {second, sizeof(second)}};
	struct ob_dma_stats stats;
	struct ob_dma_piece piece;
	struct ob_dma_list list;
	struct fixture f;
	uint8_t *view;

	start(&f, true);
	memset(first, 0x11, sizeof(first));
	memset(second, 0x22, sizeof(second));
	assert_int_equal(ob_dma_map_list(f.a, NULL, segments, 2, OB_DMA_BOTH, &piece, 0, &list), -E2BIG);
	assert_int_equal(ob_dma_map_list(f.a, NULL, segments, 2, OB_DMA_BOTH, &piece, 1, &list), 0);
	assert_int_equal(list.piece_count, 1);
	assert_int_equal(piece.len_bytes, 100);
	view = test_device_view((struct test_device *)(void *)f.a, piece.iova.addr);
	assert_int_equal(view[29], 0x11);
	assert_int_equal(view[30], 0x22);
	assert_int_equal(view[99], 0x22);
	memset(view, 0x33, 30);
	memset(view + 30, 0x44, 70);
	ob_dma_unmap_list(f.a, &list);
	assert_int_equal(first[0], 0x33);
	assert_int_equal(first[29], 0x33);
	assert_int_equal(second[0], 0x44);
	assert_int_equal(second[69], 0x44);
	ob_dma_stats(f.a, &stats);
	assert_int_equal(stats.maps, 1);
	assert_int_equal(stats.bounces, 1);
	assert_int_equal(stats.bounced_bytes, 100);
	finish(&f);
}

static void test_mapping_that_is_never_unmapped_is_named_at_removal(void **state)
{
	struct ob_dma_map map;
	struct fixture f;
	uint8_t buffer[64] = {0};

	start(&f, true);
	assert_int_equal(ob_dma_map(f.a, NULL, buffer, sizeof(buffer), OB_DMA_READ, &map), 0);
	assert_int_equal(ob_device_unbind(f.a), 0);
	assert_true(test_logged("a: plain leaked a streaming mapping of 64 bytes", NULL));
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window_rights_are_per_device_and_only_grow),
		cmocka_unit_test(test_window_iova_outside_or_overflowing_is_refused),
		cmocka_unit_test(test_window_bad_arguments_are_refused),
		cmocka_unit_test(test_window_import_makes_own_memory_a_window),
		cmocka_unit_test(test_window_grant_does_not_pass_to_the_next_device),
		cmocka_unit_test(test_window_of_another_machine_is_refused),
		cmocka_unit_test(test_dma_indexes_run_out_with_a_clear_error),
		cmocka_unit_test(test_coherent_memory_is_counted_and_freed),
		cmocka_unit_test(test_grant_that_the_machine_refuses_leaves_nothing),
		cmocka_unit_test(test_map_without_window_bounces_in_its_direction),
		cmocka_unit_test(test_map_in_a_window_needs_its_rights_and_does_not_bounce),
		cmocka_unit_test(test_list_in_a_window_joins_what_is_contiguous),
		cmocka_unit_test(test_list_without_window_is_one_bounce_that_goes_back_in_pieces),
		cmocka_unit_test(test_mapping_that_is_never_unmapped_is_named_at_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
