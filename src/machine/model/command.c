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

#include "machine/model/command.h"
#include "machine/text.h"

#define REPLY_MAX 4096

void model_say(struct command *c, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(c->reply + c->reply_len, REPLY_MAX - c->reply_len, format, args);
	va_end(args);
	c->reply_len = MIN(c->reply_len + (size_t)MAX(len, 0), (size_t)REPLY_MAX - 1);
}

int model_refused(struct command *c, const char *why)
{
	model_say(c, "%s\n", why);
	return -EIO;
}

int model_number(const char *text, uint64_t *out)
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

		model_say(c, "%s %s%s\n", dev->name, dev->kind != NULL ? dev->kind->name : "port",
			  dev->pci.present ? "" : " absent");
	}
	return 0;
}

static int do_faults(struct command *c)
{
	struct model_machine *mm = c->mm;

	pthread_mutex_lock(&mm->dma_lock);
	model_say(c, "%" PRIu64 " DMA accesses refused\n", mm->fault_count);
	for (uint64_t i = mm->fault_count > MODEL_FAULTS_MAX ? mm->fault_count - MODEL_FAULTS_MAX : 0;
	     i < mm->fault_count; i++) {
		const struct model_dma_fault *f = &mm->faults[i % MODEL_FAULTS_MAX];

		model_say(c, "%s %s %#" PRIx64 " %zu\n", f->device, f->write ? "write" : "read", f->iova, f->len_bytes);
	}
	pthread_mutex_unlock(&mm->dma_lock);
	return 0;
}

/* ---- a device; config locked, for presence is configuration ---- */

static int do_plug(struct command *c)
{
	if (c->dev->pci.present)
		return model_refused(c, "it is there");
	model_pci_plug(&c->dev->pci);
	return 0;
}

static int do_unplug(struct command *c)
{
	if (!c->dev->pci.present)
		return model_refused(c, "it is not there");
	model_pci_unplug(&c->dev->pci);
	return 0;
}

/* ---- a device; device locked ---- */

static int resize_vblk(struct command *c)
{
	uint64_t len_bytes;
	int ret;

	if (c->count != 1 || machine_text_size(c->words[0], &len_bytes) != 0)
		return model_refused(c, "resize DEVICE SIZE");
	ret = vblk_model_resize(c->dev->model, len_bytes);
	return ret == 0 ? 0 : model_refused(c, strerror(-ret));
}

static int do_resize(struct command *c)
{
	uint64_t nsid, len_bytes;
	int ret;

	if (model_vblk(c->dev) != NULL)
		return resize_vblk(c);

	if (c->count != 2 || model_number(c->words[0], &nsid) != 0 || machine_text_size(c->words[1], &len_bytes) != 0)
		return model_refused(c, "resize DEVICE NSID SIZE");
	ret = nvme_model_namespace_resize(c->dev->model, (uint32_t)nsid, len_bytes);
	return ret == 0 ? 0 : model_refused(c, strerror(-ret));
}

static int attach(struct command *c, bool attached)
{
	uint64_t nsid;
	int ret;

	if (c->count != 1 || model_number(c->words[0], &nsid) != 0)
		return model_refused(c, "attach|detach DEVICE NSID");
	ret = nvme_model_namespace_attach(c->dev->model, (uint32_t)nsid, attached);
	return ret == 0 ? 0 : model_refused(c, strerror(-ret));
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
	if (model_vblk(c->dev) != NULL)
		vblk_model_power_cut(c->dev->model, NULL, NULL);
	else
		nvme_model_power_cut(c->dev->model, NULL, NULL);
	return 0;
}

static int do_temperature(struct command *c)
{
	uint64_t kelvin;

	if (c->count != 1 || model_number(c->words[0], &kelvin) != 0 || kelvin > UINT16_MAX)
		return model_refused(c, "temperature DEVICE KELVIN");
	nvme_model_set_temperature(c->dev->model, (uint16_t)kelvin);
	return 0;
}

static int do_warning(struct command *c)
{
	uint64_t bits;

	if (c->count != 1 || model_number(c->words[0], &bits) != 0 || bits > UINT8_MAX)
		return model_refused(c, "warning DEVICE BITS");
	nvme_model_set_warning(c->dev->model, (uint8_t)bits);
	return 0;
}

static int do_latency(struct command *c)
{
	uint64_t ns;

	if (c->count != 1 || machine_text_time(c->words[0], &ns) != 0)
		return model_refused(c, "latency DEVICE TIME");
	if (model_vblk(c->dev) != NULL)
		vblk_model_set_latency(c->dev->model, ns);
	else
		nvme_model_set_latency(c->dev->model, ns);
	return 0;
}

static int do_die(struct command *c)
{
	if (model_vblk(c->dev) != NULL)
		virtio_model_fail(vblk_model_virtio(c->dev->model), "asked to die");
	else if (model_vnet(c->dev) != NULL)
		virtio_model_fail(&model_vnet(c->dev)->virtio, "asked to die");
	else
		nvme_model_fail(c->dev->model, "asked to die");
	return 0;
}

static int do_link(struct command *c)
{
	bool up = c->count == 1 && strcmp(c->words[0], "up") == 0;

	if (!up && (c->count != 1 || strcmp(c->words[0], "down") != 0))
		return model_refused(c, "link DEVICE up|down");
	vnet_model_set_link(model_vnet(c->dev), up);
	return 0;
}

static int do_announce(struct command *c)
{
	vnet_model_announce(model_vnet(c->dev));
	return 0;
}

static int stats_vnet(struct command *c)
{
	const struct vnet_model *m = model_vnet(c->dev);
	const struct vnet_model_stats *s = &m->stats;

	model_say(c,
		  "sent %" PRIu64 "\nreceived %" PRIu64 "\nfiltered %" PRIu64 "\nsent-bad %" PRIu64
		  "\nreceived-bad %" PRIu64 "\ncommands %" PRIu64 "\ncommands-refused %" PRIu64 "\ninterrupts %" PRIu64
		  "\nnotifications %" PRIu64 "\nrefused %" PRIu64 "\n",
		  s->tx_frames, s->rx_frames, s->rx_filtered, s->tx_bad, s->rx_bad, s->commands, s->commands_refused,
		  m->virtio.stats.interrupts, m->virtio.stats.notifications, m->virtio.stats.dma_refused);
	return 0;
}

static int stats_vblk(struct command *c)
{
	struct vblk_model_stats s;

	vblk_model_stats(c->dev->model, &s);
	model_say(c,
		  "requests %" PRIu64 "\ncompletions %" PRIu64 "\ninterrupts %" PRIu64 "\nnotifications %" PRIu64
		  "\nrefused %" PRIu64 "\nin-flight %u\n",
		  s.requests, s.completions, s.interrupts, s.notifications, s.dma_refused, s.in_flight);
	return 0;
}

static int do_stats(struct command *c)
{
	struct nvme_model_stats s;

	if (model_vblk(c->dev) != NULL)
		return stats_vblk(c);
	if (model_vnet(c->dev) != NULL)
		return stats_vnet(c);
	nvme_model_stats(c->dev->model, &s);
	model_say(c,
		  "commands %" PRIu64 "\ncompletions %" PRIu64 "\ninterrupts %" PRIu64 "\ndoorbells %" PRIu64
		  "\nrefused %" PRIu64 "\nin-flight %u\n",
		  s.commands, s.completions, s.interrupts, s.doorbells, s.dma_refused, s.in_flight);
	return 0;
}

/* ---- which is which ---- */

enum command_scope {
	OF_MACHINE,
	OF_FUNCTION,
	OF_DEVICE,
	OF_DISK,
	OF_NET,
	OF_NVME
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
	{"resize", OF_DISK, do_resize},
	{"attach", OF_NVME, do_attach},
	{"detach", OF_NVME, do_detach},
	{"power-cut", OF_DISK, do_power_cut},
	{"temperature", OF_NVME, do_temperature},
	{"warning", OF_NVME, do_warning},
	{"latency", OF_DISK, do_latency},
	{"link", OF_NET, do_link},
	{"announce", OF_NET, do_announce},
	{"die", OF_DEVICE, do_die},
	{"stats", OF_DEVICE, do_stats},
	{"fault", OF_DISK, model_command_fault},
};

/* NULL: the command is one for this device. */
static const char *unfit(const struct model_device *dev, enum command_scope scope)
{
	if (dev->kind == NULL)
		return "no device with a model";
	if (scope == OF_NVME && model_nvme(dev) == NULL)
		return "no NVMe controller";
	if (scope == OF_NET && model_vnet(dev) == NULL)
		return "no network device";
	if (scope == OF_DISK && model_vnet(dev) != NULL)
		return "no disk";
	return NULL;
}

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
		if (unfit(dev, verbs[verb].scope) != NULL)
			return model_refused(c, unfit(dev, verbs[verb].scope));
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
		return model_refused(c, "no such command");
	if (verbs[v].scope != OF_MACHINE) {
		name = strtok_r(NULL, " \t", &save);
		c->dev = name != NULL ? model_device_find(c->mm, name) : NULL;
		if (c->dev == NULL)
			return model_refused(c, "no such device");
	}
	for (char *word; (word = strtok_r(NULL, " \t", &save)) != NULL; c->words[c->count++] = word)
		if (c->count == WORDS_MAX)
			return model_refused(c, "too many words");
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
