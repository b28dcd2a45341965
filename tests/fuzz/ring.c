/* SPDX-License-Identifier: BSD-2-Clause */
/* One end of a virtqueue that lies, for the fuzzer: ring.h. */
#include "tests/fuzz/ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/hostile.h"

bool hostile_verbose;

static __attribute__((noreturn)) void fault(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "hostile: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

#define EXPECT(condition, ...)              \
	do {                                \
		if (!(condition))           \
			fault(__VA_ARGS__); \
	} while (0)

/* ---- the driver's end ---- */

static bool token_free(struct ring_fuzz *f, uint32_t token)
{
	return !f->given[token].in_flight;
}

static void token_give(struct ring_fuzz *f, uint32_t token, uint32_t in_bytes)
{
	f->given[token] = (struct ring_fuzz_given){true, in_bytes};
	f->in_flight++;
}

static void check_add(const struct ring_fuzz *f, int ret)
{
	EXPECT(ret == 0 || ret == -EAGAIN || ret == -EINVAL || (ret == -EPROTO && f->rig.driver.broken),
	       "%d from an add", ret);
	EXPECT(ret != -EPROTO || f->lied || !f->device_lies, "broken by an honest device");
}

static void step_add(struct ring_fuzz *f, const uint8_t *s)
{
	struct ob_dma_piece pieces[8];
	unsigned out = s[1] & 3, in = s[1] >> 2 & 3;
	uint32_t token = s[2] % RING_FUZZ_TOKENS, in_bytes = 0;
	int ret;

	for (unsigned i = 0; i < out + in; i++) {
		pieces[i].iova.addr = ring_rig_buffer(&f->rig, 64u * s[3] + i);
		pieces[i].len_bytes = 1u + s[3] + i;
		in_bytes += i >= out ? (uint32_t)pieces[i].len_bytes : 0;
	}
	if (!token_free(f, token) || token < f->rig.config.frames)
		return;
	ret = virtqueue_driver_add(&f->rig.driver, pieces, out, in, token);
	check_add(f, ret);
	if (ret == 0)
		token_give(f, token, in_bytes);
}

static void step_add_framed(struct ring_fuzz *f, const uint8_t *s)
{
	struct ob_dma_piece pieces[8];
	unsigned count = s[1] & 3;
	bool in = (s[1] & 4) != 0;
	uint32_t slot, in_bytes = RING_RIG_FRAME_IN;
	int ret;

	if (f->rig.config.frames == 0)
		return;
	slot = s[2] % f->rig.config.frames;
	for (unsigned i = 0; i < count; i++) {
		pieces[i] = (struct ob_dma_piece){{ring_rig_buffer(&f->rig, 64u * s[3] + i)}, 1u + s[3]};
		in_bytes += in ? 1u + s[3] : 0;
	}
	if (!token_free(f, slot))
		return;
	ret = virtqueue_driver_add_framed(&f->rig.driver, slot, pieces, count, in);
	check_add(f, ret);
	if (ret == 0)
		token_give(f, slot, in_bytes);
}

static void step_add_singles(struct ring_fuzz *f, const uint8_t *s)
{
	struct ob_virtio_single singles[8];
	unsigned count = 0, added;
	bool write = (s[1] & 8) != 0;

	for (uint32_t t = MAX(s[2] % RING_FUZZ_TOKENS, f->rig.config.frames);
	     t < RING_FUZZ_TOKENS && count <= (s[1] & 7u) && count < 8; t++)
		if (token_free(f, t))
			singles[count++] = (struct ob_virtio_single){{ring_rig_buffer(&f->rig, s[3])}, 1u + s[3], t};
	added = virtqueue_driver_add_singles(&f->rig.driver, singles, count, write ? OB_DMA_WRITE : OB_DMA_READ);
	EXPECT(added <= count, "%u of %u singles", added, count);
	for (unsigned i = 0; i < added; i++)
		token_give(f, singles[i].token, write ? singles[i].len_bytes : 0);
}

static void step_take(struct ring_fuzz *f, const uint8_t *s)
{
	struct ob_virtio_used used[16];
	unsigned max = 1 + s[1] % ARRAY_SIZE(used);
	int n = ring_rig_take_framed(&f->rig.driver, used, max);

	if (n < 0) {
		EXPECT(n == -EPROTO && f->rig.driver.broken && f->rig.driver.why != NULL, "%d from a take", n);
		EXPECT(f->lied || !f->device_lies, "an honest device broke the queue: %s", f->rig.driver.why);
		return;
	}
	EXPECT((unsigned)n <= max && (unsigned)n <= f->in_flight, "%d taken of %u", n, f->in_flight);
	for (int i = 0; i < n; i++) {
		EXPECT(used[i].token < RING_FUZZ_TOKENS && f->given[used[i].token].in_flight, "token %u",
		       used[i].token);
		EXPECT(used[i].len_bytes <= f->given[used[i].token].in_bytes, "%u bytes in %u", used[i].len_bytes,
		       f->given[used[i].token].in_bytes);
		f->given[used[i].token].in_flight = false;
		f->in_flight--;
	}
	EXPECT(virtqueue_driver_in_flight(&f->rig.driver) == f->in_flight, "%u in flight, not %u",
	       virtqueue_driver_in_flight(&f->rig.driver), f->in_flight);
	if (f->in_flight == 0 && !f->rig.driver.broken)
		EXPECT(f->rig.driver.free_entries + f->rig.driver.frame_end == f->rig.config.size,
		       "%u free of an empty ring", f->rig.driver.free_entries);
}

/* ---- the device's end ---- */

static void step_pop(struct ring_fuzz *f)
{
	struct virtqueue_piece pieces[16];
	struct virtqueue_chain chain;
	uint64_t out_bytes = 0, in_bytes = 0;
	unsigned count;
	int ret;

	if (f->taken_count == ARRAY_SIZE(f->taken))
		return;
	ret = virtqueue_device_pop(&f->rig.device, pieces, ARRAY_SIZE(pieces), &chain);
	if (ret <= 0) {
		EXPECT(ret == 0 || (f->rig.device.broken && f->rig.device.why != NULL), "%d from a pop", ret);
		EXPECT(ret == 0 || f->lied, "an honest driver broke the queue: %s", f->rig.device.why);
		return;
	}
	count = (unsigned)chain.out_count + chain.in_count;
	EXPECT(count >= 1 && count <= ARRAY_SIZE(pieces), "a chain of %u", count);
	EXPECT(chain.id < f->rig.config.size && chain.entries >= 1, "id %u", chain.id);
	for (unsigned i = 0; i < count; i++) {
		EXPECT(pieces[i].write == (i >= chain.out_count), "piece %u in the wrong half", i);
		EXPECT(pieces[i].len_bytes != 0 && pieces[i].addr + pieces[i].len_bytes - 1 >= pieces[i].addr,
		       "a piece that is none");
		*(pieces[i].write ? &in_bytes : &out_bytes) += pieces[i].len_bytes;
	}
	EXPECT(out_bytes == chain.out_bytes && in_bytes == chain.in_bytes, "sums");
	EXPECT(f->rig.device.in_flight <= f->rig.config.size, "%u in flight", f->rig.device.in_flight);
	f->taken[f->taken_count++] = chain;
}

static void step_push(struct ring_fuzz *f, const uint8_t *s)
{
	bool in_order = (f->rig.config.features & BIT64(VIRTIO_F_IN_ORDER)) != 0;
	unsigned i = in_order || f->taken_count == 0 ? 0 : s[1] % f->taken_count;
	struct virtqueue_chain chain;
	int ret;

	if (f->taken_count == 0)
		return;
	chain = f->taken[i];
	f->taken_count--;
	memmove(&f->taken[i], &f->taken[i + 1], (f->taken_count - i) * sizeof(chain));
	ret = virtqueue_device_push(&f->rig.device, &chain, MIN(chain.in_bytes, s[2]));
	EXPECT(ret == 0 || f->rig.device.broken, "%d from a push", ret);
}

/* ---- lies ---- */

/* The memory that the liar may write: a device all of the rings, a driver everything. */
static void poke(struct ring_fuzz *f, size_t offset, const void *value, size_t len_bytes)
{
	size_t room = f->device_lies ? f->rig.ring_bytes : f->rig.memory_bytes;

	offset %= room - 8;
	memcpy(f->rig.memory + offset, value, len_bytes);
	f->lied = true;
}

static void step_poke(struct ring_fuzz *f, const uint8_t *s)
{
	struct virtqueue_driver *d = &f->rig.driver;
	uint64_t value = s[3] >= 0xf0 ? ~0ull << (s[3] & 15) : s[3];
	size_t used = (size_t)((const uint8_t *)d->used_ring - f->rig.memory);
	size_t avail = (size_t)((const uint8_t *)d->avail_ring - f->rig.memory);
	unsigned index = s[1] % f->rig.config.size;
	static const uint8_t field[] = {0, 8, 12, 14}, bytes[] = {8, 4, 2, 2};

	switch (s[0] % RING_FUZZ_KINDS) {
	case RING_FUZZ_POKE8:
		poke(f, (size_t)s[1] << 8 | s[2], &value, 1);
		break;
	case RING_FUZZ_POKE16:
		poke(f, ((size_t)s[1] << 8 | s[2]) & ~(size_t)1, &value, 2);
		break;
	case RING_FUZZ_POKE_DESC:
		/* Of a used entry, where there are such and the device lies; else of a descriptor. */
		if (f->device_lies && !d->packed && (s[2] & 0x80) == 0)
			poke(f, used + 4 + 8u * index + 4u * (s[2] & 1), &value, 4);
		else if ((s[2] & 3) == 0)
			value = ring_rig_buffer(&f->rig, 16u * s[3]), poke(f, 16u * index, &value, 8);
		else
			poke(f, 16u * index + field[s[2] & 3], &value, bytes[s[2] & 3]);
		break;
	case RING_FUZZ_POKE_INDEX:
		/* What is there already, and a little more. */
		value = (uint64_t)s[3] + (f->device_lies ? d->used : d->avail) * (uint64_t)(s[2] & 1);
		poke(f, (f->device_lies ? used : avail) + 2 + 2u * (s[2] >> 1 & 1), &value, 2);
		break;
	default:
		if (f->rig.table_bytes != 0 && !f->device_lies)
			poke(f, f->rig.ring_bytes + 16u * index + field[s[2] & 3], &value, bytes[s[2] & 3]);
		break;
	}
}

/* ---- a run ---- */

/* The driver gives up and begins anew; so does the device. */
static void step_reset(struct ring_fuzz *f)
{
	virtqueue_driver_rewind(&f->rig.driver);
	EXPECT(ring_rig_device_init(&f->rig) == 0, "%s", f->rig.device.why);
	memset(f->given, 0, sizeof(f->given));
	f->in_flight = f->taken_count = 0;
	f->lied = false;
}

static void step(struct ring_fuzz *f, const uint8_t *s)
{
	switch (s[0] % RING_FUZZ_KINDS) {
	case RING_FUZZ_ADD:
		step_add(f, s);
		break;
	case RING_FUZZ_ADD_FRAMED:
		step_add_framed(f, s);
		break;
	case RING_FUZZ_ADD_SINGLES:
		step_add_singles(f, s);
		break;
	case RING_FUZZ_KICK:
		virtqueue_driver_kick(&f->rig.driver);
		break;
	case RING_FUZZ_POP:
		step_pop(f);
		break;
	case RING_FUZZ_PUSH:
		step_push(f, s);
		break;
	case RING_FUZZ_PUBLISH:
		virtqueue_device_publish(&f->rig.device);
		virtqueue_device_must_signal(&f->rig.device);
		break;
	case RING_FUZZ_TAKE:
		step_take(f, s);
		break;
	case RING_FUZZ_ARM:
		if ((s[1] & 1) != 0)
			virtqueue_driver_arm(&f->rig.driver);
		else
			virtqueue_device_arm(&f->rig.device);
		break;
	case RING_FUZZ_DISARM:
		if ((s[1] & 1) != 0)
			virtqueue_driver_disarm(&f->rig.driver);
		else
			virtqueue_device_disarm(&f->rig.device);
		break;
	case RING_FUZZ_RESET:
		step_reset(f);
		break;
	default:
		step_poke(f, s);
		break;
	}
}

void ring_fuzz_run(bool device_lies, const uint8_t *bytes, size_t len_bytes)
{
	static const unsigned bit[] = {VIRTIO_F_RING_PACKED, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX,
				       VIRTIO_F_IN_ORDER};
	uint8_t header[RING_FUZZ_HEADER] = {0};
	struct ring_rig_config config = {.features = BIT64(VIRTIO_F_VERSION_1), .device_chain_max = 16};
	static struct ring_fuzz f;

	if (len_bytes != 0)
		memcpy(header, bytes, MIN(len_bytes, sizeof(header)));
	memset(&f, 0, sizeof(f));
	f.device_lies = device_lies;
	for (unsigned i = 0; i < ARRAY_SIZE(bit); i++)
		if ((header[0] >> i & 1) != 0)
			config.features |= BIT64(bit[i]);
	config.through_ops = (header[0] & 0x10) != 0;
	config.size = (header[0] & 1) != 0 ? 1 + header[1] % 33 : (uint16_t)(1u << header[1] % 6);
	config.chain_max = (uint16_t)MIN(config.size, 1u + header[2] % 6);
	config.indirect_from = header[2] >> 4;
	config.frames = config.chain_max >= 2 ? header[3] % 16 : 0;
	EXPECT(ring_rig_open(&f.rig, &config) == 0, "a ring that cannot be");
	for (unsigned i = 0; i < RING_FUZZ_STEPS; i++) {
		const uint8_t *s = bytes + RING_FUZZ_HEADER + RING_FUZZ_STEP * i;

		if (RING_FUZZ_HEADER + RING_FUZZ_STEP * (i + 1) > len_bytes)
			break;
		if (hostile_verbose)
			fprintf(stderr, "step %u: %u %u %u %u; in flight %u, with the device %u%s%s\n", i,
				s[0] % RING_FUZZ_KINDS, s[1], s[2], s[3], f.in_flight, f.taken_count,
				f.rig.driver.broken ? ", driver's end broken" : "",
				f.rig.device.broken ? ", device's end broken" : "");
		step(&f, s);
	}
	ring_rig_close(&f.rig);
}
