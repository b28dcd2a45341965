/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Load buffering: a CPU may make a store before a load that comes earlier in its program, if nothing orders the two and
 * the store does not depend on what was loaded. A run cannot know that when it comes to the load; so it is run twice.
 *
 * The first run notes loads and stores of one CPU that nothing orders: the load, the next word that is stored, and no
 * other load between. One such pair is drawn. The second run is the same up to the load. There the store's value becomes
 * visible to everybody else, they run for a while, and then the load is made. When the CPU comes to the store it must
 * be the same store of the same value, although the load has read something else than in the first run: so the store
 * does not depend on it, and no value comes out of thin air. If not, the promise is broken: the second run never was,
 * and what the first one gave counts. (Had the load read the same, the run would be right, and nothing new: that value
 * was there when the promise was made.)
 */
#include "sim/memory/promise.h"

#define STALL_NS 32 /* doubled up to seven times */

struct weak_load {
	bool valid, stored_since;
	uintptr_t address;
	size_t len_bytes;
	uint64_t step, value;
};

static enum promise_state mode;
static uint64_t stream;
static unsigned found;
static struct {
	unsigned thread;
	struct weak_load load;
	uintptr_t address;
	size_t len_bytes;
	uint64_t value;
} promise;

/* Of the run. */
SIM_STATE static struct weak_load last[THREAD_MAX];
SIM_STATE static bool loaded, stalls;

void promise_record(uint64_t seed)
{
	stream = seed ^ 0x9304715e9304715eull;
	mode = PROMISE_RECORDS;
	found = 0;
}

bool promise_choose(void)
{
	mode = found > 0 ? PROMISE_WAITS : PROMISE_OFF;
	return found > 0;
}

void promise_give_up(void)
{
	mode = PROMISE_OFF;
}

void promise_begin(void)
{
	memset(last, 0, sizeof(last));
	loaded = stalls = false;
	W.promise = W.preparing ? PROMISE_OFF : mode;
}

static bool is_ours(void)
{
	return W.promise == PROMISE_MADE && W.current->id == promise.thread;
}

static void broken(void)
{
	W.promise = PROMISE_BROKEN;
	world_end();
}

static bool overlap(uintptr_t a, size_t a_len, uintptr_t b, size_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

/* ---- the first run ---- */

static void note_store(uintptr_t address, size_t len_bytes, uint64_t value)
{
	const struct weak_load *load = &last[W.current->id];

	if (!load->valid || len_bytes > sizeof(value) || overlap(address, len_bytes, load->address, load->len_bytes))
		return;
	if (random_below(&stream, ++found) != 0)
		return;
	promise.thread = W.current->id;
	promise.load = *load;
	promise.address = address;
	promise.len_bytes = len_bytes;
	promise.value = value;
}

/* ---- the second ---- */

static void make(void)
{
	struct thread *t = W.current;

	if (!is_dma(promise.address))
		history_promise(t, promise.address, (unsigned)promise.len_bytes, promise.value);
	else if (!weak_promise(t->id, promise.address, promise.len_bytes, promise.value))
		broken();
	W.promise = PROMISE_MADE;
	world_mix_value(promise.value);
	stalls = true;
	sched_wait(NULL, W.now_ns + ((uint64_t)STALL_NS << random_below(&stream, 8)), sched_stall);
	stalls = false;
}

/* ---- both ---- */

void promise_load_begin(uintptr_t address, size_t len_bytes)
{
	if (is_ours() && overlap(address, len_bytes, promise.address, promise.len_bytes))
		broken();
	if (W.promise == PROMISE_WAITS && W.steps == promise.load.step && W.current->id == promise.thread)
		make();
}

void promise_load_end(uintptr_t address, size_t len_bytes, uint64_t value, bool weak)
{
	if (W.promise == PROMISE_RECORDS)
		last[W.current->id] = (struct weak_load){weak, false, address, len_bytes, W.steps, value};
	if (!is_ours())
		return;
	/* The same: nothing new comes of it. Another load: the store may depend on that one. */
	if (loaded || value == promise.load.value)
		broken();
	loaded = true;
}

bool promise_store(uintptr_t address, size_t len_bytes, uint64_t value, bool weak)
{
	if (W.promise == PROMISE_RECORDS && weak)
		note_store(address, len_bytes, value);
	last[W.current->id].stored_since = true;
	if (!is_ours() || !overlap(address, len_bytes, promise.address, promise.len_bytes))
		return false;
	if (!loaded || !weak || address != promise.address || len_bytes != promise.len_bytes || value != promise.value)
		broken();
	W.promise = PROMISE_KEPT;
	return true;
}

void promise_barrier_made(void)
{
	if (stalls)
		return;
	last[W.current->id].valid = false;
	if (is_ours())
		broken();
}

void promise_store_barrier_made(void)
{
	if (last[W.current->id].stored_since)
		promise_barrier_made();
}
