/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals. The first SIGINT or SIGTERM is noted, and the verb's loop ends in good order; should that take longer than
 * the grace period (a machine that hangs while it is opened), or a second one come, the process ends at once: what
 * machines start dies with it.
 */
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

enum {
	GRACE_SECONDS = 5
};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	if (number == SIGALRM || caught)
		_exit(128 + caught);
	caught = number;
	alarm(GRACE_SECONDS);
}

void cli_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

int cli_interrupted(void)
{
	return caught;
}
