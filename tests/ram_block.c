/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk in memory. */
#include "tests/ram_block.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "core/cpu.h"
#include "tests/ram_machine.h"

#define JUNK 0xa5 /* what trimmed blocks read as, when not as zeroes */

struct entry {
	struct ob_block_request *request;
	unsigned polls_left;
	bool kicked, cancelled;
};

struct ram_channel {
	struct ram_block *ram;
	struct ob_block_channel *channel;
	struct ob_poll poll;
	struct random random;
	struct entry *entries; /* depth of them, the first count used */
	unsigned depth, count;
	bool armed;
};

static pthread_mutex_t media_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the class's promises ---- */

static void OB_PRINTF(2, 3) violate(struct ram_block *ram, const char *format, ...)
{
	va_list args;

	if (__atomic_fetch_add(&ram->violations, 1, __ATOMIC_RELAXED) != 0)
		return;
	va_start(args, format);
	vsnprintf(ram->violation, sizeof(ram->violation), format, args);
	va_end(args);
}

static void check_data(struct ram_channel *q, const struct ob_block_request *r)
{
	struct ram_block *ram = q->ram;
	const struct ob_block_limits *l = &ram->config.limits;
	enum ob_dma_rights rights = r->op == OB_BLOCK_READ ? OB_DMA_WRITE : OB_DMA_READ;
	uint64_t bytes = (uint64_t)r->block_count * l->block_bytes, sum = 0, end = 0;

	if (bytes > l->transfer_max_bytes)
		violate(ram, "%llu bytes in one command", (unsigned long long)bytes);
	if (r->segment_count == 0 || r->segment_count > l->segment_max)
		violate(ram, "%u segments", r->segment_count);
	if (r->window == NULL) {
		violate(ram, "no window");
		return;
	}
	for (unsigned i = 0; i < r->segment_count; i++) {
		const struct ob_segment *s = &r->segments[i];
		ob_iova iova = {0};

		if (ob_window_iova(r->window, q->channel->dma_index, s->base, s->len_bytes, rights, &iova) != 0)
			violate(ram, "segment %u is not in a granted window", i);
		if (s->len_bytes == 0 || (l->segment_align > 1 && iova.addr % l->segment_align != 0))
			violate(ram, "segment %u at %llx, %zu bytes", i, (unsigned long long)iova.addr, s->len_bytes);
		if (i > 0 && ((iova.addr & l->boundary_mask) != 0 || (end & l->boundary_mask) != 0))
			violate(ram, "boundary between segments %u and %u", i - 1, i);
		end = iova.addr + s->len_bytes;
		sum += s->len_bytes;
	}
	if (sum != bytes)
		violate(ram, "segments of %llu bytes for %llu", (unsigned long long)sum, (unsigned long long)bytes);
}

static void check(struct ram_channel *q, const struct ob_block_request *r)
{
	struct ram_block *ram = q->ram;
	const struct ob_block_limits *l = &ram->config.limits;
	bool changes = r->op != OB_BLOCK_READ && r->op != OB_BLOCK_COMPARE;

	if (ob_cpu_current() != q->channel->cpu && !(ob_cpu_current() == NULL && cpu_is_home(q->channel->cpu)))
		violate(ram, "submit on a foreign CPU");
	if (r->channel != q->channel || r->op >= OB_BLOCK_OP_COUNT)
		violate(ram, "channel or operation %u", r->op);
	if ((r->flags & OB_BLOCK_FUA) != 0 && (!l->fua || r->op == OB_BLOCK_TRIM))
		violate(ram, "FUA");
	if (changes && l->read_only)
		violate(ram, "a change of a read-only device");
	if (r->op == OB_BLOCK_FLUSH) {
		if (!l->volatile_cache || r->segment_count != 0 || r->block_count != 0)
			violate(ram, "a flush that is not needed, or with data");
		return;
	}
	if (r->block_count == 0 || r->lba >= l->block_count || r->block_count > l->block_count - r->lba)
		violate(ram, "blocks %llu + %u", (unsigned long long)r->lba, r->block_count);
	if (r->op == OB_BLOCK_WRITE_ZEROES && (!l->write_zeroes || r->block_count > l->zeroes_max_blocks))
		violate(ram, "write zeroes of %u blocks", r->block_count);
	else if (r->op == OB_BLOCK_TRIM && (!l->trim || r->block_count > l->trim_max_blocks))
		violate(ram, "trim of %u blocks", r->block_count);
	else if (r->op == OB_BLOCK_COMPARE && !l->compare)
		violate(ram, "compare");
	else if (r->op != OB_BLOCK_WRITE_ZEROES && r->op != OB_BLOCK_TRIM)
		check_data(q, r);
}

/* ---- doing it ---- */

static int transfer(struct ram_block *ram, const struct ob_block_request *r)
{
	uint8_t *media = ram->media + r->lba * ram->config.limits.block_bytes;
	int ret = 0;

	for (unsigned i = 0; i < r->segment_count; i++) {
		const struct ob_segment *s = &r->segments[i];

		if (r->op == OB_BLOCK_READ)
			ob_dma_copy(s->base, media, s->len_bytes);
		else if (r->op == OB_BLOCK_WRITE)
			ob_dma_copy(media, s->base, s->len_bytes);
		else if (memcmp(media, s->base, s->len_bytes) != 0)
			ret = -EILSEQ;
		media += s->len_bytes;
	}
	return ret;
}

static void make_durable(struct ram_block *ram, uint64_t lba, uint64_t block_count)
{
	size_t block_bytes = ram->config.limits.block_bytes;

	memcpy(ram->durable + lba * block_bytes, ram->media + lba * block_bytes, block_count * block_bytes);
}

static int execute_locked(struct ram_block *ram, const struct ob_block_request *r)
{
	const struct ob_block_limits *l = &ram->config.limits;
	uint8_t *media = ram->media + r->lba * l->block_bytes;
	size_t bytes = (size_t)r->block_count * l->block_bytes;
	int ret = 0;

	switch (r->op) {
	case OB_BLOCK_FLUSH:
		make_durable(ram, 0, l->block_count);
		return 0;
	case OB_BLOCK_WRITE_ZEROES:
		memset(media, 0, bytes);
		break;
	case OB_BLOCK_TRIM:
		memset(media, l->trim_reads_zero ? 0 : JUNK, bytes);
		break;
	default:
		ret = transfer(ram, r);
	}
	if (!l->volatile_cache || (r->flags & OB_BLOCK_FUA) != 0)
		make_durable(ram, r->lba, r->block_count);
	return ret;
}

static void execute(struct ram_channel *q, struct ob_block_request *r, bool cancelled)
{
	struct ram_block *ram = q->ram;
	uint64_t bad = ram->config.bad_lba;
	int status = -ECANCELED;
	uint16_t protocol_status = 0;

	__atomic_fetch_add(&ram->commands[r->op], 1, __ATOMIC_RELAXED);
	if (!cancelled && r->op != OB_BLOCK_FLUSH && bad >= r->lba && bad - r->lba < r->block_count) {
		status = ram->config.bad_status != 0 ? ram->config.bad_status : -EIO;
		protocol_status = RAM_BLOCK_BAD;
	} else if (!cancelled && random_percent(&q->random, ram->config.error_percent)) {
		status = -EIO;
	} else if (!cancelled) {
		pthread_mutex_lock(&media_lock);
		status = execute_locked(ram, r);
		pthread_mutex_unlock(&media_lock);
	}
	ob_block_end(q->channel, r, status, protocol_status);
}

/* ---- the driver's side of a channel ---- */

static int ram_submit(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct ram_channel *q = channel->driver_data;
	const struct ram_block_config *config = &q->ram->config;

	check(q, request);
	if (q->count == q->depth || random_percent(&q->random, config->full_percent))
		return -EAGAIN;
	request->tag = (uint32_t)random_next(&q->random);
	request->next = (struct ob_block_request *)(uintptr_t)0x5a5a5a5a;
	if (random_percent(&q->random, config->inline_percent)) {
		execute(q, request, false);
		return 0;
	}
	q->entries[q->count++] = (struct entry){
		.request = request, .polls_left = (unsigned)random_below(&q->random, config->late_polls_max + 1)};
	return 0;
}

/* Take one out that is ready. False: none is. */
static bool take(struct ram_channel *q, struct entry *out)
{
	unsigned start = q->ram->config.reorder ? (unsigned)random_below(&q->random, q->count) : 0;

	for (unsigned n = 0; n < q->count; n++) {
		unsigned i = (start + n) % q->count;
		struct entry *e = &q->entries[i];

		if (!e->kicked || (!e->cancelled && (q->ram->config.hang || e->polls_left > 0)))
			continue;
		*out = *e;
		memmove(e, e + 1, (q->count - i - 1) * sizeof(*e));
		q->count--;
		return true;
	}
	return false;
}

static void ram_kick(struct ob_block_channel *channel)
{
	struct ram_channel *q = channel->driver_data;
	struct entry e;

	for (unsigned i = 0; i < q->count; i++)
		q->entries[i].kicked = true;
	if (random_percent(&q->random, q->ram->config.inline_percent) && take(q, &e))
		execute(q, e.request, e.cancelled);
	if (q->armed)
		ob_poll_schedule(&q->poll);
}

static unsigned poll_queue(void *arg, unsigned budget)
{
	struct ram_channel *q = arg;
	struct entry e;
	unsigned ended = 0;

	for (unsigned i = 0; i < q->count; i++)
		if (q->entries[i].polls_left > 0)
			q->entries[i].polls_left--;
	while (ended < budget && take(q, &e)) {
		execute(q, e.request, e.cancelled);
		ended++;
	}
	return ended;
}

static unsigned ram_poll(struct ob_block_channel *channel, unsigned budget)
{
	return poll_queue(channel->driver_data, budget);
}

static bool arm_queue(void *arg)
{
	struct ram_channel *q = arg;
	bool work = false;

	for (unsigned i = 0; i < q->count; i++)
		work = work || (q->entries[i].kicked && (q->entries[i].cancelled || !q->ram->config.hang));
	q->armed = true;
	return work;
}

static void disarm_queue(void *arg)
{
	((struct ram_channel *)arg)->armed = false;
}

static const struct ob_poll_ops poll_ops = {.poll = poll_queue, .arm = arm_queue, .disarm = disarm_queue};

static int ram_cancel(struct ob_block_channel *channel, struct ob_block_request *request)
{
	struct ram_channel *q = channel->driver_data;

	for (unsigned i = 0; i < q->count; i++) {
		if (q->entries[i].request != request)
			continue;
		__atomic_fetch_add(&q->ram->cancels, 1, __ATOMIC_RELAXED);
		q->entries[i].cancelled = !q->ram->config.deaf;
		q->entries[i].kicked = true;
		if (q->armed)
			ob_poll_schedule(&q->poll);
		return 0;
	}
	violate(q->ram, "cancel of a request that is not here");
	return -ENOENT;
}

static void start_on_cpu(void *arg)
{
	struct ram_channel *q = arg;

	ob_poll_start(&q->poll, q->channel->cpu, &poll_ops, q, &q->channel->poll);
}

static int ram_channel_open(struct ob_block *block, struct ob_block_channel *channel)
{
	struct ram_block *ram = ob_block_driver_data(block);
	struct ram_channel *q;
	int ret;

	if (ram->config.open_error != 0)
		return ram->config.open_error;
	if (ram->config.depth_max != 0)
		channel->depth = MIN(channel->depth, ram->config.depth_max);
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->ram = ram;
	q->channel = channel;
	q->depth = channel->depth;
	q->random.state = ram->config.seed + __atomic_load_n(&ram->channels, __ATOMIC_RELAXED) * 7919;
	q->entries = calloc(q->depth, sizeof(*q->entries));
	channel->driver_data = q;
	ret = q->entries != NULL ? ob_cpu_call(channel->cpu, start_on_cpu, q, ob_deadline(OB_NS_PER_S)) : -ENOMEM;
	if (ret != 0) {
		free(q->entries);
		free(q);
		return ret;
	}
	if (ram->config.depth_lie != 0)
		channel->depth = ram->config.depth_lie;
	__atomic_fetch_add(&ram->channels, 1, __ATOMIC_RELAXED);
	return 0;
}

static void stop_on_cpu(void *arg)
{
	struct ram_channel *q = arg;

	ob_poll_stop(&q->poll);
	while (q->count > 0 && !q->ram->config.keep_on_close)
		ob_block_end(q->channel, q->entries[--q->count].request, -ECANCELED, 0);
}

static void ram_channel_close(struct ob_block_channel *channel)
{
	struct ram_channel *q = channel->driver_data;
	int ret = -ENOMEM;

	/* A call may fail for want of memory; a close may not. */
	for (unsigned i = 0; i < 3 && ret == -ENOMEM; i++)
		ret = ob_cpu_call(channel->cpu, stop_on_cpu, q, ob_deadline(10 * OB_NS_PER_S));
	__atomic_fetch_sub(&q->ram->channels, 1, __ATOMIC_RELAXED);
	if (ret != 0) {
		/* That CPU may come back and poll it: it stays. */
		violate(q->ram, "the channel's CPU does not answer");
		return;
	}
	free(q->entries);
	memset(q, 0xdd, sizeof(*q));
	free(q);
}

static const struct ob_block_ops block_ops = {
	.channel_open = ram_channel_open,
	.channel_close = ram_channel_close,
	.submit = ram_submit,
	.kick = ram_kick,
	.poll = ram_poll,
	.cancel = ram_cancel,
};

/* ---- the device ---- */

static int ram_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ram_block *ram = ram_device_arg(dev);
	struct ob_block_info info = {.name = ram->config.name != NULL ? ram->config.name : ob_device_name(dev),
				     .model = ram->config.model != NULL ? ram->config.model : "ram",
				     .serial = " 0001 ",
				     .firmware = "1.0",
				     .limits = ram->config.limits,
				     .ops = &block_ops,
				     .driver_data = ram};

	ram->publish_error = ob_block_publish(dev, &info, &ram->block);
	return ram->publish_error;
}

static void ram_remove(struct ob_device *dev)
{
	struct ram_block *ram = ram_device_arg(dev);

	ob_block_unpublish(ram->block);
	ram->block = NULL;
	if (ram->channels != 0)
		violate(ram, "%u channels are open after unpublish", ram->channels);
}

static const struct ob_match ram_match[] = {
	{.kind = OB_MATCH_DT, .compatible = RAM_COMPATIBLE},
	OB_MATCH_LAST,
};

static const struct ob_driver ram_driver = {
	.name = "ram-block", .match = ram_match, .probe = ram_probe, .remove = ram_remove};

int ram_block_create(struct ob_machine *machine, const struct ram_block_config *config, struct ram_block **out)
{
	size_t bytes = (size_t)config->limits.block_count * config->limits.block_bytes;
	struct ram_block *ram = calloc(1, sizeof(*ram));
	char name[32];
	int ret;

	if (ram == NULL)
		return -ENOMEM;
	ram->config = *config;
	/* Nonsense is published too, to be refused. */
	ram->media = calloc(1, bytes <= (64u << 20) ? bytes + 1 : 1);
	ram->durable = calloc(1, bytes <= (64u << 20) ? bytes + 1 : 1);
	snprintf(name, sizeof(name), "%s", config->name != NULL ? config->name : "ram0");
	ret = ob_driver_register(ob_machine_context(machine), &ram_driver);
	if (ret == 0 || ret == -EEXIST)
		ret = ram_machine_add(machine, name, ram, &ram->dev);
	if (ret != 0) {
		free(ram->media);
		free(ram->durable);
		free(ram);
		return ret;
	}
	*out = ram;
	return 0;
}

void ram_block_remove(struct ram_block *ram)
{
	if (ram->dev != NULL)
		ram_machine_remove(ram->dev);
	ram->dev = NULL;
}

void ram_block_destroy(struct ram_block *ram)
{
	ram_block_remove(ram);
	free(ram->media);
	free(ram->durable);
	free(ram);
}

/* ---- limits ---- */

struct ob_block_limits ram_block_limits(uint32_t block_bytes, uint64_t block_count)
{
	return (struct ob_block_limits){.block_bytes = block_bytes,
					.physical_bytes = block_bytes,
					.block_count = block_count,
					.transfer_max_bytes = 1u << 20,
					.segment_max = 64,
					.segment_align = 1,
					.zeroes_max_blocks = 65536,
					.trim_max_blocks = 65536,
					.volatile_cache = true,
					.fua = true,
					.flush = true,
					.write_zeroes = true,
					.trim = true,
					.compare = true,
					.trim_reads_zero = true};
}

struct ob_block_limits ram_block_random_limits(struct random *r, uint64_t disk_bytes)
{
	uint32_t block_bytes = 512u << random_below(r, 4);
	struct ob_block_limits l = ram_block_limits(block_bytes, disk_bytes / block_bytes);

	l.transfer_max_bytes = (uint32_t)(block_bytes * random_size(r, 128));
	l.segment_max = (uint16_t)random_size(r, 256);
	l.segment_align = 1u << random_below(r, 13);
	l.boundary_mask = random_percent(r, 50) ? 0 : (1u << random_range(r, 9, 14)) - 1;
	l.zeroes_max_blocks = (uint32_t)random_size(r, 256);
	l.trim_max_blocks = (uint32_t)random_size(r, 256);
	l.volatile_cache = random_percent(r, 70);
	l.fua = random_percent(r, 50);
	l.flush = l.volatile_cache || random_percent(r, 50);
	l.write_zeroes = random_percent(r, 80);
	l.trim = random_percent(r, 80);
	l.compare = random_percent(r, 80);
	l.trim_reads_zero = random_percent(r, 50);
	return l;
}
