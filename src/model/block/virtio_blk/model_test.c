/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio disk's model by hand: registers written one by one, requests through the kit's own driver end of a ring, in
 * both layouts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/model/model_machine.h"
#include "tests/model_rig.h"
#include "virtqueue/driver.h"

#define DISK_BYTES  (1u << 20)
#define SECTORS     (DISK_BYTES / 512)
#define ENTRIES     16u
#define VECTOR      1u
#define ALL_OF_BLK  BITS64(16, 0)
#define RING_BASICS (BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1))

static void *root_alloc(struct model_pci_root *root, size_t len_bytes)
{
	return calloc(1, len_bytes);
}

static void root_free(struct model_pci_root *root, void *memory)
{
	free(memory);
}

static const struct model_pci_root_ops root_ops = {.alloc = root_alloc, .free = root_free};

struct bed {
	struct rig rig; /* the host */
	struct model_pci_root root;
	struct model_pci pci;
	struct vblk_model *m;
	struct virtio_model *v;
	struct ob_region doorbell;
	struct virtqueue_driver queue;
	void *shadow;
	uint64_t header, status, data; /* device addresses */
	uint64_t features;             /* to be agreed on */
};

static struct bed bed;

static uint64_t get(unsigned offset, unsigned size_bytes)
{
	return model_pci_bar_read(&bed.pci, VIRTIO_MODEL_BAR, offset, size_bytes);
}

static void run(void)
{
	for (unsigned i = 0; bed.rig.kicked && i < 1000; i++) {
		bed.rig.kicked = false;
		while (vblk_model_run(bed.m, 4))
			;
	}
	assert_false(bed.rig.kicked);
}

static void set(unsigned offset, unsigned size_bytes, uint64_t value)
{
	model_pci_bar_write(&bed.pci, VIRTIO_MODEL_BAR, offset, size_bytes, value);
	run();
}

static void doorbell_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	set((unsigned)offset, size_bytes, value);
}

static const struct ob_region_ops doorbell_ops = {.write = doorbell_write};

/* ---- bringing it up ---- */

static void make(const struct vblk_model_config *wanted)
{
	struct vblk_model_config config;
	struct backing *b;

	memset(&bed, 0, sizeof(bed));
	rig_host_init(&bed.rig);
	if (wanted != NULL)
		config = *wanted;
	else
		vblk_model_config_default(&config);
	model_pci_root_init(&bed.root, &root_ops);
	assert_int_equal(backing_memory_create(DISK_BYTES, false, &b), 0);
	assert_int_equal(vblk_model_create(&bed.rig.host, &config, b, 512, &bed.m), 0);
	bed.v = vblk_model_virtio(bed.m);
	assert_int_equal(virtio_model_function_init(bed.v, &bed.pci, &bed.root.bus, 8), 0);
	model_pci_ready(&bed.pci, true);
	bed.features = config.ring_features | BIT64(VIRTIO_F_VERSION_1) | ALL_OF_BLK;
	bed.doorbell = (struct ob_region){.len_bytes = VIRTIO_MODEL_BAR_BYTES, .ops = &doorbell_ops};
}

static void unmake(void)
{
	vblk_model_destroy(bed.m);
	model_pci_fini(&bed.pci);
	rig_host_fini(&bed.rig);
	free(bed.shadow);
}

static uint64_t offered(void)
{
	uint64_t features;

	set(VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 1);
	features = get(VIRTIO_COMMON_DEVICE_FEATURE, 4) << 32;
	set(VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 0);
	return features | get(VIRTIO_COMMON_DEVICE_FEATURE, 4);
}

/* Steps 1 to 6 of §3.1.1. */
static void negotiate(uint64_t features)
{
	set(VIRTIO_COMMON_STATUS, 1, 0);
	set(VIRTIO_COMMON_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE);
	set(VIRTIO_COMMON_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	set(VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0);
	set(VIRTIO_COMMON_DRIVER_FEATURE, 4, (uint32_t)features);
	set(VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	set(VIRTIO_COMMON_DRIVER_FEATURE, 4, features >> 32);
	set(VIRTIO_COMMON_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

static void write64(unsigned offset, uint64_t value)
{
	set(offset, 4, (uint32_t)value);
	set(offset + 4, 4, value >> 32);
}

static void queue_enable(void)
{
	ob_iova desc, driver, device;

	virtqueue_driver_areas(&bed.queue, &desc, &driver, &device);
	set(VIRTIO_COMMON_QUEUE_SELECT, 2, 0);
	set(VIRTIO_COMMON_QUEUE_SIZE, 2, ENTRIES);
	set(VIRTIO_COMMON_QUEUE_VECTOR, 2, VECTOR);
	write64(VIRTIO_COMMON_QUEUE_DESC, desc.addr);
	write64(VIRTIO_COMMON_QUEUE_DRIVER, driver.addr);
	write64(VIRTIO_COMMON_QUEUE_DEVICE, device.addr);
	set(VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_ENABLE, 2), 1);
}

static void queue_make(uint64_t features)
{
	struct virtqueue_driver_config config = {
		.features = features,
		.size = ENTRIES,
		.chain_max = 6,
		.doorbell = &bed.doorbell,
		.doorbell_offset = VIRTIO_MODEL_NOTIFY,
		.doorbell_wide = (features & BIT64(VIRTIO_F_NOTIFICATION_DATA)) != 0,
	};

	config.ring_iova.addr = rig_alloc(&bed.rig, virtqueue_driver_ring_bytes(features, ENTRIES));
	config.ring = rig_at(&bed.rig, config.ring_iova.addr);
	if (virtqueue_driver_table_bytes(features, ENTRIES, 6) != 0) {
		config.tables_iova.addr = rig_alloc(&bed.rig, virtqueue_driver_table_bytes(features, ENTRIES, 6));
		config.tables = rig_at(&bed.rig, config.tables_iova.addr);
	}
	bed.shadow = aligned_alloc(64, ALIGN_UP(virtqueue_driver_shadow_bytes(features, ENTRIES), 64));
	config.shadow = bed.shadow;
	assert_int_equal(virtqueue_driver_init(&bed.queue, &config), 0);
}

static void start_with(const struct vblk_model_config *wanted)
{
	make(wanted);
	bed.features &= offered();
	negotiate(bed.features);
	assert_true(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK);
	queue_make(bed.features);
	queue_enable();
	bed.header = rig_alloc(&bed.rig, 64);
	bed.status = rig_alloc(&bed.rig, 64);
	bed.data = rig_alloc(&bed.rig, 16384);
	set(VIRTIO_COMMON_CONFIG_VECTOR, 2, 0);
	set(VIRTIO_COMMON_STATUS, 1, get(VIRTIO_COMMON_STATUS, 1) | VIRTIO_STATUS_DRIVER_OK);
}

/* ---- requests ---- */

/* Put one into the ring: data in @pieces pieces of equal length. */
static void add(uint32_t type, uint64_t sector, uint32_t len_bytes, unsigned pieces, bool write, uint32_t token)
{
	struct virtio_blk_header *header = rig_at(&bed.rig, bed.header + token * sizeof(*header));
	struct ob_dma_piece p[6];
	unsigned count = 0;

	*header = (struct virtio_blk_header){
		.type = ob_cpu_to_le32(type),
		.sector = ob_cpu_to_le64(sector),
	};
	p[count++] = (struct ob_dma_piece){{bed.header + token * sizeof(*header)}, sizeof(*header)};
	for (unsigned i = 0; i < pieces; i++)
		p[count++] = (struct ob_dma_piece){{bed.data + i * (len_bytes / pieces)}, len_bytes / pieces};
	p[count++] = (struct ob_dma_piece){{bed.status + token}, 1};
	*(uint8_t *)rig_at(&bed.rig, bed.status + token) = 0xee;
	assert_int_equal(virtqueue_driver_add(&bed.queue, p, write ? count - 1 : 1, write ? 1 : count - 1, token), 0);
	virtqueue_driver_kick(&bed.queue);
}

static uint8_t status_of(uint32_t token)
{
	return *(uint8_t *)rig_at(&bed.rig, bed.status + token);
}

/* One that ends at once; its status. */
static uint8_t do_one(uint32_t type, uint64_t sector, uint32_t len_bytes, unsigned pieces, bool write)
{
	struct ob_virtio_used used;

	add(type, sector, len_bytes, pieces, write, 0);
	assert_int_equal(virtqueue_driver_take(&bed.queue, &used, 1), 1);
	assert_int_equal(used.token, 0);
	assert_int_equal(used.len_bytes, write ? 1 : len_bytes + 1);
	return status_of(0);
}

static uint8_t *disk(void)
{
	return vblk_model_backing(bed.m)->memory;
}

static void fill(void *to, unsigned seed, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++)
		((uint8_t *)to)[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static void check_data(void)
{
	uint8_t *data = rig_at(&bed.rig, bed.data);

	for (unsigned pieces = 1; pieces <= 4; pieces *= 2) {
		fill(disk(), pieces, DISK_BYTES);
		memset(data, 0, 8192);
		assert_int_equal(do_one(VIRTIO_BLK_T_IN, 3, 4096, pieces, false), VIRTIO_BLK_S_OK);
		assert_memory_equal(data, disk() + 3 * 512, 4096);
		fill(data, 99 + pieces, 4096);
		assert_int_equal(do_one(VIRTIO_BLK_T_OUT, SECTORS - 8, 4096, pieces, true), VIRTIO_BLK_S_OK);
		assert_memory_equal(data, disk() + DISK_BYTES - 4096, 4096);
	}
	assert_int_equal(bed.rig.notes, 0);
}

static void test_data_through_every_ring_is_the_disk_s(void **state)
{
	static const uint64_t rings[] = {
		0,
		BIT64(VIRTIO_F_EVENT_IDX),
		BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX),
		BIT64(VIRTIO_F_RING_PACKED),
		BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX),
		BIT64(VIRTIO_F_IN_ORDER) | BIT64(VIRTIO_F_NOTIFICATION_DATA),
		BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_IN_ORDER) | BIT64(VIRTIO_F_NOTIFICATION_DATA),
	};
	struct vblk_model_config config;

	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		vblk_model_config_default(&config);
		config.ring_features = rings[i];
		start_with(&config);
		for (unsigned round = 0; round < 5; round++)
			check_data();
		unmake();
	}
}

static void test_requests_beside_the_disk_are_refused(void **state)
{
	start_with(NULL);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, SECTORS - 7, 4096, 1, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, UINT64_MAX, 512, 1, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_one(VIRTIO_BLK_T_OUT, SECTORS, 512, 1, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 0, 100, 1, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_one(77, 0, 512, 1, false), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, SECTORS - 8, 4096, 1, false), VIRTIO_BLK_S_OK);
	unmake();
}

static void range_set(uint64_t sector, uint32_t count, uint32_t flags)
{
	*(struct virtio_blk_range *)rig_at(&bed.rig, bed.data) = (struct virtio_blk_range){
		ob_cpu_to_le64(sector), ob_cpu_to_le32(count), ob_cpu_to_le32(flags)};
}

static void test_ranges_are_zeroed_as_they_say(void **state)
{
	static const uint8_t zeroes[4096];

	start_with(NULL);
	fill(disk(), 1, DISK_BYTES);
	range_set(8, 8, 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 1, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(disk() + 4096, zeroes, 4096);
	assert_int_not_equal(disk()[4095] | disk()[4094], 0);
	assert_int_not_equal(disk()[8192] | disk()[8193], 0);
	range_set(16, 8, VIRTIO_BLK_RANGE_UNMAP);
	assert_int_equal(do_one(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 2, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(disk() + 8192, zeroes, 4096);
	range_set(24, 8, 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_DISCARD, 0, 16, 1, true), VIRTIO_BLK_S_OK);
	range_set(24, 8, VIRTIO_BLK_RANGE_UNMAP);
	assert_int_equal(do_one(VIRTIO_BLK_T_DISCARD, 0, 16, 1, true), VIRTIO_BLK_S_UNSUPP);
	range_set(SECTORS, 8, 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_DISCARD, 0, 16, 1, true), VIRTIO_BLK_S_IOERR);
	range_set(0, 8, 4);
	assert_int_equal(do_one(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 1, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(do_one(VIRTIO_BLK_T_WRITE_ZEROES, 0, 15, 1, true), VIRTIO_BLK_S_IOERR);
	unmake();
}

static void test_identity_and_lifetime_are_told(void **state)
{
	const struct virtio_blk_lifetime *lifetime;

	start_with(NULL);
	assert_int_equal(do_one(VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES, 1, false), VIRTIO_BLK_S_OK);
	assert_string_equal(rig_at(&bed.rig, bed.data), "OUTBOARD-VBLK0001");
	vblk_model_set_lifetime(bed.m, VIRTIO_BLK_EOL_URGENT, 9, 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_GET_LIFETIME, 0, sizeof(*lifetime), 1, false), VIRTIO_BLK_S_OK);
	lifetime = rig_at(&bed.rig, bed.data);
	assert_int_equal(ob_le16_to_cpu(lifetime->pre_eol_info), VIRTIO_BLK_EOL_URGENT);
	assert_int_equal(ob_le16_to_cpu(lifetime->device_lifetime_est_typ_a), 9);
	unmake();
}

static void test_what_was_not_agreed_on_is_not_done(void **state)
{
	struct vblk_model_config config;

	vblk_model_config_default(&config);
	config.flush = config.config_wce = config.discard = config.write_zeroes = config.lifetime = false;
	config.read_only = true;
	start_with(&config);
	range_set(0, 8, 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_FLUSH, 0, 0, 0, false), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(do_one(VIRTIO_BLK_T_DISCARD, 0, 16, 1, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(do_one(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 1, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(do_one(VIRTIO_BLK_T_GET_LIFETIME, 0, 6, 1, false), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(do_one(VIRTIO_BLK_T_OUT, 0, 512, 1, true), VIRTIO_BLK_S_IOERR);
	unmake();
}

/* ---- durability ---- */

static void test_writes_are_durable_when_flushed_or_without_a_cache(void **state)
{
	unsigned offset = VIRTIO_MODEL_DEVICE + offsetof(struct virtio_blk_config, writeback);
	struct vblk_model_config config;
	struct backing *plain, *cache;
	uint8_t *data;

	make(NULL);
	vblk_model_destroy(bed.m);
	model_pci_fini(&bed.pci);
	vblk_model_config_default(&config);
	assert_int_equal(backing_memory_create(DISK_BYTES, false, &plain), 0);
	assert_int_equal(backing_cache_create(&bed.rig.host, plain, 512, &cache), 0);
	assert_int_equal(vblk_model_create(&bed.rig.host, &config, cache, 512, &bed.m), 0);
	bed.v = vblk_model_virtio(bed.m);
	assert_int_equal(virtio_model_function_init(bed.v, &bed.pci, &bed.root.bus, 8), 0);
	model_pci_ready(&bed.pci, true);
	bed.features &= offered();
	negotiate(bed.features);
	queue_make(bed.features);
	queue_enable();
	bed.header = rig_alloc(&bed.rig, 64);
	bed.status = rig_alloc(&bed.rig, 64);
	bed.data = rig_alloc(&bed.rig, 4096);
	set(VIRTIO_COMMON_STATUS, 1, get(VIRTIO_COMMON_STATUS, 1) | VIRTIO_STATUS_DRIVER_OK);
	data = rig_at(&bed.rig, bed.data);
	memset(data, 0x55, 512);
	assert_int_equal(do_one(VIRTIO_BLK_T_OUT, 1, 512, 1, true), VIRTIO_BLK_S_OK);
	assert_int_equal(backing_cache_dirty(cache), 1);
	assert_int_equal(do_one(VIRTIO_BLK_T_FLUSH, 0, 0, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(backing_cache_dirty(cache), 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_OUT, 2, 512, 1, true), VIRTIO_BLK_S_OK);
	/* Switched to write-through, it makes durable what was written before, and what comes. */
	set(offset, 1, 0);
	assert_int_equal(backing_cache_dirty(cache), 0);
	assert_int_equal(do_one(VIRTIO_BLK_T_OUT, 3, 512, 1, true), VIRTIO_BLK_S_OK);
	assert_int_equal(backing_cache_dirty(cache), 0);
	assert_int_equal(bed.rig.notes, 0);
	unmake();
}

/* ---- time ---- */

static uint64_t delay_by_sector(void *arg, const struct vblk_model_request *request)
{
	return request->sector == 100 ? MODEL_NEVER : request->sector * 1000;
}

static void advance(uint64_t to_ns)
{
	bed.rig.now_ns = to_ns;
	while (bed.rig.due_ns <= to_ns) {
		bed.rig.due_ns = MODEL_NEVER;
		vblk_model_event(bed.m);
		run();
	}
}

static void take_expecting(const uint32_t *tokens, unsigned count)
{
	struct ob_virtio_used used[8];

	assert_int_equal(virtqueue_driver_take(&bed.queue, used, 8), count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(used[i].token, tokens[i]);
}

static void delayed(uint64_t features, const uint32_t *first, unsigned first_count, const uint32_t *then,
		    unsigned then_count)
{
	const struct vblk_model_hooks hooks = {.delay_ns = delay_by_sector};
	struct vblk_model_config config;

	vblk_model_config_default(&config);
	config.ring_features = features;
	start_with(&config);
	vblk_model_set_hooks(bed.m, &hooks);
	add(VIRTIO_BLK_T_IN, 9, 512, 1, false, 0);
	add(VIRTIO_BLK_T_IN, 5, 512, 1, false, 1);
	add(VIRTIO_BLK_T_IN, 0, 512, 1, false, 2);
	add(VIRTIO_BLK_T_IN, 100, 512, 1, false, 3);
	take_expecting(first, first_count);
	advance(bed.rig.now_ns + 100000);
	take_expecting(then, then_count);
	assert_int_equal(status_of(3), 0xee);
	assert_string_equal(vblk_model_holds(bed.m, bed.status + 3, 1), "a request that has not ended");
	assert_null(vblk_model_holds(bed.m, bed.status + 2, 1));
	unmake();
}

static void test_requests_end_when_their_time_has_come(void **state)
{
	static const uint32_t at_once[] = {2}, later[] = {1, 0}, in_order[] = {0, 1, 2};

	delayed(RING_BASICS & ~BIT64(VIRTIO_F_VERSION_1), at_once, 1, later, 2);
	delayed(BIT64(VIRTIO_F_RING_PACKED), at_once, 1, later, 2);
	delayed(BIT64(VIRTIO_F_IN_ORDER), NULL, 0, in_order, 3);
}

/* More take their time than the device can hold: the others wait in the ring, and none is lost. */
static void test_more_requests_than_it_holds_wait_in_the_ring(void **state)
{
	static const uint32_t two[] = {0, 1}, third[] = {2};
	const struct vblk_model_hooks hooks = {.delay_ns = delay_by_sector};
	struct vblk_model_config config;

	vblk_model_config_default(&config);
	config.held_max = 1;
	start_with(&config);
	vblk_model_set_hooks(bed.m, &hooks);
	for (uint32_t i = 0; i < 3; i++)
		add(VIRTIO_BLK_T_IN, 5 + i, 512, 1, false, i);
	assert_int_equal(vblk_model_virtio(bed.m)->stats.requests, 2);
	advance(bed.rig.now_ns + 8000);
	take_expecting(two, 2);
	advance(bed.rig.now_ns + 8000);
	take_expecting(third, 1);
	unmake();
}

static void test_reset_drops_what_has_not_ended(void **state)
{
	const struct vblk_model_hooks hooks = {.delay_ns = delay_by_sector};
	struct vblk_model_stats stats;

	start_with(NULL);
	vblk_model_set_hooks(bed.m, &hooks);
	add(VIRTIO_BLK_T_IN, 100, 512, 1, false, 0);
	add(VIRTIO_BLK_T_IN, 5, 512, 1, false, 1);
	set(VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(get(VIRTIO_COMMON_STATUS, 1), 0);
	advance(bed.rig.now_ns + 100000);
	assert_int_equal(status_of(0) & status_of(1), 0xee);
	vblk_model_stats(bed.m, &stats);
	assert_int_equal(stats.in_flight, 0);
	/* And it works again. */
	vblk_model_set_hooks(bed.m, NULL);
	virtqueue_driver_rewind(&bed.queue);
	negotiate(bed.features);
	queue_enable();
	set(VIRTIO_COMMON_STATUS, 1, get(VIRTIO_COMMON_STATUS, 1) | VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 5, 512, 1, false), VIRTIO_BLK_S_OK);
	assert_int_equal(bed.rig.notes, 0);
	unmake();
}

static void test_one_queue_s_reset_drops_its_requests(void **state)
{
	const struct vblk_model_hooks hooks = {.delay_ns = delay_by_sector};
	struct vblk_model_config config;

	vblk_model_config_default(&config);
	config.ring_features |= BIT64(VIRTIO_F_RING_RESET);
	start_with(&config);
	vblk_model_set_hooks(bed.m, &hooks);
	add(VIRTIO_BLK_T_IN, 100, 512, 1, false, 0);
	set(VIRTIO_COMMON_QUEUE_SELECT, 2, 0);
	set(VIRTIO_COMMON_QUEUE_RESET, 2, 1);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_RESET, 2), 0);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
	assert_null(vblk_model_holds(bed.m, bed.status, 1));
	virtqueue_driver_rewind(&bed.queue);
	queue_enable();
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 0, 512, 1, false), VIRTIO_BLK_S_OK);
	assert_int_equal(bed.rig.notes, 0);
	unmake();
}

/* ---- interrupts ---- */

static void test_message_comes_when_it_is_wanted(void **state)
{
	start_with(NULL);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 0, 512, 1, false), VIRTIO_BLK_S_OK);
	assert_int_equal(bed.rig.msix_count[VECTOR], 0);
	assert_false(virtqueue_driver_arm(&bed.queue));
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 0, 512, 1, false), VIRTIO_BLK_S_OK);
	assert_int_equal(bed.rig.msix_count[VECTOR], 1);
	assert_int_equal(bed.rig.intx, false);
	unmake();
}

static void test_pin_goes_down_when_its_reason_is_read(void **state)
{
	struct vblk_model_config config;

	vblk_model_config_default(&config);
	config.msix_vectors = 0;
	start_with(&config);
	virtqueue_driver_arm(&bed.queue);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 0, 512, 1, false), VIRTIO_BLK_S_OK);
	assert_true(bed.rig.intx);
	assert_int_equal(get(VIRTIO_MODEL_ISR, 1), VIRTIO_ISR_QUEUE);
	assert_false(bed.rig.intx);
	assert_int_equal(get(VIRTIO_MODEL_ISR, 1), 0);
	assert_int_equal(vblk_model_resize(bed.m, DISK_BYTES / 2), 0);
	assert_true(bed.rig.intx);
	assert_int_equal(get(VIRTIO_MODEL_ISR, 1), VIRTIO_ISR_CONFIG);
	unmake();
}

static void test_resize_is_another_generation_and_an_interrupt(void **state)
{
	uint64_t before;

	start_with(NULL);
	before = get(VIRTIO_COMMON_GENERATION, 1);
	assert_int_equal(get(VIRTIO_MODEL_DEVICE, 4), SECTORS);
	assert_int_equal(vblk_model_resize(bed.m, DISK_BYTES * 2), 0);
	assert_int_equal(get(VIRTIO_MODEL_DEVICE, 4), SECTORS * 2);
	assert_int_not_equal(get(VIRTIO_COMMON_GENERATION, 1), before);
	assert_int_equal(bed.rig.msix_count[0], 1);
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, SECTORS * 2 - 1, 512, 1, false), VIRTIO_BLK_S_OK);
	unmake();
}

/* ---- what a driver must not do ---- */

static void test_features_that_are_not_offered_are_not_agreed_on(void **state)
{
	make(NULL);
	negotiate(bed.features & offered() & ~BIT64(VIRTIO_F_VERSION_1));
	assert_false(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK);
	negotiate((bed.features & offered()) | BIT64(VIRTIO_BLK_F_RO));
	assert_false(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK);
	negotiate(bed.features & offered());
	assert_true(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK);
	assert_int_equal(bed.rig.notes, 2);
	unmake();
}

static unsigned noted(unsigned offset, unsigned size_bytes, uint64_t value)
{
	unsigned before = bed.rig.notes;

	set(offset, size_bytes, value);
	return bed.rig.notes - before;
}

static void test_wrong_writes_are_noted_and_do_nothing(void **state)
{
	make(NULL);
	bed.features &= offered();
	assert_int_equal(noted(VIRTIO_COMMON_QUEUE_ENABLE, 2, 1), 1); /* before the agreement */
	negotiate(bed.features);
	assert_int_equal(noted(VIRTIO_COMMON_DRIVER_FEATURE, 4, 1), 1);
	assert_int_equal(noted(VIRTIO_COMMON_QUEUE_SIZE, 2, 100), 1);
	assert_int_equal(noted(VIRTIO_COMMON_QUEUE_SIZE, 2, 512), 1);
	assert_int_equal(noted(VIRTIO_COMMON_QUEUE_SIZE, 4, 16), 1); /* not its width */
	queue_make(bed.features);
	queue_enable();
	assert_int_equal(noted(VIRTIO_COMMON_QUEUE_SIZE, 2, 8), 1); /* enabled */
	assert_int_equal(noted(VIRTIO_MODEL_NOTIFY, 2, 0), 1);      /* not started */
	set(VIRTIO_COMMON_STATUS, 1, get(VIRTIO_COMMON_STATUS, 1) | VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(noted(VIRTIO_MODEL_NOTIFY, 2, 0), 0);
	assert_int_equal(noted(VIRTIO_MODEL_NOTIFY + VIRTIO_MODEL_MULTIPLIER, 2, 1), 1); /* not enabled */
	assert_int_equal(noted(VIRTIO_MODEL_NOTIFY, 2, 3), 1);                           /* another's number */
	assert_int_equal(noted(VIRTIO_MODEL_DEVICE, 4, 3), 1);                           /* the capacity */
	assert_int_equal(noted(VIRTIO_COMMON_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE), 1);
	unmake();
}

static void test_broken_ring_makes_it_ask_for_a_reset(void **state)
{
	struct vblk_model_config config;

	/* One piece only: no room for a status. */
	vblk_model_config_default(&config);
	config.ring_features = 0;
	start_with(&config);
	{
		const struct ob_dma_piece piece = {{bed.header}, 16};

		assert_int_equal(virtqueue_driver_add(&bed.queue, &piece, 1, 0, 0), 0);
		virtqueue_driver_kick(&bed.queue);
	}
	assert_true(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(bed.rig.msix_count[0], 1);
	assert_int_equal(bed.rig.notes, 1);
	unmake();
	/* Memory that is not to be reached: the ring's. */
	start_with(&config);
	bed.rig.refuse_all = true;
	set(VIRTIO_MODEL_NOTIFY, 2, 0);
	bed.rig.refuse_all = false;
	assert_true(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
	unmake();
	/* … the data's: the request alone fails. */
	start_with(&config);
	bed.rig.refuse_from = bed.data;
	bed.rig.refuse_to = bed.data + 4096;
	assert_int_equal(do_one(VIRTIO_BLK_T_IN, 0, 512, 1, false), VIRTIO_BLK_S_IOERR);
	assert_false(get(VIRTIO_COMMON_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
	unmake();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_through_every_ring_is_the_disk_s),
		cmocka_unit_test(test_requests_beside_the_disk_are_refused),
		cmocka_unit_test(test_ranges_are_zeroed_as_they_say),
		cmocka_unit_test(test_identity_and_lifetime_are_told),
		cmocka_unit_test(test_what_was_not_agreed_on_is_not_done),
		cmocka_unit_test(test_writes_are_durable_when_flushed_or_without_a_cache),
		cmocka_unit_test(test_requests_end_when_their_time_has_come),
		cmocka_unit_test(test_more_requests_than_it_holds_wait_in_the_ring),
		cmocka_unit_test(test_reset_drops_what_has_not_ended),
		cmocka_unit_test(test_one_queue_s_reset_drops_its_requests),
		cmocka_unit_test(test_message_comes_when_it_is_wanted),
		cmocka_unit_test(test_pin_goes_down_when_its_reason_is_read),
		cmocka_unit_test(test_resize_is_another_generation_and_an_interrupt),
		cmocka_unit_test(test_features_that_are_not_offered_are_not_agreed_on),
		cmocka_unit_test(test_wrong_writes_are_noted_and_do_nothing),
		cmocka_unit_test(test_broken_ring_makes_it_ask_for_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
