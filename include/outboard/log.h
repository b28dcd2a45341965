/* SPDX-License-Identifier: BSD-2-Clause */
/* Log messages. The library never prints: a message goes to the callback of the context's configuration. */
#ifndef OUTBOARD_LOG_H
#define OUTBOARD_LOG_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;

enum ob_log_level {
	OB_LOG_ERROR, /* something failed and the caller learns of it */
	OB_LOG_WARN,  /* survived: a retry, a reset, a quirk */
	OB_LOG_INFO,  /* found, bound, removed */
	OB_LOG_DEBUG,
};

/**
 * ob_log - hand one message to the context's log callback
 * @ob:     context
 * @level:  messages above the configured level are dropped before they are formatted
 * @format: one line, without the newline; names device, queue and request where there are some
 *
 * Context: any, and any thread; not the I/O path.
 */
void ob_log(struct ob *ob, enum ob_log_level level, const char *format, ...) OB_PRINTF(3, 4);

#define ob_err(ob, ...)   ob_log(ob, OB_LOG_ERROR, __VA_ARGS__)
#define ob_warn(ob, ...)  ob_log(ob, OB_LOG_WARN, __VA_ARGS__)
#define ob_info(ob, ...)  ob_log(ob, OB_LOG_INFO, __VA_ARGS__)
#define ob_debug(ob, ...) ob_log(ob, OB_LOG_DEBUG, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
