/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a command's data is: physical region pages (NVM Express 1.4 §4.3) and scatter gather lists (§4.4).
 *
 * The list is written for the device and never read back; what is needed of it again is kept in locals.
 */
#include <errno.h>

#include "drivers/block/nvme/nvme.h"

#define PAGE_MASK ((uint64_t)NVME_PAGE_BYTES - 1)

/*
 * PRP1 may start anywhere in its page; every further entry is a whole page but for the end of the last one. With two
 * entries PRP2 is the second, with more it points to the list. A list fits into a power of two of at most a page and is
 * aligned to it, so it never crosses one and needs no chaining.
 */
int nvme_prp_build(const struct nvme_list *list, const struct ob_block_request *request, unsigned dma_index,
		   enum ob_dma_rights rights, struct nvme_data_pointer *out)
{
	ob_le64 *entries = list->base;
	uint32_t max = list->len_bytes / sizeof(*entries);
	uint32_t count = 0; /* of entries after PRP1 */
	uint64_t second = 0, end = 0;

	out->word[0] = 0;
	for (unsigned i = 0; i < request->segment_count; i++) {
		const struct ob_segment *s = &request->segments[i];
		ob_iova iova;
		uint64_t page;
		int ret;

		ret = ob_window_iova(request->window, dma_index, s->base, s->len_bytes, rights, &iova);
		if (ret != 0)
			return ret;
		if (s->len_bytes == 0 || (i > 0 && ((iova.addr | end) & PAGE_MASK) != 0))
			return -EINVAL;
		page = iova.addr;
		end = iova.addr + s->len_bytes;
		if (i == 0) {
			out->word[0] = page;
			page = (page & ~PAGE_MASK) + NVME_PAGE_BYTES;
		}
		for (; page < end; page += NVME_PAGE_BYTES) {
			if (count == max)
				return -EINVAL;
			if (count == 0)
				second = page;
			ob_le64_store(&entries[count++], page);
		}
	}
	out->word[1] = count > 1 ? list->iova.addr : second;
	out->psdt = NVME_PSDT_PRP;
	return 0;
}

/* What follows the address in a descriptor: length and type. */
static uint64_t descriptor_word(uint32_t len_bytes, unsigned type)
{
	const union {
		struct {
			ob_le32 length;
			uint8_t rsvd[3], type;
		};
		ob_le64 word;
	} u = {{ob_cpu_to_le32(len_bytes), {0}, (uint8_t)FIELD_PREP(NVME_SGL_TYPE, type)}};

	return ob_le64_to_cpu(u.word);
}

static void store_descriptor(struct nvme_sgl *sgl, uint64_t address, uint32_t len_bytes, unsigned type)
{
	ob_le64_store(&sgl->addr, address);
	ob_le64_store((ob_le64 *)(void *)&sgl->length, descriptor_word(len_bytes, type));
}

/* One data block goes into the command; more go into one last segment. Neighbours are merged. */
int nvme_sgl_build(const struct nvme_list *list, const struct ob_block_request *request, unsigned dma_index,
		   enum ob_dma_rights rights, struct nvme_data_pointer *out)
{
	struct nvme_sgl *descriptors = list->base;
	uint32_t max = list->len_bytes / sizeof(*descriptors);
	uint32_t count = 0; /* complete ones */
	uint64_t address = 0, len_bytes = 0;

	for (unsigned i = 0; i < request->segment_count; i++) {
		const struct ob_segment *s = &request->segments[i];
		ob_iova iova;
		int ret;

		ret = ob_window_iova(request->window, dma_index, s->base, s->len_bytes, rights, &iova);
		if (ret != 0)
			return ret;
		if (s->len_bytes == 0 || s->len_bytes > NVME_TRANSFER_MAX)
			return -EINVAL;
		if (len_bytes != 0 && address + len_bytes == iova.addr &&
		    len_bytes + s->len_bytes <= NVME_TRANSFER_MAX) {
			len_bytes += s->len_bytes;
			continue;
		}
		if (len_bytes != 0) {
			if (count == max)
				return -EINVAL;
			store_descriptor(&descriptors[count++], address, (uint32_t)len_bytes, NVME_SGL_DATA_BLOCK);
		}
		address = iova.addr;
		len_bytes = s->len_bytes;
	}
	if (len_bytes == 0)
		return -EINVAL;
	out->psdt = NVME_PSDT_SGL;
	if (count == 0) {
		out->word[0] = address;
		out->word[1] = descriptor_word((uint32_t)len_bytes, NVME_SGL_DATA_BLOCK);
		return 0;
	}
	if (count == max)
		return -EINVAL;
	store_descriptor(&descriptors[count++], address, (uint32_t)len_bytes, NVME_SGL_DATA_BLOCK);
	out->word[0] = list->iova.addr;
	out->word[1] = descriptor_word(count * (uint32_t)sizeof(*descriptors), NVME_SGL_LAST_SEGMENT);
	return 0;
}
