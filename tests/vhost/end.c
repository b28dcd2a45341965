/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-vhost-end SERVER: the server ends for good, or stops answering, under load. Every request ends, in time and with
 * -ENODEV, and so does the disk; not because of their own deadlines, which are far away. Exit status as of test-vhost-conformance.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <outboard/outboard.h>

#include "base/bits.h"
#include "tests/vhost/server.h"

#define DISK_BYTES (8 * OB_MIB)
#define DEPTH      16u
#define END_NS     (20 * OB_NS_PER_S)

struct load {
	struct ob_block_request request[DEPTH];
	struct ob_segment segment;
	struct ob_block_channel *channel;
	unsigned in_flight;
	uint64_t ended;
	int last_error;
	bool stop;
};

static uint8_t buffer[4096];

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void again(struct ob_block_request *request)
{
	struct load *load = request->arg;

	load->in_flight--;
	load->ended++;
	if (request->status != 0)
		load->last_error = request->status;
	if (!load->stop && request->status == 0 && ob_block_submit(load->channel, request) == 0)
		load->in_flight++;
}

static int begin(struct load *load, struct ob *ob, struct ob_block *block)
{
	struct ob_block_channel_config config = {.depth = DEPTH, .timeout_ns = 600 * OB_NS_PER_S};
	struct ob_block_limits limits;
	int ret = ob_block_channel_open(block, &config, &load->channel);

	ob_block_limits(block, &limits);
	load->segment = (struct ob_segment){buffer, sizeof(buffer)};
	for (unsigned i = 0; i < DEPTH && ret == 0; i++) {
		load->request[i] = (struct ob_block_request){
			.op = OB_BLOCK_READ,
			.segment_count = 1,
			.block_count = (uint32_t)(sizeof(buffer) / limits.block_bytes),
			.lba = i * 64,
			.segments = &load->segment,
			.done = again,
			.arg = load,
		};
		ret = ob_block_submit(load->channel, &load->request[i]);
		load->in_flight += ret == 0;
	}
	return ret;
}

static void turn(struct load *load, struct ob *ob)
{
	ob_block_kick(load->channel);
	(void)ob_cpu_turn(ob_cpu_get(ob, 0), OB_NS_PER_MS);
}

static int fail(const char *what)
{
	fprintf(stderr, "FAILED: %s\n", what);
	return -1;
}

static int watch_it_end(struct ob *ob, struct load *load, struct ob_block *block, struct vhost_server *s, int sig)
{
	uint64_t deadline_ns = ob_deadline(END_NS), begin_ns;
	struct ob_block_request late = load->request[0];

	while (load->ended < 1000)
		if (turn(load, ob), ob_now_ns() >= deadline_ns)
			return fail("nothing is answered");
	kill(s->pid, sig);
	begin_ns = ob_now_ns();
	deadline_ns = ob_deadline(END_NS);
	while (load->in_flight > 0)
		if (turn(load, ob), ob_now_ns() >= deadline_ns)
			return fail("requests do not end");
	printf("%s: all requests ended after %.1f s: %s\n", sig == SIGKILL ? "killed" : "stopped",
	       (double)(ob_now_ns() - begin_ns) / 1e9, strerror(-load->last_error));
	if (load->last_error != -ENODEV)
		return fail("not with -ENODEV");
	while (ob_block_online(block))
		if (turn(load, ob), ob_now_ns() >= deadline_ns)
			return fail("the disk stays");
	return ob_block_submit(load->channel, &late) == -ENODEV ? 0 : fail("a dead disk takes requests");
}

static int run(const char *program, int sig)
{
	struct ob_config config = {.log = print_log, .log_level = OB_LOG_ERROR};
	struct ob_machine *machine = NULL;
	struct ob_block *block = NULL;
	struct vhost_server server;
	struct load load = {0};
	struct ob *ob = NULL;
	char uri[96];
	int ret = vhost_server_init(&server, program, DISK_BYTES, 1);

	if (ret == -ENOENT)
		return VHOST_SERVER_SKIP;
	if (ret == 0)
		ret = vhost_server_start(&server);
	if (ret == 0)
		ret = vhost_server_await(&server);
	if (ret == 0)
		ret = ob_create(&config, &ob);
	snprintf(uri, sizeof(uri), "vhost-user:%s?reconnect=1s&timeout=1s", server.socket);
	if (ret == 0)
		ret = ob_machine_open(ob, uri, NULL, &machine);
	if (ret == 0) {
		block = ob_block_find(ob, NULL);
		ret = block != NULL ? begin(&load, ob, block) : fail("no disk");
	}
	if (ret == 0)
		ret = watch_it_end(ob, &load, block, &server, sig);
	load.stop = true;
	ob_block_channel_close(load.channel);
	ob_block_put(block);
	ob_machine_close(machine);
	ob_destroy(ob);
	vhost_server_fini(&server);
	return ret;
}

int main(int argc, char **argv)
{
	int ret;

	if (argc != 2) {
		fprintf(stderr, "usage: %s qsd|COMMAND\n", argv[0]);
		return 2;
	}
	ret = run(argv[1], SIGKILL);
	if (ret == 0)
		ret = run(argv[1], SIGSTOP);
	return ret == 0 || ret == VHOST_SERVER_SKIP ? ret : 1;
}
