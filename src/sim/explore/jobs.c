/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs: processes that run seeds. The parent runs none itself: a crash of the simulator, too, is only a job's. It hands
 * out chunks of consecutive seeds, and takes them back in their order, so that what it says does not depend on how many
 * jobs there are or which of them is faster.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/output.h"
#include "sim/explore/work.h"
#include "sim/view/coverage.h"

#define MOMENT_MS     100
#define LAST_RUN_MS   2000 /* that a job gets to end its run when told to stop */
#define CHUNKS_OF_JOB 4    /* handed out or waiting for earlier ones */

struct job {
	pid_t pid;
	int to, from; /* numbers of chunks */
	bool busy;
	unsigned chunk;
};

/* What jobs and the parent share. */
struct board {
	atomic_bool stop;
	struct explore_chunk chunks[];
};

struct jobs {
	struct explore *e;
	struct board *board;
	struct sim_coverage *coverage; /* one for each job: two at one would lose what they add at the same moment */
	struct job job[EXPLORE_JOB_MAX];
	unsigned chunk_count;   /* places for chunks, used round and round */
	uint64_t handed, taken; /* chunks, since the start */
	bool done[EXPLORE_JOB_MAX * CHUNKS_OF_JOB];
	uint64_t seeds_left, next_seed;
	bool stopping, enough;
};

/* ---- in a job ---- */

static void job_main(struct jobs *j, int from, int to)
{
	unsigned chunk;

	/* The parent says when to stop, between two runs. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	while (read_full(from, &chunk, sizeof(chunk)) == (int64_t)sizeof(chunk)) {
		explore_chunk_run(j->e, &j->board->chunks[chunk], &j->board->stop);
		if (write_all(to, &chunk, sizeof(chunk)) != 0)
			break;
	}
	_exit(0);
}

static void close_others(const struct jobs *j)
{
	for (unsigned i = 0; i < j->e->jobs; i++) {
		if (j->job[i].pid <= 0)
			continue;
		close(j->job[i].to);
		close(j->job[i].from);
	}
}

/* ---- their lives ---- */

static int job_start(struct jobs *j, struct job *job)
{
	int to[2], from[2], error;
	pid_t parent = getpid();

	job->pid = 0;
	if (pipe(to) != 0)
		return -errno;
	if (pipe(from) != 0) {
		error = -errno;
		goto close_to;
	}
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0) {
		error = -errno;
		goto close_from;
	}
	if (job->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		close(to[1]);
		close(from[0]);
		close_others(j);
		sim_coverage_into(&j->coverage[job - j->job]);
		job_main(j, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	job->to = to[1];
	job->from = from[0];
	job->busy = false;
	return 0;

close_from:
	close(from[0]);
	close(from[1]);
close_to:
	close(to[0]);
	close(to[1]);
	job->pid = 0;
	return error;
}

/* How it ended, as waitpid() says. */
static int job_end(struct job *job)
{
	int status = 0;

	close(job->to);
	close(job->from);
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	job->pid = 0;
	return status;
}

/* A job that is dead already does not read it: that shows when it is listened to. */
static void hand_to(struct job *job, unsigned chunk)
{
	job->busy = true;
	job->chunk = chunk;
	write_all(job->to, &chunk, sizeof(chunk));
}

/* The seed that was under way is lost; what is left of its chunk goes to another job. */
static int bury(struct jobs *j, struct job *job)
{
	struct explore_chunk *chunk = &j->board->chunks[job->chunk];
	unsigned at = atomic_load(&chunk->at), number = job->chunk;
	int status = job_end(job), rc;

	if (chunk->second || at == chunk->count || j->stopping) {
		/* It died of what had gone well the first time; or it was to end. */
		if (chunk->second && !j->stopping) {
			chunk->replays_other++;
			chunk->other_seed = chunk->first;
		}
		job->busy = false;
		j->done[number] = true;
		return j->stopping ? 0 : job_start(j, job);
	}
	if (chunk->failure_count < EXPLORE_CHUNK) {
		struct explore_failure *f = &chunk->failures[chunk->failure_count++];

		memset(f, 0, sizeof(*f));
		f->seed = chunk->first + at;
		f->run.failed = true;
		f->run.scenario = (uint8_t)explore_scenario_of(j->e, f->seed);
		chunk->runs[at] = f->run;
		snprintf(f->rule, sizeof(f->rule), "simulator");
		if (WIFSIGNALED(status))
			snprintf(f->report, sizeof(f->report), "simulator: the process ended by signal %d (%s)\n",
				 WTERMSIG(status), strsignal(WTERMSIG(status)));
		else
			snprintf(f->report, sizeof(f->report), "simulator: the process ended with code %d\n",
				 WEXITSTATUS(status));
	}
	atomic_store(&chunk->at, at + 1);
	rc = job_start(j, job);
	if (rc != 0)
		return rc;
	if (j->e->keep_going && at + 1 < chunk->count)
		hand_to(job, number);
	else
		j->done[number] = true;
	return 0;
}

/* ---- chunks ---- */

/* To the next multiple: seeds that may start from one world that is up are for one job. */
static unsigned chunk_len(const struct jobs *j)
{
	unsigned whole = EXPLORE_CHUNK - (unsigned)(j->next_seed % EXPLORE_CHUNK);

	return j->seeds_left < whole ? (unsigned)j->seeds_left : whole;
}

static void hand_out(struct jobs *j)
{
	for (unsigned i = 0; i < j->e->jobs; i++) {
		unsigned number = (unsigned)(j->handed % j->chunk_count);
		struct explore_chunk *chunk = &j->board->chunks[number];

		if (j->stopping || j->seeds_left == 0 || j->handed - j->taken == j->chunk_count)
			return;
		if (j->job[i].busy)
			continue;
		chunk->first = j->next_seed;
		chunk->count = chunk_len(j);
		chunk->failure_count = chunk->replays = chunk->replays_other = 0;
		chunk->second = false;
		atomic_store(&chunk->at, 0);
		j->done[number] = false;
		j->next_seed += chunk->count;
		j->seeds_left -= chunk->count;
		j->handed++;
		hand_to(&j->job[i], number);
	}
}

static void stop(struct jobs *j)
{
	j->stopping = true;
	atomic_store(&j->board->stop, true);
}

static void take_back(struct jobs *j, bool (*take)(void *arg, struct explore_chunk *chunk), void *arg)
{
	while (j->taken < j->handed && j->done[j->taken % j->chunk_count]) {
		if (!j->enough && !take(arg, &j->board->chunks[j->taken % j->chunk_count])) {
			j->enough = true;
			stop(j);
		}
		j->taken++;
	}
}

/* Wait for the jobs for a moment, and hear what they say. */
static int listen_to(struct jobs *j)
{
	struct pollfd fds[EXPLORE_JOB_MAX];
	int rc = 0;

	for (unsigned i = 0; i < j->e->jobs; i++)
		fds[i] = (struct pollfd){.fd = j->job[i].busy ? j->job[i].from : -1, .events = POLLIN};
	if (poll(fds, j->e->jobs, MOMENT_MS) < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned i = 0; i < j->e->jobs && rc == 0; i++) {
		unsigned chunk;

		if (fds[i].revents == 0)
			continue;
		if (read_full(j->job[i].from, &chunk, sizeof(chunk)) == (int64_t)sizeof(chunk)) {
			j->job[i].busy = false;
			j->done[chunk] = true;
		} else {
			rc = bury(j, &j->job[i]);
		}
	}
	return rc;
}

static void end_all(struct jobs *j)
{
	for (unsigned i = 0; i < j->e->jobs; i++) {
		if (j->job[i].pid <= 0)
			continue;
		if (j->job[i].busy)
			kill(j->job[i].pid, SIGKILL);
		job_end(&j->job[i]);
	}
}

static void *share(size_t len_bytes)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int explore_jobs(struct explore *e, bool (*take)(void *arg, struct explore_chunk *chunk), bool (*moment)(void *arg),
		 void *arg)
{
	static struct jobs j;
	size_t board_bytes, coverage_bytes = e->jobs * sizeof(struct sim_coverage);
	uint64_t stop_ns = 0;
	int rc = 0;

	j = (struct jobs){.e = e, .chunk_count = e->jobs * CHUNKS_OF_JOB, .seeds_left = e->seeds, .next_seed = e->seed};
	board_bytes = sizeof(*j.board) + j.chunk_count * sizeof(j.board->chunks[0]);
	j.board = share(board_bytes);
	j.coverage = share(coverage_bytes);
	if (j.board == NULL || j.coverage == NULL) {
		rc = -ENOMEM;
		goto out;
	}
	for (unsigned i = 0; i < e->jobs && rc == 0; i++)
		rc = job_start(&j, &j.job[i]);
	while (rc == 0) {
		hand_out(&j);
		if (j.taken == j.handed)
			break;
		rc = listen_to(&j);
		take_back(&j, take, arg);
		if (!j.stopping && !moment(arg)) {
			stop(&j);
			stop_ns = explore_now_ns();
		}
		if (j.enough || (j.stopping && explore_now_ns() - stop_ns > LAST_RUN_MS * OB_NS_PER_MS))
			break;
	}
	/* Told to stop, and some did not: what they had done counts. */
	for (unsigned i = 0; i < e->jobs; i++)
		if (j.job[i].busy)
			j.done[j.job[i].chunk] = true;
	if (rc == 0)
		take_back(&j, take, arg);
	end_all(&j);
	for (unsigned i = 0; i < e->jobs; i++)
		sim_coverage_add(sim_coverage(), &j.coverage[i]);
out:
	if (j.coverage != NULL)
		munmap(j.coverage, coverage_bytes);
	if (j.board != NULL)
		munmap(j.board, board_bytes);
	return rc;
}
