/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Example 1: read one block, the simplest way.
 *
 *	cc read_block.c $(pkg-config --cflags --libs outboard) -o read_block
 *	./read_block 'qemu:q35?nvme=disk.img'
 *
 * A program of one thread needs to know nothing of event loops: while a call waits, it turns them itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/outboard.h>

#define SECONDS(n) ((n)*OB_NS_PER_S)

/* The library never prints. What it has to say comes here. */
static void on_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "outboard: %s\n", message);
}

static void dump(const unsigned char *data, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++)
		printf("%02x%c", data[i], i % 16 == 15 ? '\n' : ' ');
}

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : "model:";
	struct ob_config config = {.log = on_log, .log_level = OB_LOG_WARN};
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *disk;
	struct ob_block_channel *channel;
	struct ob_block_limits limits;
	void *buffer;
	int error, result = EXIT_FAILURE;

	/* Everything hangs on a context; there are no globals. */
	error = ob_create(&config, &ob);
	if (error) {
		fprintf(stderr, "context: %s\n", strerror(-error));
		return EXIT_FAILURE;
	}

	/* A machine provides hardware. Opening it finds its devices and binds drivers to them. */
	error = ob_machine_open(ob, uri, NULL, &machine);
	if (error) {
		fprintf(stderr, "%s: %s\n", uri, strerror(-error));
		goto destroy;
	}

	disk = ob_block_find(ob, NULL); /* any; by name: "nvme0n1" */
	if (!disk) {
		fprintf(stderr, "%s: no block device\n", uri);
		goto close;
	}
	ob_block_limits(disk, &limits);
	printf("%s: %s, %llu blocks of %u bytes\n", ob_block_name(disk), ob_block_model(disk),
	       (unsigned long long)limits.block_count, limits.block_bytes);

	/* A channel is one CPU's way into a disk; NULL: the defaults. */
	error = ob_block_channel_open(disk, NULL, &channel);
	if (error) {
		fprintf(stderr, "channel: %s\n", strerror(-error));
		goto put;
	}

	/* Any memory will do: the kit copies through memory that the device reaches. The next example avoids that. */
	buffer = malloc(limits.block_bytes);
	error = buffer ? ob_block_read(channel, 0, 1, buffer, NULL, ob_deadline(SECONDS(30))) : -1;
	if (error)
		fprintf(stderr, "block 0: %s\n", strerror(-error));
	else {
		dump(buffer, 64);
		result = EXIT_SUCCESS;
	}
	free(buffer);

	ob_block_channel_close(channel);
put:
	ob_block_put(disk);
close:
	ob_machine_close(machine);
destroy:
	ob_destroy(ob);
	return result;
}
