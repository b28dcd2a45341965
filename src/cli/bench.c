/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard bench: how fast a disk is, and what that costs. */
#include "cli/bench.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

static const char help[] =
	"usage: outboard bench [options] [DISK]\n"
	"\n"
	"Loads a disk and prints IOPS, throughput, latency percentiles and the CPU share of it all. It only reads, "
	"unless\n"
	"--allow-writes says that what is on the disk may be overwritten.\n"
	"\n"
	"  outboard bench\n"
	"  outboard bench --depth 1 --mode polled --time 10 nvme0n1\n"
	"  outboard bench --sequential --size 128K --depth 8\n"
	"  outboard bench --mix 70 --allow-writes --json nvme0n1 | jq .read.latency_ns.p99\n"
	"\n"
	"      --depth N          requests in flight per channel (default 32)\n"
	"      --size SIZE        bytes per request (default 4K)\n"
	"      --mix PERCENT      share of reads (default 100)\n"
	"      --random           anywhere on the disk (default)\n"
	"      --sequential       one after the other\n"
	"      --time TIME        how long: 5, 500ms, 2m (default 5 s)\n"
	"      --cpus N           CPUs, each with a channel of its own (default 1); also --channels\n"
	"      --rate N           requests a second, submitted when they are due (default: when one ends)\n"
	"      --mode MODE        interrupt, polled or hybrid (default hybrid)\n"
	"      --cpu-share N      hybrid: per cent of its CPU that it may take, 1 to 100\n"
	"      --allow-writes     needed when --mix is below 100; destroys what is on the disk\n"
	"      --json             for programs\n";

static const char *const mode_names[] = {"interrupt", "polled", "hybrid", NULL};

/* The order is that of enum ob_completion_mode. */
static_assert(OB_COMPLETION_INTERRUPT == 0 && OB_COMPLETION_POLLED == 1 && OB_COMPLETION_HYBRID == 2, "mode_names");

static const struct {
	const char *label, *key;
	uint32_t ppm;
} percentiles[] = {
	{"p50", "p50", 500000},
	{"p90", "p90", 900000},
	{"p99", "p99", 990000},
	{"p99.9", "p99_9", 999000},
};

enum {
	PERCENTILES = sizeof(percentiles) / sizeof(percentiles[0])
};

static double per_second(uint64_t count, const struct bench_result *r)
{
	return r->elapsed_ns ? (double)count * 1e9 / (double)r->elapsed_ns : 0;
}

/* Of the CPUs of the loops, what these took: without other threads of the machine, QEMU's or a model's. */
static double loops_percent(const struct bench_config *c, const struct bench_result *r)
{
	return 100 * per_second(r->loops_ns, r) / 1e9 / c->cpus;
}

/* ---- text ---- */

static void print_side(const char *name, const struct histogram *h, const struct bench_config *c,
		       const struct bench_result *r)
{
	char text[TEXT_MAX];

	if (!h->count)
		return;
	printf("  %-5s  %s IOPS  ", name, text_count(text, per_second(h->count, r)));
	printf("%.1f MB/s  latency us:", per_second(h->count, r) * (double)c->size_bytes / 1e6);
	for (unsigned i = 0; i < PERCENTILES; i++)
		printf(" %s %s", percentiles[i].label, text_us(text, histogram_percentile(h, percentiles[i].ppm)));
	printf(" max %s\n", text_us(text, h->max));
}

static void print_result(const struct ob_block *block, const struct bench_config *c, const struct bench_result *r)
{
	char size[TEXT_MAX], p50[TEXT_MAX], p99[TEXT_MAX], max[TEXT_MAX];

	printf("%s: %s, %u %% reads of %s, depth %u on %u CPU%s, %s, %.1f s\n", ob_block_name(block),
	       c->sequential ? "sequential" : "random", c->read_percent, text_size(size, c->size_bytes), r->depth,
	       c->cpus, c->cpus == 1 ? "" : "s", mode_names[r->mode], (double)r->elapsed_ns / 1e9);
	print_side("read", &r->read, c, r);
	print_side("write", &r->write, c, r);
	if (c->rate)
		printf("  rate   %u/s wanted; late us: p50 %s p99 %s max %s\n", c->rate,
		       text_us(p50, histogram_percentile(&r->late, 500000)),
		       text_us(p99, histogram_percentile(&r->late, 990000)), text_us(max, r->late.max));
	if (!r->read.count && !r->write.count)
		printf("  nothing ended in that time\n");
	printf("  CPU    %.0f %% (user %.0f, system %.0f), loops %.0f %%\n",
	       100 * per_second(r->user_ns + r->system_ns, r) / 1e9, 100 * per_second(r->user_ns, r) / 1e9,
	       100 * per_second(r->system_ns, r) / 1e9, loops_percent(c, r));
}

/* ---- JSON ---- */

static json_t *json_times(const struct histogram *h)
{
	json_t *latency = json_pack("{s:I, s:I}", "min", (json_int_t)h->min, "mean", (json_int_t)histogram_mean(h));
	for (unsigned i = 0; i < PERCENTILES; i++)
		json_object_set_new(latency, percentiles[i].key,
				    json_integer((json_int_t)histogram_percentile(h, percentiles[i].ppm)));
	json_object_set_new(latency, "max", json_integer((json_int_t)h->max));
	return latency;
}

static json_t *json_side(const struct histogram *h, const struct bench_config *c, const struct bench_result *r)
{
	if (!h->count)
		return json_null();
	return json_pack("{s:I, s:f, s:f, s:o}", "count", (json_int_t)h->count, "iops", per_second(h->count, r),
			 "bytes_per_second", per_second(h->count, r) * (double)c->size_bytes, "latency_ns",
			 json_times(h));
}

static int print_json(const struct cli *cli, const struct ob_block *block, const struct bench_config *c,
		      const struct bench_result *r)
{
	return output_json(
		cli,
		json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:s, s:i, s:i, s:f, s:o, s:o, s:o, s:f, s:f, s:f, s:f}",
			  "machine", cli->machine_uri, "device", ob_block_name(block), "pattern",
			  c->sequential ? "sequential" : "random", "size_bytes", (json_int_t)c->size_bytes,
			  "read_percent", (int)c->read_percent, "depth", (int)r->depth, "cpus", (int)c->cpus, "mode",
			  mode_names[r->mode], "cpu_share", (int)c->cpu_share, "rate", (int)c->rate, "seconds",
			  (double)r->elapsed_ns / 1e9, "read", json_side(&r->read, c, r), "write",
			  json_side(&r->write, c, r), "late_ns", c->rate ? json_times(&r->late) : json_null(),
			  "loops_percent", loops_percent(c, r), "cpu_percent",
			  100 * per_second(r->user_ns + r->system_ns, r) / 1e9, "user_seconds",
			  (double)r->user_ns / 1e9, "system_seconds", (double)r->system_ns / 1e9));
}

/* ---- the verb ---- */

static int check_disk(struct cli *cli, struct ob_block *block, const struct bench_config *c)
{
	struct ob_block_limits limits;

	ob_block_limits(block, &limits);
	if (c->size_bytes % limits.block_bytes)
		return cli_usage(cli, "--size: must be a multiple of the disk's block, %u", limits.block_bytes);
	if (c->size_bytes / limits.block_bytes > limits.block_count)
		return cli_usage(cli, "--size: larger than %s", ob_block_name(block));
	if (c->read_percent < 100 && limits.read_only)
		return cli_error(cli, CLI_IO, "%s: read only", ob_block_name(block));
	return CLI_OK;
}

static int bench_disk(struct cli *cli, const char *name, const struct bench_config *config, bool json)
{
	struct bench_result *result = calloc(1, sizeof(*result));
	struct ob_block *block = NULL;
	int code = result ? cli_block(cli, name, &block) : cli_error(cli, CLI_FAILED, "out of memory");

	if (code)
		goto out;
	code = check_disk(cli, block, config);
	if (!code)
		code = bench_run(cli, block, config, result);
	if (!code && json)
		code = print_json(cli, block, config, result);
	else if (!code)
		print_result(block, config, result);
	ob_block_put(block);
out:
	free(result);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct bench_config config = {
		.depth = 32,
		.cpus = 1,
		.read_percent = 100,
		.mode = OB_COMPLETION_HYBRID,
		.size_bytes = 4096,
		.time_ns = 5 * OB_NS_PER_S,
	};
	bool json = false, allow_writes = false, random = false;
	const struct option_def table[] = {
		{.name = "depth", .kind = OPTION_NUMBER, .to = &config.depth, .min = 1, .max = 4096},
		{.name = "size", .kind = OPTION_SIZE, .to = &config.size_bytes, .min = 512, .max = 16 * OB_MIB},
		{.name = "mix", .kind = OPTION_NUMBER, .to = &config.read_percent, .max = 100},
		{.name = "random", .kind = OPTION_FLAG, .to = &random},
		{.name = "sequential", .kind = OPTION_FLAG, .to = &config.sequential},
		{.name = "time",
		 .kind = OPTION_TIME,
		 .to = &config.time_ns,
		 .min = OB_NS_PER_MS,
		 .max = 24 * 3600 * OB_NS_PER_S},
		{.name = "cpus", .kind = OPTION_NUMBER, .to = &config.cpus, .min = 1, .max = OB_CPU_MAX},
		{.name = "channels", .kind = OPTION_NUMBER, .to = &config.cpus, .min = 1, .max = OB_CPU_MAX},
		{.name = "rate", .kind = OPTION_NUMBER, .to = &config.rate, .min = 1, .max = 100000000},
		{.name = "mode", .kind = OPTION_CHOICE, .to = &config.mode, .choices = mode_names},
		{.name = "cpu-share", .kind = OPTION_NUMBER, .to = &config.cpu_share, .min = 1, .max = 100},
		{.name = "allow-writes", .kind = OPTION_FLAG, .to = &allow_writes},
		{.name = "json", .kind = OPTION_FLAG, .to = &json},
		{.kind = OPTION_END},
	};
	struct arguments args;
	int code;

	if (!options_begin(cli, table, help, argc, argv, &args, &code))
		return code;
	if (args.count > 1)
		return cli_usage(cli, "one disk at a time");
	if (random && config.sequential)
		return cli_usage(cli, "--random and --sequential exclude each other");
	if (config.cpu_share && config.mode != OB_COMPLETION_HYBRID)
		return cli_usage(cli, "--cpu-share is for --mode hybrid");
	if (config.read_percent < 100 && !allow_writes)
		return cli_usage(cli,
				 "--mix %u writes to the disk and destroys what is on it; if that is meant, add "
				 "--allow-writes",
				 config.read_percent);
	code = cli_open(cli, config.cpus);
	if (!code)
		code = bench_disk(cli, args.count ? args.operands[0] : NULL, &config, json);
	return cli_close(cli, code);
}

const struct cli_verb cli_bench = {
	.name = "bench",
	.summary = "measure IOPS, throughput, latency and CPU share",
	.help = help,
	.run = run,
};
