/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults between a CPU and a device's registers and configuration space. They lie on the bus, before any model: that one
 * goes on as it is, and knows nothing of what the CPU reads.
 */
#include "sim/fault/fault.h"
#include "sim/machine/model.h"

#define ONES_MAX_SHIFT 24 /* of what is drawn: up to 16 ms, more or less */

static uint64_t low_bytes(uint64_t value, unsigned size_bytes)
{
	return size_bytes >= 8 ? value : value & ((1ull << 8 * size_bytes) - 1);
}

static uint64_t until(const struct fault_rule *r)
{
	uint64_t for_ns = r->has_value ? r->value : 1ull << fault_draw(ONES_MAX_SHIFT);

	return for_ns == NEVER ? NEVER : W.now_ns + for_ns;
}

/* What stands in place of @value: near it, or anything. */
static uint64_t garbage(uint64_t value, unsigned size_bytes)
{
	switch (fault_draw(5)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return value ^ 1ull << fault_draw(8ull * size_bytes);
	case 3:
		return value + 1;
	default:
		return random_next(&W.random_fault);
	}
}

static const struct sim_register *named(const struct sim_device *dev, uint64_t offset)
{
	const struct sim_register *r = dev->type->registers;

	while (r != NULL && r->len_bytes != 0 && offset - r->offset >= r->len_bytes)
		r++;
	return r != NULL && r->len_bytes != 0 ? r : NULL;
}

/* The driver was told something else than the model knows: what follows may be wrong by no fault of the driver's. */
static void told(const struct sim_device *dev, uint64_t offset)
{
	const struct sim_register *r = named(dev, offset);

	W.fault_excuses |= FAULT_EXCUSE_NOTES;
	if (r == NULL || r->is_trusted)
		W.fault_excuses |= FAULT_EXCUSE_DMA;
}

/* ---- stuck registers ---- */

static void stick(struct sim_device *dev, const struct fault_rule *r, uint64_t offset, unsigned size_bytes,
		  uint64_t value)
{
	struct sim_stuck *s = &dev->stuck[dev->stuck_count++];

	s->offset = r->has_offset ? r->offset : offset;
	s->len_bytes = r->has_offset ? r->len_bytes : size_bytes;
	s->value = r->has_value ? r->value : fault_draw(2) == 0 ? value : garbage(value, size_bytes);
	told(dev, s->offset);
}

static const struct sim_stuck *stuck_at(const struct sim_device *dev, uint64_t offset)
{
	for (unsigned i = 0; i < dev->stuck_count; i++)
		if (offset - dev->stuck[i].offset < dev->stuck[i].len_bytes)
			return &dev->stuck[i];
	return NULL;
}

/* ---- registers ---- */

/* @value, which was read at @offset, with what @r says in the place of its register: a part of it, or all and more. */
static uint64_t told_instead(const struct fault_rule *r, uint64_t offset, uint64_t value)
{
	uint64_t mask = low_bytes(UINT64_MAX, r->len_bytes), told_value = r->value;
	unsigned shift = 8 * (unsigned)(offset > r->offset ? offset - r->offset : r->offset - offset);

	mask = offset > r->offset ? mask >> shift : mask << shift;
	told_value = offset > r->offset ? told_value >> shift : told_value << shift;
	return (value & ~mask) | (told_value & mask);
}

uint64_t fault_register_read(struct sim_device *dev, unsigned bar, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	const struct fault_rule *r;
	const struct sim_stuck *s;

	fault_count(FAULT_AT_READ);
	r = dev->ones_until_ns <= W.now_ns ? fault_strike(SIM_FAULT_REGISTERS_ONES) : NULL;
	if (r != NULL) {
		dev->ones_until_ns = until(r);
		W.fault_excuses |= FAULT_EXCUSE_NOTES; /* writes are lost, in the midst of what they belong to */
	}
	if (dev->ones_until_ns > W.now_ns)
		return low_bytes(UINT64_MAX, size_bytes);
	s = stuck_at(dev, offset);
	if (s == NULL && dev->stuck_count < ARRAY_SIZE(dev->stuck)) {
		r = fault_strike_at(SIM_FAULT_REGISTER_STUCK, offset, size_bytes);
		if (r != NULL)
			stick(dev, r, offset, size_bytes, value);
		s = stuck_at(dev, offset);
	}
	if (s != NULL)
		value = s->value >> 8 * (offset - s->offset);
	r = fault_strike_at(SIM_FAULT_REGISTER, offset, size_bytes);
	if (r != NULL) {
		value = r->has_value ? told_instead(r, offset, value) : garbage(value, size_bytes);
		told(dev, offset);
	}
	return low_bytes(value, size_bytes);
}

/* False: the write does not arrive. */
bool fault_register_write(struct sim_device *dev, unsigned bar, uint64_t offset)
{
	return dev->ones_until_ns <= W.now_ns && stuck_at(dev, offset) == NULL;
}

/* ---- configuration space ---- */

uint32_t fault_config_read(struct sim_device *dev, unsigned offset, unsigned size_bytes, uint32_t value)
{
	const struct fault_rule *r;

	fault_count(FAULT_AT_CONFIG);
	r = dev->config_ones_until_ns <= W.now_ns ? fault_strike(SIM_FAULT_CONFIG_ONES) : NULL;
	if (r != NULL) {
		dev->config_ones_until_ns = until(r);
		W.fault_excuses |= FAULT_EXCUSE_NOTES; /* how many vectors it has, for one */
	}
	return dev->config_ones_until_ns > W.now_ns ? (uint32_t)low_bytes(UINT32_MAX, size_bytes) : value;
}

bool fault_config_write(struct sim_device *dev)
{
	if (dev->config_ones_until_ns <= W.now_ns)
		return true;
	/* With no way to its registers either, nobody can keep it from its DMA. */
	W.fault_excuses |= FAULT_EXCUSE_NOTES | FAULT_EXCUSE_DMA;
	return false;
}
