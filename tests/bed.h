/* SPDX-License-Identifier: BSD-2-Clause */
/* What the beds for tests of drivers on whole machines have in common: the log, and the machine's own language. */
#ifndef TESTS_BED_H
#define TESTS_BED_H

#include <stdarg.h>

#include <outboard/outboard.h>

/* All messages, one per line, each behind the number of its level. With BED_VERBOSE they are on standard error, too. */
struct bed_log {
	char *text;
	size_t len;
	unsigned lock; /* any thread logs */
};

void bed_log_open(struct bed_log *log);
void bed_log_close(struct bed_log *log);
/* For struct ob_config; @arg: the struct bed_log. */
void bed_log_append(void *arg, enum ob_log_level level, const char *message);
/* How often @text stands in it. */
unsigned bed_log_count(const struct bed_log *log, const char *text);

/* A command to the machine, which must work. */
void bed_machine_command(struct ob_machine *machine, const char *format, va_list args);

#endif
