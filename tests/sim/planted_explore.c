/* SPDX-License-Identifier: BSD-2-Clause */
/* An explorer of one's own scenarios. */
#include <signal.h>

#include "sim/explore/explore.h"
#include "tests/sim/planted.h"

void planted_die(void)
{
	raise(SIGKILL);
}

unsigned planted_count(void)
{
	static unsigned count;

	return count++;
}

int main(int argc, char **argv)
{
	static const struct sim_scenario *const scenarios[] = {
		&planted_fine,   &planted_lost_update, &planted_dies,    &planted_garbage,
		&planted_varies, &planted_words,       &planted_unlucky, NULL};

	return sim_explore_main(argc, argv, scenarios);
}
