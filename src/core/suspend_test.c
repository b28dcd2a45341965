/* SPDX-License-Identifier: BSD-2-Clause */
/* Suspend and resume in core: order, refusals, what is undone, and devices that go meanwhile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "core/machine_core.h"
#include "tests/sample_driver.h"
#include "tests/test_machine.h"

#define LONG (20 * OB_NS_PER_S)

/* ---- a driver that tells: lower case suspends, upper case resumes, '-' removes, '!' shuts down ---- */

static struct {
	char told[64];
	const char *fails; /* of the device's name: suspend or resume, as told */
	int error;
	uint64_t resume_ns; /* how long the last resume might have taken */
	bool was_powered;   /* at the last remove or shutdown */
	struct ob_device *meanwhile;
} story;

static void tell(struct ob_device *dev, char what)
{
	size_t len = strlen(story.told);

	assert_true(len + 1 < sizeof(story.told));
	story.told[len] = what;
	story.was_powered = !((struct test_device *)(void *)dev)->asleep;
}

static int fate(char what)
{
	return story.fails != NULL && strchr(story.fails, what) != NULL ? story.error : 0;
}

static int story_probe(struct ob_device *dev, const struct ob_match *match)
{
	return 0;
}

static void story_remove(struct ob_device *dev)
{
	tell(dev, '-');
}

static void story_shutdown(struct ob_device *dev)
{
	tell(dev, '!');
}

static int story_suspend(struct ob_device *dev, uint64_t deadline_ns)
{
	char name = ob_device_name(dev)[0];

	assert_false(((struct test_device *)(void *)dev)->asleep);
	tell(dev, name);
	if (story.meanwhile != NULL) {
		ob_device_mark_gone(story.meanwhile, "a test wants it");
		story.meanwhile = NULL;
	}
	return fate(name);
}

static int story_resume(struct ob_device *dev, uint64_t deadline_ns)
{
	char name = (char)(ob_device_name(dev)[0] - 'a' + 'A');

	assert_false(((struct test_device *)(void *)dev)->asleep);
	tell(dev, name);
	story.resume_ns = deadline_ns - ob_now_ns();
	return fate(name);
}

static const struct ob_match story_match[] = {OB_PCI_ID(0x7777, 1), OB_MATCH_LAST};
static const struct ob_driver story_driver = {.name = "story",
					      .match = story_match,
					      .probe = story_probe,
					      .remove = story_remove,
					      .shutdown = story_shutdown,
					      .suspend = story_suspend,
					      .resume = story_resume};

static struct ob *ob;
static struct ob_machine *machine;

static void add(const char *name, const char *parent)
{
	struct test_device_setup *d = test_add(name, 0x7777, 1, 2);

	d->ids.class_code = 0;
	d->parent = parent;
}

static struct ob_device *device(const char *name)
{
	return &test_device_of(machine, name)->dev;
}

/* a; b, and behind it c, and behind that d. */
static int setup(void **state)
{
	memset(&story, 0, sizeof(story));
	ob = sample_start(1);
	assert_int_equal(ob_driver_register(ob, &story_driver), 0);
	add("a", NULL);
	add("b", NULL);
	add("c", "b");
	add("d", "c");
	assert_int_equal(test_open(ob, 0, &machine), 0);
	return 0;
}

static int teardown(void **state)
{
	ob_machine_close(machine);
	sample_finish(ob);
	return 0;
}

/* ---- one device ---- */

static void test_device_is_suspended_and_resumed_once(void **state)
{
	struct test_device *a = test_device_of(machine, "a");

	assert_int_equal(ob_device_resume(&a->dev, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_suspend(&a->dev, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_suspend(&a->dev, ob_deadline(LONG)), 0);
	assert_true(a->asleep);
	assert_int_equal(ob_device_state(&a->dev), OB_DEVICE_SUSPENDED);
	/* As online as ever: what is asked of it waits in its driver. */
	assert_true(ob_device_get_online(&a->dev));
	ob_device_put_online(&a->dev);
	assert_int_equal(ob_device_resume(&a->dev, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_resume(&a->dev, ob_deadline(LONG)), 0);
	assert_false(a->asleep);
	assert_int_equal(ob_device_state(&a->dev), OB_DEVICE_BOUND);
	assert_string_equal(story.told, "aA");
}

static void test_device_without_driver_or_with_one_that_cannot_is_refused(void **state)
{
	struct ob_device *a = device("a");

	assert_int_equal(ob_device_unbind(a), 0);
	assert_int_equal(ob_device_suspend(a, ob_deadline(LONG)), -ENOENT);
	assert_int_equal(ob_device_resume(a, ob_deadline(LONG)), -ENODEV);
	teardown(NULL);
	ob = sample_start(2);
	test_add("a", 0x1234, 1, 2);
	assert_int_equal(test_open(ob, 0, &machine), 0);
	assert_int_equal(ob_device_suspend(device("a"), ob_deadline(LONG)), -EOPNOTSUPP);
	assert_true(test_logged("sample cannot suspend it", NULL));
}

static void test_device_with_working_ones_behind_it_is_refused(void **state)
{
	assert_int_equal(ob_device_suspend(device("b"), ob_deadline(LONG)), -EBUSY);
	assert_int_equal(ob_device_suspend(device("d"), ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_suspend(device("b"), ob_deadline(LONG)), -EBUSY);
	assert_int_equal(ob_device_suspend(device("c"), ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_suspend(device("b"), ob_deadline(LONG)), 0);
	/* And nothing behind it comes up. */
	assert_int_equal(ob_device_resume(device("d"), ob_deadline(LONG)), -EBUSY);
	assert_int_equal(ob_device_unbind(device("d")), 0);
	assert_int_equal(ob_device_bind(device("d")), -EBUSY);
	assert_int_equal(ob_device_resume(device("b"), ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_resume(device("c"), ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_bind(device("d")), 0);
	assert_string_equal(story.told, "dcb-BC");
}

static void test_suspend_that_fails_leaves_it_at_work(void **state)
{
	struct test_device *a = test_device_of(machine, "a");

	story.fails = "a";
	story.error = -EIO;
	assert_int_equal(ob_device_suspend(&a->dev, ob_deadline(LONG)), -EIO);
	assert_string_equal(story.told, "a");
	assert_false(a->asleep);
	assert_int_equal(ob_device_state(&a->dev), OB_DEVICE_BOUND);
	/* The bus's failure is undone by the driver's resume. */
	story.fails = NULL;
	a->sleep_error = -EOPNOTSUPP;
	assert_int_equal(ob_device_suspend(&a->dev, ob_deadline(LONG)), -EOPNOTSUPP);
	assert_string_equal(story.told, "aaA");
	assert_false(a->asleep);
	assert_int_equal(ob_device_state(&a->dev), OB_DEVICE_BOUND);
}

/* The driver is suspended and its bus is not: then it is suspended, and may be resumed. */
static void test_suspend_that_cannot_be_undone_at_once_is_undone_later(void **state)
{
	struct test_device *a = test_device_of(machine, "a");

	a->sleep_error = -EOPNOTSUPP;
	story.fails = "A";
	story.error = -EAGAIN;
	assert_int_equal(ob_device_suspend(&a->dev, ob_deadline(LONG)), -EOPNOTSUPP);
	assert_true(story.resume_ns > LONG); /* more than what was given: it has time of its own */
	assert_int_equal(ob_device_state(&a->dev), OB_DEVICE_SUSPENDED);
	story.fails = NULL;
	assert_int_equal(ob_device_resume(&a->dev, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_state(&a->dev), OB_DEVICE_BOUND);
	assert_string_equal(story.told, "aAA");
}

static bool is_gone(void *arg)
{
	return ob_device_state(arg) == OB_DEVICE_GONE;
}

static void test_device_that_gets_no_power_is_gone(void **state)
{
	struct test_device *a = test_device_of(machine, "a");

	assert_int_equal(ob_device_suspend(&a->dev, ob_deadline(LONG)), 0);
	a->wake_error = -ETIMEDOUT;
	assert_int_equal(ob_device_resume(&a->dev, ob_deadline(LONG)), -ENODEV);
	assert_true(test_wait_until(ob, is_gone, &a->dev, 5000));
	assert_string_equal(story.told, "a-");
}

static void test_resume_that_fails_leaves_the_device_to_its_driver(void **state)
{
	struct ob_device *a = device("a");

	story.fails = "A";
	story.error = -EAGAIN;
	assert_int_equal(ob_device_suspend(a, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_resume(a, ob_deadline(LONG)), -ETIMEDOUT);
	assert_int_equal(ob_device_state(a), OB_DEVICE_SUSPENDED);
	story.error = -EIO;
	assert_int_equal(ob_device_resume(a, ob_deadline(LONG)), -EIO);
	assert_int_equal(ob_device_state(a), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_resume(a, ob_deadline(LONG)), 0);
	assert_string_equal(story.told, "aAA");
}

/* ---- taken away meanwhile ---- */

static void test_suspended_device_has_power_when_it_is_taken_away(void **state)
{
	struct ob_device *a = device("a"), *d = device("d");

	assert_int_equal(ob_device_suspend(a, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_unbind(a), 0);
	assert_string_equal(story.told, "a-");
	assert_true(story.was_powered);
	assert_int_equal(ob_device_state(a), OB_DEVICE_FOUND);
	assert_int_equal(ob_device_bind(a), 0);
	assert_int_equal(ob_device_state(a), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_suspend(d, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_shutdown(d), 0);
	assert_string_equal(story.told, "a-d!-");
	assert_true(story.was_powered);
}

/* Its users keep it from being taken away: it is suspended as before, and may be resumed. */
static int unbind_soon(struct ob_machine *m, struct ob_device *dev, uint64_t deadline_ns)
{
	return device_unbind(dev, deadline_ns);
}

static void test_suspended_device_that_stays_bound_is_resumed_later(void **state)
{
	struct ob_device *a = device("a");

	assert_int_equal(ob_device_suspend(a, ob_deadline(LONG)), 0);
	assert_true(ob_device_get_online(a));
	assert_int_equal(machine_run_task(machine, a, "unbind", unbind_soon, ob_deadline(10 * OB_NS_PER_MS)),
			 -ETIMEDOUT);
	ob_device_put_online(a);
	assert_int_equal(ob_device_state(a), OB_DEVICE_SUSPENDED);
	assert_int_equal(ob_device_resume(a, ob_deadline(LONG)), 0);
	assert_string_equal(story.told, "aA");
}

static void test_device_that_goes_while_it_is_suspended_is_removed(void **state)
{
	struct ob_device *a = device("a");

	story.meanwhile = a;
	story.fails = "a";
	story.error = -EIO;
	assert_int_equal(ob_device_suspend(a, ob_deadline(LONG)), -ENODEV);
	assert_true(test_wait_until(ob, is_gone, a, 5000));
	assert_string_equal(story.told, "a-");
	assert_int_equal(ob_device_suspend(a, ob_deadline(LONG)), -ENODEV);
	assert_int_equal(ob_device_resume(a, ob_deadline(LONG)), -ENODEV);
}

/* ---- a machine ---- */

static void test_machine_is_suspended_last_to_first_and_resumed_first_to_last(void **state)
{
	assert_int_equal(ob_device_unbind(device("a")), 0);
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_machine_resume(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_machine_resume(machine, ob_deadline(LONG)), 0);
	assert_string_equal(story.told, "-dcbBCD");
}

static void test_machine_with_one_that_refuses_is_as_before(void **state)
{
	/* What somebody else had suspended stays so. */
	assert_int_equal(ob_device_suspend(device("d"), ob_deadline(LONG)), 0);
	story.fails = "a";
	story.error = -EPERM;
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), -EPERM);
	assert_string_equal(story.told, "dcbaBC");
	assert_int_equal(ob_device_state(device("a")), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_state(device("b")), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_state(device("c")), OB_DEVICE_BOUND);
	assert_int_equal(ob_device_state(device("d")), OB_DEVICE_SUSPENDED);
}

static void test_machine_suspension_that_fails_undoes_no_other(void **state)
{
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_resume(device("a"), ob_deadline(LONG)), 0);
	story.fails = "a";
	story.error = -EPERM;
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), -EPERM);
	assert_string_equal(story.told, "dcbaAa");
	assert_int_equal(ob_device_state(device("d")), OB_DEVICE_SUSPENDED);
	/* Nor that of what it did not come to. */
	story.fails = NULL;
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_machine_resume(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	for (const char *name = "b\0c\0d\0"; *name != '\0'; name += 2)
		assert_int_equal(ob_device_resume(device(name), ob_deadline(LONG)), 0);
	story.fails = "d";
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), -EPERM);
	assert_int_equal(ob_device_state(device("a")), OB_DEVICE_SUSPENDED);
	assert_int_equal(ob_device_state(device("d")), OB_DEVICE_BOUND);
}

/* One of them is suspended against its bus's will: it is undone with the others. */
static void test_machine_with_one_that_could_not_be_undone_tries_again(void **state)
{
	test_device_of(machine, "a")->sleep_error = -EOPNOTSUPP;
	story.fails = "A";
	story.error = -EAGAIN;
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), -EOPNOTSUPP);
	assert_string_equal(story.told, "dcbaAABCD");
	assert_int_equal(ob_device_state(device("a")), OB_DEVICE_SUSPENDED);
	assert_int_equal(ob_device_state(device("d")), OB_DEVICE_BOUND);
}

static void test_machine_with_one_that_goes_is_suspended_without_it(void **state)
{
	story.meanwhile = device("a");
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_device_state(device("b")), OB_DEVICE_SUSPENDED);
	assert_int_equal(ob_machine_resume(machine, ob_deadline(LONG)), 0);
	assert_string_equal(story.told, "dcb-BCD");
}

static void test_machine_with_one_that_cannot_be_resumed_resumes_the_others(void **state)
{
	story.fails = "B";
	story.error = -EIO;
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	assert_int_equal(ob_machine_resume(machine, ob_deadline(LONG)), -EIO);
	assert_string_equal(story.told, "dcbaABCD");
	assert_int_equal(ob_device_state(device("d")), OB_DEVICE_BOUND);
}

static void test_machine_that_dies_suspended_lets_all_go(void **state)
{
	assert_int_equal(ob_machine_suspend(machine, ob_deadline(LONG)), 0);
	test_machine_kill(machine, "a test wants it");
	assert_int_equal(ob_machine_resume(machine, ob_deadline(LONG)), -ENODEV);
	assert_true(test_wait_until(ob, is_gone, device("a"), 5000));
	assert_string_equal(story.told, "dcba----");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_device_is_suspended_and_resumed_once),
		TEST(test_device_without_driver_or_with_one_that_cannot_is_refused),
		TEST(test_device_with_working_ones_behind_it_is_refused),
		TEST(test_suspend_that_fails_leaves_it_at_work),
		TEST(test_suspend_that_cannot_be_undone_at_once_is_undone_later),
		TEST(test_device_that_gets_no_power_is_gone),
		TEST(test_resume_that_fails_leaves_the_device_to_its_driver),
		TEST(test_suspended_device_has_power_when_it_is_taken_away),
		TEST(test_suspended_device_that_stays_bound_is_resumed_later),
		TEST(test_device_that_goes_while_it_is_suspended_is_removed),
		TEST(test_machine_is_suspended_last_to_first_and_resumed_first_to_last),
		TEST(test_machine_with_one_that_refuses_is_as_before),
		TEST(test_machine_suspension_that_fails_undoes_no_other),
		TEST(test_machine_with_one_that_could_not_be_undone_tries_again),
		TEST(test_machine_with_one_that_goes_is_suspended_without_it),
		TEST(test_machine_with_one_that_cannot_be_resumed_resumes_the_others),
		TEST(test_machine_that_dies_suspended_lets_all_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
