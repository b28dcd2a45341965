/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous events (NVM Express 1.4 §5.2): requests that the controller keeps until it has something to say. Reading
 * the log page that an event names lets the controller send the next one of its kind.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

#define STORM_BATCHES 64u
#define STORM_NS      OB_NS_PER_S

static void event_arrived(struct nvme *n, struct nvme_command *cmd)
{
	if (cmd->error != 0)
		return;
	if (cmd->status != 0) {
		/* Ended stays ended: one request fewer. */
		ob_debug(n->ob, "%s: async event request: %s", n->name, ob_nvme_status_text(cmd->status));
		return;
	}
	/* Each request brings one event until it is posted again, which is after the events were taken. */
	if (n->event_count < ARRAY_SIZE(n->events))
		n->events[n->event_count++] = cmd->result;
	nvme_todo(n, NVME_TODO_EVENT);
}

static void post_requests(struct nvme *n)
{
	for (unsigned i = 0; i < n->aer_count; i++) {
		struct nvme_command *cmd = &n->aer[i];

		if (cmd->taken || cmd->status != 0)
			continue;
		memset(cmd, 0, sizeof(*cmd));
		cmd->opcode = NVME_ADMIN_ASYNC_EVENT;
		cmd->done = event_arrived;
		if (nvme_admin_post(n, cmd) != 0)
			return;
	}
}

void nvme_events_start(struct nvme *n)
{
	uint32_t wanted = FIELD_PREP(NVME_ASYNC_SMART, NVME_SMART_SPARE | NVME_SMART_TEMPERATURE |
							       NVME_SMART_RELIABILITY | NVME_SMART_READ_ONLY |
							       NVME_SMART_BACKUP);
	struct nvme_command cmd = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = FIELD_PREP(NVME_FEATURE_FID, NVME_FEATURE_ASYNC_EVENT),
	};
	int ret;

	/* What is not offered must not be asked for (§5.21.1.11). */
	wanted |= (n->info.oaes & NVME_OAES_NAMESPACE) != 0 ? NVME_ASYNC_NAMESPACE : 0;
	wanted |= (n->info.oaes & NVME_OAES_FIRMWARE) != 0 ? NVME_ASYNC_FIRMWARE : 0;
	cmd.cdw11 = wanted;
	/* What the controller had ended with its reset. Till we are done with the feature, nobody posts any. */
	n->aer_count = 0;
	memset(n->aer, 0, sizeof(n->aer));
	n->event_count = 0;
	n->event_storm = 0;
	n->events_ns = 0;
	ret = nvme_admin_run(n, &cmd, ob_deadline(NVME_ADMIN_TIMEOUT_NS));
	if (ret != 0 || cmd.status != 0)
		ob_warn(n->ob, "%s: async events cannot be configured: %s", n->name, nvme_answer_text(ret, cmd.status));
	n->aer_count = MIN(n->info.aers_max + 1u, NVME_AER_MAX);
	post_requests(n);
}

/* ---- what they say ---- */

static const char *const error_texts[] = {
	[NVME_EVENT_ERROR_DOORBELL] = "a doorbell of no queue was written",
	[NVME_EVENT_ERROR_DOORBELL_VALUE] = "a doorbell was written with an impossible value",
	[NVME_EVENT_ERROR_DIAGNOSTIC] = "diagnostic failure",
	[NVME_EVENT_ERROR_PERSISTENT] = "persistent internal error",
	[NVME_EVENT_ERROR_TRANSIENT] = "transient internal error",
	[NVME_EVENT_ERROR_FIRMWARE_LOAD] = "firmware image load error",
};

static void handle_notice(struct nvme *n, unsigned info)
{
	switch (info) {
	case NVME_EVENT_NOTICE_NAMESPACE:
		ob_info(n->ob, "%s: its namespaces changed", n->name);
		nvme_todo(n, NVME_TODO_RESCAN);
		break;
	case NVME_EVENT_NOTICE_FIRMWARE:
		ob_warn(n->ob, "%s: it is activating firmware, requests may take longer", n->name);
		break;
	default:
		ob_info(n->ob, "%s: notice %u", n->name, info);
		break;
	}
}

/* Read the page that the event names, which clears it; say what is in it where that is short. */
static void clear_event(struct nvme *n, unsigned page)
{
	size_t len = page == NVME_LOG_CHANGED_NAMESPACES ? sizeof(struct nvme_namespace_list) : 512;
	uint8_t *log = nvme_alloc(n, sizeof(struct nvme_namespace_list));
	const struct nvme_smart_log *smart = (const void *)log;

	if (log == NULL)
		return;
	if (page == NVME_LOG_ERROR)
		len = sizeof(struct nvme_error_log);
	if (nvme_get_log(n, (uint8_t)page, NVME_NSID_ALL, 0, log, len, NULL) == 0 && page == NVME_LOG_SMART)
		ob_warn(n->ob, "%s: health: critical warning %#x, %u K, spare %u%%, used %u%%", n->name,
			smart->critical_warning, smart->temperature[0] | smart->temperature[1] << 8,
			smart->available_spare, smart->percentage_used);
	ob_free(log);
}

static void handle_event(struct nvme *n, uint32_t event)
{
	unsigned type = FIELD_GET(NVME_EVENT_TYPE, event);
	unsigned info = FIELD_GET(NVME_EVENT_INFO, event);
	unsigned page = FIELD_GET(NVME_EVENT_PAGE, event);

	switch (type) {
	case NVME_EVENT_ERROR:
		ob_err(n->ob, "%s: error event: %s", n->name,
		       info < ARRAY_SIZE(error_texts) ? error_texts[info] : "unknown");
		if (info == NVME_EVENT_ERROR_PERSISTENT)
			nvme_want_reset(n, "persistent internal error");
		break;
	case NVME_EVENT_SMART:
		ob_warn(n->ob, "%s: health event %u", n->name, info);
		break;
	case NVME_EVENT_NOTICE:
		handle_notice(n, info);
		break;
	default:
		ob_info(n->ob, "%s: async event type %u, info %u, page %02xh", n->name, type, info, page);
		break;
	}
	if (page != 0)
		clear_event(n, page);
}

void nvme_events_handle(struct nvme *n)
{
	uint32_t events[NVME_AER_MAX];
	unsigned count = n->event_count;
	uint64_t now = ob_now_ns();

	memcpy(events, n->events, sizeof(events));
	n->event_count = 0;
	if (n->state != NVME_LIVE)
		return;
	n->event_storm = now - n->event_ns < STORM_NS ? n->event_storm + 1 : 0;
	n->event_ns = now;
	for (unsigned i = 0; i < count; i++)
		handle_event(n, events[i]);
	if (n->event_storm >= STORM_BATCHES) {
		ob_warn(n->ob, "%s: a storm of async events; they are off for %u s", n->name,
			(unsigned)(NVME_QUIET_NS / OB_NS_PER_S));
		n->events_ns = ob_deadline(NVME_QUIET_NS);
		return;
	}
	/* A reset that came in between has posted them, or will. */
	if (n->state == NVME_LIVE)
		post_requests(n);
}

void nvme_events_resume(struct nvme *n)
{
	n->events_ns = 0;
	n->event_storm = 0;
	post_requests(n);
	/* What they would have told. */
	nvme_todo(n, NVME_TODO_RESCAN);
}
