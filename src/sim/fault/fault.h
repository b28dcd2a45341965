/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a run: what may strike, how often, and what a script says of it. Programs that explore use the first part;
 * the files of the world ask fault_strike() where something may go wrong.
 */
#ifndef OB_SIM_FAULT_H
#define OB_SIM_FAULT_H

#include "sim/choice.h"

/* ---- for programs ---- */

struct sim_fault_kind {
	const char *name;
	const char *help;    /* what happens */
	const char *of;      /* it strikes one in so many of these */
	unsigned seeds;      /* the swarm has it in one seed of so many that may have it … */
	unsigned rate, span; /* … at a rate of @rate to @rate + @span - 1 */
};

extern const struct sim_fault_kind sim_fault_kinds[SIM_FAULT_COUNT];

/** sim_fault_parse - "NAME=RATE" into @config; 0, or -EINVAL and what is wrong with it in @error */
int sim_fault_parse(const char *text, struct sim_config *config, char *error, size_t size);
/**
 * sim_fault_script_parse - a script of faults
 * @name:  what it is called in messages
 * @types: whose registers it may name; ends with NULL
 *
 * Return: 0; -EINVAL, and in @error what is wrong and the way out; -ENOMEM.
 */
int sim_fault_script_parse(const char *name, const char *text, const struct sim_device_type *const types[],
			   struct sim_fault_script **out, char *error, size_t size);
/** sim_fault_script_read - … of a file; or what open() says */
int sim_fault_script_read(const char *path, const struct sim_device_type *const types[], struct sim_fault_script **out,
			  char *error, size_t size);
void sim_fault_script_free(struct sim_fault_script *script);

/* ---- for the world ---- */

enum fault_when {
	FAULT_WHEN_ALWAYS,
	FAULT_WHEN_AT,    /* the @number-th thing, or the first one behind it that the fault fits */
	FAULT_WHEN_EVERY, /* each @number-th, once */
	FAULT_WHEN_AFTER, /* @number nanoseconds */
};

/* A line of a script. */
struct fault_rule {
	uint64_t kinds; /* bits of enum sim_fault */
	enum fault_when when;
	enum fault_thing thing;
	uint64_t number;
	uint16_t times;  /* 0: no end */
	bool has_offset; /* it is about the register, or the byte, at @offset */
	bool has_value;  /* otherwise it is drawn */
	uint64_t offset; /* register: in its BAR; data: byte */
	unsigned len_bytes;
	uint64_t value;
};

struct sim_fault_script {
	unsigned count;
	struct fault_rule rules[FAULT_RULES];
	char *text; /* as it was written */
};

/* What is no proof against the driver any more, since the device told what is not so. */
#define FAULT_EXCUSE_NOTES 0x1u /* what its model complains of */
#define FAULT_EXCUSE_DMA   0x2u /* what the device reaches, and when */

/* The run starts, or goes on with another configuration. */
void fault_begin(void);
void fault_derive_due(void);
/* A fault of @kind strikes now: all that do come by here. */
void sim_fault_struck(enum sim_fault kind);
/* Is it time for a fault of the device as a whole? Asked between two of its doings. */
const struct fault_rule *fault_look_at_device(enum sim_fault kind);
const struct fault_rule *fault_look(enum sim_fault kind, uint64_t offset, unsigned len_bytes);

/* One more of what faults may strike. */
static inline void fault_count(enum fault_thing thing)
{
	if (OB_UNLIKELY(W.fault_on != 0))
		W.fault_seen[thing]++;
}

/*
 * Does @kind strike here? NULL: no. Otherwise what a script says of it, or a rule without a value: all is to be drawn.
 * Nothing is drawn for a kind that is off, so that a new kind shifts no seed that does not have it.
 */
static inline const struct fault_rule *fault_strike(enum sim_fault kind)
{
	return OB_LIKELY((W.fault_on & SIM_FAULT_BIT(kind)) == 0) ? NULL : fault_look(kind, 0, UINT32_MAX);
}

/* … at these bytes. */
static inline const struct fault_rule *fault_strike_at(enum sim_fault kind, uint64_t offset, unsigned len_bytes)
{
	return OB_LIKELY((W.fault_on & SIM_FAULT_BIT(kind)) == 0) ? NULL : fault_look(kind, offset, len_bytes);
}

static inline uint64_t fault_draw(uint64_t count)
{
	return random_below(&W.random_fault, count);
}

/* How much longer than usual what is slow by @rule takes. */
static inline uint64_t fault_slowness_ns(const struct fault_rule *rule)
{
	return rule->has_value ? rule->value : OB_NS_PER_US << fault_draw(15);
}

#endif
