/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-vhost-conformance SERVER CHANNELS MODE [OPTIONS]: the suite of block devices over vhost-user; then the disk's file is
 * compared with what the driver reads, and with what it writes. SERVER: qsd, or the path of our command; OPTIONS go behind
 * the socket's path. Exit status: 0 passed; 1 failed; 2 usage; 77 skipped: what is needed is not here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tests/conformance/block.h"
#include "tests/random.h"
#include "tests/vhost/server.h"

#define DISK_BYTES  (64 * OB_MIB)
#define PIECE_BYTES OB_MIB
#define WAIT_NS     (60 * OB_NS_PER_S)

static struct vhost_server server;

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

/* All of the disk, through the driver, is what is in the file. */
static int compare_reads(struct ob_block_channel *channel, uint8_t *memory, uint32_t block_bytes)
{
	for (uint64_t at = 0; at < DISK_BYTES; at += PIECE_BYTES) {
		int ret = ob_block_read(channel, at / block_bytes, PIECE_BYTES / block_bytes, memory, NULL,
					ob_deadline(WAIT_NS));

		if (ret != 0) {
			fprintf(stderr, "reading at %llu: %s\n", (unsigned long long)at, strerror(-ret));
			return -1;
		}
		if (vhost_server_compare(&server, at, memory, PIECE_BYTES) != 0)
			return -1;
	}
	return 0;
}

static int compare_writes(struct ob_block_channel *channel, uint8_t *memory, uint32_t block_bytes)
{
	struct random random = {.state = 77};

	for (unsigned i = 0; i < 16; i++) {
		uint64_t at = random_below(&random, DISK_BYTES / PIECE_BYTES) * PIECE_BYTES;
		int ret;

		random_fill(&random, memory, PIECE_BYTES);
		ret = ob_block_write(channel, at / block_bytes, PIECE_BYTES / block_bytes, memory, NULL, 0,
				     ob_deadline(WAIT_NS));
		if (ret == 0)
			ret = ob_block_flush(channel, ob_deadline(WAIT_NS));
		if (ret != 0) {
			fprintf(stderr, "writing at %llu: %s\n", (unsigned long long)at, strerror(-ret));
			return -1;
		}
		if (vhost_server_compare(&server, at, memory, PIECE_BYTES) != 0)
			return -1;
	}
	return 0;
}

static int check(struct ob *ob, const struct conform_config *config)
{
	struct ob_block *block = ob_block_find(ob, NULL);
	struct ob_block_channel *channel = NULL;
	uint8_t *memory = malloc(PIECE_BYTES);
	struct ob_block_limits limits;
	int ret = -1;

	if (block == NULL || memory == NULL) {
		fprintf(stderr, "no block device\n");
		goto out;
	}
	ob_block_limits(block, &limits);
	if (limits.block_count * limits.block_bytes != DISK_BYTES) {
		fprintf(stderr, "the disk has %llu bytes\n",
			(unsigned long long)(limits.block_count * limits.block_bytes));
		goto out;
	}
	ret = conform_block(ob, block, config);
	if (ret == 0)
		ret = ob_block_channel_open(block, NULL, &channel);
	if (ret == 0)
		ret = compare_reads(channel, memory, limits.block_bytes);
	if (ret == 0)
		ret = compare_writes(channel, memory, limits.block_bytes);
out:
	ob_block_channel_close(channel);
	ob_block_put(block);
	free(memory);
	return ret;
}

/* Huge pages are the system's to give. */
static bool lacks_huge_pages(const char *options)
{
	unsigned long free_count = 0;
	char line[128];
	FILE *f;

	if (strstr(options, "hugepages=on") == NULL)
		return false;
	f = fopen("/proc/meminfo", "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "HugePages_Free: %lu", &free_count);
	if (f != NULL)
		fclose(f);
	if (free_count < 32)
		fprintf(stderr, "skipped: of 32 huge pages of 2 MiB that this needs, %lu are free\n", free_count);
	return free_count < 32;
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"interrupt", "polled", "hybrid"};
	struct conform_config config = {.seed = 1, .requests = 5000};
	struct ob_config context = {.log = print_log, .log_level = OB_LOG_WARN};
	const char *options = argc > 4 ? argv[4] : "";
	struct ob_machine *machine = NULL;
	struct ob *ob = NULL;
	char uri[160];
	int ret;

	config.channels = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;
	config.mode = OB_COMPLETION_HYBRID + 1;
	for (unsigned i = 0; argc > 3 && i < ARRAY_SIZE(modes); i++)
		if (strcmp(argv[3], modes[i]) == 0)
			config.mode = (enum ob_completion_mode)i;
	if (argc < 4 || config.channels == 0 || config.channels > CONFORM_CHANNELS_MAX ||
	    config.mode > OB_COMPLETION_HYBRID) {
		fprintf(stderr, "usage: %s qsd|COMMAND CHANNELS interrupt|polled|hybrid [?OPTIONS]\n", argv[0]);
		return 2;
	}
	if (lacks_huge_pages(options))
		return VHOST_SERVER_SKIP;
	ret = vhost_server_init(&server, argv[1], DISK_BYTES, config.channels);
	if (ret == -ENOENT)
		return VHOST_SERVER_SKIP;
	context.cpu_count = config.channels;
	snprintf(uri, sizeof(uri), "vhost-user:%s%s", server.socket, options);
	if (ret == 0)
		ret = vhost_server_start(&server);
	if (ret == 0)
		ret = vhost_server_await(&server);
	if (ret == 0)
		ret = ob_create(&context, &ob);
	if (ret == 0)
		ret = ob_machine_open(ob, uri, NULL, &machine);
	if (ret == 0)
		ret = check(ob, &config);
	ob_machine_close(machine);
	ob_destroy(ob);
	vhost_server_fini(&server);
	printf("%s, %u channels, %s%s: %s\n", argv[1], config.channels, argv[3], options,
	       ret == 0 ? "passed" : "FAILED");
	return ret == 0 ? 0 : 1;
}
