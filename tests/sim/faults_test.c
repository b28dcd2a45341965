/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each kind of fault strikes when a script says so, and the NVMe driver answers as docs/SIMULATION.md has it: with the
 * data or with an error, in bounded time, and with nothing left behind, which the world sees to. Then scripts and rates
 * as text.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/device.h"
#include "sim/fault/fault.h"
#include "tests/sim/faults.h"

#define SEEDS 4
#define ANY   1 /* of a status: whatever */

/* What the driver had to do. */
#define TIMED_OUT 0x1u
#define ABORTED   0x2u
#define RESET     0x4u
#define REISSUED  0x8u

struct fault_case {
	const char *script;
	uint64_t kinds; /* that strike, and no others */
	bool lost;      /* no disk comes up */
	int status[FAULTS_REQUESTS];
	unsigned had_to; /* bits that must be set; those that are not may be */
	bool gone;       /* the disk is offline after the requests */
	bool not_again;  /* and a rescan finds none */
	unsigned ms_min; /* the requests take */
	unsigned ms_max; /* for all of it; 0: one second */
};

#define FAULT(kind) SIM_FAULT_BIT(SIM_FAULT_##kind)
/* The third may be done just before. */
#define GONE_AT(rest)                       \
	{                                   \
		0, 0, ANY, rest, rest, rest \
	}

static const struct fault_case cases[] = {
	{.script = ""},
	/* Commands: aborted and issued again; what is transient is tried again, and not for ever. */
	{.script = "at io 2 hang", .kinds = FAULT(HANG), .had_to = TIMED_OUT | ABORTED | REISSUED, .ms_min = 20},
	{.script = "at io 2 slow 5ms", .kinds = FAULT(SLOW), .ms_min = 5},
	{.script = "at io 2 slow 45ms", .kinds = FAULT(SLOW), .had_to = TIMED_OUT},
	{.script = "at io 2 fail 0x6", .kinds = FAULT(FAIL), .had_to = REISSUED},
	{.script = "at io 2 fail 0x4006", .kinds = FAULT(FAIL), .status = {0, -EIO}},
	{.script = "at io 4 fail 0x4020", .kinds = FAULT(FAIL), .status = {0, 0, 0, -EROFS}},
	{.script = "every io 1 fail 0x6",
	 .kinds = FAULT(FAIL),
	 .status = {-EIO, -EIO, -EIO, -EIO, -EIO, -EIO},
	 .had_to = REISSUED},
	/* Admin commands of a probe: it fails in the end, and leaves nothing. */
	{.script = "at admin 1 hang", .kinds = FAULT(ADMIN_HANG), .lost = true, .ms_max = 11000},
	{.script = "at admin 5 slow 16ms", .kinds = FAULT(ADMIN_SLOW)},
	{.script = "at admin 1 fail 0x4006", .kinds = FAULT(ADMIN_FAIL), .lost = true},
	/* Completions: one that cannot be is not believed; the queues are made again, and what was lost is issued again. */
	{.script = "at completion 12 completion bad", .kinds = FAULT(COMPLETION_BAD), .had_to = RESET | REISSUED},
	{.script = "at completion 12 completion cid 0x77",
	 .kinds = FAULT(COMPLETION_FIELD),
	 .had_to = RESET | REISSUED},
	{.script = "at completion 12 completion sqid 9", .kinds = FAULT(COMPLETION_FIELD), .had_to = RESET | REISSUED},
	{.script = "at completion 12 completion sqhd 0xffff",
	 .kinds = FAULT(COMPLETION_FIELD),
	 .had_to = RESET | REISSUED},
	{.script = "every completion 13 completion garbage",
	 .kinds = FAULT(COMPLETION_FIELD),
	 .status = {ANY, ANY, ANY, ANY, ANY, ANY},
	 .ms_max = 100000},
	{.script = "at completion 14 completion twice", .kinds = FAULT(COMPLETION_TWICE)},
	{.script = "at completion 14 completion early", .kinds = FAULT(COMPLETION_EARLY)},
	{.script = "at completion 12 completion lost",
	 .kinds = FAULT(COMPLETION_LOST),
	 .had_to = TIMED_OUT,
	 .ms_max = 40000},
	{.script = "at completion 3 completion lost", .kinds = FAULT(COMPLETION_LOST), .lost = true, .ms_max = 31000},
	/* Interrupts: completions are found without. */
	{.script = "at interrupt 12 interrupt lost", .kinds = FAULT(INTERRUPT_LOST), .ms_min = 15},
	{.script = "interrupt lost", .kinds = FAULT(INTERRUPT_LOST)},
	{.script = "interrupt late 3ms", .kinds = FAULT(INTERRUPT_LATE), .ms_min = 10},
	{.script = "interrupt spurious", .kinds = FAULT(INTERRUPT_SPURIOUS)},
	/* Lies. A namespace of 2^3-byte blocks, a controller that needs pages of 2^27 bytes, queues of one entry. */
	{.script = "data 130 0x03", .kinds = FAULT(DATA), .lost = true},
	{.script = "data", .kinds = FAULT(DATA), .status = {ANY, ANY, ANY, ANY, ANY, ANY}, .ms_max = 60000},
	{.script = "register CAP stuck 0xf000000000fff", .kinds = FAULT(REGISTER_STUCK), .lost = true},
	{.script = "register CAP stuck 0", .kinds = FAULT(REGISTER_STUCK), .lost = true},
	{.script = "register CAP reads 0", .kinds = FAULT(REGISTER), .lost = true},
	{.script = "register VS reads 0xffffffff", .kinds = FAULT(REGISTER)},
	/* It never gets ready, never idle, cannot be switched off; or says so. */
	{.script = "register CSTS stuck 0", .kinds = FAULT(REGISTER_STUCK), .lost = true, .ms_max = 5000},
	{.script = "register CSTS stuck 1", .kinds = FAULT(REGISTER_STUCK), .lost = true, .ms_max = 6000},
	{.script = "register CC stuck 0x460001", .kinds = FAULT(REGISTER_STUCK), .lost = true, .ms_max = 6000},
	{.script = "not-ready", .kinds = FAULT(NOT_READY), .lost = true, .ms_max = 5000},
	{.script = "not-idle", .kinds = FAULT(NOT_IDLE), .ms_max = 5000},
	{.script = "at io 2 hang\nat io 2 completion lost\nat disable 1 not-idle\nat enable 2 not-ready",
	 .kinds = FAULT(HANG) | FAULT(COMPLETION_LOST) | FAULT(NOT_IDLE) | FAULT(NOT_READY),
	 .had_to = TIMED_OUT | RESET | REISSUED,
	 .ms_max = 60000},
	{.script = "at io 2 fatal", .kinds = FAULT(FATAL), .had_to = RESET},
	{.script = "at admin 4 fatal", .kinds = FAULT(FATAL), .lost = true},
	/* All ones: a while of it is survived; for good, there is no device. */
	{.script = "at io 2 registers ones 1ms", .kinds = FAULT(REGISTERS_ONES)},
	{.script = "registers ones", .kinds = FAULT(REGISTERS_ONES), .lost = true},
	{.script = "at io 2 hang\nat io 2 registers ones",
	 .kinds = FAULT(HANG) | FAULT(REGISTERS_ONES),
	 .status = {0, -EIO, -ENODEV, -ENODEV, -ENODEV, -ENODEV},
	 .had_to = TIMED_OUT,
	 .not_again = true,
	 .gone = true,
	 .ms_max = 30000},
	{.script = "config ones", .kinds = FAULT(CONFIG_ONES), .lost = true},
	{.script = "at io 2 config ones 1ms", .kinds = FAULT(CONFIG_ONES)},
	/* Out of the slot, into the slot: requests end, the next disk is found and works. */
	{.script = "at io 3 remove",
	 .kinds = FAULT(REMOVE),
	 .status = GONE_AT(-ENODEV),
	 .gone = true,
	 .not_again = true},
	{.script = "at io 3 remove\nafter 40ms insert",
	 .kinds = FAULT(REMOVE) | FAULT(INSERT),
	 .status = GONE_AT(-ENODEV),
	 .gone = true},
	{.script = "at admin 3 remove\nafter 30ms insert", .kinds = FAULT(REMOVE) | FAULT(INSERT), .lost = true},
	{.script = "at io 3 power-cut", .kinds = FAULT(POWER_CUT), .status = GONE_AT(-ENODEV), .gone = true},
	{.script = "after 1ms power-cut none",
	 .kinds = FAULT(POWER_CUT),
	 .status = {ANY, ANY, ANY, ANY, ANY, ANY},
	 .gone = true},
	{.script = "at call 5 call-fails", .kinds = FAULT(CALL), .lost = true},
};

static const struct sim_device_type *const types[] = {&sim_nvme, NULL};
static struct sim_result result;

static void run_by(enum sim_strategy strategy, const char *script_text, uint64_t seed)
{
	struct sim_config config = {
		.strategy = strategy, .slot = true, .lossy = true, .queues = 2, .preempt_every = 100};
	struct sim_fault_script *script;
	char error[256];

	config.time_max_ns = 1000 * OB_NS_PER_S;
	if (sim_fault_script_parse("case", script_text, types, &script, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	config.fault_script = script;
	sim_run(&faults_scenario, &config, seed, &result);
	sim_fault_script_free(script);
	if (result.failed) {
		sim_report_symbols(&result);
		fail_msg("%s, seed %llu:\n%s", script_text, (unsigned long long)seed, result.report);
	}
}

static void run(const char *script_text, uint64_t seed)
{
	run_by(SIM_RANDOM, script_text, seed);
}

#define EXPECT(condition)                                                                                           \
	do {                                                                                                        \
		if (!(condition))                                                                                   \
			fail_msg("\"%s\", seed %llu: not so: %s", c->script, (unsigned long long)seed, #condition); \
	} while (0)

static void check(const struct fault_case *c, uint64_t seed)
{
	const struct faults_outcome *o = &faults_outcome;
	unsigned had_to = (o->stats.timeouts > 0 ? TIMED_OUT : 0) | (o->stats.aborts > 0 ? ABORTED : 0) |
			  (o->stats.resets > 0 ? RESET : 0) | (o->stats.reissues > 0 ? REISSUED : 0);

	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++)
		if ((result.fault_counts[kind] > 0) != ((c->kinds & SIM_FAULT_BIT(kind)) != 0))
			fail_msg("\"%s\", seed %llu: %s struck %u times", c->script, (unsigned long long)seed,
				 sim_fault_kinds[kind].name, result.fault_counts[kind]);
	EXPECT(o->worked_ns <= (c->ms_max != 0 ? c->ms_max : 1000) * OB_NS_PER_MS);
	EXPECT(o->took_ns >= c->ms_min * OB_NS_PER_MS);
	EXPECT(c->lost || o->open == 0);
	EXPECT(o->found == !c->lost || c->status[0] == ANY);
	for (unsigned i = 0; i < FAULTS_REQUESTS && !c->lost; i++)
		if (c->status[i] != ANY && o->status[i] != c->status[i])
			fail_msg("\"%s\", seed %llu: request %u ended with %d, not %d", c->script,
				 (unsigned long long)seed, i, o->status[i], c->status[i]);
	EXPECT(o->data_ok || c->status[0] == ANY);
	EXPECT((had_to & c->had_to) == c->had_to);
	if (c->lost || c->status[0] == ANY)
		return;
	EXPECT(o->online == !c->gone);
	EXPECT(o->again == !c->not_again);
	EXPECT(c->not_again || o->again_status == 0 || c->status[5] != 0);
}

static void test_fault_strikes_and_driver_answers(void **state)
{
	assert_int_equal(sim_init(), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			run(cases[i].script, seed);
			check(&cases[i], seed);
		}
}

static void test_every_kind_has_a_case(void **state)
{
	uint64_t kinds = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		kinds |= cases[i].kinds;
	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++)
		if ((kinds & SIM_FAULT_BIT(kind)) == 0)
			fail_msg("%s has none", sim_fault_kinds[kind].name);
}

static void test_fault_that_does_not_strike_changes_nothing(void **state)
{
	uint64_t hash;

	assert_int_equal(sim_init(), 0);
	run("", 9);
	hash = result.hash;
	run("at io 1000 hang\nat read 100000 registers ones\nafter 900s remove", 9);
	assert_true(result.hash == hash);
	run("at io 2 slow 1ms", 9);
	assert_false(result.hash == hash);
}

/* A line whose time has come waits for somebody whom it can strike, and does not keep the device awake. */
static void test_line_that_strikes_nobody_lets_the_run_end(void **state)
{
	static const struct {
		const char *script;
		unsigned inserted;
	} quiet[] = {
		{"after 1us insert", 0}, /* the slot is never empty */
		{"after 1ns remove\nafter 2ns power-cut\nafter 3ns fatal", 0},
		{"at io 3 remove\nafter 1us insert", 1}, /* long due when the slot is empty */
		{"after 1us remove times 3", 0},
	};

	assert_int_equal(sim_init(), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(quiet); i++)
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			run_by(seed % 2 == 0 ? SIM_RANDOM : SIM_PCT, quiet[i].script, seed);
			if (result.fault_counts[SIM_FAULT_INSERT] != quiet[i].inserted)
				fail_msg("\"%s\", seed %llu: inserted %u times", quiet[i].script,
					 (unsigned long long)seed, result.fault_counts[SIM_FAULT_INSERT]);
		}
}

static void test_inserted_disk_is_found_and_works(void **state)
{
	assert_int_equal(sim_init(), 0);
	for (uint64_t seed = 1; seed <= 40; seed++) {
		run("at io 3 remove\ninsert", seed);
		assert_int_equal(result.fault_counts[SIM_FAULT_INSERT], 1);
		assert_true(faults_outcome.again);
		assert_int_equal(faults_outcome.again_status, 0);
	}
}

/* Not before the first, and once for each, however often it is looked for meanwhile. */
static void test_every_so_many_strikes_once_for_each(void **state)
{
	assert_int_equal(sim_init(), 0);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run("every io 100 interrupt late 1us", seed);
		assert_int_equal(result.fault_counts[SIM_FAULT_INTERRUPT_LATE], 0);
		run("every io 3 interrupt late 1us", seed);
		assert_int_equal(result.fault_counts[SIM_FAULT_INTERRUPT_LATE], 2);
	}
}

static void test_first_interrupt_is_number_one(void **state)
{
	uint64_t hash;

	assert_int_equal(sim_init(), 0);
	run("interrupt lost times 1", 5);
	hash = result.hash;
	assert_int_equal(result.fault_counts[SIM_FAULT_INTERRUPT_LOST], 1);
	run("at interrupt 1 interrupt lost", 5);
	assert_true(result.hash == hash);
	run("at interrupt 2 interrupt lost", 5);
	assert_false(result.hash == hash);
}

/* ---- as text ---- */

static void test_script_wrong_line_is_named_with_the_way_out(void **state)
{
	static const struct {
		const char *script, *error;
	} wrong[] = {
		{"at io 12 hangs", "x:1: hangs is no fault; hang, slow, fail"},
		{"\n# fine\nat 12 hang", "x:3: 12 cannot be counted; command, io, admin"},
		{"at io 0 hang", "x:1: the first one is number 1"},
		{"at io many hang", "x:1: the number of it, not many: a number up to"},
		{"at io 5", "x:1: the end of the line is no fault"},
		{"after 3 remove", "x:1: after what time, not 3: a time such as 500ns, 20us, 3.5ms or 2s"},
		{"after soon remove", "a time such as"},
		{"after 18446744073709551615s remove", "a time such as"},
		{"after 18446744073709552s remove", "a time such as"},
		{"register CSTZ stuck 0", "x:1: CSTZ is no register; one of CAP, VS"},
		{"register CSTS struck", "x:1: a register \"reads\" or is \"stuck\", not struck"},
		{"register CSTS stuck 0x100000000", "x:1: the value, not 0x100000000: a number up to 0xffffffff"},
		{"completion crooked", "x:1: crooked does not befall a completion; one of bad"},
		{"interrupt early", "\"lost\", \"late\" or \"spurious\", not early"},
		{"data 5000 1", "a number up to 0xfff"},
		{"registers twos", "x:1: \"ones\" is missing before twos"},
		{"power-cut half", "\"none\", \"all\" or \"some\""},
		{"every io 3 remove", "\"at\" or \"after\" is needed, not \"every\""},
		{"at io 3 hang for ever", "x:1: for is more than a line holds"},
		{"at io 3 hang times 0", "x:1: \"times 0\" is never"},
		{"at io 3 hang times often", "how often, not often"},
		{"a b c d e f g h i j k l m", "x:1: the line has more than 12 words"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct sim_fault_script *script;
		char error[256] = "";

		assert_int_equal(sim_fault_script_parse("x", wrong[i].script, types, &script, error, sizeof(error)),
				 -EINVAL);
		if (strstr(error, wrong[i].error) == NULL)
			fail_msg("\"%s\": \"%s\", not \"%s\"", wrong[i].script, error, wrong[i].error);
	}
}

static void test_script_lines_are_understood(void **state)
{
	static const char text[] =
		"  # nothing\n\nat admin 3 fail 0x4006 times 2 # more\nafter 3.5ms remove\r\n"
		"data 525 0xff\nregister 0x1c reads 0x2 times 3\nevery interrupt 4 interrupt late 20us\n"
		"registers ones 1s\nat io 20 power-cut none\n";
	struct sim_fault_script *s;
	char error[256];

	assert_int_equal(sim_fault_script_parse("x", text, types, &s, error, sizeof(error)), 0);
	assert_int_equal(s->count, 7);
	assert_true(s->rules[0].kinds == FAULT(ADMIN_FAIL) && s->rules[0].times == 2 && s->rules[0].value == 0x4006);
	assert_true(s->rules[1].when == FAULT_WHEN_AFTER && s->rules[1].number == 3500000 && s->rules[1].times == 1);
	assert_true(s->rules[2].offset == 525 && s->rules[2].value == 0xff && s->rules[2].times == 0);
	assert_true(s->rules[3].offset == 0x1c && s->rules[3].len_bytes == 4 && s->rules[3].times == 3);
	assert_true(s->rules[4].when == FAULT_WHEN_EVERY && s->rules[4].number == 4 && s->rules[4].value == 20000);
	assert_true(s->rules[5].kinds == FAULT(REGISTERS_ONES) && s->rules[5].value == OB_NS_PER_S);
	assert_true(s->rules[6].kinds == FAULT(POWER_CUT) && s->rules[6].has_value && s->rules[6].value == 0);
	assert_string_equal(s->text, text);
	sim_fault_script_free(s);
}

/* Names are the device's: of another one, and of one that has none. */
static void test_script_names_registers_as_the_device_does(void **state)
{
	static const struct sim_register of_other[] = {{"TAIL", 0x18, 4, false}, {.len_bytes = 0}};
	static const struct sim_device_type other = {.name = "other", .registers = of_other}, plain = {.name = "plain"};
	const struct sim_device_type *const others[] = {&plain, &other, NULL}, *const plains[] = {&plain, NULL};
	struct sim_fault_script *s;
	char error[256];

	assert_int_equal(sim_fault_script_parse("x", "register TAIL reads 5", others, &s, error, sizeof(error)), 0);
	assert_true(s->rules[0].offset == 0x18 && s->rules[0].len_bytes == 4 && s->rules[0].value == 5);
	sim_fault_script_free(s);
	assert_int_equal(sim_fault_script_parse("x", "register CSTS reads 5", others, &s, error, sizeof(error)),
			 -EINVAL);
	assert_string_equal(error, "x:1: CSTS is no register; one of TAIL, or its offset, as in 0x1c");
	assert_int_equal(sim_fault_script_parse("x", "register TAIL reads 5", plains, &s, error, sizeof(error)),
			 -EINVAL);
	assert_string_equal(error, "x:1: TAIL is no register that has a name here; its offset is needed, as in 0x1c");
}

static void test_script_file_is_read_and_its_absence_told(void **state)
{
	char path[] = "/tmp/ob-faults-XXXXXX", error[256];
	struct sim_fault_script *s;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "at io 1 hang\n", 13), 13);
	close(fd);
	assert_int_equal(sim_fault_script_read(path, types, &s, error, sizeof(error)), 0);
	assert_int_equal(s->count, 1);
	sim_fault_script_free(s);
	unlink(path);
	assert_int_equal(sim_fault_script_read(path, types, &s, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, path));
}

static void test_rates_as_text(void **state)
{
	struct sim_config config = {0};
	char error[256] = "";

	assert_int_equal(sim_fault_parse("hang=7", &config, error, sizeof(error)), 0);
	assert_int_equal(config.fault_one_in[SIM_FAULT_HANG], 7);
	assert_int_equal(sim_fault_parse("hang=0", &config, error, sizeof(error)), 0);
	assert_int_equal(config.fault_one_in[SIM_FAULT_HANG], 0);
	assert_int_equal(sim_fault_parse("hangs=7", &config, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "hangs"));
	assert_int_equal(sim_fault_parse("hang=often", &config, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "hang=10"));
	assert_int_equal(sim_fault_parse("hang", &config, error, sizeof(error)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault_strikes_and_driver_answers),
		cmocka_unit_test(test_every_kind_has_a_case),
		cmocka_unit_test(test_fault_that_does_not_strike_changes_nothing),
		cmocka_unit_test(test_line_that_strikes_nobody_lets_the_run_end),
		cmocka_unit_test(test_inserted_disk_is_found_and_works),
		cmocka_unit_test(test_every_so_many_strikes_once_for_each),
		cmocka_unit_test(test_first_interrupt_is_number_one),
		cmocka_unit_test(test_script_wrong_line_is_named_with_the_way_out),
		cmocka_unit_test(test_script_lines_are_understood),
		cmocka_unit_test(test_script_names_registers_as_the_device_does),
		cmocka_unit_test(test_script_file_is_read_and_its_absence_told),
		cmocka_unit_test(test_rates_as_text),
	};

	return cmocka_run_group_tests_name("sim/faults", tests, NULL, NULL);
}
