/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs that run in a guest have in common: the log, of which each sees a copy on its console, and resets. */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include <outboard/driver.h>
#include <outboard/outboard.h>

/* For struct ob_config. */
void guest_log_keep(void *arg, enum ob_log_level level, const char *message);
/* Begin a new one. */
void guest_log_clear(void);
bool guest_logged(const char *text);

/* ob_device_reset() in a task of CPU 0, whose home is the caller. */
int guest_reset(struct ob *ob, struct ob_device *dev);

#endif
