/* SPDX-License-Identifier: BSD-2-Clause */
/* What a person sees of a run: the steps that led to a report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/scenarios/scenarios.h"
#include "sim/view/coverage.h"
#include "sim/view/picture.h"
#include "tests/sim/view.h"

static struct sim_result result;

/* The @nth line of @text that holds @what; NULL: there are fewer. */
static const char *line_with(const char *text, const char *what)
{
	const char *at = strstr(text, what);

	if (at == NULL)
		fail_msg("\"%s\" is not in:\n%s", what, text);
	while (at > text && at[-1] != '\n')
		at--;
	return at;
}

static const char *steps_of(const char *report)
{
	return line_with(report, "the steps that led there");
}

static void test_report_steps_tell_the_story_in_order(void **state)
{
	static const char *const story[] = {
		"writes the doorbell = 0x2a",
		"the doorbell = 0x2a arrives",
		"device       reads DMA memory",
		"device       writes DMA memory",
		"sees that the device wrote DMA memory",
	};
	struct sim_config config = {0};

	assert_int_equal(sim_init(), 0);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const char *at;

		sim_run(&view_no_barrier, &config, seed, &result);
		assert_string_equal(result.rule, "read-barrier");
		at = steps_of(result.report);
		for (size_t i = 0; i < sizeof(story) / sizeof(story[0]); i++)
			at = line_with(at, story[i]);
		line_with(steps_of(result.report), "store to DMA memory of 12 bytes at 0, 4 bytes, becomes visible");
		line_with(steps_of(result.report), "ob_mmio_wmb");
	}
}

static void test_report_steps_name_source_lines(void **state)
{
	struct sim_config config = {0};
	const char *line;

	assert_int_equal(sim_init(), 0);
	sim_run(&view_no_barrier, &config, 1, &result);
	assert_non_null(strstr(line_with(result.report, "writes the doorbell"), " @"));
	sim_report_symbols(&result);
	line = line_with(result.report, "writes the doorbell");
	assert_in_range(strcspn(strstr(line, "ask at view.c:") + 14, "\n"), 2, 3);
	line = line_with(result.report, "sees that the device wrote");
	assert_ptr_equal(line_with(line, "ask at view.c:"), line);
}

/* The world ends in the midst of a controller's life. */
static void test_report_has_the_devices_own_view(void **state)
{
	struct sim_config config = {.steps_max = 13000};
	const char *view;

	assert_int_equal(sim_init(), 0);
	sim_run(&scenario_nvme_io, &config, 1, &result);
	assert_string_equal(result.rule, "livelock");
	view = line_with(result.report, "the device's own view, nvme: ready, ");
	line_with(view, "    SQ0: 32 entries, head ");
	/* Its names are in the steps: a doorbell, an entry of a queue, a command. */
	line_with(steps_of(result.report), "0 tail = 0x");
	line_with(steps_of(result.report), "writes CQ0[");
	line_with(steps_of(result.report), "fetches SQ0 cid ");
}

/* Entries that the driver writes into the controller's own memory are told by the piece, not by the access. */
static void test_report_of_a_memory_buffer_tells_of_entries(void **state)
{
	struct sim_config config = {.memory_buffer = true, .queues = 1, .record = true};
	const char *steps;

	assert_int_equal(sim_init(), 0);
	sim_run(&scenario_nvme_io, &config, 2, &result);
	assert_false(result.failed);
	config.steps_max = result.steps * 2 / 3;
	sim_run(&scenario_nvme_io, &config, 2, &result);
	assert_string_equal(result.rule, "livelock");
	steps = steps_of(result.report);
	line_with(steps, " bytes of SQ1[");
	assert_null(strstr(steps, "register 0x"));
}

/* Recording a run whole shows its accesses as well, and changes nothing. */
static void test_recorded_run_is_the_same_run(void **state)
{
	const struct sim_scenario *const scenarios[] = {&view_barrier, &scenario_nvme_io, &scenario_nvme_small};

	assert_int_equal(sim_init(), 0);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		for (uint64_t seed = 1; seed <= 10; seed++) {
			struct sim_config config = {0};
			uint64_t hash;

			sim_swarm(scenarios[i], seed, &config);
			sim_run(scenarios[i], &config, seed, &result);
			hash = result.hash;
			config.record = true;
			sim_run(scenarios[i], &config, seed, &result);
			assert_false(result.failed);
			assert_int_equal(result.hash, hash);
		}
	}
}

static void test_recorded_report_shows_the_load(void **state)
{
	struct sim_config config = {.record = true};

	assert_int_equal(sim_init(), 0);
	sim_run(&view_no_barrier, &config, 3, &result);
	line_with(steps_of(result.report), "loads DMA memory of 12 bytes at 8, 4 bytes");
	config.record = false;
	sim_run(&view_no_barrier, &config, 3, &result);
	assert_null(strstr(result.report, "loads DMA memory"));
}

/* ---- coverage ---- */

static void run_some(const struct sim_scenario *scenario, unsigned count)
{
	for (uint64_t seed = 1; seed <= count; seed++) {
		struct sim_config config = {0};

		sim_swarm(scenario, seed, &config);
		sim_run(scenario, &config, seed, &result);
		assert_false(result.failed);
	}
}

/* What lies in the same place may be of another type, in another scenario: its states are not put in with these. */
static void test_coverage_of_other_types_is_kept_apart(void **state)
{
	struct sim_coverage *c = calloc(1, sizeof(*c)), *more = calloc(1, sizeof(*more));

	assert_true(c != NULL && more != NULL);
	more->faults[3] = 1;
	more->places[COVERAGE_TEXT - 1] = COVERAGE_REACHED;
	more->devices[0].type = 0x1000;
	more->devices[0].states[5] = 1;
	more->devices[0].transitions[5][0] = 1;
	sim_coverage_add(c, more);
	assert_memory_equal(c, more, sizeof(*c));
	more->devices[0].type = 0x2004;
	more->devices[0].states[6] = 1;
	more->devices[0].transitions[6][0] = 1;
	more->faults[4] = 1;
	sim_coverage_add(c, more);
	assert_int_equal(c->devices[0].type, 0x1000);
	assert_int_equal(c->devices[0].states[6], 0);
	assert_int_equal(c->devices[0].transitions[6][0], 0);
	assert_int_equal(c->devices[1].type, 0x2004);
	assert_int_equal(c->devices[1].states[6], 1);
	/* … whoever came first. */
	sim_coverage_add(more, c);
	assert_int_equal(more->devices[0].states[6], 1);
	assert_int_equal(more->devices[1].type, 0x1000);
	assert_int_equal(more->devices[1].states[6], 0);
	assert_int_equal(c->faults[4], 1);
	free(c);
	free(more);
}

static void test_coverage_lines_tell_reached_from_missed(void **state)
{
	struct sim_coverage *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	assert_int_equal(sim_init(), 0);
	sim_coverage_into(c);
	assert_ptr_equal(sim_coverage(), c);
	assert_int_equal(sim_coverage_reached(c, "tests/sim/view.c", view_line_reached), 0);
	run_some(&view_barrier, 1);
	assert_int_equal(sim_coverage_reached(c, "tests/sim/view.c", view_line_reached), 1);
	assert_int_equal(sim_coverage_reached(c, "tests/sim/view.c", view_line_missed), 0);
	assert_int_equal(sim_coverage_reached(c, "tests/sim/view.c", 1), -1);
	assert_int_equal(sim_coverage_reached(c, "nowhere.c", view_line_reached), -1);
	sim_coverage_into(NULL);
	free(c);
}

static void test_coverage_figures_grow_and_add_up(void **state)
{
	struct sim_coverage *few = calloc(1, sizeof(*few)), *more = calloc(1, sizeof(*more));
	struct sim_coverage_figures a, b, both;

	assert_non_null(few);
	assert_non_null(more);
	assert_int_equal(sim_init(), 0);
	sim_coverage_figures(few, true, &a);
	assert_int_equal(a.blocks_reached + a.lines_reached + a.states + a.transitions + a.faults_struck, 0);
	assert_true(a.blocks > 500 && a.lines > 1000 && a.faults > 10);
	sim_coverage_into(few);
	run_some(&view_barrier, 3);
	sim_coverage_into(more);
	run_some(&scenario_nvme_io, 20);
	sim_coverage_into(NULL);
	sim_coverage_figures(few, true, &a);
	sim_coverage_figures(more, true, &b);
	/* The controller comes up, works and goes down; its driver is preempted and interrupted on the way. */
	assert_true(b.states >= 8 && b.transitions >= b.states);
	assert_true(b.blocks_reached > b.blocks / 5 && b.blocks_reached < b.blocks);
	assert_true(b.blocks_preempted > 100 && b.blocks_preempted < b.blocks_reached);
	assert_true(b.blocks_interrupted > 5 && b.blocks_interrupted < b.blocks_reached);
	assert_true(b.lines_reached > b.lines / 5 && b.lines_reached < b.lines);
	sim_coverage_add(more, few);
	sim_coverage_figures(more, true, &both);
	assert_int_equal(both.blocks_reached, a.blocks_reached + b.blocks_reached);
	/* What a run never came by, such as the disk's driver in one without a disk, is not counted against it. */
	assert_true(a.blocks < 100 && a.lines < 200);
	assert_int_equal(both.blocks, a.blocks + b.blocks);
	assert_int_equal(both.lines, a.lines + b.lines);
	assert_int_equal(both.states, b.states);
	free(few);
	free(more);
}

static void test_coverage_faults_that_struck(void **state)
{
	struct sim_coverage *c = calloc(1, sizeof(*c));
	struct sim_config config = {0};

	assert_non_null(c);
	assert_int_equal(sim_init(), 0);
	config.fault_one_in[SIM_FAULT_SLOW] = 2;
	sim_coverage_into(c);
	sim_run(&scenario_nvme_io, &config, 1, &result);
	sim_coverage_into(NULL);
	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
		assert_int_equal(c->faults[i], i == SIM_FAULT_SLOW);
	free(c);
}

static void test_coverage_listing_marks_the_source(void **state)
{
	struct sim_coverage *c = calloc(1, sizeof(*c));
	char *text = NULL, line[32];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(c);
	assert_non_null(f);
	assert_int_equal(sim_init(), 0);
	sim_coverage_into(c);
	run_some(&view_barrier, 1);
	sim_coverage_into(NULL);
	assert_int_equal(sim_coverage_write(c, f), 0);
	fclose(f);
	assert_non_null(line_with(text, "kinds struck; never: hang, "));
	assert_non_null(strstr(line_with(text, "not used, and not counted: "), "src/drivers/block/nvme/queue.c"));
	assert_null(strstr(text, "lines  src/drivers/block/nvme/queue.c"));
	assert_non_null(strstr(text, "lines  tests/sim/view.c"));
	snprintf(line, sizeof(line), "        +:%5u:", view_line_reached);
	assert_non_null(strstr(line_with(text, "tests/sim/view.c: "), line));
	snprintf(line, sizeof(line), "    #####:%5u:", view_line_missed);
	assert_non_null(strstr(line_with(text, "tests/sim/view.c: "), line));
	free(text);
	free(c);
}

/* ---- pictures ---- */

/* Tags that are closed in order, attributes in quotes, no bare ampersand: what XML asks of a text without declarations. */
static void assert_well_formed(const char *text)
{
	char open[16][16];
	unsigned depth = 0;

	assert_int_equal(strncmp(text, "<?xml ", 6), 0);
	text = strstr(text, "?>") + 2;
	for (const char *at = text; *at != '\0';) {
		size_t len;

		if (*at == '&')
			assert_true(strncmp(at, "&lt;", 4) == 0 || strncmp(at, "&gt;", 4) == 0 ||
				    strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&quot;", 6) == 0 ||
				    strncmp(at, "&#10;", 5) == 0);
		if (*at != '<') {
			assert_true((unsigned char)*at >= ' ' || *at == '\n');
			at++;
			continue;
		}
		len = strcspn(at, ">");
		assert_int_equal(at[len], '>');
		if (at[1] == '/') {
			assert_true(depth-- > 0);
			assert_int_equal(strncmp(at + 2, open[depth], len - 2), 0);
		} else if (at[len - 1] != '/') {
			assert_true(depth < 16);
			snprintf(open[depth++], sizeof(open[0]), "%.*s", (int)strcspn(at + 1, " >"), at + 1);
		}
		for (unsigned quotes = 0, i = 0; i <= len; i++) {
			quotes += at[i] == '"';
			assert_true(i < len || quotes % 2 == 0);
		}
		at += len + 1;
	}
	assert_int_equal(depth, 0);
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

/* No two lines of words that begin at the same place across lie on one another. */
static void assert_no_overlap(const char *text)
{
	static struct {
		double x, y;
	} seen[4000];
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, "<text x=\"")) != NULL; at++) {
		assert_true(count < 4000);
		assert_int_equal(sscanf(at, "<text x=\"%lf\" y=\"%lf\"", &seen[count].x, &seen[count].y), 2);
		for (unsigned i = 0; i < count; i++) {
			double dx = seen[i].x - seen[count].x, dy = seen[i].y - seen[count].y;

			assert_false(dx > -1 && dx < 1 && dy > -10 && dy < 10);
		}
		count++;
	}
	assert_true(count > 10);
}

static char *picture(const struct sim_scenario *scenario, uint64_t seed, unsigned events_max)
{
	struct sim_config config = {.record = true};
	struct sim_picture_options options = {.events_max = events_max, .command = "a \"command\" < here & there"};
	size_t len = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(sim_init(), 0);
	if (scenario != &view_no_barrier)
		sim_swarm(scenario, seed, &config);
	sim_run(scenario, &config, seed, &result);
	assert_int_equal(sim_picture_write(&result, &options, f), 0);
	fclose(f);
	return text;
}

static void test_picture_shows_both_sides_and_what_led_there(void **state)
{
	char *text = picture(&view_no_barrier, 3, 0), *again = picture(&view_no_barrier, 3, 0);

	assert_well_formed(text);
	assert_no_overlap(text);
	assert_string_equal(text, again);
	/* The lanes. */
	assert_non_null(strstr(text, "class=\"lane\">main</text>"));
	assert_non_null(strstr(text, "class=\"lane\">memory</text>"));
	assert_non_null(strstr(text, "class=\"lane\">device</text>"));
	/* Two sides, and the source line of the one that has one. */
	assert_int_equal(count_of(text, "class=\"band\"/>"), 2);
	assert_non_null(strstr(text, "class=\"w where\">ask at view.c:"));
	/* The doorbell on its way, a store to where it is seen, the device's reads and writes, a barrier; and the legend. */
	assert_int_equal(count_of(text, "class=\"a reg\""), 2);
	assert_int_equal(count_of(text, "class=\"a mem\""), 2);
	assert_int_equal(count_of(text, "class=\"a dma\""), 4);
	assert_int_equal(count_of(text, "class=\"barrier\"/>"), 2);
	assert_non_null(strstr(text, ">writes the doorbell = 0x2a</text>"));
	assert_non_null(strstr(text, "a &quot;command&quot; &lt; here &amp; there"));
	free(text);
	free(again);
}

static void test_picture_of_whole_runs_is_well_formed(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		char *text = picture(&scenario_nvme_rough, seed, 0);

		assert_well_formed(text);
		assert_no_overlap(text);
		assert_in_range(count_of(text, "<g><title>"), 100, 120);
		free(text);
	}
}

/* The machine is closed by then; its models still know what they called things. */
static void test_picture_of_a_whole_run_has_names(void **state)
{
	char *text = picture(&scenario_nvme_io, 1, 200);

	assert_false(result.failed);
	assert_non_null(strstr(text, "has read CSTS = "));
	assert_non_null(strstr(text, "fetches SQ0 cid "));
	assert_non_null(strstr(text, ">CQ0["));
	assert_null(strstr(text, "register 0x"));
	free(text);
}

static void test_picture_has_as_many_events_as_asked_for(void **state)
{
	char *text = picture(&scenario_nvme_io, 1, 30);

	assert_int_equal(count_of(text, "<g><title>"), 30);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_steps_tell_the_story_in_order),
		cmocka_unit_test(test_report_steps_name_source_lines),
		cmocka_unit_test(test_report_has_the_devices_own_view),
		cmocka_unit_test(test_report_of_a_memory_buffer_tells_of_entries),
		cmocka_unit_test(test_recorded_run_is_the_same_run),
		cmocka_unit_test(test_recorded_report_shows_the_load),
		cmocka_unit_test(test_coverage_of_other_types_is_kept_apart),
		cmocka_unit_test(test_coverage_lines_tell_reached_from_missed),
		cmocka_unit_test(test_coverage_figures_grow_and_add_up),
		cmocka_unit_test(test_coverage_faults_that_struck),
		cmocka_unit_test(test_coverage_listing_marks_the_source),
		cmocka_unit_test(test_picture_shows_both_sides_and_what_led_there),
		cmocka_unit_test(test_picture_of_whole_runs_is_well_formed),
		cmocka_unit_test(test_picture_of_a_whole_run_has_names),
		cmocka_unit_test(test_picture_has_as_many_events_as_asked_for),
	};

	return cmocka_run_group_tests_name("sim/view", tests, NULL, NULL);
}
