/* SPDX-License-Identifier: BSD-2-Clause */
/* The hooks of tests and simulation: hooks.h. */
#include "core/hooks.h"

#include "core/context.h"

void ob_set_hooks(struct ob *ob, const struct ob_hooks *hooks)
{
	ob->hooks = hooks != NULL ? *hooks : (struct ob_hooks){0};
}

bool hooks_fail(struct ob *ob, const char *call)
{
	return OB_UNLIKELY(ob->hooks.fail != NULL) && ob->hooks.fail(ob->hooks.arg, call);
}
