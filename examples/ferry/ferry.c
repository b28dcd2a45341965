/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of a ferry (ferry.h). All of it runs on the device's CPU, so it needs no lock. */
#include "ferry.h"

#include <errno.h>

#define ENTRIES  2u
#define START_NS (100 * OB_NS_PER_MS)

struct slot {
	struct ob_event done;
	int result;
	bool aboard; /* the device has it */
	bool busy;   /* somebody waits, or has not taken the result yet */
};

struct ferry {
	struct ob_device *dev;
	struct ob_region regs;
	struct ob_dma memory;
	struct ferry_entry *ring;
	struct ob_irq *irq;
	struct slot slots[ENTRIES];
	uint32_t head, tail;    /* entries taken back and filled, ever since it runs */
	struct ob_mutex repair; /* one task at a time starts it again */
	bool runs;
};

/* ---- completions ---- */

static enum ob_irq_result ferry_hard(void *arg)
{
	return OB_IRQ_SOFT;
}

static void end(struct ferry *f, int result)
{
	struct slot *s = &f->slots[f->head++ % ENTRIES];

	s->result = result;
	s->aboard = false;
	ob_event_signal(&s->done);
}

static void ferry_soft(void *arg)
{
	struct ferry *f = arg;

	while (f->head != f->tail) {
		const struct ferry_entry *entry = &f->ring[f->head % ENTRIES];
		uint32_t status = ob_le32_load(&entry->status);

		if ((status & FERRY_DONE) == 0)
			break;
		/* The status before the data that it tells of, which the caller is about to look at. */
		ob_dma_rmb();
		end(f, (status & FERRY_FAILED) != 0 ? -EIO : 0);
	}
}

/* ---- the device ---- */

/* When this returns 0 the device reaches no memory any more. */
static int halt(struct ferry *f)
{
	f->runs = false;
	ob_mmio_write32(&f->regs, FERRY_CONTROL, 0);
	return ob_mmio_wait32(&f->regs, FERRY_STATUS, FERRY_RUN, 0, ob_deadline(START_NS), NULL);
}

static int run(struct ferry *f)
{
	int rc;

	f->head = f->tail = 0;
	ob_mmio_write32(&f->regs, FERRY_SIZE, ENTRIES);
	ob_mmio_write64(&f->regs, FERRY_RING, f->memory.iova.addr);
	ob_mmio_write32(&f->regs, FERRY_CONTROL, FERRY_RUN);
	rc = ob_mmio_wait32(&f->regs, FERRY_STATUS, FERRY_RUN, FERRY_RUN, ob_deadline(START_NS), NULL);
	f->runs = rc == 0;
	return rc;
}

/* The caller has its memory back as soon as this returns: from here on the device reaches none. */
static void give_up(struct ferry *f, const char *why)
{
	ob_device_enable_dma(f->dev, false);
	ob_device_mark_gone(f->dev, why);
}

/* A request was not answered in time: no memory is safe before the device has let go of all of it. */
static void repair(struct ferry *f, const struct slot *late)
{
	/* Another task may be at it already, for as long as these waits may take. */
	if (ob_mutex_lock(&f->repair, ob_deadline(4 * START_NS)) != 0) {
		give_up(f, "is not repaired in time");
		return;
	}
	if (late->aboard) {
		if (halt(f) != 0)
			give_up(f, "does not halt");
		while (f->head != f->tail)
			end(f, -EIO);
		if (run(f) != 0)
			ob_device_mark_gone(f->dev, "does not start");
	}
	ob_mutex_unlock(&f->repair);
}

/* ---- requests ---- */

static int submit(struct ferry *f, ob_iova to, ob_iova from, uint32_t len_bytes, struct slot **out)
{
	struct ferry_entry *entry = &f->ring[f->tail % ENTRIES];
	struct slot *s = &f->slots[f->tail % ENTRIES];

	if (!f->runs || f->tail - f->head == ENTRIES || s->busy)
		return -EBUSY;
	s->busy = s->aboard = true;
	ob_event_init(&s->done, ob_device_cpu(f->dev));
	ob_le64_store(&entry->from, from.addr);
	ob_le64_store(&entry->to, to.addr);
	ob_le32_store(&entry->len_bytes, len_bytes);
	ob_le32_store(&entry->status, 0);
	f->tail++;
	/* Ordered: the entry, and the data, before the word that tells of them. */
	ob_mmio_write32(&f->regs, FERRY_TAIL, f->tail);
	*out = s;
	return 0;
}

int ferry_copy(struct ob_device *dev, const struct ob_window *window, void *to, const void *from, uint32_t len_bytes,
	       uint64_t deadline_ns)
{
	unsigned index = ob_device_dma_index(dev);
	struct ferry *f = ob_device_driver_data(dev);
	struct slot *s;
	ob_iova source, target;
	int rc;

	rc = ob_window_iova(window, index, from, len_bytes, OB_DMA_READ, &source);
	if (rc == 0)
		rc = ob_window_iova(window, index, to, len_bytes, OB_DMA_WRITE, &target);
	if (rc != 0)
		return rc;
	if (!ob_device_get_online(dev))
		return -ENODEV;
	rc = submit(f, target, source, len_bytes, &s);
	if (rc == 0) {
		rc = ob_event_wait(&s->done, deadline_ns);
		if (rc != 0)
			repair(f, s);
		else
			rc = s->result;
		s->busy = false;
	}
	ob_device_put_online(dev);
	return rc;
}

/* ---- coming and going ---- */

static void ferry_free(struct ferry *f)
{
	ob_device_enable_dma(f->dev, false);
	ob_irq_free(f->irq);
	ob_irq_release(f->dev);
	ob_dma_free(f->dev, &f->memory);
	ob_free(f);
}

static int bring_up(struct ferry *f)
{
	const struct ob_irq_config irq = {
		.name = "ferry", .cpu = ob_device_cpu(f->dev), .hard = ferry_hard, .soft = ferry_soft, .arg = f};
	int rc = ob_device_region(f->dev, 0, &f->regs);

	if (rc != 0)
		return rc;
	if (f->regs.len_bytes < FERRY_BAR_BYTES || ob_mmio_read32(&f->regs, FERRY_ID) != FERRY_ID_VALUE)
		return -ENODEV;
	rc = ob_dma_alloc(f->dev, ENTRIES * sizeof(*f->ring), 0, &f->memory);
	if (rc != 0)
		return rc;
	f->ring = f->memory.base;
	rc = ob_irq_alloc(f->dev, 1, 1, OB_IRQ_MSIX, NULL);
	if (rc < 0)
		return rc;
	rc = ob_irq_request(f->dev, 0, &irq, &f->irq);
	if (rc == 0)
		rc = ob_device_enable_dma(f->dev, true);
	return rc != 0 ? rc : run(f);
}

static int ferry_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ferry *f = ob_alloc(sizeof(*f));
	int rc;

	if (f == NULL)
		return -ENOMEM;
	f->dev = dev;
	ob_mutex_init(&f->repair, "ferry");
	rc = bring_up(f);
	if (rc != 0) {
		ferry_free(f);
		return rc;
	}
	ob_device_set_driver_data(dev, f);
	return 0;
}

static void ferry_remove(struct ob_device *dev)
{
	struct ferry *f = ob_device_driver_data(dev);

	halt(f);
	ferry_free(f);
}

static const struct ob_match ferry_match[] = {OB_PCI_ID(FERRY_VENDOR, FERRY_DEVICE), OB_MATCH_LAST};

const struct ob_driver ferry_driver = {
	.name = "ferry",
	.match = ferry_match,
	.probe = ferry_probe,
	.remove = ferry_remove,
};
