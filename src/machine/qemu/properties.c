/* SPDX-License-Identifier: BSD-2-Clause */
/* See properties.h. */
#include "machine/qemu/properties.h"

#include <string.h>

int qemu_properties_take(char *properties, int (*take)(void *arg, const char *property), void *arg)
{
	char *to = properties, *next;

	for (char *property = properties; property != NULL; property = next) {
		size_t len = strcspn(property, ",");
		int ret;

		next = property[len] == ',' ? property + len + 1 : NULL;
		property[len] = '\0';
		ret = take(arg, property);
		if (ret < 0)
			return ret;
		if (ret > 0)
			continue;
		memmove(to, property, len);
		to += len;
		if (next != NULL)
			*to++ = ',';
	}
	if (to > properties && to[-1] == ',')
		to--;
	*to = '\0';
	return 0;
}
