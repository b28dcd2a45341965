/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine types that are built in, and how a URI names one. */
#include <errno.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/model/model_machine.h"
#include "machine/qemu/qemu.h"
#include "machine/vfio/vfio.h"
#include "machine/vhost_user/vhost_user.h"

const struct machine_type *const machine_types[] = {
	&model_machine_type, &qemu_machine_type, &vfio_machine_type, &vhost_user_machine_type, NULL,
};

const struct machine_type *machine_type_find(const char *uri, const char **rest)
{
	size_t scheme_len = strcspn(uri, ":");

	for (const struct machine_type *const *type = machine_types; *type != NULL; type++) {
		if (strlen((*type)->scheme) != scheme_len || strncmp((*type)->scheme, uri, scheme_len) != 0)
			continue;
		*rest = uri[scheme_len] == ':' ? uri + scheme_len + 1 : uri + scheme_len;
		return *type;
	}
	return NULL;
}

int ob_machine_attach_help(const char *uri, char **text)
{
	const char *rest;
	const struct machine_type *type;

	if (uri == NULL || text == NULL)
		return -EINVAL;
	type = machine_type_find(uri, &rest);
	if (type == NULL)
		return -ENOENT;
	return type->attach_help != NULL ? type->attach_help(rest, text) : -EOPNOTSUPP;
}
