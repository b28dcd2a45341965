/* SPDX-License-Identifier: BSD-2-Clause */
/* A growing list of strings. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine/qemu/strings.h"

void strings_add(struct strings *s, const char *format, ...)
{
	va_list args;

	if (s->count + 2 > s->capacity) {
		size_t capacity = s->capacity > 0 ? 2 * s->capacity : 32;
		char **v = realloc(s->v, capacity * sizeof(*v));

		if (v == NULL) {
			s->failed = true;
			return;
		}
		s->v = v;
		s->capacity = capacity;
	}
	va_start(args, format);
	if (vasprintf(&s->v[s->count], format, args) < 0)
		s->failed = true;
	else
		s->count++;
	va_end(args);
	s->v[s->count] = NULL;
}

void strings_fini(struct strings *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strings){0};
}
