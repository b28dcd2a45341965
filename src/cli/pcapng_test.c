/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in a capture file, read back block by block; and what stays of it when the file takes no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/pcapng.h"

#define SECTION    0x0a0d0d0au
#define INTERFACE  1u
#define STATISTICS 5u
#define PACKET     6u
#define BEGIN_NS   1000u

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static const struct pcapng_interface interface = {"net0", mac, 10000, 96};
static struct pcapng pcapng;
static uint8_t bytes[1u << 20];
static size_t byte_count;

/* Of the command's main program; nothing here is interrupted. */
int cli_interrupted(void)
{
	return 0;
}

int cli_error(const struct cli *cli, enum cli_exit code, const char *format, ...)
{
	return code;
}

static int file_new(void)
{
	char path[] = "/tmp/outboard-pcapng-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void read_back(int fd)
{
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);

	assert_true(n >= 0);
	byte_count = (size_t)n;
	close(fd);
}

static uint32_t word(size_t at)
{
	uint32_t value;

	assert_true(at + sizeof(value) <= byte_count);
	memcpy(&value, bytes + at, sizeof(value));
	return value;
}

/* The block behind that at @at; both of its lengths agree. */
static size_t next_block(size_t at)
{
	uint32_t len_bytes = word(at + 4);

	assert_true(len_bytes >= 12 && len_bytes % 4 == 0 && len_bytes <= byte_count - at);
	assert_int_equal(word(at + len_bytes - 4), len_bytes);
	return at + len_bytes;
}

/* The value of an option of the block at @at, whose options begin at @options; NULL: it has none. */
static const uint8_t *option(size_t at, size_t options, unsigned code, unsigned len_bytes)
{
	while (options < next_block(at) - 4) {
		unsigned found = word(options) & 0xffff, found_bytes = word(options) >> 16;

		if (found == code) {
			assert_int_equal(found_bytes, len_bytes);
			return bytes + options + 4;
		}
		if (found == 0)
			return NULL;
		options += 4 + (found_bytes + 3) / 4 * 4;
	}
	fail_msg("options without an end");
	return NULL;
}

static uint64_t number(const uint8_t *value)
{
	uint64_t n;

	assert_non_null(value);
	memcpy(&n, value, sizeof(n));
	return n;
}

/* Offsets of the first blocks of a file; how many there are. */
static unsigned blocks(size_t *at, unsigned max)
{
	unsigned count = 0;

	for (size_t i = 0; i < byte_count; i = next_block(i)) {
		if (count < max)
			at[count] = i;
		count++;
	}
	return count;
}

static struct ob_packet packet_of(uint8_t *data, uint32_t len_bytes)
{
	return (struct ob_packet){.data = data, .len_bytes = len_bytes, .frame_bytes = len_bytes, .segments = 1};
}

static void test_frame_with_hash_all_options_are_kept(void **state)
{
	static const uint8_t hash[] = {5, 0x12, 0x34, 0x56, 0x78};
	const struct pcapng_about about = {.stamp_ns = BEGIN_NS + 5,
					   .direction = PCAPNG_INBOUND,
					   .reception = PCAPNG_PROMISCUOUS,
					   .queue = 3,
					   .lost = 7};
	uint8_t data[61] = {1, 2, 3};
	struct ob_packet packet = packet_of(data, sizeof(data));
	int fd = file_new();
	const uint8_t *value;
	size_t at[4];

	packet.flags = OB_PACKET_HASH;
	packet.hash = 0x12345678;
	assert_int_equal(pcapng_begin(&pcapng, fd, &interface, BEGIN_NS), 0);
	assert_int_equal(pcapng_frame(&pcapng, &about, &packet), 0);
	assert_int_equal(pcapng_flush(&pcapng), 0);
	read_back(fd);
	assert_int_equal(blocks(at, 4), 3);
	assert_int_equal(word(at[0]), SECTION);
	assert_int_equal(word(at[1]), INTERFACE);
	assert_memory_equal(option(at[1], at[1] + 16, 2, 4), "net0", 4);
	assert_memory_equal(option(at[1], at[1] + 16, 6, 6), mac, 6);
	assert_int_equal(number(option(at[1], at[1] + 16, 8, 8)), 10000000000);
	assert_int_equal(word(at[2]), PACKET);
	assert_int_equal(word(at[2] + 20), sizeof(data));
	assert_memory_equal(bytes + at[2] + 28, data, sizeof(data));
	value = option(at[2], at[2] + 28 + 64, 2, 4);
	assert_non_null(value);
	assert_int_equal(value[0], 1 | 4 << 2);
	value = option(at[2], at[2] + 28 + 64, 3, 5);
	assert_non_null(value);
	assert_memory_equal(value, hash, sizeof(hash));
	assert_int_equal(number(option(at[2], at[2] + 28 + 64, 4, 8)), 7);
	value = option(at[2], at[2] + 28 + 64, 6, 4);
	assert_non_null(value);
	assert_int_equal(value[0], 3);
}

static void test_frame_without_hash_has_none(void **state)
{
	const struct pcapng_about about = {.stamp_ns = BEGIN_NS, .direction = PCAPNG_INBOUND};
	uint8_t data[64] = {0};
	struct ob_packet packet = packet_of(data, sizeof(data));
	int fd = file_new();
	size_t at[3];

	packet.hash = 1; /* left over: only the flag makes it valid */
	assert_int_equal(pcapng_begin(&pcapng, fd, &interface, BEGIN_NS), 0);
	assert_int_equal(pcapng_frame(&pcapng, &about, &packet), 0);
	assert_int_equal(pcapng_flush(&pcapng), 0);
	read_back(fd);
	assert_int_equal(blocks(at, 3), 3);
	assert_null(option(at[2], at[2] + 28 + 64, 3, 5));
	assert_null(option(at[2], at[2] + 28 + 64, 4, 8));
}

static void test_end_counts_are_in_the_last_block(void **state)
{
	const struct pcapng_counts counts = {.received = 10, .damaged = 2, .delivered = 8};
	int fd = file_new();
	size_t at[3], options;
	uint64_t begin, end;

	assert_int_equal(pcapng_begin(&pcapng, fd, &interface, BEGIN_NS), 0);
	assert_int_equal(pcapng_end(&pcapng, &counts, BEGIN_NS + 2000000000), 0);
	read_back(fd);
	assert_int_equal(blocks(at, 3), 3);
	assert_int_equal(word(at[2]), STATISTICS);
	options = at[2] + 20;
	begin = number(option(at[2], options, 2, 8));
	end = number(option(at[2], options, 3, 8));
	assert_int_equal((end << 32 | end >> 32) - (begin << 32 | begin >> 32), 2000000000);
	assert_int_equal(number(option(at[2], options, 4, 8)), 10);
	assert_null(option(at[2], options, 5, 8));
	assert_int_equal(number(option(at[2], options, 7, 8)), 2);
	assert_int_equal(number(option(at[2], options, 8, 8)), 8);
}

/* @fd takes @limit bytes, and then no more. Returns how many frames were put before that was noticed. */
static unsigned fill(int fd, rlim_t limit)
{
	const struct pcapng_about about = {.stamp_ns = BEGIN_NS, .lost = 1};
	struct rlimit before, few;
	uint8_t data[90] = {0};
	struct ob_packet packet = packet_of(data, sizeof(data));
	unsigned count = 0;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	few = (struct rlimit){limit, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	assert_int_equal(pcapng_begin(&pcapng, fd, &interface, BEGIN_NS), 0);
	while (pcapng_frame(&pcapng, &about, &packet) == 0 && count < 100000)
		count++;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(pcapng.error, -EFBIG);
	return count;
}

static void test_full_file_ends_behind_a_whole_frame(void **state)
{
	static const rlim_t limits[] = {100003, 300001, 524289};
	const struct pcapng_counts counts = {.received = 1};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		int fd = file_new();
		unsigned put = fill(fd, limits[i]);

		/* What comes after that does no harm. */
		assert_int_equal(pcapng_end(&pcapng, &counts, BEGIN_NS), 0);
		read_back(fd);
		assert_in_range(byte_count, limits[i] - 200, limits[i]);
		assert_int_equal(blocks(NULL, 0), 2 + pcapng.kept);
		assert_in_range(pcapng.kept, 1, put);
	}
}

/* Somebody else's file, to which this is added: nothing of it is cut. */
static void test_full_file_to_append_to_stays(void **state)
{
	int fd = file_new();

	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	fill(fd, 100003);
	assert_int_equal(pcapng.kept, 0);
	read_back(fd);
	assert_int_equal(byte_count, 100003);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_with_hash_all_options_are_kept),
		cmocka_unit_test(test_frame_without_hash_has_none),
		cmocka_unit_test(test_end_counts_are_in_the_last_block),
		cmocka_unit_test(test_full_file_ends_behind_a_whole_frame),
		cmocka_unit_test(test_full_file_to_append_to_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
