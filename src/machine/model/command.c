/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model machine's own language: what a hand on the machine, or bad luck, does to its devices. One command is a line
 * of words; docs/MODEL.md has them all. Replies are text.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/cpu.h>

#include "machine/model/model_machine.h"
#include "machine/text.h"

#define WORDS_MAX 12
#define REPLY_MAX 4096

struct command {
	struct model_machine *mm;
	struct model_device *dev; /* NULL: of the machine */
	char *words[WORDS_MAX];   /* behind the verb and the device */
	unsigned count;
	char *reply;
	size_t reply_len;
};

static void OB_PRINTF(2, 3) say(struct command *c, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(c->reply + c->reply_len, REPLY_MAX - c->reply_len, format, args);
	va_end(args);
	c->reply_len = MIN(c->reply_len + (size_t)MAX(len, 0), (size_t)REPLY_MAX - 1);
}

static int refused(struct command *c, const char *why)
{
	say(c, "%s\n", why);
	return -EIO;
}

static int number(const char *text, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return *end == '\0' && errno == 0 ? 0 : -EINVAL;
}

/* ---- the machine ---- */

static int do_list(struct command *c)
{
	list_for_each (node, &c->mm->devices) {
		const struct model_device *dev = list_entry(node, struct model_device, link);

		say(c, "%s %s%s\n", dev->name, dev->nvme != NULL ? "nvme" : "port", dev->pci.present ? "" : " absent");
	}
	return 0;
}

static int do_faults(struct command *c)
{
	struct model_machine *mm = c->mm;

	pthread_mutex_lock(&mm->dma_lock);
	say(c, "%" PRIu64 " DMA accesses refused\n", mm->fault_count);
	for (uint64_t i = mm->fault_count > MODEL_FAULTS_MAX ? mm->fault_count - MODEL_FAULTS_MAX : 0;
	     i < mm->fault_count; i++) {
		const struct model_dma_fault *f = &mm->faults[i % MODEL_FAULTS_MAX];

		say(c, "%s %s %#" PRIx64 " %zu\n", f->device, f->write ? "write" : "read", f->iova, f->len_bytes);
	}
	pthread_mutex_unlock(&mm->dma_lock);
	return 0;
}

/* ---- a device; config locked, for presence is configuration ---- */

static int do_plug(struct command *c)
{
	if (c->dev->pci.present)
		return refused(c, "it is there");
	model_pci_plug(&c->dev->pci);
	return 0;
}

static int do_unplug(struct command *c)
{
	if (!c->dev->pci.present)
		return refused(c, "it is not there");
	model_pci_unplug(&c->dev->pci);
	return 0;
}

/* ---- a controller; device locked ---- */

static int do_resize(struct command *c)
{
	uint64_t nsid, len_bytes;
	int ret;

	if (c->count != 2 || number(c->words[0], &nsid) != 0 || machine_text_size(c->words[1], &len_bytes) != 0)
		return refused(c, "resize DEVICE NSID SIZE");
	ret = nvme_model_namespace_resize(c->dev->nvme, (uint32_t)nsid, len_bytes);
	return ret == 0 ? 0 : refused(c, strerror(-ret));
}

static int attach(struct command *c, bool attached)
{
	uint64_t nsid;
	int ret;

	if (c->count != 1 || number(c->words[0], &nsid) != 0)
		return refused(c, "attach|detach DEVICE NSID");
	ret = nvme_model_namespace_attach(c->dev->nvme, (uint32_t)nsid, attached);
	return ret == 0 ? 0 : refused(c, strerror(-ret));
}

static int do_attach(struct command *c)
{
	return attach(c, true);
}

static int do_detach(struct command *c)
{
	return attach(c, false);
}

static int do_power_cut(struct command *c)
{
	nvme_model_power_cut(c->dev->nvme, NULL, NULL);
	return 0;
}

static int do_temperature(struct command *c)
{
	uint64_t kelvin;

	if (c->count != 1 || number(c->words[0], &kelvin) != 0 || kelvin > UINT16_MAX)
		return refused(c, "temperature DEVICE KELVIN");
	nvme_model_set_temperature(c->dev->nvme, (uint16_t)kelvin);
	return 0;
}

static int do_warning(struct command *c)
{
	uint64_t bits;

	if (c->count != 1 || number(c->words[0], &bits) != 0 || bits > UINT8_MAX)
		return refused(c, "warning DEVICE BITS");
	nvme_model_set_warning(c->dev->nvme, (uint8_t)bits);
	return 0;
}

static int do_latency(struct command *c)
{
	uint64_t ns;

	if (c->count != 1 || machine_text_time(c->words[0], &ns) != 0)
		return refused(c, "latency DEVICE TIME");
	nvme_model_set_latency(c->dev->nvme, ns);
	return 0;
}

static int do_die(struct command *c)
{
	nvme_model_fail(c->dev->nvme, "asked to die");
	return 0;
}

static int do_stats(struct command *c)
{
	struct nvme_model_stats s;

	nvme_model_stats(c->dev->nvme, &s);
	say(c,
	    "commands %" PRIu64 "\ncompletions %" PRIu64 "\ninterrupts %" PRIu64 "\ndoorbells %" PRIu64
	    "\nrefused %" PRIu64 "\nin-flight %u\n",
	    s.commands, s.completions, s.interrupts, s.doorbells, s.dma_refused, s.in_flight);
	return 0;
}

/* ---- faults to come ---- */

static struct model_rule *rule_find(struct model_device *dev, const struct nvme_model_command *command, bool delay)
{
	for (unsigned i = 0; i < MODEL_RULES_MAX; i++) {
		struct model_rule *r = &dev->rules[i];

		if (r->count == 0 || (delay ? r->delay_ns == 0 : r->status == 0))
			continue;
		if (r->admin != (command->sqid == 0) || (r->opcode >= 0 && r->opcode != command->opcode))
			continue;
		if (!r->admin && (command->lba > r->lba_last || command->lba + command->block_count <= r->lba_first))
			continue;
		r->count--;
		return r;
	}
	return NULL;
}

static uint64_t rule_delay(void *arg, const struct nvme_model_command *command)
{
	const struct model_rule *r = rule_find(arg, command, true);

	return r != NULL ? r->delay_ns : 0;
}

static uint16_t rule_fail(void *arg, const struct nvme_model_command *command)
{
	const struct model_rule *r = rule_find(arg, command, false);

	return r != NULL ? r->status : 0;
}

static int opcode_of(const char *name)
{
	static const struct {
		const char *name;
		int opcode;
	} names[] = {
		{"any", -1},
		{"read", NVME_CMD_READ},
		{"write", NVME_CMD_WRITE},
		{"flush", NVME_CMD_FLUSH},
		{"compare", NVME_CMD_COMPARE},
		{"zeroes", NVME_CMD_WRITE_ZEROES},
		{"trim", NVME_CMD_DSM},
	};
	uint64_t opcode;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].opcode;
	return number(name, &opcode) == 0 && opcode <= 0xff ? (int)opcode : -2;
}

/* "key=value" of a fault rule. */
static int rule_set(struct model_rule *r, const char *word)
{
	const char *value = strchr(word, '=');
	size_t key_len = value == NULL ? 0 : (size_t)(value - word);
	uint64_t n;

	if (value++ == NULL)
		return -EINVAL;
	if (strncmp(word, "op", key_len) == 0 || strncmp(word, "admin", key_len) == 0) {
		r->admin = *word == 'a';
		r->opcode = opcode_of(value);
		return r->opcode == -2 ? -EINVAL : 0;
	}
	if (strncmp(word, "delay", key_len) == 0) {
		if (strcmp(value, "hang") == 0)
			r->delay_ns = MODEL_NEVER;
		else if (machine_text_time(value, &r->delay_ns) != 0)
			return -EINVAL;
		return 0;
	}
	if (number(value, &n) != 0)
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

static int do_fault(struct command *c)
{
	static const struct nvme_model_hooks none = {0};
	struct model_device *dev = c->dev;
	const struct nvme_model_hooks hooks = {.arg = dev, .delay_ns = rule_delay, .fail = rule_fail};
	struct model_rule rule = {.opcode = -1, .lba_last = UINT64_MAX, .count = 1}, *free_rule = NULL;

	if (c->count == 1 && strcmp(c->words[0], "clear") == 0) {
		memset(dev->rules, 0, sizeof(dev->rules));
		nvme_model_set_hooks(dev->nvme, &none);
		return 0;
	}
	for (unsigned i = 0; i < c->count; i++)
		if (rule_set(&rule, c->words[i]) != 0)
			return refused(c, "fault DEVICE [op=|admin=OP] [lba=N] [count=N] status=S|delay=TIME|hang");
	if (rule.status == 0 && rule.delay_ns == 0)
		return refused(c, "a fault needs a status or a delay");
	for (unsigned i = 0; i < MODEL_RULES_MAX; i++)
		if (dev->rules[i].count == 0)
			free_rule = &dev->rules[i];
	if (free_rule == NULL)
		return refused(c, "too many faults");
	*free_rule = rule;
	nvme_model_set_hooks(dev->nvme, &hooks);
	return 0;
}

/* ---- which is which ---- */

enum command_scope {
	OF_MACHINE,
	OF_FUNCTION,
	OF_CONTROLLER
};

static const struct {
	const char *verb;
	enum command_scope scope;
	int (*fn)(struct command *c);
} verbs[] = {
	{"list", OF_MACHINE, do_list},
	{"faults", OF_MACHINE, do_faults},
	{"plug", OF_FUNCTION, do_plug},
	{"unplug", OF_FUNCTION, do_unplug},
	{"resize", OF_CONTROLLER, do_resize},
	{"attach", OF_CONTROLLER, do_attach},
	{"detach", OF_CONTROLLER, do_detach},
	{"power-cut", OF_CONTROLLER, do_power_cut},
	{"temperature", OF_CONTROLLER, do_temperature},
	{"warning", OF_CONTROLLER, do_warning},
	{"latency", OF_CONTROLLER, do_latency},
	{"die", OF_CONTROLLER, do_die},
	{"stats", OF_CONTROLLER, do_stats},
	{"fault", OF_CONTROLLER, do_fault},
};

static int run(struct command *c, unsigned verb)
{
	struct model_device *dev = c->dev;
	int ret;

	switch (verbs[verb].scope) {
	case OF_MACHINE:
		return verbs[verb].fn(c);
	case OF_FUNCTION:
		pthread_mutex_lock(&c->mm->config_lock);
		ret = verbs[verb].fn(c);
		pthread_mutex_unlock(&c->mm->config_lock);
		return ret;
	default:
		if (dev->nvme == NULL)
			return refused(c, "no NVMe controller");
		pthread_mutex_lock(&dev->lock);
		ret = verbs[verb].fn(c);
		model_device_work(dev);
		pthread_mutex_unlock(&dev->lock);
		return ret;
	}
}

static int parse_and_run(struct command *c, char *line)
{
	char *save, *verb = strtok_r(line, " \t", &save), *name;
	unsigned v;

	for (v = 0; v < ARRAY_SIZE(verbs); v++)
		if (verb != NULL && strcmp(verbs[v].verb, verb) == 0)
			break;
	if (v == ARRAY_SIZE(verbs))
		return refused(c, "no such command");
	if (verbs[v].scope != OF_MACHINE) {
		name = strtok_r(NULL, " \t", &save);
		c->dev = name != NULL ? model_device_find(c->mm, name) : NULL;
		if (c->dev == NULL)
			return refused(c, "no such device");
	}
	for (char *word; (word = strtok_r(NULL, " \t", &save)) != NULL; c->words[c->count++] = word)
		if (c->count == WORDS_MAX)
			return refused(c, "too many words");
	return run(c, v);
}

int model_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns)
{
	struct command c = {.mm = model_of(m)};
	char *line;
	int ret = -ENOMEM;

	if (OB_READ_ONCE(m->dead))
		return -ENODEV;
	line = strdup(command);
	c.reply = ob_alloc(REPLY_MAX);
	if (line != NULL && c.reply != NULL)
		ret = parse_and_run(&c, line);
	free(line);
	if (reply != NULL && c.reply != NULL)
		*reply = c.reply;
	else
		ob_free(c.reply);
	return ret;
}
