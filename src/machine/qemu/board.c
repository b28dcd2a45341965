/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boards have in common. The doorbell's registers: QEMU's docs/specs/ivshmem-spec. */
#include "machine/qemu/board.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <outboard/cpu.h>

#include "base/bits.h"
#include "spec/pci.h"

#define IVSHMEM_IDS 0x11101af4u

static const struct qemu_board *const boards[] = {&qemu_q35, &qemu_virt};

const struct qemu_board *qemu_board_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(boards); i++)
		if (strlen(boards[i]->name) == len && strncmp(boards[i]->name, name, len) == 0)
			return boards[i];
	return NULL;
}

int qemu_board_map_doorbell(const struct qemu_board *board, struct qtest *q)
{
	uint32_t ids = board->config_read(q, QEMU_DOORBELL_SLOT, PCI_VENDOR_ID);

	if (qemu_life_over(q->life))
		return -ENODEV;
	if (ids != IVSHMEM_IDS)
		return -ENOENT;
	board->config_write(q, QEMU_DOORBELL_SLOT, PCI_BAR(0), board->doorbell_bar);
	board->config_write(q, QEMU_DOORBELL_SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY);
	return qtest_flush(q);
}

void qemu_board_describe(const struct qemu_board *board, bool doorbell, struct machine_pci_host *out)
{
	static const uint16_t hidden[] = {QEMU_DOORBELL_SLOT << 3};

	*out = board->host;
	out->hidden = hidden;
	out->hidden_count = doorbell ? ARRAY_SIZE(hidden) : 0;
}

/* The name of what is of that type in the answer to qom-list. */
static int find_in(const char *answer, const char *type, const char *path, char *out, size_t out_bytes)
{
	json_t *json = json_loads(answer, 0, NULL), *list = json_object_get(json, "return"), *item;
	int ret = -ENOENT;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *is = json_string_value(json_object_get(item, "type"));

		if (ret == -ENOENT && name != NULL && is != NULL && strcmp(is, type) == 0)
			ret = (size_t)snprintf(out, out_bytes, "%s/%s", path, name) < out_bytes ? 0 : -EINVAL;
	}
	json_decref(json);
	return ret;
}

int qemu_board_controller(const struct qemu_board *board, struct qmp *qmp, char *out, size_t out_bytes,
			  uint64_t deadline_ns)
{
	char command[160], *answer;
	int ret;

	if (board->controller_type == NULL) {
		snprintf(out, out_bytes, "%s", board->controller_path);
		return 0;
	}
	snprintf(command, sizeof(command), "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"%s\"}}",
		 board->controller_path);
	ret = qmp_command(qmp, command, &answer, deadline_ns);
	if (ret == 0)
		ret = find_in(answer, board->controller_type, board->controller_path, out, out_bytes);
	ob_free(answer);
	return ret;
}
