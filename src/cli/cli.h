/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `outboard` command: what its verbs share. A verb is one file with one function; it gets the arguments after its
 * name and returns an exit code. It prints results on standard output and everything else on standard error.
 */
#ifndef OB_CLI_CLI_H
#define OB_CLI_CLI_H

#include <stdio.h>

#include <outboard/outboard.h>

/* Documented in outboard(1). After a signal: 128 + its number. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,     /* something on this side: a file, memory, output */
	CLI_USAGE = 2,      /* wrong use */
	CLI_NO_DEVICE = 3,  /* no such machine or device */
	CLI_IO = 4,         /* the device or its machine failed while it was used */
	CLI_NO_PROGRAM = 5, /* a program that is needed is not installed */
	CLI_PIPE = 141,     /* nobody reads standard output any more */
};

enum {
	CLI_QEMU_ARG_MAX = 128
};

struct cli {
	/* options of every verb */
	const char *machine_uri;
	const char *qemu_args[CLI_QEMU_ARG_MAX + 1];
	unsigned qemu_arg_count;
	unsigned verbose;
	bool quiet; /* no progress, errors only */
	/* trace */
	bool trace;
	const char *trace_output; /* NULL: standard output */
	unsigned trace_events;
	FILE *trace_file; /* of trace_output */
	/* now */
	const char *program; /* that speaks; NULL: outboard */
	const char *verb;
	struct ob *ob;
	struct ob_machine *machine;
	unsigned errors_logged;
};

struct cli_verb {
	const char *name;
	const char *summary;                                /* one line of --help */
	const char *help;                                   /* all of VERB --help */
	int (*run)(struct cli *cli, int argc, char **argv); /* without the verb's name */
};

extern const struct cli_verb cli_devices, cli_info, cli_read, cli_write, cli_bench, cli_serve, cli_explore, cli_trace,
	cli_doctor, cli_bind, cli_unbind, cli_attach_help, cli_net;

/** cli_find_verb - NULL: there is none */
const struct cli_verb *cli_find_verb(const char *name);

/* ---- session.c ---- */

/** cli_open - make the context and open the machine; prints why not. An exit code. */
int cli_open(struct cli *cli, unsigned cpu_count);
/** cli_open_failed - say that @uri could not be opened, unless the library has. An exit code. */
int cli_open_failed(struct cli *cli, const char *uri, int error);
/** cli_close - dump the trace if one was asked for, close everything. The first failure of @status and its own. */
int cli_close(struct cli *cli, int status);
/** cli_no_block - say that the machine has no disk, and what it has. An exit code. */
int cli_no_block(struct cli *cli);
/** cli_block - the block device @name, or the only one when @name is NULL; held. Prints why not. An exit code. */
int cli_block(struct cli *cli, const char *name, struct ob_block **out);

/* ---- signal.c ---- */

/** cli_catch_signals - from now on SIGINT and SIGTERM are noted, and SIGPIPE is an error of write */
void cli_catch_signals(void);
/** cli_interrupted - the signal that came, or 0 */
int cli_interrupted(void);

/* ---- message.c, session.c: one line on standard error ---- */

/** cli_error - "outboard: verb: …"; returns @code */
int cli_error(const struct cli *cli, enum cli_exit code, const char *format, ...) OB_PRINTF(3, 4);
/** cli_usage - the same, and how to get help; returns CLI_USAGE */
int cli_usage(const struct cli *cli, const char *format, ...) OB_PRINTF(2, 3);
/** cli_exit_of - the exit code for a negative errno of the library */
enum cli_exit cli_exit_of(int error);
/** cli_io_error - a request on @block failed: say which, where and how. Returns the exit code. */
int cli_io_error(const struct cli *cli, struct ob_block *block, const char *what, uint64_t offset, uint64_t len_bytes,
		 int error, uint16_t protocol_status);

#endif
