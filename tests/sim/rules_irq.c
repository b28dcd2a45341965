/* SPDX-License-Identifier: BSD-2-Clause */
/* Mistakes with interrupts, on the device of rules_device.c. */
#include "core/device.h"
#include "tests/sim/rules.h"
#include "tests/sim/rules_device.h"

#define LONG_NS (20 * OB_NS_PER_MS)

static volatile uint8_t sink;

/* ---- handlers ---- */

static enum ob_irq_result handles(void *arg)
{
	struct rules_device *d = arg;

	ob_mmio_write32(&d->regs, RULES_CAUSE, 1 | RULES_UNSEEN);
	return OB_IRQ_HANDLED;
}

static enum ob_irq_result ignores(void *arg)
{
	return OB_IRQ_NONE;
}

static enum ob_irq_result forgets(void *arg)
{
	return OB_IRQ_HANDLED;
}

/* It answers for two of three causes, each of which is new. */
static enum ob_irq_result serves_one(void *arg)
{
	struct rules_device *d = arg;

	ob_mmio_write32(&d->regs, RULES_CAUSE, 1);
	if (d->count++ < 20)
		ob_mmio_write32(&d->regs, RULES_RAISE, 1);
	return OB_IRQ_HANDLED;
}

static enum ob_irq_result dawdles(void *arg)
{
	struct rules_device *d = arg;

	for (unsigned i = 0; i < 100; i++)
		ob_mmio_read32(&d->regs, RULES_MASK);
	return handles(arg);
}

static enum ob_irq_result never_returns(void *arg)
{
	while (sink < 255)
		sink = 1;
	return OB_IRQ_HANDLED;
}

static enum ob_irq_result is_brief(void *arg)
{
	struct rules_device *d = arg;

	for (unsigned i = 0; i < 10; i++)
		ob_mmio_read32(&d->regs, RULES_MASK);
	return handles(arg);
}

static void request(struct rules_device *d, enum ob_irq_result (*hard)(void *arg))
{
	const struct ob_irq_config config = {.hard = hard, .arg = d};

	SIM_CHECK(ob_irq_alloc(d->dev, 1, RULES_VECTORS, OB_IRQ_ANY, NULL) >= 1);
	SIM_CHECK(ob_irq_request(d->dev, 0, &config, &d->irq) == 0);
}

static void release(struct rules_device *d)
{
	ob_irq_free(d->irq);
	ob_irq_release(d->dev);
}

/* @times interrupts, one after the other. */
static void raise(struct rules_device *d, unsigned times, uint32_t cause, enum ob_irq_result (*hard)(void *arg))
{
	request(d, hard);
	for (unsigned i = 0; i < times; i++) {
		ob_mmio_write32(&d->regs, RULES_CAUSE, cause);
		ob_mmio_write32(&d->regs, RULES_RAISE, cause);
		ob_task_sleep(ob_deadline(LONG_NS));
	}
	release(d);
}

static void slow_handler(struct rules_device *d)
{
	raise(d, 1, 1, dawdles);
}

static void endless_handler(struct rules_device *d)
{
	raise(d, 1, 1, never_returns);
}

static void brief_handler(struct rules_device *d)
{
	raise(d, 3, 1, is_brief);
}

static void storm(struct rules_device *d)
{
	raise(d, 100, 1, ignores);
}

static void many(struct rules_device *d)
{
	raise(d, 100, 1, handles);
}

static void few_ignored(struct rules_device *d)
{
	raise(d, 10, 1, ignores);
}

/* ---- the pin ---- */

static void level_left_up(struct rules_device *d)
{
	raise(d, 1, 1, forgets);
}

static void level_nobodys(struct rules_device *d)
{
	raise(d, 1, 1, ignores);
}

static void level_new_causes(struct rules_device *d)
{
	raise(d, 1, 1, serves_one);
}

/* ---- vectors ---- */

static void vector_too_many(struct rules_device *d)
{
	const struct ob_irq_config config = {.hard = handles, .arg = d};

	SIM_CHECK(ob_irq_alloc(d->dev, 1, RULES_VECTORS, OB_IRQ_ANY, NULL) >= 1);
	SIM_CHECK(ob_irq_request(d->dev, RULES_VECTORS, &config, &d->irq) != 0);
}

static void raise_before(struct rules_device *d, bool unmask)
{
	SIM_CHECK(ob_irq_alloc(d->dev, 1, RULES_VECTORS, OB_IRQ_ANY, NULL) >= 1);
	if (unmask)
		d->dev->ops->irq_mask(d->dev, 0, false);
	ob_mmio_write32(&d->regs, RULES_RAISE, 1);
	ob_task_sleep(ob_deadline(LONG_NS));
	ob_irq_release(d->dev);
}

static void unmasked_early(struct rules_device *d)
{
	raise_before(d, true);
}

static void raised_while_masked(struct rules_device *d)
{
	raise_before(d, false);
}

/* ---- lost ---- */

static void sleeps_after(struct rules_device *d, enum ob_irq_result (*hard)(void *arg))
{
	request(d, hard);
	ob_mmio_write32(&d->regs, RULES_RAISE, 1 | RULES_UNSEEN);
	ob_task_sleep(ob_deadline(50 * OB_NS_PER_MS));
	release(d);
}

static void cause_unseen(struct rules_device *d)
{
	sleeps_after(d, forgets);
}

static void cause_seen(struct rules_device *d)
{
	sleeps_after(d, handles);
}

static void raised_masked(struct rules_device *d)
{
	request(d, handles);
	ob_irq_mask(d->irq);
	ob_mmio_write32(&d->regs, RULES_RAISE, 1 | RULES_UNSEEN);
	ob_task_sleep(ob_deadline(50 * OB_NS_PER_MS));
	release(d);
}

#define RUN(rule, body)                                         \
	static void run_##body(const struct sim_config *config) \
	{                                                       \
		rules_with_device(body);                        \
	}
#define RUN_PIN(rule, body)                                     \
	static void pin_##body(const struct sim_config *config) \
	{                                                       \
		rules_with_device(body);                        \
	}
#define ROW(rule, body)     {rule, #body, run_##body},
#define ROW_PIN(rule, body) {rule, #body, pin_##body},

#define CASES(X)                             \
	X("hard-budget", slow_handler)       \
	X("hard-budget", endless_handler)    \
	X("", brief_handler)                 \
	X("interrupt-storm", storm)          \
	X("", many)                          \
	X("", few_ignored)                   \
	X("misuse", vector_too_many)         \
	X("interrupt-early", unmasked_early) \
	X("", raised_while_masked)           \
	X("lost-interrupt", cause_unseen)    \
	X("", cause_seen)                    \
	X("lost-interrupt", raised_masked)

#define CASES_PIN(X)                          \
	X("level-not-cleared", level_left_up) \
	X("interrupt-storm", level_nobodys)   \
	X("", level_new_causes)               \
	X("", many)                           \
	X("interrupt-early", unmasked_early)  \
	X("", raised_while_masked)            \
	X("", cause_seen)

CASES(RUN)
CASES_PIN(RUN_PIN)

const struct rule_case rules_irq[] = {CASES(ROW){0}};
const struct rule_case rules_pin[] = {CASES_PIN(ROW_PIN){0}};
