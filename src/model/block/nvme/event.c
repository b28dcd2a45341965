/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous events (NVMe 1.4 §5.2): requests that wait, events that wait, and the masking of a kind of event until
 * its log page was read.
 */
#include "model/block/nvme/controller.h"

static void events_deliver(struct nvme_model *n)
{
	for (unsigned i = 0; i < n->event_count && n->async_count != 0;) {
		struct nvme_event e = n->events[i];
		struct slot *slot;

		if ((n->event_masked & BIT(e.type)) != 0) {
			i++;
			continue;
		}
		for (unsigned j = i + 1; j < n->event_count; j++)
			n->events[j - 1] = n->events[j];
		n->event_count--;
		n->event_masked |= BIT(e.type);
		slot = list_entry(n->async_requests.next, struct slot, link);
		nvme_model_complete(n, slot->sq, &slot->sqe, NVME_SC_SUCCESS,
				    FIELD_PREP(NVME_EVENT_TYPE, (uint32_t)e.type) |
					    FIELD_PREP(NVME_EVENT_INFO, (uint32_t)e.info) |
					    FIELD_PREP(NVME_EVENT_PAGE, (uint32_t)e.page));
		n->async_count--;
		nvme_model_slot_put(n, slot);
	}
}

void nvme_model_event_raise(struct nvme_model *n, uint8_t type, uint8_t info, uint8_t page)
{
	struct model_host *host = n->host;

	if ((n->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) != NVME_CSTS_RDY)
		return;
	for (unsigned i = 0; i < n->event_count; i++)
		if (n->events[i].type == type && n->events[i].info == info)
			return; /* the same is on its way already */
	if (n->event_count == EVENT_MAX)
		return;
	n->events[n->event_count++] = (struct nvme_event){type, info, page};
	events_deliver(n);
	host->ops->kick(host);
}

void nvme_model_event_unmask(struct nvme_model *n, uint8_t type)
{
	n->event_masked &= ~BIT(type);
	events_deliver(n);
}

uint16_t nvme_model_async_request(struct nvme_model *n, struct nvme_cmd *cmd)
{
	struct slot *slot;

	if (n->async_count > n->config.aer_limit)
		return FAIL(NVME_SC_AER_LIMIT_EXCEEDED);
	slot = nvme_model_slot_get(n, cmd->sq, cmd->sqe);
	if (slot == NULL)
		return FAIL(NVME_SC_INTERNAL_ERROR);
	list_add_tail(&n->async_requests, &slot->link);
	n->async_count++;
	events_deliver(n);
	return STATUS_PENDING;
}

void nvme_model_event_namespace(struct nvme_model *n, uint32_t nsid)
{
	bool listed = false;
	unsigned at = 0;

	for (unsigned i = 0; i < n->changed_count && i < NVME_NAMESPACE_LIST_MAX; i++)
		listed |= n->changed_ns[i] == nsid;
	if (!listed && n->changed_count < NVME_NAMESPACE_LIST_MAX) {
		/* Ascending, as the log page is (§5.14.1.4). */
		for (at = n->changed_count; at > 0 && n->changed_ns[at - 1] > nsid; at--)
			n->changed_ns[at] = n->changed_ns[at - 1];
		n->changed_ns[at] = nsid;
		n->changed_count++;
	} else if (!listed) {
		n->changed_count = NVME_NAMESPACE_LIST_MAX + 1;
	}
	if ((n->feature.async & NVME_ASYNC_NAMESPACE) != 0)
		nvme_model_event_raise(n, NVME_EVENT_NOTICE, NVME_EVENT_NOTICE_NAMESPACE, NVME_LOG_CHANGED_NAMESPACES);
}

/* ---- health ---- */

void nvme_model_event_temperature(struct nvme_model *n)
{
	bool bad = n->temperature >= n->feature.temperature_over || n->temperature <= n->feature.temperature_under;

	if (!bad) {
		n->warning &= (uint8_t)~NVME_SMART_TEMPERATURE;
		return;
	}
	n->warning |= NVME_SMART_TEMPERATURE;
	if ((n->feature.async & NVME_SMART_TEMPERATURE) != 0)
		nvme_model_event_raise(n, NVME_EVENT_SMART, NVME_EVENT_SMART_TEMPERATURE, NVME_LOG_SMART);
}

void nvme_model_set_temperature(struct nvme_model *n, uint16_t kelvin)
{
	n->temperature = kelvin;
	nvme_model_event_temperature(n);
}

void nvme_model_set_warning(struct nvme_model *n, uint8_t critical_warning)
{
	uint8_t fresh = critical_warning & (uint8_t)~n->warning & (uint8_t)n->feature.async;

	n->warning = critical_warning;
	if ((fresh & NVME_SMART_SPARE) != 0)
		nvme_model_event_raise(n, NVME_EVENT_SMART, NVME_EVENT_SMART_SPARE, NVME_LOG_SMART);
	else if ((fresh & NVME_SMART_TEMPERATURE) != 0)
		nvme_model_event_raise(n, NVME_EVENT_SMART, NVME_EVENT_SMART_TEMPERATURE, NVME_LOG_SMART);
	else if (fresh != 0)
		nvme_model_event_raise(n, NVME_EVENT_SMART, NVME_EVENT_SMART_RELIABILITY, NVME_LOG_SMART);
}
