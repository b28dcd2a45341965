/* SPDX-License-Identifier: BSD-2-Clause */
/* See bed.h. */
#include "tests/bed.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX    (1u << 20)
#define COMMAND_NS (5 * OB_NS_PER_S)

void bed_log_open(struct bed_log *log)
{
	*log = (struct bed_log){.text = calloc(1, LOG_MAX)};
	assert_non_null(log->text);
}

void bed_log_close(struct bed_log *log)
{
	free(log->text);
	*log = (struct bed_log){0};
}

void bed_log_append(void *arg, enum ob_log_level level, const char *message)
{
	struct bed_log *log = arg;
	int len;

	while (__atomic_exchange_n(&log->lock, 1, __ATOMIC_ACQUIRE) != 0)
		;
	len = snprintf(log->text + log->len, LOG_MAX - log->len, "%u %s\n", (unsigned)level, message);
	if (len > 0 && (size_t)len < LOG_MAX - log->len)
		log->len += (size_t)len;
	__atomic_store_n(&log->lock, 0, __ATOMIC_RELEASE);
	if (getenv("BED_VERBOSE") != NULL)
		fprintf(stderr, "%u %s\n", (unsigned)level, message);
}

unsigned bed_log_count(const struct bed_log *log, const char *text)
{
	unsigned count = 0;

	for (const char *at = log->text; (at = strstr(at, text)) != NULL; at++)
		count++;
	return count;
}

void bed_machine_command(struct ob_machine *machine, const char *format, va_list args)
{
	char text[512], *reply = NULL;
	int ret;

	vsnprintf(text, sizeof(text), format, args);
	ret = ob_machine_command(machine, text, &reply, ob_deadline(COMMAND_NS));
	if (ret != 0)
		fail_msg("%s: %d: %s", text, ret, reply != NULL ? reply : "");
	ob_free(reply);
}
