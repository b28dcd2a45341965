/* SPDX-License-Identifier: BSD-2-Clause */
/* The program of the faults' tests. Instrumented, as a driver is. */
#include "tests/sim/faults.h"

#include <errno.h>

#include <outboard/outboard.h>

#include "core/hooks.h"

#define BLOCK_BYTES 512
#define TIMEOUT_NS  (200 * OB_NS_PER_S)
#define LOOKS       40

struct faults_outcome faults_outcome;

static bool call_fails(void *arg, const char *call)
{
	return sim_call_fails(call);
}

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

static bool is_filled(const uint8_t *data, uint8_t with)
{
	for (unsigned i = 0; i < BLOCK_BYTES; i++)
		if (data[i] != with)
			return false;
	return true;
}

static void requests(struct ob_block_channel *channel, uint8_t *data)
{
	struct faults_outcome *o = &faults_outcome;
	uint64_t deadline_ns = ob_deadline(TIMEOUT_NS);

	for (unsigned i = 0; i < BLOCK_BYTES; i++)
		data[i] = 0xa5;
	o->status[0] = ob_block_write(channel, 7, 1, data, NULL, 0, deadline_ns);
	o->status[1] = ob_block_read(channel, 7, 1, data, NULL, deadline_ns);
	o->data_ok = o->status[0] != 0 || o->status[1] != 0 || is_filled(data, 0xa5);
	o->status[2] = ob_block_flush(channel, deadline_ns);
	for (unsigned i = 0; i < BLOCK_BYTES; i++)
		data[i] = 0x5a;
	o->status[3] = ob_block_write(channel, 7, 1, data, NULL, OB_BLOCK_FUA, deadline_ns);
	o->status[4] = ob_block_read(channel, 7, 1, data, NULL, deadline_ns);
	o->data_ok &= o->status[3] != 0 || o->status[4] != 0 || is_filled(data, 0x5a);
	o->status[5] = ob_block_write_zeroes(channel, 7, 1, 0, deadline_ns);
}

static int channel_open(struct ob *ob, struct ob_block *block, struct ob_block_channel **out)
{
	const struct ob_block_channel_config config = {
		.cpu = ob_cpu_get(ob, 0),
		.depth = 2,
		.bounce_buffers = 2,
		.timeout_ns = 20 * OB_NS_PER_MS,
		.poll.mode = OB_COMPLETION_INTERRUPT,
	};

	return ob_block_channel_open(block, &config, out);
}

static void use(struct ob *ob, struct ob_block *block, uint8_t *data)
{
	struct faults_outcome *o = &faults_outcome;
	struct ob_block_channel *channel;
	uint64_t start_ns = ob_now_ns();
	int rc = channel_open(ob, block, &channel);

	for (unsigned i = 0; i < FAULTS_REQUESTS; i++)
		o->status[i] = rc;
	if (rc == 0) {
		requests(channel, data);
		ob_block_channel_close(channel);
	}
	o->took_ns = ob_now_ns() - start_ns;
	o->online = ob_block_online(block);
	ob_block_stats(block, &o->stats);
}

/* Another look for devices, as a program takes it that heard of a change. */
static void use_again(struct ob *ob, struct ob_machine *machine, uint8_t *data)
{
	struct faults_outcome *o = &faults_outcome;
	struct ob_block_channel *channel;
	struct ob_block *block = NULL;

	for (unsigned i = 0; i < LOOKS; i++) {
		struct ob_event nobody;

		ob_machine_rescan(machine);
		block = ob_block_find(ob, NULL);
		if (block != NULL && ob_block_online(block))
			break;
		ob_block_put(block);
		block = NULL;
		ob_event_init(&nobody, ob_cpu_get(ob, 0));
		ob_event_wait(&nobody, ob_deadline(OB_NS_PER_MS));
	}
	o->again = block != NULL;
	if (block == NULL)
		return;
	o->again_status = channel_open(ob, block, &channel);
	if (o->again_status == 0) {
		o->again_status = ob_block_read(channel, 3, 1, data, NULL, ob_deadline(TIMEOUT_NS));
		ob_block_channel_close(channel);
	}
	ob_block_put(block);
}

static void run(const struct sim_config *config)
{
	static const struct ob_hooks hooks = {.fail = call_fails};
	const struct ob_config ob_config = {.log = log_line, .log_level = OB_LOG_INFO, .cpu_count = 1};
	struct faults_outcome *o = &faults_outcome;
	uint8_t *data = ob_alloc(BLOCK_BYTES);
	struct ob_machine *machine = NULL;
	struct ob_block *block = NULL;
	uint64_t start_ns;
	struct ob *ob;

	*o = (struct faults_outcome){.data_ok = true};
	SIM_CHECK(data != NULL && ob_create(&ob_config, &ob) == 0);
	start_ns = ob_now_ns();
	if (sim_fault_possible(SIM_FAULT_CALL))
		ob_set_hooks(ob, &hooks);
	o->open = ob_machine_open(ob, "sim:", NULL, &machine);
	if (o->open == 0)
		block = ob_block_find(ob, NULL);
	o->found = block != NULL;
	if (block != NULL)
		use(ob, block, data);
	ob_block_put(block);
	if (o->open == 0)
		use_again(ob, machine, data);
	o->worked_ns = ob_now_ns() - start_ns;
	ob_machine_close(machine);
	ob_destroy(ob);
	ob_free(data);
}

const struct sim_scenario faults_scenario = {.name = "faults", .help = "requests to a disk in trouble", .run = run};
