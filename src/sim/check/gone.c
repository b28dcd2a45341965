/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for a device that is no longer a driver's: its registers end with the driver's remove, and with a probe that
 * failed (outboard/driver.h). A driver that is told to take down a device that was pulled out does not go on talking to
 * it; what was on its way when it was told, and a look or two to make sure, are allowed.
 *
 * And for those who look at a word again and again: they relax in between.
 */
#include <outboard/mmio.h>

#include "core/watch.h"
#include "sim/world.h"

#define DEVICES_MAX 16
#define ALLOWED     64    /* accesses after a driver was told */
#define SPINS_MAX   10000 /* looks at one word with nothing in between */

struct gone {
	const struct ob_device *dev;
	bool unbound, told;
	unsigned accesses;
	uint32_t pc[BLOCK_PCS];
};

SIM_STATE static struct {
	struct gone devices[DEVICES_MAX];
	unsigned count;
} gone;

void check_gone_reset(void)
{
	gone.count = 0;
}

static struct gone *find(const struct ob_device *dev, bool make)
{
	for (unsigned i = 0; i < gone.count; i++)
		if (gone.devices[i].dev == dev)
			return &gone.devices[i];
	if (!make || gone.count == DEVICES_MAX)
		return NULL;
	gone.devices[gone.count] = (struct gone){.dev = dev};
	return &gone.devices[gone.count++];
}

void watch_device_bound(const struct ob_device *dev)
{
	struct gone *g = W.on ? find(dev, false) : NULL;

	if (g != NULL)
		*g = (struct gone){.dev = dev};
}

static void note(const struct ob_device *dev, bool unbound)
{
	struct gone *g = W.on ? find(dev, true) : NULL;

	if (g == NULL)
		return;
	if (unbound)
		g->unbound = true;
	else
		g->told = true;
	memset(g->pc, 0, sizeof(g->pc));
	report_stack(g->pc, BLOCK_PCS);
}

void watch_device_told(const struct ob_device *dev)
{
	note(dev, false);
}

void check_gone_unbound(const struct ob_device *dev)
{
	note(dev, true);
}

static void complain(const struct gone *g, const char *what, unsigned offset)
{
	report_begin("gone-access", "%s at %#x of a device %s", what, offset,
		     g->unbound ? "whose driver has ended" : "that is gone, as its driver was told");
	report_here(0);
	report_text("%s at\n", g->unbound ? "it ended" : "it was told");
	report_pcs(g->pc, BLOCK_PCS);
	report_end();
}

void check_gone_access(const struct ob_device *dev, const char *what, unsigned offset)
{
	struct gone *g = gone.count > 0 && dev != NULL ? find(dev, false) : NULL;

	if (g != NULL && (g->unbound || (g->told && ++g->accesses > ALLOWED)))
		complain(g, what, offset);
}

void watch_config(const struct ob_device *dev, unsigned offset)
{
	struct gone *g = W.on && gone.count > 0 ? find(dev, false) : NULL;

	/* Whoever shows what is there reads the configuration of a device without a driver. */
	if (g != NULL && g->told && ++g->accesses > ALLOWED)
		complain(g, "configuration access", offset);
}

/* ---- spinning ---- */

void check_spin(uintptr_t what, uint32_t pc, const char *kind)
{
	struct thread *t = W.current;

	if (OB_LIKELY(t->spin_what != what || t->spin_pc != pc)) {
		t->spin_what = what;
		t->spin_pc = pc;
		t->spins = 0;
		return;
	}
	if (++t->spins < SPINS_MAX)
		return;
	report_begin("busy-poll", "%s was looked at %u times with nothing in between: ob_cpu_relax(), or a sleep", kind,
		     t->spins);
	report_here(pc);
	report_end();
}
