/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the QEMU behind a machine lives. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include <outboard/cpu.h>

#include "io/io.h"
#include "machine/qemu/life.h"

#define BURIAL_NS (8 * OB_NS_PER_S) /* the supervisor's own deadlines are shorter */

void qemu_life_await_burial(struct qemu_life *life)
{
	if (life->watched && !__atomic_load_n(&life->buried, __ATOMIC_ACQUIRE))
		(void)io_wait(life->buried_fd, POLLIN, ob_deadline(BURIAL_NS));
}

void qemu_life_bury(struct qemu_life *life)
{
	if (!__atomic_exchange_n(&life->buried, true, __ATOMIC_ACQ_REL))
		io_event_fire(life->buried_fd);
}

void qemu_life_end(struct qemu_life *life, const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&life->ended, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	va_start(args, format);
	vsnprintf(life->why, sizeof(life->why), format, args);
	va_end(args);
	__atomic_store_n(&life->machine->dead, true, __ATOMIC_RELEASE);
	io_event_fire(life->fd);
}
