/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packet pools: buffers in a window, and their descriptions in memory that no device reaches.
 *
 * The owner CPU keeps the free packets in a stack, so that those used last, which its caches still hold, come first.
 * Other CPUs push what they give back onto a list of its own (remote), which the owner takes whole with one exchange when
 * its stack does not suffice. A packet may be referred to by several CPUs, each of which gives its reference back: puts
 * counts them, and the one that counts the first one links the packet.
 */
#include <errno.h>
#include <string.h>

#include "core/context.h"
#include "net/net.h"

#define COUNT_DEFAULT 4096u

static bool config_is_sound(const struct ob_packet_pool_config *config)
{
	uint64_t bytes = (uint64_t)config->headroom_bytes + config->packet_bytes;

	if (config->count > OB_PACKET_COUNT_MAX || bytes > NET_BUFFER_MAX)
		return false;
	if (config->window == NULL)
		return config->machine != NULL && config->window_offset == 0 && config->stride_bytes == 0;
	return config->stride_bytes == 0 || config->stride_bytes >= bytes;
}

/*
 * From one buffer to the next. An odd number of cache lines: with a power of two all headers would compete for a few sets
 * of the cache.
 */
static uint32_t stride_of(const struct ob_packet_pool *pool)
{
	uint32_t lines = (pool->headroom_bytes + pool->room_bytes + OB_CACHE_LINE - 1) / OB_CACHE_LINE;

	return (lines | 1u) * OB_CACHE_LINE;
}

static int take_window(struct ob_packet_pool *pool, const struct ob_packet_pool_config *config)
{
	uint64_t bytes = (uint64_t)pool->count * pool->stride_bytes;
	int ret;

	if (config->window == NULL) {
		ret = ob_window_create(config->machine, (size_t)bytes, &pool->window);
		if (ret != 0)
			return ret;
	} else {
		size_t len_bytes = config->window->len_bytes;

		if (config->window_offset > len_bytes || bytes > len_bytes - config->window_offset)
			return -EINVAL;
		pool->window = ob_window_get(config->window);
	}
	pool->data = pool->window->base + config->window_offset + pool->headroom_bytes;
	return 0;
}

static int take_memory(struct ob_packet_pool *pool)
{
	pool->free = ob_alloc(pool->count * sizeof(*pool->free));
	pool->packets = ob_alloc(pool->count * sizeof(*pool->packets));
	pool->rears = ob_alloc(pool->count * sizeof(*pool->rears));
	if (pool->free == NULL || pool->packets == NULL || pool->rears == NULL)
		return -ENOMEM;
	/* The first one on top. */
	for (uint32_t i = pool->count; i > 0; i--) {
		pool->packets[i - 1].pool = pool;
		pool->free[pool->free_count++] = i - 1;
	}
	return 0;
}

static void pool_free(struct ob_packet_pool *pool)
{
	if (pool->window != NULL)
		ob_window_put(pool->window);
	ob_free(pool->free);
	ob_free(pool->packets);
	ob_free(pool->rears);
	ob_free(pool);
}

static struct ob *pool_context(const struct ob_packet_pool_config *config)
{
	return ob_machine_context(config->window != NULL ? config->window->machine : config->machine);
}

int ob_packet_pool_create(const struct ob_packet_pool_config *config, struct ob_packet_pool **out)
{
	struct ob_packet_pool *pool;
	int ret;

	*out = NULL;
	if (!config_is_sound(config))
		return -EINVAL;
	if (hooks_fail(pool_context(config), "ob_packet_pool_create"))
		return -ENOMEM;
	pool = ob_alloc(sizeof(*pool));
	if (pool == NULL)
		return -ENOMEM;
	pool->refs = 1;
	pool->cpu = config->cpu != NULL ? config->cpu : ob_cpu_get(pool_context(config), 0);
	pool->count = config->count != 0 ? config->count : COUNT_DEFAULT;
	pool->headroom_bytes = config->headroom_bytes != 0 ? config->headroom_bytes : OB_PACKET_HEADROOM;
	pool->headroom_bytes = ALIGN_UP(pool->headroom_bytes, (uint32_t)OB_CACHE_LINE);
	pool->room_bytes = config->packet_bytes != 0 ? config->packet_bytes : OB_PACKET_BYTES_DEFAULT;
	pool->stride_bytes = config->stride_bytes != 0 ? config->stride_bytes : stride_of(pool);
	ret = pool->stride_bytes < pool->headroom_bytes + pool->room_bytes ? -EINVAL : take_window(pool, config);
	if (ret == 0)
		ret = take_memory(pool);
	if (ret != 0) {
		pool_free(pool);
		return ret;
	}
	*out = pool;
	return 0;
}

struct ob_packet_pool *ob_packet_pool_get(struct ob_packet_pool *pool)
{
	__atomic_fetch_add(&pool->refs, 1, __ATOMIC_RELAXED);
	return pool;
}

void ob_packet_pool_put(struct ob_packet_pool *pool)
{
	if (pool == NULL || __atomic_sub_fetch(&pool->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	if (ob_packet_pool_collect(pool) < pool->count) {
		ob_err(ob_cpu_context(pool->cpu), "a packet pool ends and %u of its %u packets are still out; it leaks",
		       pool->count - pool->free_count, pool->count);
		return;
	}
	pool_free(pool);
}

struct ob_cpu *ob_packet_pool_cpu(const struct ob_packet_pool *pool)
{
	return pool->cpu;
}

struct ob_window *ob_packet_pool_window(const struct ob_packet_pool *pool)
{
	return pool->window;
}

uint32_t ob_packet_pool_room(const struct ob_packet_pool *pool)
{
	return pool->room_bytes;
}

void ob_packet_pool_stats(const struct ob_packet_pool *pool, struct ob_packet_pool_stats *out)
{
	out->remote = OB_READ_ONCE(pool->remote_given);
	out->empty = OB_READ_ONCE(pool->empty);
	out->free = OB_READ_ONCE(pool->free_count);
	out->count = pool->count;
}

/* ---- taking ---- */

/* The owner took the whole list, so a packet in it may be linked anew as soon as its count is 0. */
unsigned ob_packet_pool_collect(struct ob_packet_pool *pool)
{
	struct ob_packet *packet = NULL;

	if (__atomic_load_n(&pool->remote, __ATOMIC_RELAXED) != NULL)
		packet = __atomic_exchange_n(&pool->remote, NULL, __ATOMIC_ACQUIRE);
	while (packet != NULL) {
		struct ob_packet_rear *rear = &pool->rears[packet - pool->packets];
		struct ob_packet *next = rear->next;
		unsigned puts = __atomic_exchange_n(&rear->puts, 0, __ATOMIC_ACQUIRE);

		pool->remote_given += puts;
		for (; puts > 0; puts--)
			net_packet_drop(packet);
		packet = next;
	}
	return pool->free_count;
}

struct ob_packet *ob_packet_alloc(struct ob_packet_pool *pool)
{
	struct ob_packet *packet;
	const uint32_t *top;

	if (OB_UNLIKELY(ob_packet_pool_top(pool, 1, &top) == 0)) {
		pool->empty++;
		return NULL;
	}
	packet = &pool->packets[*top];
	ob_packet_pool_pop(pool, 1);
	ob_packet_reset(packet, ob_packet_start(pool, packet), 0);
	return packet;
}

int ob_packet_alloc_burst(struct ob_packet_pool *pool, struct ob_packet **packets, unsigned count)
{
	const uint32_t *top;

	if (OB_UNLIKELY(ob_packet_pool_top(pool, count, &top) < count)) {
		pool->empty++;
		return -EAGAIN;
	}
	for (unsigned i = 0; i < count; i++) {
		struct ob_packet *packet = &pool->packets[top[count - 1 - i]];

		ob_packet_reset(packet, ob_packet_start(pool, packet), 0);
		packets[i] = packet;
	}
	ob_packet_pool_pop(pool, count);
	return 0;
}

/* ---- giving back ---- */

void ob_packet_put(struct ob_packet *packet)
{
	while (packet != NULL) {
		struct ob_packet *next = packet->next;

		net_packet_drop(packet);
		packet = next;
	}
}

void ob_packet_put_burst(struct ob_packet **packets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ob_packet_put(packets[i]);
}

static void put_remote(struct ob_packet *packet)
{
	struct ob_packet_pool *pool = packet->pool;
	struct ob_packet_rear *rear = &pool->rears[packet - pool->packets];
	struct ob_packet *first;

	/* Release: what this CPU read and wrote of it comes before the owner gives it to somebody else. */
	if (__atomic_fetch_add(&rear->puts, 1, __ATOMIC_RELEASE) != 0)
		return;
	first = __atomic_load_n(&pool->remote, __ATOMIC_RELAXED);
	do {
		rear->next = first;
	} while (!__atomic_compare_exchange_n(&pool->remote, &first, packet, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

void ob_packet_put_any(struct ob_packet *packet)
{
	while (packet != NULL) {
		/* Once its reference is given back, the packet may be in somebody's hands. */
		struct ob_packet *next = packet->next;

		put_remote(packet);
		packet = next;
	}
}
