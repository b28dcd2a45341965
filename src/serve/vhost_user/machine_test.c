/* SPDX-License-Identifier: BSD-2-Clause */
/* The server and the vhost-user machine in one process: what the one changes the other sees, and a server that is succeeded. */
#include "serve/vhost_user/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/io.h"
#include "tests/ram_world.h"

#define WAIT_NS (10 * OB_NS_PER_S)

static struct bed {
	struct ram_world world; /* the server's; its CPU has a thread of its own */
	struct vu_server *server;
	char dir[32], path[48];
	int listen_fd;
	struct ob *ob; /* the client's */
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_block_channel *channel;
	char log[2048];
} bed;

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	size_t len = strlen(bed.log);

	snprintf(bed.log + len, sizeof(bed.log) - len, "%s\n", message);
}

static void start_server(void)
{
	struct vu_server_config config = {.block = bed.world.block, .listen_fd = bed.listen_fd};

	assert_int_equal(vu_server_start(&config, &bed.server), 0);
}

static int set_up(void **state)
{
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_INFO};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char uri[80];

	memset(&bed, 0, sizeof(bed));
	strcpy(bed.dir, "/tmp/ob-vhost-XXXXXX");
	assert_non_null(mkdtemp(bed.dir));
	snprintf(bed.path, sizeof(bed.path), "%s/s", bed.dir);
	memcpy(address.sun_path, bed.path, strlen(bed.path) + 1);
	bed.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(bed.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(bed.listen_fd, 1), 0);
	ram_world_open(&bed.world, 1, NULL);
	assert_int_equal(ob_cpu_start(ob_cpu_get(bed.world.ob, 0), -1), 0);
	start_server();

	assert_int_equal(ob_create(&config, &bed.ob), 0);
	snprintf(uri, sizeof(uri), "vhost-user:%s?%s", bed.path, (const char *)*state);
	assert_int_equal(ob_machine_open(bed.ob, uri, NULL, &bed.machine), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	assert_non_null(bed.block);
	assert_int_equal(ob_block_channel_open(bed.block, NULL, &bed.channel), 0);
	return 0;
}

static int tear_down(void **state)
{
	ob_block_channel_close(bed.channel);
	ob_block_put(bed.block);
	ob_machine_close(bed.machine);
	ob_destroy(bed.ob);
	vu_server_stop(bed.server);
	ob_cpu_stop(ob_cpu_get(bed.world.ob, 0));
	ram_world_close(&bed.world);
	close(bed.listen_fd);
	unlink(bed.path);
	rmdir(bed.dir);
	return 0;
}

static void resize_task(void *arg)
{
	ob_block_resize(bed.world.block, *(uint64_t *)arg);
}

static void test_size_that_changes_reaches_the_driver(void **state)
{
	uint64_t blocks = 4096, deadline_ns;
	struct ob_block_limits limits;
	struct ob_task *task;

	ob_block_limits(bed.block, &limits);
	assert_int_equal(limits.block_count, 8192);
	assert_int_equal(ob_task_spawn(ob_cpu_get(bed.world.ob, 0), "resize", resize_task, &blocks, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(WAIT_NS)), 0);
	deadline_ns = ob_deadline(WAIT_NS);
	do {
		(void)ob_cpu_turn(ob_cpu_get(bed.ob, 0), OB_NS_PER_MS);
		ob_block_limits(bed.block, &limits);
	} while (limits.block_count != blocks && ob_now_ns() < deadline_ns);
	assert_int_equal(limits.block_count, blocks);
}

static unsigned restores(void)
{
	unsigned count = 0;
	char *text;

	assert_int_equal(ob_machine_command(bed.machine, "status", &text, ob_deadline(WAIT_NS)), 0);
	assert_non_null(strstr(text, "restored "));
	(void)sscanf(strstr(text, "restored "), "restored %u", &count);
	ob_free(text);
	return count;
}

static void test_server_that_is_succeeded_is_a_pause(void **state)
{
	uint8_t out[4096], in[4096];

	for (unsigned i = 0; i < 5; i++) {
		memset(out, (int)i + 1, sizeof(out));
		assert_int_equal(ob_block_write(bed.channel, i * 8, 8, out, NULL, 0, ob_deadline(WAIT_NS)), 0);
		vu_server_stop(bed.server);
		start_server();
		assert_int_equal(ob_block_read(bed.channel, i * 8, 8, in, NULL, ob_deadline(WAIT_NS)), 0);
		assert_memory_equal(in, out, sizeof(in));
		/* The queue that was used may be there before the others. */
		for (uint64_t until_ns = ob_deadline(WAIT_NS); restores() == i && ob_now_ns() < until_ns;)
			usleep(1000);
		assert_int_equal(restores(), i + 1);
	}
	/* The driver had nothing to do with it: there is a table of requests in flight. */
	assert_null(strstr(bed.log, "device reset"));
}

int main(void)
{
#define TEST(name, options) \
	cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, (void *)(uintptr_t)(options))
	const struct CMUnitTest tests[] = {
		TEST(test_size_that_changes_reaches_the_driver, "memory=8M"),
		TEST(test_server_that_is_succeeded_is_a_pause, "memory=8M"),
		TEST(test_server_that_is_succeeded_is_a_pause, "memory=8M&without=34"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
