/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outboard net: what its commands share. Each opens the machine, finds an interface, opens a channel on CPU 0, and then
 * turns that CPU until it has done what it was asked for, the time is over, or a signal came.
 */
#ifndef OB_CLI_NET_H
#define OB_CLI_NET_H

#include <outboard/net.h>

#include "cli/options.h"

#define NET_POOL_PACKETS 8192u
#define NET_DEPTH        1024u

/* The options that most of the commands have; rows of their tables. */
struct net_options {
	unsigned mode, depth;
	unsigned channels; /* that share the pool of a port; 0: one */
	uint64_t time_ns, count;
	bool json;
};

extern const char *const net_mode_names[]; /* by enum ob_completion_mode */

#define NET_OPTION_ROWS(o)                                                                              \
	{.name = "mode", .kind = OPTION_CHOICE, .to = &(o)->mode, .choices = net_mode_names},           \
		{.name = "depth", .kind = OPTION_NUMBER, .to = &(o)->depth, .min = 1, .max = 32768},    \
		{.name = "count", .kind = OPTION_LONG, .to = &(o)->count, .min = 1, .max = UINT64_MAX}, \
		{.name = "time",                                                                        \
		 .kind = OPTION_TIME,                                                                   \
		 .to = &(o)->time_ns,                                                                   \
		 .min = OB_NS_PER_MS,                                                                   \
		 .max = 366 * 24 * 3600 * OB_NS_PER_S},                                                 \
	{                                                                                               \
		.name = "json", .kind = OPTION_FLAG, .to = &(o)->json                                   \
	}

#define NET_OPTION_HELP                                                                 \
	"      --count N          stop after so many frames\n"                          \
	"      --time TIME        stop after so long: 5, 500ms, 2m (default: Ctrl-C)\n" \
	"      --mode MODE        interrupt, polled or hybrid (default hybrid)\n"       \
	"      --depth N          frames in each ring (default 1024)\n"                 \
	"      --json             figures for programs\n"

/* One interface in use. */
struct net_port {
	struct cli *cli;
	struct ob_net *net;
	struct ob_net_channel *channel;
	struct ob_packet_pool *pool; /* that it receives into */
	struct ob_net_stats before;  /* as the work began */
};

/**
 * net_is_preferred - is it the one to use where none is named, though there are others? The only one that is paravirtual.
 * @others: if not NULL, told of: "net0 by e1000e"
 */
bool net_is_preferred(struct cli *cli, const struct ob_net *net, char *others, size_t len_bytes);
/** net_find - the interface @name, or when NULL the only or preferred one; held. Prints why not. An exit code. */
int net_find(struct cli *cli, const char *name, struct ob_net **out);
/** net_port_open - find the interface, make a pool and a channel. Prints why not. An exit code. */
int net_port_open(struct net_port *port, struct cli *cli, const char *name, const struct net_options *o);
/** net_port_open_brought - the same; frames are brought to @received by the turns of the CPU, if that is not NULL */
int net_port_open_brought(struct net_port *port, struct cli *cli, const char *name, const struct net_options *o,
			  void (*received)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count,
					   void *arg),
			  void *arg);
/** net_channel_open - one more channel of a port, with its pool. Prints why not. An exit code. */
int net_channel_open(struct net_port *port, const struct net_options *o,
		     void (*received)(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count,
				      void *arg),
		     void *arg, struct ob_net_channel **out);
void net_port_close(struct net_port *port);
/** net_promiscuous - receive everything. Prints why not. An exit code. */
int net_promiscuous(struct net_port *port);
/** net_gone - the interface went while it was used: say so, unless it is said. An exit code. */
int net_gone(struct cli *cli, const struct ob_net *net);
/** net_cpu_ns - what this process used of CPUs so far, in ns */
uint64_t net_cpu_ns(void);

/* The work of a command. */
struct net_work {
	struct cli *cli;
	struct net_port *ports[2]; /* the second may be NULL */
	const struct net_options *options;
	/* Do some of it now; false: there was nothing to do. Sets @done, or @code for a failure that it printed. */
	bool (*step)(struct net_work *work, uint64_t now_ns);
	void *arg;
	uint64_t start_ns, end_ns, cpu_ns; /* cpu_ns: of all threads in between */
	bool brought;                      /* the CPU's turns bring the frames */
	const uint64_t *by_channel;        /* frames of each, for the report; or NULL */
	unsigned channel_count;
	uint64_t wake_ns; /* by then @step wants to be called again; 0: no such time */
	bool done;
	int code;
};

/** net_run - until it is done. An exit code. */
int net_run(struct net_work *work);
/** net_report - frames and rates of each port, on standard output. An exit code. */
int net_report(const struct net_work *work, const char *what);

/* Of text: "52:54:00:12:34:56"; "10.0.2.15", host order; "10.0.2.15/24". 0 or -EINVAL. */
int net_parse_mac(const char *text, uint8_t mac[6]);
int net_parse_address(const char *text, uint32_t *out);
int net_parse_prefix(const char *text, uint32_t *address, unsigned *prefix_bits);
const char *net_mac_text(char *out, const uint8_t mac[6]); /* TEXT_MAX */

/* net_answer.c */
struct net_host {
	uint8_t mac[6];
	uint32_t address; /* IPv4, host order */
};

/**
 * net_answer - make a frame into the answer to it: of an ARP request, or an ICMP echo request
 * @frame: @len_bytes long; changed only when there is an answer
 *
 * Return: the length of the answer; 0: it asks nothing of us, or is damaged.
 */
uint32_t net_answer(const struct net_host *host, uint8_t *frame, uint32_t len_bytes);

/* The commands; each gets the arguments after its name. */
struct net_command {
	const char *name;
	const char *verb; /* with "net" before it: in messages */
	int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct net_command net_info, net_respond, net_capture, net_generate, net_forward, net_bridge;

#endif
