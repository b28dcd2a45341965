/* SPDX-License-Identifier: BSD-2-Clause */
/* Coverage for who reads it: figures, lists, and the sources with marks. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/fault/fault.h"
#include "sim/view/cover.h"
#include "sim/view/view.h"

static const struct sim_device_type *type_of(const struct sim_coverage *c, unsigned device)
{
	return (const void *)(world_text_base + c->devices[device].type); /* NOLINT */
}

static void count_states(const struct sim_coverage *c, unsigned device, unsigned *states, unsigned *transitions)
{
	for (unsigned i = 0; i < COVERAGE_STATES; i++) {
		*states += c->devices[device].states[i];
		for (unsigned j = 0; j < COVERAGE_STATES / 8; j++)
			*transitions += (unsigned)__builtin_popcount(c->devices[device].transitions[i][j]);
	}
}

/*
 * A file that no run came by is not of what was explored, but of another driver that the program has too: it says nothing
 * about how well the runs did. Where nothing at all was reached, or files are not known, all of them count.
 */
static bool is_used(const struct code_map *map, unsigned file)
{
	bool any = false;

	if (file != UINT_MAX && map->files[file].blocks_reached > 0)
		return true;
	for (unsigned i = 0; i < map->file_count && !any; i++)
		any = map->files[i].blocks_reached > 0;
	return map->file_count == 0 || !any;
}

static void count_blocks(const struct code_map *map, struct sim_coverage_figures *out)
{
	for (unsigned i = 0; i < map->block_count; i++) {
		const struct code_block *b = &map->blocks[i];

		if ((b->seen & COVERAGE_REACHED) == 0 && !is_used(map, b->file))
			continue;
		out->blocks++;
		out->blocks_reached += (b->seen & COVERAGE_REACHED) != 0;
		out->blocks_preempted += (b->seen & COVERAGE_PREEMPTED) != 0;
		out->blocks_interrupted += (b->seen & COVERAGE_INTERRUPTED) != 0;
	}
	for (unsigned i = 0; i < map->file_count; i++) {
		if (!is_used(map, i))
			continue;
		out->lines += map->files[i].lines;
		out->lines_reached += map->files[i].lines_reached;
	}
}

static void figures_of(const struct sim_coverage *c, const struct code_map *map, struct sim_coverage_figures *out)
{
	*out = (struct sim_coverage_figures){.faults = SIM_FAULT_COUNT};
	count_blocks(map, out);
	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
		out->faults_struck += c->faults[i];
	for (unsigned i = 0; i < COVERAGE_DEVICES; i++)
		count_states(c, i, &out->states, &out->transitions);
}

void sim_coverage_figures(const struct sim_coverage *c, bool lines, struct sim_coverage_figures *out)
{
	struct code_map map;

	/* Without a map its figures are 0. */
	if (code_map_make(c, &map) == 0)
		code_map_lines(&map);
	figures_of(c, &map, out);
	if (!lines)
		out->lines = out->lines_reached = 0;
	code_map_free(&map);
}

static double percent(unsigned part, unsigned whole)
{
	return whole > 0 ? 100.0 * part / whole : 0;
}

static void print_figures(const struct sim_coverage *c, const struct sim_coverage_figures *n, FILE *f)
{
	bool comma = false;

	if (n->blocks > 0)
		fprintf(f,
			"driver code: %u of %u basic blocks reached; of these %u preempted, %u interrupted in their "
			"midst\n",
			n->blocks_reached, n->blocks, n->blocks_preempted, n->blocks_interrupted);
	if (n->lines > 0)
		fprintf(f, "driver lines: %u of %u reached, %.1f%%\n", n->lines_reached, n->lines,
			percent(n->lines_reached, n->lines));
	fprintf(f, "states of devices: %u, %u transitions between them\n", n->states, n->transitions);
	fprintf(f, "faults: %u of %u kinds struck", n->faults_struck, n->faults);
	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
		if (c->faults[i])
			continue;
		fprintf(f, "%s%s", comma ? ", " : "; never: ", sim_fault_kinds[i].name);
		comma = true;
	}
	fprintf(f, "\n");
}

void sim_coverage_print(const struct sim_coverage *c, FILE *f)
{
	struct sim_coverage_figures figures;

	sim_coverage_figures(c, true, &figures);
	print_figures(c, &figures, f);
}

/* ---- all of it ---- */

static void print_states(const struct sim_coverage *c, FILE *f)
{
	for (unsigned d = 0; d < COVERAGE_DEVICES; d++) {
		unsigned states = 0, transitions = 0;
		char name[160];

		if (c->devices[d].type == 0)
			continue;
		count_states(c, d, &states, &transitions);
		fprintf(f, "\nstates of device %u, %s: %u, %u transitions\n", c->devices[d].number, type_of(c, d)->name,
			states, transitions);
		for (unsigned i = 0; i < COVERAGE_STATES; i++) {
			if (!c->devices[d].states[i])
				continue;
			view_state_name(type_of(c, d), i, name, sizeof(name));
			fprintf(f, "    %s\n", name);
		}
	}
}

/* As it is called within the project: the compiler sees it from where it was built. */
static const char *shown(const char *path)
{
	while (strncmp(path, "../", 3) == 0)
		path += 3;
	return path;
}

/* Paths are relative to the directory of the build, which lies above the program. */
static FILE *source_open(const char *path)
{
	char program[512], full[1024];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	FILE *f = fopen(path, "re");
	char *directory = program;

	program[MAX(len, (ssize_t)0)] = '\0';
	while (f == NULL && path[0] != '/' && strlen(directory) > 1) {
		directory = dirname(directory);
		snprintf(full, sizeof(full), "%s/%s", directory, path);
		f = fopen(full, "re");
	}
	return f;
}

static void print_source(const struct code_file *file, FILE *f)
{
	static const char *const marks[] = {[LINE_NONE] = "-", [LINE_MISSED] = "#####", [LINE_SEEN] = "+"};
	FILE *source = source_open(file->path);
	char text[1024];

	fprintf(f, "\n%s: %u of %u lines, %.1f%%; %u of %u blocks\n", shown(file->path), file->lines_reached,
		file->lines, percent(file->lines_reached, file->lines), file->blocks_reached, file->blocks);
	if (source == NULL) {
		fprintf(f, "    not reached:");
		for (unsigned line = 0; line < file->line_end; line++)
			if (file->line[line] == LINE_MISSED)
				fprintf(f, " %u", line);
		fprintf(f, "\n");
		return;
	}
	for (unsigned line = 1; fgets(text, sizeof(text), source) != NULL; line++)
		fprintf(f, "%9s:%5u:%s", marks[line < file->line_end ? file->line[line] : LINE_NONE], line, text);
	fclose(source);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(shown(((const struct code_file *)a)->path), shown(((const struct code_file *)b)->path));
}

static void print_files(const struct code_map *map, FILE *f)
{
	bool unused = false;

	fprintf(f, "\n");
	for (unsigned i = 0; i < map->file_count; i++)
		if (is_used(map, i))
			fprintf(f, "%6.1f%%  %4u of %4u lines  %s\n",
				percent(map->files[i].lines_reached, map->files[i].lines), map->files[i].lines_reached,
				map->files[i].lines, shown(map->files[i].path));
	for (unsigned i = 0; i < map->file_count; i++) {
		if (is_used(map, i))
			continue;
		fprintf(f, "%s%s", unused ? ", " : "not used, and not counted: ", shown(map->files[i].path));
		unused = true;
	}
	if (unused)
		fprintf(f, "\n");
	for (unsigned i = 0; i < map->file_count; i++)
		if (is_used(map, i))
			print_source(&map->files[i], f);
}

int sim_coverage_write(const struct sim_coverage *c, FILE *f)
{
	struct sim_coverage_figures figures;
	struct code_map map;
	int ret;

	ret = code_map_make(c, &map);
	if (ret != 0)
		return ret;
	ret = code_map_lines(&map);
	if (ret != 0)
		goto out;
	figures_of(c, &map, &figures);
	print_figures(c, &figures, f);
	print_states(c, f);
	qsort(map.files, map.file_count, sizeof(*map.files), by_path);
	print_files(&map, f);
	ret = fflush(f) != 0 ? -errno : ferror(f) ? -EIO : 0;
out:
	code_map_free(&map);
	return ret;
}

int sim_coverage_reached(const struct sim_coverage *c, const char *file, unsigned line)
{
	struct code_map map;
	int found = -1;

	if (code_map_make(c, &map) != 0)
		return -1;
	if (code_map_lines(&map) == 0) {
		for (unsigned i = 0; i < map.file_count; i++) {
			const struct code_file *f = &map.files[i];
			size_t len = strlen(f->path), end = strlen(file);

			if (len >= end && strcmp(f->path + len - end, file) == 0 && line < f->line_end &&
			    f->line[line] != LINE_NONE)
				found = f->line[line] == LINE_SEEN;
		}
	}
	code_map_free(&map);
	return found;
}
