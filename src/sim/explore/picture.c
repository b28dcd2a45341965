/* SPDX-License-Identifier: BSD-2-Clause */
/* A run once more, recorded, and its picture. */
#include <errno.h>
#include <string.h>

#include "sim/explore/work.h"
#include "sim/view/picture.h"

int explore_picture(struct explore *e, const struct sim_scenario *scenario, uint64_t seed, int code)
{
	static struct sim_result result;
	char command[512];
	const struct sim_picture_options options = {
		.events_max = e->picture_events,
		.command = command,
	};
	struct explore_run run;
	int rc;
	FILE *f;

	if (e->picture_path == NULL)
		return code;
	f = fopen(e->picture_path, "we");
	if (f == NULL)
		return cli_error(&e->cli, EXPLORE_CANNOT, "%s: %s", e->picture_path, strerror(errno));
	explore_replay_command(e, scenario, seed, command, sizeof(command));
	e->record = true;
	explore_run_scenario(e, scenario, seed, &run, &result);
	e->record = false;
	rc = sim_picture_write(&result, &options, f);
	if (fclose(f) != 0 && rc == 0)
		rc = -errno;
	return rc == 0 ? code : cli_error(&e->cli, EXPLORE_CANNOT, "%s: %s", e->picture_path, strerror(-rc));
}
