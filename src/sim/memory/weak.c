/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Weak memory: DMA memory as each CPU sees it.
 *
 * The master copy is what the device sees. Memory at its own address is what the CPU that runs now sees: the master,
 * with the CPU's own stores that are not visible yet, and with bytes that others have overwritten already but which
 * this CPU's loads may still find, as if they had been made early. Write barriers part the stores, read barriers end
 * what is stale. So: stores to different places become visible in any order, loads may see old values, and each location
 * has one order. That a store is seen before an earlier load is made is promise.c's matter.
 *
 * A callback comes before its store: the value is captured at the next call of the CPU, and CPUs change only there.
 */
#include "sim/choice.h"
#include "sim/memory/promise.h"
#include "sim/view/event.h"
#include "sim/world.h"

/*
 * What the old bytes of a place told of: of each two of them, as it was when the first of the two was kept. Loads of two
 * bytes let go of what lies beside them at other times.
 */
SIM_STATE static struct vclock stale_clocks[THREAD_MAX][STALE_MAX][4];

/* ---- a CPU's own part of what it sees ---- */

static bool covers(const struct view *v, uintptr_t address)
{
	for (unsigned i = 0; i < v->store_count; i++)
		if (address - v->stores[i].address < v->stores[i].len_bytes)
			return true;
	return false;
}

static bool touches(const struct view *v, uintptr_t address, size_t len_bytes)
{
	for (unsigned i = 0; i < v->store_count; i++)
		if (v->stores[i].address < address + len_bytes &&
		    address < v->stores[i].address + v->stores[i].len_bytes)
			return true;
	return false;
}

static unsigned stale_place(uintptr_t granule)
{
	return (unsigned)(granule >> 3) % STALE_MAX;
}

static bool stale_taken(const struct view *v, unsigned place)
{
	return v->stale_places[place / 64] >> place % 64 & 1;
}

static struct stale *stale_find(struct view *v, uintptr_t granule)
{
	unsigned place = stale_place(granule);

	return stale_taken(v, place) && v->stale[place].granule == granule ? &v->stale[place] : NULL;
}

static void stale_remove(struct view *v, unsigned place)
{
	v->stale_places[place / 64] &= ~BIT64(place % 64);
	v->stale_count--;
}

/* Each place that is taken, for a body that may give it up. */
#define FOR_EACH_STALE(v, place)                                                                               \
	for (unsigned word_ = 0; (v)->stale_count > 0 && word_ < STALE_MAX / 64; word_++)                      \
		for (uint64_t left_ = (v)->stale_places[word_]; left_ != 0; left_ &= left_ - 1)                \
			for (unsigned place = word_ * 64 + (unsigned)__builtin_ctzll(left_), once_ = 1; once_; \
			     once_ = 0)

static void write_byte(uintptr_t address, uint8_t value)
{
	*(uint8_t *)address = value; /* NOLINT */
}

static void view_hide(const struct view *v)
{
	FOR_EACH_STALE(v, i)
	for (unsigned b = 0; b < 8; b++)
		if (v->stale[i].mask & (1u << b))
			write_byte(v->stale[i].granule + b, *master(v->stale[i].granule + b));
	for (unsigned i = 0; i < v->store_count; i++)
		memcpy((void *)v->stores[i].address, master(v->stores[i].address), /* NOLINT */
		       v->stores[i].len_bytes);
}

static void view_show(const struct view *v)
{
	FOR_EACH_STALE(v, i)
	for (unsigned b = 0; b < 8; b++)
		if (v->stale[i].mask & (1u << b))
			write_byte(v->stale[i].granule + b, v->stale[i].old[b]);
	for (unsigned i = 0; i < v->store_count; i++)
		memcpy((void *)v->stores[i].address, v->stores[i].value, v->stores[i].len_bytes); /* NOLINT */
}

void weak_load_view(int thread)
{
	if (thread == W.loaded)
		return;
	world_capture();
	if (W.loaded >= 0)
		view_hide(&W.views[W.loaded]);
	W.loaded = thread;
	view_show(&W.views[thread]);
}

/* The last one may have been seen before it was made: then others may have overwritten it already. */
static void note_stores(struct view *v)
{
	const struct store *s = &v->stores[v->store_count - 1];
	uint64_t value = 0;

	if (v->store_count == 0)
		return;
	memcpy(&value, s->value, MIN((size_t)s->len_bytes, sizeof(value)));
	if (!promise_store(s->address, s->len_bytes, value, s->marked))
		return;
	memcpy((void *)s->address, master(s->address), s->len_bytes); /* NOLINT */
	v->store_count--;
	W.buffered--;
}

void weak_capture_now(void)
{
	struct view *v = W.capture_view;
	bool late = choice_counts(SIM_CHOICE_LATE_STORE);

	W.capture_due = false;
	for (unsigned i = v->store_count; i-- > 0 && !v->stores[i].captured;) {
		struct store *s = &v->stores[i];

		memcpy(s->value, (const void *)s->address, s->len_bytes); /* NOLINT */
		s->captured = true;
	}
	if (OB_UNLIKELY(W.promise != PROMISE_OFF))
		note_stores(v);
	if (W.config.no_weak_memory || !late)
		weak_drain_all(W.current->id);
}

/* ---- what others write ---- */

/* Before the new value brings its own clock. */
static void clock_keep(const struct view *v, unsigned place, unsigned pair)
{
	const struct vclock *clock = race_sync(v->stale[place].granule + (uintptr_t)pair / 2 * 4, false);

	stale_clocks[v - W.views][place][pair] = clock != NULL ? *clock : (struct vclock){{0}};
}

/* @view is about to lose sight of the master's bytes: keep them as they were. */
static void view_keep(struct view *v, uintptr_t address, size_t len_bytes)
{
	uintptr_t end = address + len_bytes;

	for (uintptr_t granule = address & ~(uintptr_t)7; granule < end; granule += 8) {
		struct stale *s = stale_find(v, granule);
		unsigned from = granule < address ? (unsigned)(address - granule) : 0;
		unsigned to = end - granule < 8 ? (unsigned)(end - granule) : 8;

		if (s == NULL) {
			unsigned place = stale_place(granule);

			if (stale_taken(v, place))
				continue;
			v->stale_places[place / 64] |= BIT64(place % 64);
			v->stale_count++;
			s = &v->stale[place];
			s->granule = granule;
			s->mask = 0;
		}
		for (unsigned b = from; b < to; b++) {
			if (s->mask & (1u << b))
				continue;
			if ((s->mask >> (b & 6) & 3) == 0)
				clock_keep(v, (unsigned)(s - v->stale), b / 2);
			s->mask |= (uint8_t)(1u << b);
			s->old[b] = *master(granule + b);
		}
	}
}

/* The part of a CPU in a write by another or by the device, which goes to the master right after. */
static void view_receive(struct view *v, uintptr_t address, const uint8_t *from, size_t len_bytes)
{
	bool stored = touches(v, address, len_bytes);

	if (v->stale_count == 0 && !stored) {
		memcpy((void *)address, from, len_bytes); /* NOLINT */
		return;
	}
	for (size_t i = 0; i < len_bytes;) {
		uintptr_t at = address + i;
		const struct stale *s = stale_find(v, at & ~(uintptr_t)7);
		size_t end = i + MIN(len_bytes - i, (size_t)(8 - (at & 7)));

		if (s == NULL && !stored) {
			memcpy((void *)at, from + i, end - i); /* NOLINT */
			i = end;
			continue;
		}
		for (; i < end; i++)
			if ((s == NULL || !(s->mask & (1u << ((address + i) & 7)))) && !covers(v, address + i))
				write_byte(address + i, from[i]);
	}
}

static void master_write(int thread, uintptr_t address, const uint8_t *from, size_t len_bytes, unsigned late_of_4)
{
	uint64_t draw = UINT64_MAX; /* two bits for each, and which granule of a larger write: one is as good as all */
	uintptr_t late_at = address;
	size_t late_len = len_bytes;

	if (len_bytes <= STORE_BYTES && !W.config.no_weak_memory && memcmp(master(address), from, len_bytes) != 0)
		draw = random_next(&W.random_memory);
	if (len_bytes == STORE_BYTES) {
		late_at += (draw >> 32) % (STORE_BYTES / 8) * 8;
		late_len = 8;
	}
	for (unsigned k = THREAD_MAIN; k < W.thread_count; k++) {
		if ((int)k == thread)
			continue;
		if ((draw >> 2 * k & 3) < late_of_4 && choice_counts(SIM_CHOICE_OLD_LOAD))
			view_keep(&W.views[k], late_at, late_len);
		if (W.loaded == (int)k)
			view_receive(&W.views[k], address, from, len_bytes);
	}
	memcpy(master(address), from, len_bytes);
}

void weak_device_write(uintptr_t address, const void *from, size_t len_bytes, bool late_likely)
{
	world_capture();
	master_write(THREAD_DEVICE, address, from, len_bytes, late_likely ? 3 : 1);
}

/* ---- stores ---- */

static void store_publish(const struct store *s)
{
	if (!s->marked)
		return;
	for (uintptr_t at = s->address & ~(uintptr_t)3; at < s->address + s->len_bytes; at += 4)
		*race_sync(at, true) = s->release;
}

/* Its own store is newer than what a CPU kept in sight while it waited. */
static void view_forget(struct view *v, uintptr_t address, size_t len_bytes)
{
	for (uintptr_t at = address; v->stale_count > 0 && at < address + len_bytes; at++) {
		struct stale *old = stale_find(v, at & ~(uintptr_t)7);

		if (old != NULL)
			old->mask &= (uint8_t) ~(1u << (at & 7));
	}
}

static void drain_one(unsigned thread, unsigned index)
{
	struct view *v = &W.views[thread];
	struct store s = v->stores[index];

	memmove(&v->stores[index], &v->stores[index + 1], (v->store_count - index - 1) * sizeof(s));
	v->store_count--;
	W.buffered--;
	world_mix_value(s.address);
	world_mix_value(s.value[0]);
	view_forget(v, s.address, s.len_bytes);
	event_visible(thread, s.address, s.len_bytes, s.step, s.pc);
	master_write((int)thread, s.address, s.value, s.len_bytes, 1);
	store_publish(&s);
}

/* The first of the stores up to @index, made since the same barrier, that lies where it does. */
static unsigned first_overlap(const struct view *v, unsigned index)
{
	for (unsigned i = 0; i < index; i++)
		if (v->stores[i].address < v->stores[index].address + v->stores[index].len_bytes &&
		    v->stores[index].address < v->stores[i].address + v->stores[i].len_bytes)
			return i;
	return index;
}

/* Any of those before the next write barrier; of two to the same place, the one that was made first. */
static bool drain_random(unsigned thread)
{
	const struct view *v = &W.views[thread];
	unsigned ready = 0, index;

	while (ready < v->store_count && v->stores[ready].captured && v->stores[ready].barrier == v->stores[0].barrier)
		ready++;
	if (ready == 0)
		return false;
	index = (unsigned)random_below(&W.random_memory, ready);
	for (unsigned before; (before = first_overlap(v, index)) != index;)
		index = before;
	drain_one(thread, index);
	return true;
}

bool weak_promise(unsigned thread, uintptr_t address, size_t len_bytes, uint64_t value)
{
	struct view *v = &W.views[thread];
	struct store s = {.address = address, .len_bytes = (uint8_t)len_bytes, .marked = true, .release = v->release};

	weak_drain_all(thread);
	if (v->stale_count + 2 > STALE_MAX)
		return false;
	view_keep(v, address, len_bytes);
	memcpy(s.value, &value, len_bytes);
	master_write((int)thread, address, s.value, len_bytes, 1);
	store_publish(&s);
	return true;
}

void weak_drain_some(void)
{
	unsigned k = (unsigned)random_below(&W.random_memory, W.thread_count);

	if (random_one_in(&W.random_memory, 4))
		while (drain_random(k))
			;
	else
		drain_random(k);
}

/* In order of being made, which is one of the orders that are allowed. */
static void drain_where(unsigned thread, uint32_t barrier, const struct vclock *seen)
{
	struct view *v = &W.views[thread];

	for (unsigned i = 0; i < v->store_count;) {
		const struct store *s = &v->stores[i];

		if (s->captured && s->barrier < barrier && (seen == NULL || s->epoch <= seen->t[s->thread]))
			drain_one(thread, i);
		else
			i++;
	}
}

void weak_drain_all(unsigned thread)
{
	drain_where(thread, UINT32_MAX, NULL);
}

void weak_drain_before(unsigned thread, uint32_t barrier)
{
	drain_where(thread, barrier, NULL);
}

/* What other CPUs stored and we have come to know of by an acquire is visible to us. */
void weak_drain_acquired(void)
{
	for (unsigned k = THREAD_MAIN; k < W.thread_count; k++)
		if (k != W.current->id && W.views[k].store_count > 0)
			drain_where(k, UINT32_MAX, &W.current->clock);
}

void weak_store(uintptr_t address, size_t len_bytes, bool marked)
{
	unsigned thread = W.current->id;
	struct view *v = &W.views[thread];

	for (size_t done = 0; done < len_bytes;) {
		size_t piece = MIN(len_bytes - done, STORE_BYTES - (address + done) % STORE_BYTES);
		struct store *s;

		while (v->store_count >= STORE_MAX - 8 && drain_random(thread))
			;
		if (v->store_count == STORE_MAX)
			sim_fail("simulator", "a copy of %zu bytes to DMA memory that is not ob_dma_copy()", len_bytes);
		view_forget(v, address + done, piece);
		s = &v->stores[v->store_count++];
		*s = (struct store){.address = address + done, .len_bytes = (uint8_t)piece, .thread = (uint8_t)thread};
		s->marked = marked;
		s->barrier = v->barrier;
		s->epoch = W.current->clock.t[thread];
		s->step = (uint32_t)W.steps;
		s->pc = W.current->pc;
		if (marked)
			s->release = v->release;
		W.buffered++;
		done += piece;
	}
	W.capture_view = v;
	W.capture_due = true;
}

/* ---- loads ---- */

static void refresh_byte(unsigned thread, struct stale *s, unsigned b)
{
	uintptr_t address = s->granule + b;

	s->mask &= (uint8_t) ~(1u << b);
	if (W.loaded == (int)thread && !covers(&W.views[thread], address))
		write_byte(address, *master(address));
}

void weak_refresh(unsigned thread)
{
	struct view *v = &W.views[thread];

	if (v->stale_count == 0)
		return;
	FOR_EACH_STALE(v, i)
	for (unsigned b = 0; b < 8; b++)
		if (v->stale[i].mask & (1u << b))
			refresh_byte(thread, &v->stale[i], b);
	memset(v->stale_places, 0, sizeof(v->stale_places));
	v->stale_count = 0;
}

static uint8_t mask_of(uintptr_t granule, uintptr_t address, size_t len_bytes)
{
	unsigned from = granule < address ? (unsigned)(address - granule) : 0;
	unsigned to = address + len_bytes - granule < 8 ? (unsigned)(address + len_bytes - granule) : 8;

	return (uint8_t)((1u << to) - (1u << from));
}

static bool is_stale(unsigned thread, uintptr_t address, size_t len_bytes)
{
	struct view *v = &W.views[thread];

	if (OB_LIKELY(v->stale_count == 0))
		return false;
	for (uintptr_t granule = address & ~(uintptr_t)7; granule < address + len_bytes; granule += 8) {
		const struct stale *s = stale_find(v, granule);

		if (s != NULL && (s->mask & mask_of(granule, address, len_bytes)))
			return true;
	}
	return false;
}

/* What a load of bytes of the 2 at @pair tells this CPU of, as old as they are; NULL: nothing. */
const struct vclock *weak_clock(unsigned thread, uintptr_t pair, uintptr_t address, size_t len_bytes)
{
	struct view *v = &W.views[thread];
	const struct stale *s = v->stale_count > 0 ? stale_find(v, pair & ~(uintptr_t)7) : NULL;

	if (s == NULL || (s->mask & mask_of(s->granule, MAX(address, pair),
					    MIN(address + len_bytes, pair + 2) - MAX(address, pair))) == 0)
		return race_sync(pair & ~(uintptr_t)3, false);
	return &stale_clocks[thread][stale_place(s->granule)][pair >> 1 & 3];
}

/* Each load may find the new value; what it found it will find again. */
void weak_before_load(uintptr_t address, size_t len_bytes)
{
	unsigned thread = W.current->id;
	struct view *v = &W.views[thread];

	if (!is_stale(thread, address, len_bytes))
		return;
	if (random_one_in(&W.random_memory, 2)) {
		event_old(address, len_bytes);
		return;
	}
	for (uintptr_t granule = address & ~(uintptr_t)7; granule < address + len_bytes; granule += 8) {
		struct stale *s = stale_find(v, granule);
		uint8_t mask = s != NULL ? s->mask & mask_of(granule, address, len_bytes) : 0;

		for (unsigned b = 0; b < 8; b++)
			if (mask & (1u << b))
				refresh_byte(thread, s, b);
		if (s != NULL && s->mask == 0)
			stale_remove(v, stale_place(granule));
	}
}

/* ---- what no callback told of ---- */

/* Memory that differs from the master where no store of ours and nothing stale lies: somebody wrote behind our back. */
void weak_check_drift(void)
{
	uintptr_t base = ARENA_BASE + DMA_OFFSET;
	struct view *v = &W.views[W.loaded];

	if (memcmp((const void *)base, master(base), W.dma_used) == 0) /* NOLINT */
		return;
	for (uintptr_t at = base; at < base + W.dma_used; at++) {
		const struct stale *s = stale_find(v, at & ~(uintptr_t)7);
		char where[96];

		if (*(const uint8_t *)at == *master(at) || covers(v, at) || /* NOLINT */
		    (s != NULL && (s->mask & (1u << (at & 7)))))
			continue;
		report_describe(at, where, sizeof(where));
		report_begin("uninstrumented-store", "%s was written by code that the world does not see", where);
		report_here(0);
		report_end();
	}
}
