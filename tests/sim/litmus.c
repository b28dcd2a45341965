/* SPDX-License-Identifier: BSD-2-Clause */
/* The litmus shapes, and who runs them. Instrumented. */
#include "tests/sim/litmus.h"

#include <outboard/cpu.h>
#include <outboard/mmio.h>

/* ---- running one ---- */

#define REGISTER 3

struct word {
	ob_le32 value;
	uint8_t pad[OB_CACHE_LINE - 4];
};

static const struct shape *selected;
static struct word *words;
static struct shape_outcome result;
static volatile unsigned sink;
/* Of threads: what they find is theirs until they end. */
static uint8_t regs[SHAPE_REGS];

void shape_select(const struct shape *shape)
{
	selected = shape;
}

void shape_result(struct shape_outcome *out)
{
	*out = result;
}

static unsigned atomic_load(const uint32_t *p, int order)
{
	switch (order) {
	case __ATOMIC_ACQUIRE:
		return __atomic_load_n(p, __ATOMIC_ACQUIRE);
	case __ATOMIC_SEQ_CST:
		return __atomic_load_n(p, __ATOMIC_SEQ_CST);
	default:
		return __atomic_load_n(p, __ATOMIC_RELAXED);
	}
}

static void atomic_store(uint32_t *p, unsigned value, int order)
{
	switch (order) {
	case __ATOMIC_RELEASE:
		__atomic_store_n(p, value, __ATOMIC_RELEASE);
		break;
	case __ATOMIC_SEQ_CST:
		__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
		break;
	default:
		__atomic_store_n(p, value, __ATOMIC_RELAXED);
		break;
	}
}

static unsigned atomic_add(uint32_t *p, int order)
{
	switch (order) {
	case __ATOMIC_ACQ_REL:
		return __atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL);
	case __ATOMIC_SEQ_CST:
		return __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
	default:
		return __atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
	}
}

static void fence(int order)
{
	switch (order) {
	case __ATOMIC_ACQUIRE:
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		break;
	case __ATOMIC_RELEASE:
		__atomic_thread_fence(__ATOMIC_RELEASE);
		break;
	case __ATOMIC_ACQ_REL:
		__atomic_thread_fence(__ATOMIC_ACQ_REL);
		break;
	default:
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		break;
	}
}

static uint64_t register_read(const struct ob_region *r, uint64_t offset, unsigned size_bytes)
{
	return sim_status();
}

static void register_write(const struct ob_region *r, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	sim_doorbell(value);
}

static const struct ob_region_ops register_ops = {.read = register_read, .write = register_write};
static const struct ob_region region = {.len_bytes = 4, .ops = &register_ops};

static void store(const struct shape_op *o, unsigned value)
{
	if (selected->memory == SHAPE_ATOMIC)
		atomic_store(&words[o->word].value.raw, value, o->order);
	else if (o->word == REGISTER)
		ob_mmio_write32_relaxed(&region, 0, value);
	else
		ob_le32_store(&words[o->word].value, value);
}

static unsigned load(const struct shape_op *o)
{
	if (selected->memory == SHAPE_ATOMIC)
		return atomic_load(&words[o->word].value.raw, o->order);
	if (o->word == REGISTER)
		return ob_mmio_read32_relaxed(&region, 0);
	return ob_le32_load(&words[o->word].value);
}

static bool run_op(const struct shape_op *o)
{
	switch (o->kind) {
	case OP_STORE:
		store(o, o->arg);
		break;
	case OP_STORE_REG:
		store(o, regs[o->arg]);
		break;
	case OP_LOAD:
		regs[o->arg] = (uint8_t)load(o);
		break;
	case OP_ADD:
		regs[o->arg] = (uint8_t)atomic_add(&words[o->word].value.raw, o->order);
		break;
	case OP_IF:
		return regs[o->arg] != 0;
	case OP_FENCE:
		fence(o->order);
		break;
	case OP_DMA_WMB:
		ob_dma_wmb();
		break;
	case OP_DMA_RMB:
		ob_dma_rmb();
		break;
	case OP_DMA_MB:
		ob_dma_mb();
		break;
	case OP_MMIO_WMB:
		ob_mmio_wmb();
		break;
	case OP_MMIO_RMB:
		ob_mmio_rmb();
		break;
	default:
		break;
	}
	return true;
}

/* Two loads that find old values may be early or just first: wait a little, differently each time. */
static void dawdle(void)
{
	if (sim_random(2))
		sim_wait_ns(sim_random(200));
}

/* While nobody runs all stores become visible. */
static void spin(void)
{
	for (uint64_t i = sim_random(300); i > 0; i--)
		sink++;
}

static void run_side(void *arg)
{
	const struct shape_op *ops = arg;

	dawdle();
	for (unsigned i = 0; i < SHAPE_OPS && run_op(&ops[i]); i++)
		;
}

static uint8_t device_load(const ob_le32 *word)
{
	ob_le32 v = {(uint32_t)sim_device_load(word, sizeof(v))};

	return (uint8_t)ob_le32_to_cpu(v);
}

/* A device makes its accesses in order. What it stores last tells of the rest. */
static void run_device(void *arg)
{
	const struct shape_op *ops = arg;

	for (unsigned i = 0; i < SHAPE_OPS; i++) {
		const struct shape_op *o = &ops[i];

		if (o->kind == OP_STORE && o->word == REGISTER)
			sim_device_status(o->arg);
		else if (o->kind == OP_STORE)
			sim_device_store(&words[o->word].value, ob_cpu_to_le32(o->arg).raw, 4,
					 i + 1 == SHAPE_OPS || ops[i + 1].kind != OP_STORE);
		else if (o->kind == OP_LOAD && o->word == REGISTER)
			regs[o->arg] = sim_device_doorbell() != 0;
		else if (o->kind == OP_LOAD)
			regs[o->arg] = device_load(&words[o->word].value);
	}
}

static unsigned last_value(unsigned word)
{
	return selected->memory == SHAPE_ATOMIC ? words[word].value.raw : ob_le32_load(&words[word].value);
}

static void run(const struct sim_config *config)
{
	static const char *const names[SHAPE_SIDES] = {"first", "second", "third", "fourth"};
	unsigned sides = 0;

	words = selected->memory == SHAPE_ATOMIC ? ob_alloc(SHAPE_WORDS * sizeof(*words))
						 : sim_dma_memory(SHAPE_WORDS * sizeof(*words));
	SIM_CHECK(words != NULL);
	for (unsigned i = 0; i < SHAPE_REGS; i++)
		regs[i] = 0;
	while (sides < SHAPE_SIDES && selected->sides[sides][0].kind != OP_NONE)
		sides++;
	/* Not always in the same order. The device is not told of writes to its register while it is at its accesses. */
	for (unsigned i = 0, first = (unsigned)sim_random(sides); i < sides; i++) {
		unsigned side = (first + i) % sides;

		if (!selected->last_is_device || side != sides - 1)
			sim_spawn(names[side], run_side, (void *)selected->sides[side]);
	}
	if (selected->last_is_device) {
		spin();
		sim_device_set(run_device, (void *)selected->sides[sides - 1]);
		spin();
	}
	sim_join_all();
	/* Let the device end. */
	sim_wait_ns(10 * OB_NS_PER_US);
	for (unsigned i = 0; i < SHAPE_REGS; i++)
		result.regs[i] = regs[i];
	for (unsigned i = 0; i < SHAPE_WORDS; i++)
		result.words[i] = selected->finals & (1u << i) ? (uint8_t)last_value(i) : 0;
	if (selected->memory == SHAPE_ATOMIC)
		ob_free(words);
}

const struct sim_scenario shape_scenario = {.name = "litmus", .help = "a litmus shape", .run = run};

/* ---- the shapes ---- */

#define RLX __ATOMIC_RELAXED
#define ACQ __ATOMIC_ACQUIRE
#define REL __ATOMIC_RELEASE
#define SC  __ATOMIC_SEQ_CST

enum {
	X,
	Y,
	Z,
	D = REGISTER
};

#define W(word, value)                     \
	{                                  \
		OP_STORE, word, value, RLX \
	}
#define W_REL(word, value)                 \
	{                                  \
		OP_STORE, word, value, REL \
	}
#define W_SC(word, value)                 \
	{                                 \
		OP_STORE, word, value, SC \
	}
#define R(word, reg)                    \
	{                               \
		OP_LOAD, word, reg, RLX \
	}
#define R_ACQ(word, reg)                \
	{                               \
		OP_LOAD, word, reg, ACQ \
	}
#define R_SC(word, reg)                \
	{                              \
		OP_LOAD, word, reg, SC \
	}
#define ADD(word, reg)                 \
	{                              \
		OP_ADD, word, reg, RLX \
	}
#define ADD_AR(word, reg)                           \
	{                                           \
		OP_ADD, word, reg, __ATOMIC_ACQ_REL \
	}
#define NO                          \
	{                           \
		OP_NOTHING, 0, 0, 0 \
	}
#define F_ACQ                       \
	{                           \
		OP_FENCE, 0, 0, ACQ \
	}
#define F_REL                       \
	{                           \
		OP_FENCE, 0, 0, REL \
	}
#define F_SC                       \
	{                          \
		OP_FENCE, 0, 0, SC \
	}
#define WMB                         \
	{                           \
		OP_DMA_WMB, 0, 0, 0 \
	}
#define RMB                         \
	{                           \
		OP_DMA_RMB, 0, 0, 0 \
	}
#define MB                         \
	{                          \
		OP_DMA_MB, 0, 0, 0 \
	}
#define MWMB                         \
	{                            \
		OP_MMIO_WMB, 0, 0, 0 \
	}
#define MRMB                         \
	{                            \
		OP_MMIO_RMB, 0, 0, 0 \
	}
#define IF(reg)                  \
	{                        \
		OP_IF, 0, reg, 0 \
	}
#define W_REG(word, reg)                     \
	{                                    \
		OP_STORE_REG, word, reg, RLX \
	}

#define FORBIDDEN false
#define ALLOWED   true

/* Store buffering: both loads old. */
#define SB(mem, w0, b0, r0, w1, b1, r1, is)                                                    \
	{                                                                                      \
		"SB", mem, is, .sides = { {w0(X, 1), b0, r0(Y, 0)}, {w1(Y, 1), b1, r1(X, 1)} } \
	}
/* Message passing: the word that tells is new, what it tells of is old. */
#define MP(mem, b0, w0, r1, b1, is)                                                          \
	{                                                                                    \
		"MP", mem, is, .sides = { {W(X, 1), b0, w0(Y, 1)}, {r1(Y, 0), b1, R(X, 1)} } \
	}
/* Load buffering: both loads find what is stored after the other. */
#define LB(mem, r0, b0, w0, r1, b1, w1, is)                                                                    \
	{                                                                                                      \
		"LB", mem, is, .promised = is, .sides = { {r0(X, 0), b0, w0(Y, 1)}, {r1(Y, 1), b1, w1(X, 1)} } \
	}
/* The load finds what was stored behind the first store, which is the last one of its word all the same. */
#define S(mem, b0, w0, r1, b1, is, prom)                                \
	{                                                               \
		"S", mem, is, .promised = prom, .finals = 1, .sides = { \
			{W(X, 2), b0, w0(Y, 1)},                        \
			{r1(Y, 0), b1, W(X, 1)}                         \
		}                                                       \
	}
/* The second side's store is the last, and its load is old. */
#define R_SHAPE(mem, w0, b0, w00, w1, b1, r1, is)                                                           \
	{                                                                                                   \
		"R", mem, is, .finals = 2, .sides = { {w0(X, 1), b0, w00(Y, 1)}, {w1(Y, 2), b1, r1(X, 0)} } \
	}
/* Of each side the first store is the last of its word. */
#define WW(mem, b0, w0, b1, w1, is)                                                                         \
	{                                                                                                   \
		"2+2W", mem, is, .finals = 3, .sides = { {W(X, 1), b0, w0(Y, 2)}, {W(Y, 1), b1, w1(X, 2)} } \
	}
/* Two readers see two stores in different order. */
#define IRIW(mem, w, r, b, is)                                                                                   \
	{                                                                                                        \
		"IRIW", mem, is, .sides = { {w(X, 1)}, {w(Y, 1)}, {r(X, 0), b, r(Y, 1)}, {r(Y, 2), b, r(X, 3)} } \
	}
/* Write to read causality: the third knows of the second, who knew of the first, and does not see it. */
#define WRC(mem, r1, b1, w1, r2, b2, is, prom)               \
	{                                                    \
		"WRC", mem, is, .promised = prom, .sides = { \
			{W(X, 1)},                           \
			{r1(X, 0), b1, w1(Y, 1)},            \
			{r2(Y, 1), b2, R(X, 2)}              \
		}                                            \
	}

const struct shape shapes[] = {
	/* ---- memory shared with devices, CPU and CPU ---- */
	SB(SHAPE_DMA, W, NO, R, W, NO, R, ALLOWED),
	SB(SHAPE_DMA, W, WMB, R, W, WMB, R, ALLOWED),
	SB(SHAPE_DMA, W, RMB, R, W, RMB, R, ALLOWED),
	SB(SHAPE_DMA, W, MWMB, R, W, MWMB, R, ALLOWED),
	SB(SHAPE_DMA, W, MB, R, W, NO, R, ALLOWED),
	SB(SHAPE_DMA, W, MB, R, W, MB, R, FORBIDDEN),
	MP(SHAPE_DMA, NO, W, R, NO, ALLOWED),
	MP(SHAPE_DMA, WMB, W, R, NO, ALLOWED),
	MP(SHAPE_DMA, NO, W, R, RMB, ALLOWED),
	MP(SHAPE_DMA, RMB, W, R, WMB, ALLOWED),
	MP(SHAPE_DMA, WMB, W, R, RMB, FORBIDDEN),
	MP(SHAPE_DMA, MWMB, W, R, RMB, FORBIDDEN),
	MP(SHAPE_DMA, MB, W, R, MB, FORBIDDEN),
	S(SHAPE_DMA, NO, W, R, NO, ALLOWED, false),
	S(SHAPE_DMA, MB, W, R, MB, FORBIDDEN, false),
	R_SHAPE(SHAPE_DMA, W, NO, W, W, NO, R, ALLOWED),
	R_SHAPE(SHAPE_DMA, W, WMB, W, W, WMB, R, ALLOWED),
	R_SHAPE(SHAPE_DMA, W, WMB, W, W, MB, R, FORBIDDEN),
	R_SHAPE(SHAPE_DMA, W, MB, W, W, MB, R, FORBIDDEN),
	WW(SHAPE_DMA, NO, W, NO, W, ALLOWED),
	WW(SHAPE_DMA, WMB, W, NO, W, ALLOWED),
	WW(SHAPE_DMA, WMB, W, WMB, W, FORBIDDEN),
	IRIW(SHAPE_DMA, W, R, NO, ALLOWED),
	IRIW(SHAPE_DMA, W, R, RMB, FORBIDDEN),
	WRC(SHAPE_DMA, R, NO, W, R, NO, ALLOWED, false),
	WRC(SHAPE_DMA, R, MB, W, R, NO, ALLOWED, false),
	WRC(SHAPE_DMA, R, MB, W, R, RMB, FORBIDDEN, false),
	{"CoRR", SHAPE_DMA, FORBIDDEN, .sides = {{W(X, 1)}, {R(X, 0), NO, R(X, 1)}}},
	{"CoWW", SHAPE_DMA, FORBIDDEN, .finals = 1, .sides = {{W(X, 1), NO, W(X, 2)}, {R(Y, 0)}}},
	{"CoWR", SHAPE_DMA, FORBIDDEN, .finals = 1, .sides = {{W(X, 1), NO, R(X, 0)}, {W(X, 2)}}},
	{"CoRW", SHAPE_DMA, FORBIDDEN, .finals = 1, .sides = {{R(X, 0), NO, W(X, 1)}, {W(X, 2)}}},
	/* ---- stores before earlier loads ---- */
	LB(SHAPE_DMA, R, NO, W, R, NO, W, ALLOWED),
	LB(SHAPE_DMA, R, WMB, W, R, WMB, W, ALLOWED),
	LB(SHAPE_DMA, R, MB, W, R, NO, W, ALLOWED),
	LB(SHAPE_DMA, R, RMB, W, R, RMB, W, FORBIDDEN),
	LB(SHAPE_DMA, R, MB, W, R, MB, W, FORBIDDEN),
	{"LB", SHAPE_DMA, FORBIDDEN, .sides = {{R(X, 0), W_REG(Y, 0)}, {R(Y, 1), W_REG(X, 1)}}},
	{"LB", SHAPE_DMA, ALLOWED, .promised = true, .sides = {{R(X, 0), W_REG(Y, 0)}, {R(Y, 1), NO, W(X, 1)}}},
	{"LB", SHAPE_DMA, FORBIDDEN, .sides = {{R(X, 0), IF(0), W(Y, 1)}, {R(Y, 1), IF(1), W(X, 1)}}},
	{"LB", SHAPE_DMA, ALLOWED, .promised = true, .sides = {{R(X, 0), IF(0), W(Y, 1)}, {R(Y, 1), NO, W(X, 1)}}},
	S(SHAPE_DMA, WMB, W, R, NO, ALLOWED, true),
	S(SHAPE_DMA, WMB, W, R, RMB, FORBIDDEN, false),
	WRC(SHAPE_DMA, R, NO, W, R, RMB, ALLOWED, true),
	{"LB", SHAPE_DMA, ALLOWED, .promised = true, .last_is_device = true,
	 .sides = {{R(X, 0), NO, W(Y, 1)}, {R(Y, 1), W(X, 1)}}},
	{"LB", SHAPE_DMA, FORBIDDEN, .last_is_device = true, .sides = {{R(X, 0), MB, W(Y, 1)}, {R(Y, 1), W(X, 1)}}},
	/* What is stored depends on the load: it is not seen before. */
	{"LB", SHAPE_DMA, FORBIDDEN, .sides = {{R(X, 0), W_REG(Y, 0)}, {R(Y, 1)}, {W(X, 1)}}},
	{"WRC", SHAPE_DMA, FORBIDDEN, .sides = {{W(X, 1)}, {R(X, 0), IF(0), W(Y, 1)}, {R(Y, 1), RMB, R(X, 2)}}},
	LB(SHAPE_ATOMIC, R, NO, W, R, NO, W, ALLOWED),
	LB(SHAPE_ATOMIC, R_ACQ, NO, W, R, NO, W, ALLOWED),
	LB(SHAPE_ATOMIC, R_ACQ, NO, W, R_ACQ, NO, W, FORBIDDEN),
	LB(SHAPE_ATOMIC, R, NO, W_REL, R, NO, W, ALLOWED),
	LB(SHAPE_ATOMIC, R, NO, W_REL, R, NO, W_REL, FORBIDDEN),
	LB(SHAPE_ATOMIC, R, NO, W_REL, R_ACQ, NO, W, FORBIDDEN),
	LB(SHAPE_ATOMIC, R, F_ACQ, W, R, F_REL, W, FORBIDDEN),
	LB(SHAPE_ATOMIC, R, F_SC, W, R, F_SC, W, FORBIDDEN),
	{"LB", SHAPE_ATOMIC, FORBIDDEN, .sides = {{R(X, 0), W_REG(Y, 0)}, {R(Y, 1), W_REG(X, 1)}}},
	{"LB", SHAPE_ATOMIC, ALLOWED, .promised = true, .sides = {{R(X, 0), W_REG(Y, 0)}, {R(Y, 1), NO, W(X, 1)}}},
	{"LB", SHAPE_ATOMIC, FORBIDDEN, .sides = {{R(X, 0), IF(0), W(Y, 1)}, {R(Y, 1), IF(1), W(X, 1)}}},
	{"LB", SHAPE_ATOMIC, ALLOWED, .promised = true, .sides = {{R(X, 0), IF(0), W(Y, 1)}, {R(Y, 1), NO, W(X, 1)}}},
	S(SHAPE_ATOMIC, NO, W_REL, R, NO, ALLOWED, true),
	WRC(SHAPE_ATOMIC, R, NO, W, R_ACQ, NO, ALLOWED, true),
	{"LB", SHAPE_ATOMIC, FORBIDDEN, .sides = {{R(X, 0), W_REG(Y, 0)}, {R(Y, 1)}, {W(X, 1)}}},
	{"WRC", SHAPE_ATOMIC, FORBIDDEN, .sides = {{W(X, 1)}, {R(X, 0), IF(0), W(Y, 1)}, {R_ACQ(Y, 1), NO, R(X, 2)}}},
	/* ---- … and CPU and device, the last side ---- */
	{"MP", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{W(X, 1), NO, W(Y, 1)}, {R(Y, 0), R(X, 1)}}},
	{"MP", SHAPE_DMA, FORBIDDEN, .last_is_device = true, .sides = {{W(X, 1), WMB, W(Y, 1)}, {R(Y, 0), R(X, 1)}}},
	{"MP", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{R(Y, 0), NO, R(X, 1)}, {W(X, 1), W(Y, 1)}}},
	{"MP", SHAPE_DMA, FORBIDDEN, .last_is_device = true, .sides = {{R(Y, 0), RMB, R(X, 1)}, {W(X, 1), W(Y, 1)}}},
	{"MP", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{W(X, 1), NO, W(D, 1)}, {R(D, 0), R(X, 1)}}},
	{"MP", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{W(X, 1), WMB, W(D, 1)}, {R(D, 0), R(X, 1)}}},
	{"MP", SHAPE_DMA, FORBIDDEN, .last_is_device = true, .sides = {{W(X, 1), MWMB, W(D, 1)}, {R(D, 0), R(X, 1)}}},
	{"MP", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{R(D, 0), NO, R(X, 1)}, {W(X, 1), W(D, 1)}}},
	{"MP", SHAPE_DMA, FORBIDDEN, .last_is_device = true, .sides = {{R(D, 0), MRMB, R(X, 1)}, {W(X, 1), W(D, 1)}}},
	{"SB", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{W(X, 1), NO, R(Y, 0)}, {W(Y, 1), R(X, 1)}}},
	{"SB", SHAPE_DMA, ALLOWED, .last_is_device = true, .sides = {{W(X, 1), WMB, R(Y, 0)}, {W(Y, 1), R(X, 1)}}},
	{"SB", SHAPE_DMA, FORBIDDEN, .last_is_device = true, .sides = {{W(X, 1), MB, R(Y, 0)}, {W(Y, 1), R(X, 1)}}},
	/* ---- C11 atomics ---- */
	SB(SHAPE_ATOMIC, W, NO, R, W, NO, R, ALLOWED),
	SB(SHAPE_ATOMIC, W_REL, NO, R_ACQ, W_REL, NO, R_ACQ, ALLOWED),
	SB(SHAPE_ATOMIC, W_SC, NO, R_SC, W_SC, NO, R_SC, FORBIDDEN),
	SB(SHAPE_ATOMIC, W_SC, NO, R_SC, W_REL, NO, R_ACQ, ALLOWED),
	SB(SHAPE_ATOMIC, W, F_REL, R, W, F_ACQ, R, ALLOWED),
	SB(SHAPE_ATOMIC, W, F_SC, R, W, NO, R, ALLOWED),
	SB(SHAPE_ATOMIC, W, F_SC, R, W, F_SC, R, FORBIDDEN),
	SB(SHAPE_ATOMIC, W, F_SC, R, W_SC, NO, R_SC, FORBIDDEN),
	MP(SHAPE_ATOMIC, NO, W, R, NO, ALLOWED),
	MP(SHAPE_ATOMIC, NO, W_REL, R, NO, ALLOWED),
	MP(SHAPE_ATOMIC, NO, W, R_ACQ, NO, ALLOWED),
	MP(SHAPE_ATOMIC, NO, W_REL, R_ACQ, NO, FORBIDDEN),
	MP(SHAPE_ATOMIC, F_REL, W, R, F_ACQ, FORBIDDEN),
	MP(SHAPE_ATOMIC, F_REL, W, R_ACQ, NO, FORBIDDEN),
	MP(SHAPE_ATOMIC, F_ACQ, W, R, F_REL, ALLOWED),
	MP(SHAPE_ATOMIC, NO, W_SC, R_SC, NO, FORBIDDEN),
	S(SHAPE_ATOMIC, NO, W, R, NO, ALLOWED, false),
	S(SHAPE_ATOMIC, NO, W, R_ACQ, NO, ALLOWED, false),
	S(SHAPE_ATOMIC, NO, W_REL, R_ACQ, NO, FORBIDDEN, false),
	R_SHAPE(SHAPE_ATOMIC, W, NO, W, W, NO, R, ALLOWED),
	R_SHAPE(SHAPE_ATOMIC, W, NO, W_REL, W, NO, R, ALLOWED),
	R_SHAPE(SHAPE_ATOMIC, W_SC, NO, W_SC, W_SC, NO, R_SC, FORBIDDEN),
	R_SHAPE(SHAPE_ATOMIC, W, F_SC, W, W, F_SC, R, FORBIDDEN),
	WW(SHAPE_ATOMIC, NO, W, NO, W, ALLOWED),
	WW(SHAPE_ATOMIC, NO, W_REL, NO, W, ALLOWED),
	WW(SHAPE_ATOMIC, NO, W_REL, NO, W_REL, FORBIDDEN),
	WW(SHAPE_ATOMIC, F_SC, W, F_SC, W, FORBIDDEN),
	IRIW(SHAPE_ATOMIC, W, R, NO, ALLOWED),
	IRIW(SHAPE_ATOMIC, W_REL, R_ACQ, NO, FORBIDDEN),
	IRIW(SHAPE_ATOMIC, W_SC, R_SC, NO, FORBIDDEN),
	IRIW(SHAPE_ATOMIC, W, R, F_SC, FORBIDDEN),
	WRC(SHAPE_ATOMIC, R, NO, W, R, NO, ALLOWED, false),
	WRC(SHAPE_ATOMIC, R, NO, W_REL, R, NO, ALLOWED, false),
	WRC(SHAPE_ATOMIC, R, NO, W_REL, R_ACQ, NO, FORBIDDEN, false),
	WRC(SHAPE_ATOMIC, R_ACQ, NO, W_REL, R_ACQ, NO, FORBIDDEN, false),
	{"CoRR", SHAPE_ATOMIC, FORBIDDEN, .sides = {{W(X, 1)}, {R(X, 0), NO, R(X, 1)}}},
	{"CoWW", SHAPE_ATOMIC, FORBIDDEN, .finals = 1, .sides = {{W(X, 1), NO, W(X, 2)}, {R(Y, 0)}}},
	{"CoWR", SHAPE_ATOMIC, FORBIDDEN, .finals = 1, .sides = {{W(X, 1), NO, R(X, 0)}, {W(X, 2)}}},
	{"CoRW", SHAPE_ATOMIC, FORBIDDEN, .finals = 1, .sides = {{R(X, 0), NO, W(X, 1)}, {W(X, 2)}}},
	{"RMW", SHAPE_ATOMIC, FORBIDDEN, .finals = 1, .sides = {{ADD(X, 0)}, {ADD(X, 1)}, {ADD(X, 2)}}},
	{"MP", SHAPE_ATOMIC, ALLOWED, .sides = {{W(X, 1), NO, ADD(Y, 2)}, {R_ACQ(Y, 0), NO, R(X, 1)}}},
	{"MP", SHAPE_ATOMIC, FORBIDDEN, .sides = {{W(X, 1), NO, ADD_AR(Y, 2)}, {R_ACQ(Y, 0), NO, R(X, 1)}}},
	{"SB", SHAPE_ATOMIC, FORBIDDEN, .sides = {{ADD_AR(X, 2), NO, R(Y, 0)}, {ADD_AR(Y, 3), NO, R(X, 1)}}},
};

const unsigned shape_count = sizeof(shapes) / sizeof(shapes[0]);
