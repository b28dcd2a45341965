/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-conformance URI [CHANNELS [MODE [SEED [REQUESTS]]]]: the suite on every block device of a machine.
 *
 * "{disk}" in the URI becomes a new sparse file of 64 MiB, removed once the machine has it open. Exit status: 0 passed; 1 failed; 2 usage;
 * 77 skipped: the machine is not here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/conformance/block.h"

#define DISK_BYTES (64ll << 20)
#define DISK_MARK  "{disk}"

static char disk_path[] = "/tmp/outboard-conformance-XXXXXX";
static bool disk_made;

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "%s\n", message);
}

/* The URI with a fresh disk in it; to be freed. */
static char *make_uri(const char *given)
{
	const char *mark = strstr(given, DISK_MARK);
	char *uri = NULL;
	int fd;

	if (mark == NULL)
		return strdup(given);
	fd = mkstemp(disk_path);
	if (fd < 0)
		return NULL;
	disk_made = true;
	if (ftruncate(fd, DISK_BYTES) == 0 &&
	    asprintf(&uri, "%.*s%s%s", (int)(mark - given), given, disk_path, mark + strlen(DISK_MARK)) < 0)
		uri = NULL;
	close(fd);
	return uri;
}

static int parse_mode(const char *name, enum ob_completion_mode *out)
{
	static const char *const names[] = {"interrupt", "polled", "hybrid"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum ob_completion_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int run(struct ob *ob, const struct conform_config *config)
{
	struct ob_block *block = NULL;
	unsigned count = 0;
	int ret = 0;

	while ((block = ob_block_next(ob, block)) != NULL) {
		count++;
		if (conform_block(ob, block, config) != 0)
			ret = 1;
	}
	if (count == 0) {
		fprintf(stderr, "no block device\n");
		return 1;
	}
	printf("%u block devices, %u channels, mode %d, seed %llu: %s\n", count, config->channels, (int)config->mode,
	       (unsigned long long)config->seed, ret == 0 ? "passed" : "FAILED");
	return ret;
}

int main(int argc, char **argv)
{
	struct conform_config config = {.channels = 1, .seed = (uint64_t)time(NULL)};
	struct ob_config context = {.log = print_log, .log_level = OB_LOG_WARN};
	struct ob_machine *machine = NULL;
	struct ob *ob = NULL;
	char *uri;
	int ret;

	if (argc > 2)
		config.channels = (unsigned)strtoul(argv[2], NULL, 0);
	if (argc < 2 || argc > 6 || config.channels == 0 || config.channels > CONFORM_CHANNELS_MAX ||
	    (argc > 3 && parse_mode(argv[3], &config.mode) != 0)) {
		fprintf(stderr, "usage: %s URI [CHANNELS [polled|interrupt|hybrid [SEED [REQUESTS]]]]\n", argv[0]);
		return 2;
	}
	if (argc > 4)
		config.seed = strtoull(argv[4], NULL, 0);
	if (argc > 5)
		config.requests = (unsigned)strtoul(argv[5], NULL, 0);
	context.cpu_count = config.channels;
	uri = make_uri(argv[1]);
	ret = uri != NULL ? ob_create(&context, &ob) : -ENOMEM;
	if (ret == 0)
		ret = ob_machine_open(ob, uri, NULL, &machine);
	/* The machine has it open; so it is gone even if this program should crash. */
	if (disk_made)
		unlink(disk_path);
	if (ret != 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-ret));
		ret = ret == -ENOENT ? 77 : 1;
	} else {
		ret = run(ob, &config);
	}
	ob_machine_close(machine);
	ob_destroy(ob);
	free(uri);
	return ret;
}
