/* SPDX-License-Identifier: BSD-2-Clause */
/* How the command prints: sizes for people, JSON for programs, and whether it arrived. */
#ifndef OB_CLI_OUTPUT_H
#define OB_CLI_OUTPUT_H

#include <jansson.h>

#include "cli/cli.h"

enum {
	TEXT_MAX = 32
};

/** text_size - "64.0 MiB" into @out of TEXT_MAX; returns it */
const char *text_size(char *out, uint64_t bytes);
/** text_count - "12345", "44.1k", "1.02M" */
const char *text_count(char *out, double n);
/** text_us - nanoseconds as microseconds: "12.3" */
const char *text_us(char *out, uint64_t ns);

/**
 * output_begin - standard input, output and error that are closed become ones that refuse, or a file that is opened
 * later, a disk's image maybe, would have their number and get what is printed
 */
void output_begin(void);
/** output_flush - standard output, now; false: it did not arrive, and output_finish() will say why */
bool output_flush(void);
/** output_json - print and free @root; an exit code */
int output_json(const struct cli *cli, json_t *root);
/** output_finish - standard output's last word: @status, or why it did not arrive */
int output_finish(const struct cli *cli, int status);
/** write_all - all bytes to @fd; 0 or negative errno; -EINTR when a signal says stop */
int write_all(int fd, const void *data, size_t len_bytes);
/** read_full - up to @len_bytes, fewer only at the end of file; the count or negative errno */
int64_t read_full(int fd, void *data, size_t len_bytes);

#endif
