/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the QEMU behind a machine lives. */
#include <stdarg.h>
#include <stdio.h>

#include "machine/qemu/io.h"
#include "machine/qemu/life.h"

void qemu_life_end(struct qemu_life *life, const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&life->ended, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	va_start(args, format);
	vsnprintf(life->why, sizeof(life->why), format, args);
	va_end(args);
	__atomic_store_n(&life->machine->dead, true, __ATOMIC_RELEASE);
	qemu_io_event_fire(life->fd);
}
