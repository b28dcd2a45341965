/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of the world's machine: messages and lines, on their way from a model's function to a CPU's descriptor. */
#include <errno.h>

#include "sim/fault/fault.h"
#include "sim/machine/model.h"

#define LATE_MIN_NS OB_NS_PER_US
#define LATE_SHIFTS 14

static struct sim_machine *of(struct machine *m)
{
	return (struct sim_machine *)(void *)m;
}

/* ---- messages ---- */

/* By its descriptor: one that is closed in the meantime is nobody's. */
static void fire(int fd)
{
	const struct fault_rule *r;
	struct sim_machine *m = sim_machine;

	r = fault_strike(SIM_FAULT_INTERRUPT_LATE);
	if (r == NULL || m->late_count == SIM_LATE_MAX) {
		world_fd_fire(fd);
		return;
	}
	m->late[m->late_count++] = (struct sim_late){
		.due_ns = W.now_ns + (r->has_value ? r->value : LATE_MIN_NS << fault_draw(LATE_SHIFTS)),
		.fd = fd,
	};
	sim_device_derive_due();
}

uint64_t sim_interrupt_due_ns(const struct sim_machine *m)
{
	uint64_t at = NEVER;

	for (unsigned i = 0; i < m->late_count; i++)
		at = MIN(at, m->late[i].due_ns);
	return at;
}

bool sim_interrupt_due(struct sim_machine *m)
{
	for (unsigned i = 0; i < m->late_count; i++) {
		if (m->late[i].due_ns > W.now_ns)
			continue;
		world_fd_fire(m->late[i].fd);
		m->late[i] = m->late[--m->late_count];
		sim_device_derive_due();
		return true;
	}
	return false;
}

static int message_fd(uint32_t data)
{
	return data < WORLD_FDS ? sim_machine->msi_fds[data] : 0;
}

uint16_t sim_msix_vectors(unsigned usual)
{
	if (W.config.pin_interrupts)
		return 0;
	return (uint16_t)(W.config.vectors != 0 ? W.config.vectors : usual);
}

void sim_message(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data)
{
	if (address != SIM_MSI_ADDRESS || message_fd(data) == 0)
		return;
	if (!world_fd_heard(message_fd(data)))
		check_irq_unheard("a message interrupt");
	fault_count(FAULT_AT_INTERRUPT);
	if (fault_strike(SIM_FAULT_INTERRUPT_LOST) == NULL)
		fire(message_fd(data));
	if (fault_strike(SIM_FAULT_INTERRUPT_SPURIOUS) != NULL) {
		data = (uint32_t)fault_draw(W.config.queues + 1);
		if (message_fd(data) != 0)
			world_fd_fire(message_fd(data));
	}
}

int sim_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous, struct machine_msi *out)
{
	unsigned made = 0;

	world_capture();
	for (unsigned data = 0; data < WORLD_FDS && made < count; data++) {
		int fd = of(m)->msi_fds[data] == 0 ? world_fd_open() : -1;

		if (fd < 0)
			continue;
		of(m)->msi_fds[data] = fd;
		out[made++] = (struct machine_msi){
			.fd = fd,
			.program = true,
			.address = SIM_MSI_ADDRESS,
			.data = data,
		};
	}
	if (made == count)
		return 0;
	sim_msi_free(m, dev, made, out);
	return -ENOSPC;
}

void sim_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi)
{
	world_capture();
	for (unsigned i = 0; i < count; i++) {
		world_fd_close(msi[i].fd);
		of(m)->msi_fds[msi[i].data] = 0;
	}
}

/* ---- lines ---- */

static struct sim_line *line_at(struct sim_machine *m, unsigned slot, unsigned pin)
{
	unsigned index = slot - SIM_FIRST_SLOT;

	return index < SIM_DEVICES_MAX && pin >= 1 && pin <= 4 ? &m->lines[index][pin - 1] : NULL;
}

void sim_line_set(struct model_pci_root *root, unsigned slot, unsigned pin, bool level)
{
	struct sim_line *line = line_at(sim_machine, slot, pin);

	if (line == NULL)
		return;
	line->level += level ? 1 : -1u;
	if (level)
		check_irq_cause();
	if (line->users == 0)
		return;
	if (level && !world_fd_heard(line->fd))
		check_irq_unheard("an interrupt line");
	if (level && line->level == 1) {
		fault_count(FAULT_AT_INTERRUPT);
		fire(line->fd);
	} else if (fault_strike(SIM_FAULT_INTERRUPT_SPURIOUS) != NULL) {
		world_fd_fire(line->fd);
	}
}

int sim_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin, struct machine_intx *out)
{
	struct sim_line *line = line_at(of(m), slot, pin);

	world_capture();
	if (line == NULL)
		return -EINVAL;
	if (line->users == 0) {
		line->fd = world_fd_open();
		if (line->fd < 0)
			return -ENOSPC;
		if (line->level > 0)
			world_fd_fire(line->fd);
	}
	line->users++;
	*out = (struct machine_intx){.fd = line->fd, .cookie = line};
	return 0;
}

void sim_intx_close(struct machine *m, struct machine_intx *out)
{
	struct sim_line *line = out->cookie;

	world_capture();
	if (--line->users == 0)
		world_fd_close(line->fd);
}

bool sim_intx_level(struct machine *m, struct machine_intx *out)
{
	struct posted access = {.kind = POSTED_LINE, .offset = (uintptr_t)out->cookie};

	world_capture();
	return simdev_ask_ordered(&access) != 0;
}
