/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `outboard explore --help` says: in the command, and in the program that it runs. Explorers of other scenarios say
 * the same of themselves.
 */
#include "cli/explore.h"

#include <stdio.h>
#include <string.h>

#define COMMAND  "outboard explore"
#define SCENARIO "nvme-rough"
#define OTHER    "nvme-io"

const char explore_help[] =
	"usage: " COMMAND " [options] [SCENARIO...]\n"
	"\n"
	"Takes drivers through many simulated worlds: interleavings, weak memory, interrupts, faults. What breaks a\n"
	"rule is reported with its seed, and the same seed brings it back to the last step. Without SCENARIO all of\n"
	"them have their turn, seed by seed.\n"
	"\n"
	"  " COMMAND "                                # 1000 worlds\n"
	"  " COMMAND " " SCENARIO " --time 10m --keep-going\n"
	"  " COMMAND " " OTHER " --replay 5809          # one of them again\n"
	"\n"
	"      --list            the scenarios\n"
	"      --seeds N         how many worlds (default 1000; with --time no limit)\n"
	"      --seed FIRST      the first one's seed (default 1)\n"
	"      --time TIME       at most for so long\n"
	"  -j, --jobs N          processes (default: one for each CPU)\n"
	"  -k, --keep-going      do not stop at the first report\n"
	"      --strategy NAME   swarm, random or pct (default swarm: the seed decides)\n"
	"      --calm            nothing varies but what the scheduler draws; no faults\n"
	"      --promises        CPUs may store before earlier loads; each seed takes two or three runs\n"
	"      --fault NAME=RATE one time in so many; 0: never. In place of the seed's; may be repeated\n"
	"      --faults FILE     a script of faults\n"
	"      --list-faults     their names, and of what they strike one in so many\n"
	"      --replay SEED     run this seed alone, and say all\n"
	"      --hash HASH       with --replay: whether the trace is that one\n"
	"  -m, --minimise        make the first failing run small, and write it to a file\n"
	"  -o, --output FILE     that file (default SCENARIO-SEED.run)\n"
	"      --replay-file F   run what --minimise wrote\n"
	"      --replay-check N  run every Nth seed twice and compare the traces\n"
	"      --coverage FILE   the driver's sources, with what was not reached marked\n"
	"      --picture FILE    of the first failing run, or the one of --replay, what led there as a drawing (SVG)\n"
	"      --picture-events N  as many of the last events (default 120)\n"
	"      --trace           a line for each run\n"
	"      --json            for programs\n"
	"\n"
	"exit codes: 0 no report, 1 reports, 2 wrong use or cannot run, 5 this build has no simulation\n";

void explore_print_help(const char *command, const char *scenario, const char *other)
{
	const struct {
		const char *word, *shown;
	} words[] = {{COMMAND, command}, {SCENARIO, scenario}, {OTHER, other}};
	const char *at = explore_help;

	while (*at != '\0') {
		const char *shown = NULL;

		for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]) && shown == NULL; i++)
			if (strncmp(at, words[i].word, strlen(words[i].word)) == 0) {
				shown = words[i].shown;
				at += strlen(words[i].word);
			}
		if (shown != NULL)
			fputs(shown, stdout);
		else
			putchar(*at++);
	}
}
