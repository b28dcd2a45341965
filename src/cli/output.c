/* SPDX-License-Identifier: BSD-2-Clause */
/* How the command prints, and whether it arrived. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *text_size(char *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes;
	unsigned unit = 0;

	for (; n >= 1024 && unit < 6; unit++)
		n /= 1024;
	snprintf(out, TEXT_MAX, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
	return out;
}

const char *text_count(char *out, double n)
{
	if (n >= 1e6)
		snprintf(out, TEXT_MAX, "%.2fM", n / 1e6);
	else if (n >= 1e4)
		snprintf(out, TEXT_MAX, "%.1fk", n / 1e3);
	else
		snprintf(out, TEXT_MAX, "%.0f", n);
	return out;
}

const char *text_us(char *out, uint64_t ns)
{
	snprintf(out, TEXT_MAX, ns < 100000 ? "%.1f" : "%.0f", (double)ns / 1000);
	return out;
}

int output_json(const struct cli *cli, json_t *root)
{
	int bad;

	if (!root)
		return cli_error(cli, CLI_FAILED, "out of memory");
	bad = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	json_decref(root);
	return bad || putchar('\n') == EOF ? CLI_FAILED : CLI_OK; /* output_finish() says why */
}

void output_begin(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* The lowest number that is free is this one. The wrong direction: using it fails, as it did. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return;
	}
}

/* Why standard output failed first: stdio knows it only once. */
static int output_error;

bool output_flush(void)
{
	errno = 0;
	if (fflush(stdout) && !output_error)
		output_error = errno ? errno : EIO;
	return !output_error;
}

int output_finish(const struct cli *cli, int status)
{
	if (output_flush() && ferror(stdout))
		output_error = EIO;
	if (!output_error)
		return status;
	if (output_error == EPIPE)
		return CLI_PIPE;
	return cli_error(cli, CLI_FAILED, "standard output: %s", strerror(output_error));
}

int write_all(int fd, const void *data, size_t len_bytes)
{
	const char *p = data;

	while (len_bytes) {
		ssize_t n = write(fd, p, len_bytes);

		if (n < 0) {
			if (errno == EINTR && !cli_interrupted())
				continue;
			return -errno;
		}
		p += n;
		len_bytes -= (size_t)n;
		/* A signal ends a write early, and it may have been the one that says stop. */
		if (len_bytes && cli_interrupted())
			return -EINTR;
	}
	return 0;
}

int64_t read_full(int fd, void *data, size_t len_bytes)
{
	char *p = data;
	size_t done = 0;

	while (done < len_bytes) {
		ssize_t n = read(fd, p + done, len_bytes - done);

		if (n < 0) {
			if (errno == EINTR && !cli_interrupted())
				continue;
			return -errno;
		}
		if (!n)
			break;
		done += (size_t)n;
		if (done < len_bytes && cli_interrupted())
			return -EINTR;
	}
	return (int64_t)done;
}
