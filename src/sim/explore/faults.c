/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults that the options ask for: rates in place of the seed's, and a script. Only in scenarios that bear them. */
#include "sim/fault/fault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/device.h"
#include "sim/explore/work.h"

#define TYPES_MAX 32

/* The devices of the scenarios: a script names registers as they do. */
static void types_of(const struct explore *e, const struct sim_device_type *types[TYPES_MAX + 1])
{
	static const struct sim_device_type *const usual[] = {&sim_nvme, NULL};
	unsigned count = 0;

	for (unsigned i = 0; i < e->scenario_count; i++) {
		const struct sim_device_type *const *type = e->scenarios[i]->devices;

		for (type = type != NULL ? type : usual; *type != NULL && count < TYPES_MAX; type++) {
			unsigned k = 0;

			while (k < count && types[k] != *type)
				k++;
			if (k == count)
				types[count++] = *type;
		}
	}
	types[count] = NULL;
}

static bool somebody_bears(const struct explore *e, uint64_t kinds)
{
	for (unsigned i = 0; i < e->scenario_count; i++)
		if ((kinds & ~e->scenarios[i]->faults) == 0)
			return true;
	return false;
}

static uint64_t kinds_of(const struct sim_fault_script *script)
{
	uint64_t kinds = 0;

	for (unsigned i = 0; i < script->count; i++)
		kinds |= script->rules[i].kinds;
	return kinds;
}

static int set_rate(struct explore *e, const char *text)
{
	struct sim_config config;
	char error[200];

	/* All bits: not set. No rate is as large as that. */
	memset(config.fault_one_in, 0xff, sizeof(config.fault_one_in));
	if (sim_fault_parse(text, &config, error, sizeof(error)) != 0)
		return cli_usage(&e->cli, "--fault: %s", error);
	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++) {
		if (config.fault_one_in[kind] == UINT32_MAX)
			continue;
		if (config.fault_one_in[kind] > 0 && !somebody_bears(e, SIM_FAULT_BIT(kind)))
			return cli_usage(&e->cli, "--fault: no scenario here bears '%s'", sim_fault_kinds[kind].name);
		e->fault_one_in[kind] = config.fault_one_in[kind];
		e->faults_set |= SIM_FAULT_BIT(kind);
	}
	return CLI_OK;
}

/* "all=RATE": of those that somebody bears. */
static int set_all(struct explore *e, const char *rate)
{
	char text[100];
	int code = CLI_OK;

	for (unsigned kind = 0; kind < SIM_FAULT_COUNT && code == CLI_OK; kind++) {
		if (!somebody_bears(e, SIM_FAULT_BIT(kind)))
			continue;
		snprintf(text, sizeof(text), "%s=%s", sim_fault_kinds[kind].name, rate);
		code = set_rate(e, text);
	}
	return code;
}

/* Which scenario comes nearest to bearing all of a script, and what it does not bear. */
static int nobody_bears(struct explore *e, const char *name, uint64_t kinds)
{
	const struct sim_scenario *nearest = e->scenarios[0];
	char missing[200] = "";
	size_t len = 0;

	for (unsigned i = 1; i < e->scenario_count; i++)
		if (__builtin_popcountll(kinds & ~e->scenarios[i]->faults) <
		    __builtin_popcountll(kinds & ~nearest->faults))
			nearest = e->scenarios[i];
	for (unsigned kind = 0; kind < SIM_FAULT_COUNT && len < sizeof(missing); kind++)
		if ((kinds & ~nearest->faults & SIM_FAULT_BIT(kind)) != 0)
			len += (size_t)snprintf(missing + len, sizeof(missing) - len, " %s",
						sim_fault_kinds[kind].name);
	return cli_error(&e->cli, EXPLORE_CANNOT,
			 "%s: no scenario here bears all of these faults; %s comes nearest, and does not bear:%s", name,
			 nearest->name, missing);
}

int explore_faults(struct explore *e)
{
	const struct sim_device_type *types[TYPES_MAX + 1];
	const char *name = e->script_path;
	char error[300] = "", of_run[200];
	int code = CLI_OK, rc;

	if (e->script_text != NULL) {
		snprintf(of_run, sizeof(of_run), "the script in %s", e->run_path);
		name = of_run;
	}
	for (unsigned i = 0; i < e->fault_count && code == CLI_OK; i++)
		code = strncmp(e->faults[i], "all=", 4) == 0 ? set_all(e, e->faults[i] + 4) : set_rate(e, e->faults[i]);
	if (code != CLI_OK || name == NULL)
		return code;
	types_of(e, types);
	rc = e->script_text != NULL
		     ? sim_fault_script_parse(name, e->script_text, types, &e->script, error, sizeof(error))
		     : sim_fault_script_read(name, types, &e->script, error, sizeof(error));
	if (rc != 0)
		return cli_error(&e->cli, EXPLORE_CANNOT, "%s", error[0] != '\0' ? error : strerror(-rc));
	if (!somebody_bears(e, kinds_of(e->script)))
		return nobody_bears(e, name, kinds_of(e->script));
	return CLI_OK;
}

void explore_faults_apply(const struct explore *e, const struct sim_scenario *scenario, struct sim_config *config)
{
	uint64_t kinds = e->faults_set & scenario->faults;

	for (unsigned kind = 0; kind < SIM_FAULT_COUNT && kinds != 0; kind++)
		if (kinds & SIM_FAULT_BIT(kind))
			config->fault_one_in[kind] = e->fault_one_in[kind];
	if (e->script != NULL && (kinds_of(e->script) & ~scenario->faults) == 0)
		config->fault_script = e->script;
	kinds = config->fault_script != NULL ? kinds_of(e->script) : 0;
	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++)
		if (config->fault_one_in[kind] > 0)
			kinds |= SIM_FAULT_BIT(kind);
	/* What is cut off or put in again needs a slot, and a cache that may lose something. */
	if ((kinds & (SIM_FAULT_BIT(SIM_FAULT_POWER_CUT) | SIM_FAULT_BIT(SIM_FAULT_INSERT))) != 0)
		config->slot = config->lossy = true;
}

void explore_faults_list(void)
{
	for (unsigned kind = 0; kind < SIM_FAULT_COUNT; kind++)
		printf("%-20s %s; one in RATE %s\n", sim_fault_kinds[kind].name, sim_fault_kinds[kind].help,
		       sim_fault_kinds[kind].of);
}
