/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults to come: rules for commands that are to take long, or to end with a status, and the command that makes them. */
#include <errno.h>
#include <string.h>

#include "machine/model/command.h"
#include "machine/text.h"

/* ---- when a command comes ---- */

struct arrival {
	int opcode;
	bool admin;
	uint64_t lba, block_count;
};

static struct model_rule *rule_find(struct model_device *dev, const struct arrival *a, bool delay)
{
	for (unsigned i = 0; i < MODEL_RULES_MAX; i++) {
		struct model_rule *r = &dev->rules[i];

		if (r->count == 0 || (delay ? r->delay_ns == 0 : r->status == 0))
			continue;
		if (r->admin != a->admin || (r->opcode >= 0 && r->opcode != a->opcode))
			continue;
		if (!r->admin && (a->lba > r->lba_last || a->lba + a->block_count <= r->lba_first))
			continue;
		r->count--;
		return r;
	}
	return NULL;
}

static struct arrival of_nvme(const struct nvme_model_command *c)
{
	return (struct arrival){c->opcode, c->sqid == 0, c->lba, c->block_count};
}

static uint64_t nvme_delay(void *arg, const struct nvme_model_command *command)
{
	struct arrival a = of_nvme(command);
	const struct model_rule *r = rule_find(arg, &a, true);

	return r != NULL ? r->delay_ns : 0;
}

static uint16_t nvme_fail(void *arg, const struct nvme_model_command *command)
{
	struct arrival a = of_nvme(command);
	const struct model_rule *r = rule_find(arg, &a, false);

	return r != NULL ? r->status : 0;
}

static struct arrival of_vblk(const struct vblk_model_request *r)
{
	return (struct arrival){(int)r->type, false, r->sector, MAX(r->sector_count, 1u)};
}

static uint64_t vblk_delay(void *arg, const struct vblk_model_request *request)
{
	struct arrival a = of_vblk(request);
	const struct model_rule *r = rule_find(arg, &a, true);

	return r != NULL ? r->delay_ns : 0;
}

static uint8_t vblk_fail(void *arg, const struct vblk_model_request *request)
{
	struct arrival a = of_vblk(request);
	const struct model_rule *r = rule_find(arg, &a, false);

	return r != NULL ? (uint8_t)r->status : 0;
}

static void hooks_set(struct model_device *dev, bool on)
{
	const struct nvme_model_hooks nvme = {.arg = dev, .delay_ns = nvme_delay, .fail = nvme_fail};
	const struct vblk_model_hooks vblk = {.arg = dev, .delay_ns = vblk_delay, .fail = vblk_fail};

	if (model_vblk(dev) != NULL)
		vblk_model_set_hooks(dev->model, on ? &vblk : NULL);
	else
		nvme_model_set_hooks(dev->model, on ? &nvme : NULL);
}

/* ---- the command ---- */

/* What a name stands for: of NVMe an opcode, of a virtio disk a type. -2: nothing. */
static int opcode_of(const struct model_device *dev, const char *name)
{
	static const struct {
		const char *name;
		int nvme, vblk;
	} names[] = {
		{"any", -1, -1},
		{"read", NVME_CMD_READ, VIRTIO_BLK_T_IN},
		{"write", NVME_CMD_WRITE, VIRTIO_BLK_T_OUT},
		{"flush", NVME_CMD_FLUSH, VIRTIO_BLK_T_FLUSH},
		{"compare", NVME_CMD_COMPARE, -2},
		{"zeroes", NVME_CMD_WRITE_ZEROES, VIRTIO_BLK_T_WRITE_ZEROES},
		{"trim", NVME_CMD_DSM, VIRTIO_BLK_T_DISCARD},
		{"id", -2, VIRTIO_BLK_T_GET_ID},
		{"lifetime", -2, VIRTIO_BLK_T_GET_LIFETIME},
	};
	uint64_t opcode;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return model_vblk(dev) != NULL ? names[i].vblk : names[i].nvme;
	return model_number(name, &opcode) == 0 && opcode <= 0xff ? (int)opcode : -2;
}

/* "key=value" of a fault rule. */
static int rule_set(const struct model_device *dev, struct model_rule *r, const char *word)
{
	const char *value = strchr(word, '=');
	size_t key_len = value == NULL ? 0 : (size_t)(value - word);
	uint64_t n;

	if (value++ == NULL)
		return -EINVAL;
	if (strncmp(word, "op", key_len) == 0 || strncmp(word, "admin", key_len) == 0) {
		r->admin = *word == 'a';
		r->opcode = opcode_of(dev, value);
		return r->opcode == -2 || (r->admin && model_nvme(dev) == NULL) ? -EINVAL : 0;
	}
	if (strncmp(word, "delay", key_len) == 0) {
		if (strcmp(value, "hang") == 0)
			r->delay_ns = MODEL_NEVER;
		else if (machine_text_time(value, &r->delay_ns) != 0)
			return -EINVAL;
		return 0;
	}
	if (model_number(value, &n) != 0)
		return -EINVAL;
	if (strncmp(word, "lba", key_len) == 0)
		r->lba_first = r->lba_last = n;
	else if (strncmp(word, "status", key_len) == 0)
		r->status = (uint16_t)n;
	else if (strncmp(word, "count", key_len) == 0)
		r->count = (unsigned)n;
	else
		return -EINVAL;
	return 0;
}

int model_command_fault(struct command *c)
{
	struct model_device *dev = c->dev;
	struct model_rule rule = {.opcode = -1, .lba_last = UINT64_MAX, .count = 1}, *free_rule = NULL;

	if (c->count == 1 && strcmp(c->words[0], "clear") == 0) {
		memset(dev->rules, 0, sizeof(dev->rules));
		hooks_set(dev, false);
		return 0;
	}
	for (unsigned i = 0; i < c->count; i++)
		if (rule_set(dev, &rule, c->words[i]) != 0)
			return model_refused(c,
					     "fault DEVICE [op=|admin=OP] [lba=N] [count=N] status=S|delay=TIME|hang");
	if (rule.status == 0 && rule.delay_ns == 0)
		return model_refused(c, "a fault needs a status or a delay");
	for (unsigned i = 0; i < MODEL_RULES_MAX; i++)
		if (dev->rules[i].count == 0)
			free_rule = &dev->rules[i];
	if (free_rule == NULL)
		return model_refused(c, "too many faults");
	*free_rule = rule;
	hooks_set(dev, true);
	return 0;
}
