/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzz target's corpus once, without a fuzzer: replay [-v] FILE|DIRECTORY… */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/hostile.h"

#define INPUT_MAX 65536

static unsigned replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(INPUT_MAX);
	size_t len_bytes;

	if (file == NULL || bytes == NULL) {
		perror(path);
		exit(1);
	}
	len_bytes = fread(bytes, 1, INPUT_MAX, file);
	fclose(file);
	if (hostile_verbose)
		fprintf(stderr, "== %s\n", path);
	LLVMFuzzerTestOneInput(bytes, len_bytes);
	free(bytes);
	return 1;
}

static unsigned replay(const char *path)
{
	char inside[4096];
	struct dirent **entries;
	struct stat st;
	unsigned count = 0;
	int n;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return replay_file(path);
	n = scandir(path, &entries, NULL, alphasort);
	if (n < 0) {
		perror(path);
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		snprintf(inside, sizeof(inside), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			count += replay_file(inside);
		free(entries[i]);
	}
	free(entries);
	return count;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	LLVMFuzzerTestOneInput(NULL, 0); /* the honest device */
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0)
			hostile_verbose = true;
		else
			count += replay(argv[i]);
	}
	printf("%u scripts, no fault\n", count);
	return 0;
}
