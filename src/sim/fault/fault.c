/* SPDX-License-Identifier: BSD-2-Clause */
/* Which faults there are, and when one strikes: by its rate, or because the script says so. */
#include "sim/fault/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/view/cover.h"
#include "sim/view/event.h"

/* Faults of the device as a whole, which are looked at between two of its doings, and not where something is done. */
#define OF_DEVICE                                                                                             \
	(SIM_FAULT_BIT(SIM_FAULT_FATAL) | SIM_FAULT_BIT(SIM_FAULT_REMOVE) | SIM_FAULT_BIT(SIM_FAULT_INSERT) | \
	 SIM_FAULT_BIT(SIM_FAULT_POWER_CUT))

#define OF_DEVICE_MAX 4 /* of each kind in a run */

const struct sim_fault_kind sim_fault_kinds[SIM_FAULT_COUNT] = {
	[SIM_FAULT_HANG] = {"hang", "a command of an I/O queue is never done", "commands of I/O queues", 4, 2, 10},
	[SIM_FAULT_SLOW] = {"slow", "a command of an I/O queue takes up to 16 ms more", "commands of I/O queues", 4, 2,
			    10},
	[SIM_FAULT_FAIL] = {"fail", "a command of an I/O queue fails", "commands of I/O queues", 4, 2, 10},
	[SIM_FAULT_ADMIN_HANG] = {"admin-hang", "an admin command is never done", "admin commands", 10, 4, 40},
	[SIM_FAULT_ADMIN_SLOW] = {"admin-slow", "an admin command takes up to 16 ms more", "admin commands", 8, 2, 10},
	[SIM_FAULT_ADMIN_FAIL] = {"admin-fail", "an admin command fails", "admin commands", 10, 4, 40},
	[SIM_FAULT_COMPLETION_BAD] = {"completion-bad",
				      "a completion names a queue, a command or a head that cannot be",
				      "completions of I/O", 6, 2, 20},
	[SIM_FAULT_COMPLETION_FIELD] = {"completion-field", "any field of a completion is garbage", "completions", 8, 2,
					20},
	[SIM_FAULT_COMPLETION_TWICE] = {"completion-twice", "a completion is there twice", "completions", 8, 2, 20},
	[SIM_FAULT_COMPLETION_EARLY] = {"completion-early", "a completion's phase is there before the rest",
					"completions", 10, 2, 20},
	[SIM_FAULT_COMPLETION_LOST] = {"completion-lost", "a completion leaves a hole in its queue", "completions", 8,
				       2, 20},
	[SIM_FAULT_INTERRUPT_LOST] = {"interrupt-lost", "a message interrupt never comes", "message interrupts", 5, 2,
				      10},
	[SIM_FAULT_INTERRUPT_LATE] = {"interrupt-late", "an interrupt comes up to 8 ms later", "interrupts", 5, 1, 8},
	[SIM_FAULT_INTERRUPT_SPURIOUS] = {"interrupt-spurious", "an interrupt comes for nothing", "interrupts", 5, 2,
					  10},
	[SIM_FAULT_DATA] = {"data", "identify data, a log page or a feature holds garbage", "such commands", 10, 1, 12},
	[SIM_FAULT_REGISTER] = {"register", "a register reads as what it does not hold", "reads of registers", 10, 2,
				40},
	[SIM_FAULT_REGISTER_STUCK] = {"register-stuck", "a register keeps a value from now on", "reads of registers",
				      12, 4, 60},
	[SIM_FAULT_REGISTERS_ONES] = {"registers-ones", "all registers read as ones for a while", "reads of registers",
				      12, 8, 100},
	[SIM_FAULT_CONFIG_ONES] = {"config-ones", "configuration space reads as ones for a while",
				   "reads of configuration space", 12, 8, 100},
	[SIM_FAULT_NOT_READY] = {"not-ready", "the device does not get ready", "times that it is enabled", 12, 1, 4},
	[SIM_FAULT_NOT_IDLE] = {"not-idle", "the device does not get idle", "times that it is disabled", 12, 1, 4},
	[SIM_FAULT_FATAL] = {"fatal", "the device says that it cannot go on", "commands done", 8, 4, 60},
	[SIM_FAULT_REMOVE] = {"remove", "the device is pulled out", "commands done", 6, 1, 40},
	[SIM_FAULT_INSERT] = {"insert", "… and another one put into its slot", "devices pulled out", 2, 1, 2},
	[SIM_FAULT_POWER_CUT] = {"power-cut", "the device's power goes and comes back", "commands done", 8, 4, 60},
	[SIM_FAULT_CALL] = {"call", "a call of the kit fails for want of memory or the like", "calls that may fail", 5,
			    4, 250},
};

/* ---- by rate ---- */

int sim_fault_parse(const char *text, struct sim_config *config, char *error, size_t size)
{
	size_t name_len = strcspn(text, "=");
	unsigned long rate;
	char *end;

	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++) {
		if (strlen(sim_fault_kinds[kind].name) != name_len ||
		    strncmp(sim_fault_kinds[kind].name, text, name_len) != 0)
			continue;
		rate = text[name_len] == '=' ? strtoul(text + name_len + 1, &end, 10) : 0;
		if (text[name_len] != '=' || end == text + name_len + 1 || *end != '\0' || rate > UINT32_MAX / 2) {
			snprintf(error, size, "fault %s needs a rate, as in %.*s=10 (one time in ten; 0: never)", text,
				 (int)name_len, text);
			return -EINVAL;
		}
		config->fault_one_in[kind] = (unsigned)rate;
		return 0;
	}
	snprintf(error, size, "there is no fault \"%.*s\"", (int)name_len, text);
	return -EINVAL;
}

/* ---- in a run ---- */

void fault_begin(void)
{
	const struct sim_fault_script *script = W.config.fault_script;

	W.fault_on = 0;
	W.fault_excuses = 0;
	W.power_cuts = 0;
	W.fault_start_ns = W.now_ns;
	W.fault_commands = W.commands;
	memset(W.fault_counts, 0, sizeof(W.fault_counts));
	memset(W.fault_seen, 0, sizeof(W.fault_seen));
	memset(W.fault_last, 0, sizeof(W.fault_last));
	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++)
		if (W.config.fault_one_in[kind] > 0)
			W.fault_on |= SIM_FAULT_BIT(kind);
	for (unsigned i = 0; script != NULL && i < script->count; i++) {
		W.fault_on |= script->rules[i].kinds;
		W.fault_left[i] = script->rules[i].times;
	}
	fault_derive_due();
	W.device_due_ns = MIN(W.device_due_ns, W.fault_due_ns);
	sched_wake_device(W.device_due_ns);
}

/* The device's thread sleeps at most until a line of the script about the device as a whole has its time. */
void fault_derive_due(void)
{
	const struct sim_fault_script *script = W.config.fault_script;

	W.fault_due_ns = NEVER;
	for (unsigned i = 0; script != NULL && i < script->count; i++) {
		const struct fault_rule *r = &script->rules[i];

		/* One whose time has come strikes when it can; nothing has to wake up for it. */
		if (r->when == FAULT_WHEN_AFTER && (r->kinds & OF_DEVICE) != 0 && W.fault_left[i] > 0 &&
		    W.fault_start_ns + r->number > W.now_ns)
			W.fault_due_ns = MIN(W.fault_due_ns, W.fault_start_ns + r->number);
	}
}

void sim_fault_struck(enum sim_fault kind)
{
	W.fault_counts[kind]++;
	coverage_fault(kind);
	event_add(EVENT_FAULT, (uintptr_t)sim_fault_kinds[kind].name, 0);
	world_mix(0xfa017 + kind);
}

static bool rule_is_due(unsigned index)
{
	const struct fault_rule *r = &W.config.fault_script->rules[index];
	uint64_t seen = W.fault_seen[r->thing];

	switch (r->when) {
	case FAULT_WHEN_ALWAYS:
		return true;
	case FAULT_WHEN_AT:
		return seen >= r->number;
	case FAULT_WHEN_EVERY:
		return seen % r->number == 0 && seen != W.fault_last[index];
	default:
		return W.now_ns - W.fault_start_ns >= r->number;
	}
}

const struct fault_rule *fault_look(enum sim_fault kind, uint64_t offset, unsigned len_bytes)
{
	static const struct fault_rule drawn;
	const struct sim_fault_script *script = W.config.fault_script;

	for (unsigned i = 0; script != NULL && i < script->count; i++) {
		const struct fault_rule *r = &script->rules[i];

		if ((r->kinds & SIM_FAULT_BIT(kind)) == 0 || (r->times > 0 && W.fault_left[i] == 0) || !rule_is_due(i))
			continue;
		if (r->has_offset && (r->offset + r->len_bytes <= offset || offset + len_bytes <= r->offset))
			continue;
		if (r->times > 0)
			W.fault_left[i]--;
		W.fault_last[i] = W.fault_seen[r->thing];
		sim_fault_struck(kind);
		return r;
	}
	if (W.config.fault_one_in[kind] == 0 || !random_one_in(&W.random_fault, W.config.fault_one_in[kind]) ||
	    !choice_counts(SIM_CHOICE_FAULT))
		return NULL;
	sim_fault_struck(kind);
	return &drawn;
}

const struct fault_rule *fault_look_at_device(enum sim_fault kind)
{
	const struct sim_fault_script *script = W.config.fault_script;
	bool scripted = false;

	/* By rate it may strike once for each command that was completed, and not for ever: work has to get done. */
	if (W.fault_commands != W.commands && W.fault_counts[kind] < OF_DEVICE_MAX)
		return fault_look(kind, 0, UINT32_MAX);
	for (unsigned i = 0; script != NULL && i < script->count; i++)
		scripted |= (script->rules[i].kinds & SIM_FAULT_BIT(kind)) != 0 && W.fault_left[i] > 0 &&
			    rule_is_due(i);
	return scripted ? fault_look(kind, 0, UINT32_MAX) : NULL;
}

/* ---- for scenarios ---- */

bool sim_call_fails(const char *call)
{
	world_capture();
	fault_count(FAULT_AT_CALL);
	return fault_strike(SIM_FAULT_CALL) != NULL;
}

bool sim_fault_possible(enum sim_fault kind)
{
	return (W.fault_on & SIM_FAULT_BIT(kind)) != 0;
}

unsigned sim_power_cuts(void)
{
	return W.power_cuts;
}

unsigned sim_fault_count(enum sim_fault kind)
{
	unsigned count = 0;

	if (kind < SIM_FAULT_COUNT)
		return W.fault_counts[kind];
	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
		count += W.fault_counts[i];
	return count;
}
