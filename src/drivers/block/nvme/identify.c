/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identify data (NVM Express 1.4 §5.15), checked before anything is built on it. What is taken from here on is our own
 * copy: nothing reads the device's bytes twice.
 */
#include <errno.h>
#include <string.h>

#include "drivers/block/nvme/nvme.h"

/* ASCII, padded with spaces (§1.5); what is not printable becomes a question mark. */
static void copy_text(char *to, const uint8_t *from, size_t len)
{
	size_t end = 0;

	for (size_t i = 0; i < len; i++) {
		to[i] = from[i] >= 0x20 && from[i] < 0x7f ? (char)from[i] : from[i] == 0 ? ' ' : '?';
		if (to[i] != ' ')
			end = i + 1;
	}
	to[end] = '\0';
}

static bool entry_size_fits(uint8_t sizes, unsigned want)
{
	return FIELD_GET(NVME_QES_MIN, sizes) <= want && want <= FIELD_GET(NVME_QES_MAX, sizes);
}

/* MDTS counts in the smallest memory pages (figure 247); we take what is useful of it. */
static uint32_t transfer_max(const struct nvme *n, uint8_t mdts)
{
	unsigned shift = mdts + 12 + FIELD_GET(NVME_CAP_MPSMIN, n->cap);

	if (mdts == 0 || shift >= 20)
		return NVME_TRANSFER_MAX;
	return 1u << shift;
}

int nvme_parse_controller(struct nvme *n, const struct nvme_identify_controller *id, struct nvme_controller_info *out)
{
	unsigned sgls = FIELD_GET(NVME_SGLS_SUPPORT, ob_le32_to_cpu(id->sgls));

	memset(out, 0, sizeof(*out));
	copy_text(out->model, id->mn, sizeof(id->mn));
	copy_text(out->serial, id->sn, sizeof(id->sn));
	copy_text(out->firmware, id->fr, sizeof(id->fr));
	if (!entry_size_fits(id->sqes, NVME_SQE_SHIFT) || !entry_size_fits(id->cqes, NVME_CQE_SHIFT)) {
		ob_err(n->ob, "%s: %s: queue entry sizes %#x and %#x do not allow 64 and 16 bytes", n->name, out->model,
		       id->sqes, id->cqes);
		return -EOPNOTSUPP;
	}
	if (id->cntrltype > 1) {
		ob_err(n->ob, "%s: %s: controller type %u has no namespaces to drive", n->name, out->model,
		       id->cntrltype);
		return -EOPNOTSUPP;
	}
	if (id->mdts > NVME_MDTS_MAX)
		ob_warn(n->ob, "%s: a largest transfer of 2^%u pages is taken as no limit", n->name, id->mdts);
	out->vendor = ob_le16_to_cpu(id->vid);
	out->subvendor = ob_le16_to_cpu(id->ssvid);
	out->controller_id = ob_le16_to_cpu(id->cntlid);
	out->namespace_max = ob_le32_to_cpu(id->nn);
	out->transfer_max_bytes = transfer_max(n, id->mdts);
	out->shutdown_us = ob_le32_to_cpu(id->rtd3e);
	out->oaes = ob_le32_to_cpu(id->oaes);
	out->oacs = ob_le16_to_cpu(id->oacs);
	out->oncs = ob_le16_to_cpu(id->oncs);
	for (unsigned i = 0; i < 3; i++)
		out->crdt[i] = ob_le16_to_cpu(id->crdt[i]);
	out->aborts_max = id->acl;
	out->aers_max = id->aerl;
	out->firmware_slots = (uint8_t)FIELD_GET(NVME_FRMW_SLOTS, id->frmw);
	out->firmware_granularity = id->fwug;
	out->log_attributes = id->lpa;
	out->volatile_cache = (id->vwc & NVME_VWC_PRESENT) != 0;
	/* The block class hands down dword-aligned pieces, so both kinds of support will do. */
	out->sgl = (sgls == NVME_SGLS_ANY || sgls == NVME_SGLS_DWORD) && (n->quirks & NVME_QUIRK_NO_SGL) == 0;
	return 0;
}

/* A hint that is no sensible power of two, or would be larger than a transfer, is none. */
static uint32_t hint_bytes(uint64_t blocks, uint32_t block_bytes, bool power_of_2)
{
	uint64_t bytes = blocks * block_bytes;

	if (blocks == 0 || bytes > NVME_TRANSFER_MAX || (power_of_2 && !IS_POWER_OF_2(bytes)))
		return 0;
	return (uint32_t)bytes;
}

static void parse_hints(const struct nvme_identify_namespace *id, struct nvme_namespace_info *out)
{
	uint32_t optimal = hint_bytes(ob_le16_to_cpu(id->noiob), out->block_bytes, false);
	uint32_t physical = 0;

	if ((id->nsfeat & NVME_NSFEAT_OPTPERF) != 0) {
		physical = hint_bytes(ob_le16_to_cpu(id->npwg) + 1ull, out->block_bytes, true);
		if (ob_le16_to_cpu(id->nows) != 0)
			optimal = hint_bytes(ob_le16_to_cpu(id->nows) + 1ull, out->block_bytes, false);
	}
	out->physical_bytes = physical != 0 ? physical : out->block_bytes;
	out->optimal_bytes = optimal;
}

static int refuse(struct nvme *n, uint32_t nsid, int error, const char *why, uint64_t value)
{
	ob_err(n->ob, "%s: namespace %u is not used: %s (%llu)", n->name, nsid, why, (unsigned long long)value);
	return error;
}

int nvme_parse_namespace(struct nvme *n, uint32_t nsid, const struct nvme_identify_namespace *id,
			 struct nvme_namespace_info *out)
{
	unsigned format = FIELD_GET(NVME_FLBAS_FORMAT, id->flbas);
	uint64_t nsze = ob_le64_to_cpu(id->nsze), ncap = ob_le64_to_cpu(id->ncap);
	uint32_t lbaf = ob_le32_to_cpu(id->lbaf[format]);
	unsigned shift = FIELD_GET(NVME_LBAF_LBADS, lbaf);

	memset(out, 0, sizeof(*out));
	/* All zero is the answer for a namespace that is not active (§5.15.2.1). */
	if (nsze == 0)
		return -ENOENT;
	if (ncap > nsze)
		return refuse(n, nsid, -EIO, "its capacity is beyond its size", ncap);
	if (format > id->nlbaf)
		return refuse(n, nsid, -EIO, "its LBA format is not among those that it has", format);
	if (shift != 9 && shift != 12)
		return refuse(n, nsid, -EOPNOTSUPP, "blocks of neither 512 nor 4096 bytes, but 2^n", shift);
	if (FIELD_GET(NVME_LBAF_MS, lbaf) != 0)
		return refuse(n, nsid, -EOPNOTSUPP, "it is formatted with metadata, bytes per block",
			      FIELD_GET(NVME_LBAF_MS, lbaf));
	if (FIELD_GET(NVME_DPS_TYPE, id->dps) != 0)
		return refuse(n, nsid, -EOPNOTSUPP, "it has protection information, type",
			      FIELD_GET(NVME_DPS_TYPE, id->dps));
	if (nsze > (uint64_t)INT64_MAX >> shift)
		return refuse(n, nsid, -EIO, "an impossible size in blocks", nsze);
	out->block_count = nsze;
	out->block_bytes = 1u << shift;
	out->read_only = (id->nsattr & NVME_NSATTR_PROTECTED) != 0;
	out->reads_zeroes = FIELD_GET(NVME_DLFEAT_READ, id->dlfeat) == NVME_DLFEAT_READ_ZEROES;
	out->deallocate_zeroes = out->reads_zeroes && (id->dlfeat & NVME_DLFEAT_ZEROES_DEALLOC) != 0;
	if ((n->quirks & NVME_QUIRK_NO_IDS) == 0) {
		memcpy(out->nguid, id->nguid, sizeof(out->nguid));
		memcpy(out->eui64, id->eui64, sizeof(out->eui64));
	}
	parse_hints(id, out);
	return 0;
}

int nvme_identify_controller(struct nvme *n, struct nvme_controller_info *out)
{
	struct nvme_identify_controller *id = nvme_alloc(n, sizeof(*id));
	uint16_t status = 0;
	int ret;

	if (id == NULL)
		return -ENOMEM;
	ret = nvme_identify(n, NVME_CNS_CONTROLLER, 0, id, &status);
	if (ret != 0)
		ob_err(n->ob, "%s: identify controller failed: %s", n->name,
		       status != 0 ? ob_nvme_status_text(status) : "no answer");
	if (ret == 0) {
		char firmware[sizeof(out->firmware)];

		copy_text(firmware, id->fr, sizeof(id->fr));
		n->ids.firmware = firmware;
		nvme_quirks_find(n);
		n->ids.firmware = NULL;
		ret = nvme_parse_controller(n, id, out);
	}
	ob_free(id);
	return ret;
}
