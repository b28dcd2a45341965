/* SPDX-License-Identifier: BSD-2-Clause */
/* A scenario for the ferry's driver: some work through its functions, and what must hold. Instrumented like a driver. */
#include <errno.h>
#include <string.h>

#include <outboard/outboard.h>

#include "ferry.h"
#include "sim/device.h"
#include "sim/sim.h"

#define TASKS     3 /* more than the ring has entries */
#define LEN_BYTES 64
#define COPIES    5
#define LIMIT_NS  OB_NS_PER_S /* of a copy: longer than any stall of this world */

struct passenger {
	struct ob_device *dev;
	struct ob_window *window;
	uint64_t *from, *to;
	bool rough; /* the device may fail: then a copy may fail too, but not wrongly succeed */
};

static void copy_once(const struct passenger *p)
{
	const unsigned last = LEN_BYTES / 8 - 1;
	uint64_t value = sim_random(UINT32_MAX);
	int rc;

	p->from[0] = p->from[last] = value;
	p->to[0] = p->to[last] = ~value;
	sim_request_begin(p);
	while ((rc = ferry_copy(p->dev, p->window, p->to, p->from, LEN_BYTES, ob_deadline(LIMIT_NS))) == -EBUSY)
		ob_task_sleep(ob_now_ns() + OB_NS_PER_MS);
	sim_request_end(p);
	if (rc != 0 && !p->rough)
		sim_fail("copy-failed", "%s", strerror(-rc));
	if (rc == 0 && (p->to[0] != value || p->to[last] != value))
		sim_fail("wrong-data", "%#llx came, not %#llx", (unsigned long long)p->to[0],
			 (unsigned long long)value);
}

static void travel(void *arg)
{
	for (unsigned left = sim_load(1 + (unsigned)sim_random(COPIES)); left > 0; left--)
		copy_once(arg);
}

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

static void travel_all(struct ob *ob, struct ob_machine *machine, struct ob_device *dev, bool rough)
{
	struct passenger passengers[TASKS];
	struct ob_task *tasks[TASKS];
	struct ob_window *window;

	SIM_CHECK(ob_window_create(machine, 2 * TASKS * LEN_BYTES, &window) == 0);
	SIM_CHECK(ob_window_grant(window, dev, OB_DMA_BOTH) == 0 || rough);
	for (unsigned i = 0; i < TASKS; i++) {
		uint64_t *words = (uint64_t *)(void *)(window->base + 2 * i * LEN_BYTES);

		passengers[i] = (struct passenger){dev, window, words, words + LEN_BYTES / 8, rough};
		SIM_CHECK(ob_task_spawn(ob_cpu_get(ob, 0), "passenger", travel, &passengers[i], &tasks[i]) == 0);
	}
	for (unsigned i = 0; i < TASKS; i++)
		SIM_CHECK(ob_task_join(tasks[i], ob_deadline(60 * OB_NS_PER_S)) == 0);
	ob_window_put(window);
}

static void run(bool rough)
{
	const struct ob_config ob_config = {.log = log_line, .log_level = OB_LOG_INFO, .cpu_count = 1};
	struct ob_machine *machine;
	struct ob_device *dev;
	struct ob *ob;

	SIM_CHECK(ob_create(&ob_config, &ob) == 0);
	SIM_CHECK(ob_driver_register(ob, &ferry_driver) == 0);
	SIM_CHECK(ob_machine_open(ob, "sim:", NULL, &machine) == 0);
	dev = ob_device_find(machine, "0000:00:02.0");
	SIM_CHECK(rough || (dev != NULL && ob_device_state(dev) == OB_DEVICE_BOUND));
	if (dev != NULL && ob_device_state(dev) == OB_DEVICE_BOUND)
		travel_all(ob, machine, dev, rough);
	if (dev != NULL)
		ob_device_put(dev);
	ob_machine_close(machine);
	ob_destroy(ob);
}

static void run_rides(const struct sim_config *config)
{
	run(false);
}

static void run_rough(const struct sim_config *config)
{
	run(true);
}

extern const struct sim_device_type ferry_type;
static const struct sim_device_type *const devices[] = {&ferry_type, NULL};
static const struct sim_scenario ferry_rides = {
	.name = "ferry-rides",
	.help = "some tasks have memory copied, and look at it",
	.run = run_rides,
	.devices = devices,
};

static const struct sim_scenario ferry_rough = {
	.name = "ferry-rough",
	.help = "the same with a device that loses interrupts and vanishes",
	.run = run_rough,
	.faults = SIM_FAULT_BIT(SIM_FAULT_INTERRUPT_LOST) | SIM_FAULT_BIT(SIM_FAULT_INTERRUPT_LATE) |
		  SIM_FAULT_BIT(SIM_FAULT_INTERRUPT_SPURIOUS) | SIM_FAULT_BIT(SIM_FAULT_REGISTER) |
		  SIM_FAULT_BIT(SIM_FAULT_REGISTERS_ONES) | SIM_FAULT_BIT(SIM_FAULT_REMOVE),
	.devices = devices,
};

/* main.c hands them to the explorer. */
const struct sim_scenario *const ferry_scenarios[] = {&ferry_rides, &ferry_rough, NULL};
