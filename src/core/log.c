/* SPDX-License-Identifier: BSD-2-Clause */
/* Log messages go to the callback of the context's configuration; formatted on the stack, so no memory is needed. */
#include <stdarg.h>
#include <stdio.h>

#include "core/context.h"

#define LINE_MAX_BYTES 1024

void ob_log(struct ob *ob, enum ob_log_level level, const char *format, ...)
{
	void (*log)(void *arg, enum ob_log_level level, const char *message) = __atomic_load_n(&ob->config.log,
											       __ATOMIC_ACQUIRE);
	char line[LINE_MAX_BYTES];
	va_list args;

	if (!log || level > ob->config.log_level)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* One line, whatever a device's strings hold. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	log(ob->config.log_arg, level, line);
}
