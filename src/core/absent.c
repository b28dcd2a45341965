/* SPDX-License-Identifier: BSD-2-Clause */
/* Stand-ins until devices and hooks are in the build. */
#include "core/context.h"

__attribute__((weak)) int devices_init(struct ob *ob)
{
	return 0;
}

__attribute__((weak)) void devices_fini(struct ob *ob)
{
}

__attribute__((weak)) bool hooks_fail(struct ob *ob, const char *call)
{
	return false;
}
