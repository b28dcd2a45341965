/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deterministic world, as scenarios and programs that explore see it.
 *
 * A run is one execution of a scenario under one seed: threads, interrupts and devices are fibers of one thread of the
 * system, time is virtual, and every choice is drawn from the seed. docs/SIMULATION.md explains how to use it.
 */
#ifndef OB_SIM_SIM_H
#define OB_SIM_SIM_H

#include <outboard/types.h>

enum sim_strategy {
	SIM_RANDOM, /* preempt at random accesses */
	SIM_PCT,    /* strict priorities, lowered at few random accesses */
	SIM_STRATEGY_COUNT
};

/* What the seed's draws do to a run, beyond what the program does of itself. */
enum sim_choice {
	SIM_CHOICE_PREEMPT,    /* a thread gives way in the midst of something */
	SIM_CHOICE_STALL,      /* … and sleeps for a while */
	SIM_CHOICE_WARP,       /* … and time moves on to the device's next doing */
	SIM_CHOICE_LATE_STORE, /* a store stays in its CPU's buffer */
	SIM_CHOICE_OLD_LOAD,   /* a CPU keeps sight of what was there before a write */
	SIM_CHOICE_INTERRUPT,  /* an interrupt comes in the midst of driver code */
	SIM_CHOICE_FAULT,
	SIM_CHOICE_COUNT
};

/* Of the choices of each kind, in the order in which they come up, those that count: a bit each; none after @count. */
struct sim_plan {
	const uint64_t *bits[SIM_CHOICE_COUNT];
	uint32_t count[SIM_CHOICE_COUNT];
};
/* What may befall a device, a driver or what is between them. fault.c has the table that says more of each. */
enum sim_fault {
	SIM_FAULT_HANG, /* commands of I/O queues */
	SIM_FAULT_SLOW,
	SIM_FAULT_FAIL,
	SIM_FAULT_ADMIN_HANG, /* … of the admin queue */
	SIM_FAULT_ADMIN_SLOW,
	SIM_FAULT_ADMIN_FAIL,
	SIM_FAULT_COMPLETION_BAD, /* completion entries */
	SIM_FAULT_COMPLETION_FIELD,
	SIM_FAULT_COMPLETION_TWICE,
	SIM_FAULT_COMPLETION_EARLY,
	SIM_FAULT_COMPLETION_LOST,
	SIM_FAULT_INTERRUPT_LOST, /* messages */
	SIM_FAULT_INTERRUPT_LATE,
	SIM_FAULT_INTERRUPT_SPURIOUS,
	SIM_FAULT_DATA,     /* what admin commands return */
	SIM_FAULT_REGISTER, /* registers */
	SIM_FAULT_REGISTER_STUCK,
	SIM_FAULT_REGISTERS_ONES,
	SIM_FAULT_CONFIG_ONES,
	SIM_FAULT_NOT_READY, /* enabling and disabling */
	SIM_FAULT_NOT_IDLE,
	SIM_FAULT_FATAL, /* the device as a whole */
	SIM_FAULT_REMOVE,
	SIM_FAULT_INSERT,
	SIM_FAULT_POWER_CUT,
	SIM_FAULT_CALL, /* calls of the kit, by sim_call_fails() */
	SIM_FAULT_COUNT
};

#define SIM_FAULT_BIT(kind) (1ull << (kind))

struct sim_fault_script; /* sim/fault.h */

/* Zero means the default everywhere. */
struct sim_config {
	enum sim_strategy strategy;
	unsigned preempt_every;  /* random: accesses between preemptions, on average; default 64 */
	unsigned pct_depth;      /* PCT: points where a priority drops; default 3 */
	unsigned steps_expected; /* PCT: the points lie within so many accesses; default 20000 */
	unsigned stall_one_in;   /* a preempted thread sleeps for a drawn time, one time in …; 0: never */
	bool warp;               /* preemptions may move time on to when the device wants to go on */
	unsigned spin_patience;  /* looks at the clock, while nothing happens, before time moves on; default 4 */
	unsigned drain_one_in;   /* at a switch a buffered store becomes visible, one time in …; default 8 */
	uint64_t latency_max_ns; /* of a device's command; default 30 us */
	bool preempt_hard;       /* interrupts are taken in the midst of driver code; otherwise only between */
	bool loose_interrupts;   /* they order nothing: what a handler finds may be newer than what raised it */
	uint64_t time_max_ns;    /* virtual; default 100 s */
	uint64_t steps_max;      /* default 20 million */
	unsigned hard_steps_max; /* of its own that a hard handler may take; default 5000, 10 us */
	bool no_weak_memory;     /* all stores visible at once */
	bool no_races;           /* no vector clocks */
	bool promises;           /* stores may be made before earlier loads; takes up to three runs */
	bool no_snapshot;        /* come to the checkpoint in each run anew: slower, and nothing else */
	bool record;             /* keep all that happens, for a picture; changes nothing else */
	/* less than the seed says, to make a failing run small */
	const struct sim_plan *plan;               /* NULL: all choices count */
	unsigned load_max, cpus_max, channels_max; /* of sim_load() and its like; 0: as much as they ask for */
	/* the machine */
	bool pin_interrupts; /* no MSI-X */
	bool shadow_doorbells;
	bool memory_buffer;    /* a controller memory buffer, and queues in it */
	unsigned queues;       /* default 4 */
	unsigned ring_entries; /* that a queue may have; default 64 */
	unsigned vectors;      /* default one more than queues */
	bool slot;             /* devices stand behind root ports, in hot plug slots */
	bool lossy;            /* a disk loses at a power cut what was not flushed */
	/* virtio devices: by default split rings, with indirect tables, event indexes, used in any order */
	bool packed_rings, direct_rings, event_flags, ordered_rings;
	bool single_buffers; /* a network device that puts each frame into one buffer */
	/* faults: how often each strikes, one time in …; 0: never */
	unsigned fault_one_in[SIM_FAULT_COUNT];
	const struct sim_fault_script *fault_script; /* … and those that were written down; or NULL */
};

#define SIM_RULE_LEN   32
#define SIM_REPORT_LEN 16384

struct sim_result {
	bool failed;
	char rule[SIM_RULE_LEN]; /* what was broken */
	char report[SIM_REPORT_LEN];
	uint64_t hash; /* of everything that happened */
	bool promised; /* a store was made before an earlier load */
	uint64_t steps, switches, now_ns;
	uint64_t commands;  /* that devices completed */
	uint64_t scheduled; /* interrupts that were taken in the midst of driver code */
	/* behind the checkpoint */
	uint32_t requests;                      /* that the scenario told of */
	uint32_t choices[SIM_CHOICE_COUNT];     /* that came up */
	unsigned fault_counts[SIM_FAULT_COUNT]; /* how often each struck */
};

struct sim_device_type; /* sim/device.h */

struct sim_scenario {
	const char *name, *help;
	void (*run)(const struct sim_config *config);
	uint64_t faults;      /* SIM_FAULT_BIT of those that it bears: the swarm draws from them */
	uint64_t faults_sure; /* … and of those that are in every seed */
	const struct sim_device_type *const *devices; /* of the machine "sim:", ending with NULL; NULL: one sim_nvme */
	/*
	 * For a scenario with a checkpoint, else NULL: what of @config matters before it goes into @shape, which is zero.
	 * Up to the checkpoint the world is calm, and the same for SIM_SHAPE_SEEDS seeds; it is kept, and brought back.
	 */
	void (*shape)(const struct sim_config *config, struct sim_config *shape);
};

#define SIM_SHAPE_SEEDS 256

/** sim_init - before any run, and again when somebody else took its signals. 0 or negative errno */
int sim_init(void);

/** sim_run - one run; the result is complete when it returns */
void sim_run(const struct sim_scenario *scenario, const struct sim_config *config, uint64_t seed,
	     struct sim_result *out);

/** sim_report_symbols - put source lines into the report, for who reads it. Slow. */
void sim_report_symbols(struct sim_result *result);

/** sim_swarm - vary what a seed decides about the world of @scenario; faults only where it bears them */
void sim_swarm(const struct sim_scenario *scenario, uint64_t seed, struct sim_config *config);

/* ---- for scenarios, inside a run ---- */

/** sim_random - below @count, from the scenario's own stream */
uint64_t sim_random(uint64_t count);
/**
 * sim_load, sim_cpus, sim_channels - how much of a workload, how many CPUs, how many channels this run may have
 * @wanted: what the seed says
 *
 * A scenario that asks lets a failing run of it be made smaller.
 * Return: at most @wanted, at least 1 unless that is 0.
 */
unsigned sim_load(unsigned wanted);
unsigned sim_cpus(unsigned wanted);
unsigned sim_channels(unsigned wanted);
/** sim_fail - the run is over: @rule was broken */
void sim_fail(const char *rule, const char *format, ...) OB_PRINTF(2, 3) __attribute__((noreturn));
#define SIM_CHECK(condition)                                                  \
	do {                                                                  \
		if (!(condition))                                             \
			sim_fail("scenario", "%s does not hold", #condition); \
	} while (0)
/** sim_call_fails - for ob_hooks.fail: does this call fail? */
bool sim_call_fails(const char *call);
/** sim_fault_possible - may @kind strike in this run? */
bool sim_fault_possible(enum sim_fault kind);
/** sim_fault_count - how often @kind has struck so far; SIM_FAULT_COUNT: all kinds together */
unsigned sim_fault_count(enum sim_fault kind);
/** sim_device_break - the machine's first device says that it cannot go on, as soon as it comes to it */
void sim_device_break(void);
/** sim_power_cuts - how often a device came back without what it had not flushed */
unsigned sim_power_cuts(void);
/** sim_checkpoint - what comes after this differs from seed to seed; at most once, for a scenario with a shape */
void sim_checkpoint(void);
/** sim_leave - end here, with everything standing: what was asked for must have been answered, no more is checked */
void sim_leave(void) __attribute__((noreturn));
/** sim_log - for ob_config.log: keeps the last lines for the report */
void sim_log(void *arg, int level, const char *message);

/* A request that was handed to a driver must come back exactly once. */
void sim_request_begin(const void *request);
void sim_request_end(const void *request);

/*
 * What a disk must hold when power comes back: each block the value of its last durable write, or of one that was
 * submitted later. The ids name a write or flush at its end. Block @lba + i of a write holds
 * @value + i in each of its words of 64 bits; blocks hold zero at first.
 */
/** sim_durable_write - a write, or zeroes, is submitted. Returns its id. */
uint32_t sim_durable_write(uint64_t lba, unsigned blocks, uint64_t value);
/** sim_durable_written - write @id ended; @good: with success; @fua: and it was a write through the cache */
void sim_durable_written(uint64_t lba, unsigned blocks, uint32_t id, bool good, bool fua);
/** sim_durable_flush - a flush is submitted. Returns its id. */
uint32_t sim_durable_flush(void);
void sim_durable_flushed(uint32_t id, bool good);
/** sim_durable_check - power was cut and is back, and @data is what block @lba holds */
void sim_durable_check(uint64_t lba, const void *data, size_t block_bytes);

/* ---- for tests of the world itself ---- */

struct sim_thread_handle;
/** sim_dma_memory - coherent memory outside of any machine, which the device of sim_device_set() sees as well */
void *sim_dma_memory(size_t len_bytes);
/** sim_spawn - a thread; sim_join_all() waits for those that were spawned */
void sim_spawn(const char *name, void (*fn)(void *arg), void *arg);
void sim_join_all(void);
/** sim_device_* - accesses of a device to @address of sim_dma_memory(), in a function given to sim_device_set() */
void sim_device_set(void (*fn)(void *arg), void *arg);
uint64_t sim_device_load(const void *address, unsigned len_bytes);
void sim_device_store(void *address, uint64_t value, unsigned len_bytes, bool publish);
void sim_device_fence(void);
/** sim_doorbell - a posted register write to that device; sim_device_doorbell() is the last one that arrived */
void sim_doorbell(uint64_t value);
uint64_t sim_device_doorbell(void);
/** sim_device_status - the device's own register has that value; sim_status() reads it, for a region's operations */
void sim_device_status(uint64_t value);
uint64_t sim_status(void);
/** sim_wait_ns - the calling thread sleeps */
void sim_wait_ns(uint64_t ns);

#endif
