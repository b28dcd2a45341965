/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of core's tests: sample_driver.h. */
#include "tests/sample_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "tests/test_machine.h"

struct sample {
	struct ob_device *dev;
	struct ob_region region;
	struct ob_dma ring;
	struct ob_irq *irq[2];
	struct ob_window *window;
	struct ob_task *task;
};

struct sample_seen seen;

static enum ob_irq_result sample_hard(void *arg)
{
	return OB_IRQ_HANDLED;
}

static void sample_task(void *arg)
{
}

static int sample_irqs(struct sample *s)
{
	struct ob_irq_config config = {.name = "sample", .hard = sample_hard, .task = sample_task, .arg = s};

	for (unsigned v = 0; v < 2; v++) {
		int rc;

		/* The second lives on the last CPU. */
		config.cpu = ob_cpu_get(ob_device_context(s->dev),
					v == 0 ? 0 : ob_cpu_count(ob_device_context(s->dev)) - 1);
		rc = ob_irq_request(s->dev, v, &config, &s->irq[v]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void sample_free(struct sample *s)
{
	ob_device_enable_dma(s->dev, false);
	for (unsigned v = 0; v < 2; v++)
		ob_irq_free(s->irq[v]);
	ob_irq_release(s->dev);
	ob_window_put(s->window);
	ob_dma_free(s->dev, &s->ring);
	ob_free(s);
}

static int sample_bring_up(struct sample *s)
{
	struct ob_device *dev = s->dev;
	int rc = ob_device_region(dev, 1, &s->region);

	if (rc == 0 && (rc = ob_irq_alloc(dev, 2, 2, OB_IRQ_ANY, NULL)) > 0)
		rc = 0;
	if (rc == 0)
		rc = sample_irqs(s);
	if (rc == 0)
		rc = ob_dma_alloc(dev, 100, 0, &s->ring);
	if (rc == 0)
		rc = ob_window_create(ob_device_machine(dev), 5000, &s->window);
	if (rc == 0)
		rc = ob_window_grant(s->window, dev, OB_DMA_BOTH);
	if (rc == 0)
		rc = ob_device_enable_dma(dev, true);
	if (rc == 0 && seen.wait_long)
		rc = ob_mmio_wait32(&s->region, 8, 1, 1, ob_deadline(20 * OB_NS_PER_S), NULL);
	return rc != 0 ? rc : seen.probe_error;
}

static int sample_probe(struct ob_device *dev, const struct ob_match *row)
{
	struct sample *s = ob_alloc(sizeof(*s));
	int rc;

	seen.probes++;
	seen.context = cpu_context();
	seen.row = row;
	if (s == NULL)
		return -ENOMEM;
	s->dev = dev;
	rc = sample_bring_up(s);
	if (rc == 0) {
		ob_device_set_driver_data(dev, s);
		return 0;
	}
	if (seen.leak)
		ob_window_put(s->window); /* no device's: the core does not see it leak */
	if (seen.leak)
		ob_free(s);
	else
		sample_free(s);
	return rc;
}

static void sample_remove(struct ob_device *dev)
{
	size_t len = strlen(seen.order);

	__atomic_fetch_add(&seen.removes, 1, __ATOMIC_SEQ_CST);
	if (len < sizeof(seen.order) - 1)
		seen.order[len] = ob_device_name(dev)[0];
	sample_free(ob_device_driver_data(dev));
}

const struct ob_match sample_match[] = {OB_PCI_ID(0x1234, 1), OB_PCI_CLASS(0x010802, 0xffffff), OB_MATCH_LAST};
const struct ob_driver sample_driver = {
	.name = "sample", .match = sample_match, .probe = sample_probe, .remove = sample_remove};

struct ob *sample_start(unsigned cpus)
{
	struct ob *ob = test_context(cpus);

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(ob_driver_register(ob, &sample_driver), 0);
	for (unsigned i = 1; i < cpus; i++)
		assert_int_equal(ob_cpu_start(ob_cpu_get(ob, i), -1), 0);
	return ob;
}

void sample_finish(struct ob *ob)
{
	ob_destroy(ob);
	assert_int_equal(test_setup.dma_live, 0);
	assert_int_equal(test_setup.grants_live, 0);
	assert_int_equal(test_setup.opens, test_setup.closes);
}
