/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts. With MSI-X vector 0 is the queue's, on its channel's CPU, and vector 1 the link's, on
 * CPU 0. With one message, or a line, both share it, on CPU 0; a channel of another CPU is polled then.
 *
 * A cause that interrupts is masked until the class arms it again. A cause that was set meanwhile interrupts at once, once
 * too often: to clear it before would take a read for each time, so that nothing new is cleared with it.
 */
#include <errno.h>

#include "drivers/net/e1000e/e1000e.h"

#define QUEUE_VECTOR 0u
#define LINK_VECTOR  1u

/* ---- handlers ---- */

static void interrupt_queue(struct e1000e_queue *q)
{
	/* A message of MSI-X may have masked them itself; not every device does that. */
	ob_mmio_write32(&q->e->regs, E1000E_IMC, OB_READ_ONCE(q->armed));
	OB_WRITE_ONCE(q->armed, 0);
	ob_net_interrupt(q->channel);
}

static enum ob_irq_result queue_hard(void *arg)
{
	struct e1000e_queue *q = arg;

	if (OB_READ_ONCE(q->armed) != 0)
		interrupt_queue(q);
	return OB_IRQ_HANDLED;
}

/* The service task looks at the link, and arms it again. */
static enum ob_irq_result link_hard(void *arg)
{
	struct e1000e *e = arg;

	if (OB_READ_ONCE(e->quiet))
		return OB_IRQ_HANDLED;
	ob_mmio_write32(&e->regs, E1000E_IMC, e->link_causes);
	return OB_IRQ_SOFT;
}

static void link_soft(void *arg)
{
	e1000e_want(arg, E1000E_TODO_LINK);
}

/*
 * ICR shows causes that are masked, too. What is written to it is cleared, which takes a line down; where reading it has
 * cleared all (the datasheet has the cases with ICR), nothing is lost: who arms a cause looks at the ring afterwards.
 */
static enum ob_irq_result shared_hard(void *arg)
{
	struct e1000e *e = arg;
	struct e1000e_queue *q = OB_READ_ONCE(e->shared);
	uint32_t armed = q != NULL ? OB_READ_ONCE(q->armed) : 0, icr;

	if (OB_READ_ONCE(e->quiet))
		return OB_IRQ_NONE;
	icr = ob_mmio_read32(&e->regs, E1000E_ICR);
	if (icr == UINT32_MAX || (icr & (armed | e->link_causes)) == 0)
		return e->irq_kind == OB_IRQ_INTX ? OB_IRQ_NONE : OB_IRQ_HANDLED;
	ob_mmio_write32(&e->regs, E1000E_ICR, icr & (armed | e->link_causes));
	if ((icr & armed) != 0)
		interrupt_queue(q);
	return (icr & e->link_causes) != 0 ? OB_IRQ_SOFT : OB_IRQ_HANDLED;
}

/* ---- vectors ---- */

static int take_vectors(struct e1000e *e)
{
	int ret = ob_irq_alloc(e->dev, 2, 2, OB_IRQ_MSIX, &e->irq_kind);

	if (ret < 0 && ret != -ENODEV && ret != -ENOMEM)
		ret = ob_irq_alloc(e->dev, 1, 1, OB_IRQ_MSI | OB_IRQ_INTX, &e->irq_kind);
	return ret;
}

int e1000e_irq_init(struct e1000e *e)
{
	struct ob_irq_config config = {
		.name = e->name, .cpu = ob_device_cpu(e->dev), .hard = shared_hard, .soft = link_soft, .arg = e};
	int ret = take_vectors(e);

	if (ret == -ENODEV || ret == -ENOMEM)
		return ret;
	if (ret < 0) {
		ob_warn(e->ob, "%s: no interrupts, polling (%d)", e->name, ret);
		return 0;
	}
	e->rx_cause = E1000E_CAUSE_RXT0;
	e->tx_cause = E1000E_CAUSE_TXDW;
	e->link_causes = E1000E_CAUSE_LSC;
	if (e->irq_kind == OB_IRQ_MSIX) {
		config.hard = link_hard;
		e->rx_cause = E1000E_CAUSE_RXQ0;
		e->tx_cause = E1000E_CAUSE_TXQ0;
		e->link_causes |= E1000E_CAUSE_OTHER;
	}
	ret = ob_irq_request(e->dev, e->irq_kind == OB_IRQ_MSIX ? LINK_VECTOR : 0, &config, &e->irq);
	if (ret != 0) {
		ob_irq_release(e->dev);
		return ret;
	}
	e->irqs = true;
	return 0;
}

void e1000e_irq_fini(struct e1000e *e)
{
	if (!e->irqs)
		return;
	ob_irq_free(e->irq);
	e->irq = NULL;
	ob_irq_release(e->dev);
	e->irqs = false;
}

void e1000e_irq_arm_link(struct e1000e *e)
{
	if (!e->irqs)
		return;
	/* What it says from here on is new; the caller looks at the link afterwards. */
	ob_mmio_write32(&e->regs, E1000E_ICR, e->link_causes);
	ob_mmio_write32(&e->regs, E1000E_IMS, e->link_causes);
}

int e1000e_irq_listen(struct e1000e_queue *q)
{
	struct ob_net_channel *channel = q->channel;
	struct ob_irq_config config = {.name = q->e->name, .cpu = channel->cpu, .hard = queue_hard, .arg = q};
	struct e1000e *e = q->e;

	if (channel->mode == OB_COMPLETION_POLLED)
		return 0;
	if (e->irqs && e->irq_kind == OB_IRQ_MSIX)
		return ob_irq_request(e->dev, QUEUE_VECTOR, &config, &q->irq);
	if (e->irqs && channel->cpu == ob_device_cpu(e->dev))
		OB_WRITE_ONCE(e->shared, q);
	else
		channel->mode = OB_COMPLETION_POLLED;
	return 0;
}

void e1000e_irq_unlisten(struct e1000e_queue *q)
{
	/* Its handler runs on this CPU, if at all. */
	OB_WRITE_ONCE(q->e->shared, NULL);
	ob_irq_free(q->irq);
	q->irq = NULL;
}
