/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that is put together; what does not fit is left out. */
#ifndef OB_MODEL_WORDS_H
#define OB_MODEL_WORDS_H

#include <stdarg.h>
#include <stdio.h>

#include <outboard/types.h>

#include "base/bits.h"

struct words {
	char *at;
	size_t left;
};

static inline void OB_PRINTF(2, 3) say(struct words *w, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(w->at, w->left, format, args);
	va_end(args);
	if (len < 0 || w->left == 0)
		return;
	len = (int)MIN((size_t)len, w->left - 1);
	w->at += len;
	w->left -= (size_t)len;
}

#endif
