/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-conformance-net URI WIRE [MODE [SEED]]: the suite on the first network interface of a machine.
 *
 * WIRE: "socket": "{ours}" and "{theirs}" in the URI become paths of datagram sockets, for a frame each; "loop": what is
 * sent comes back; "peer": the machine's second interface is the other end. Exit status: 0 passed; 1 failed; 2 usage; 77
 * skipped: the machine is not here.
 */
#include <time.h>
#include <unistd.h>

#include "tests/conformance/net/suite.h"

static char directory[] = "/tmp/outboard-net-XXXXXX";
static char ours[64], theirs[64];

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", message);
}

static int parse(const char *name, const char *const *names, unsigned count, unsigned *out)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The URI with paths in place of marks; to be freed. */
static char *make_uri(const char *given)
{
	static const struct {
		const char *mark, *path;
	} marks[] = {{"{ours}", ours}, {"{theirs}", theirs}};
	char *uri = strdup(given);

	for (unsigned i = 0; i < ARRAY_SIZE(marks) && uri != NULL; i++) {
		char *at = strstr(uri, marks[i].mark), *next = NULL;

		if (at == NULL)
			continue;
		if (asprintf(&next, "%.*s%s%s", (int)(at - uri), uri, marks[i].path, at + strlen(marks[i].mark)) < 0)
			next = NULL;
		free(uri);
		uri = next;
	}
	return uri;
}

static int run(struct ob *ob, const struct suite_config *config)
{
	struct ob_net *net = ob_net_find(ob, NULL);
	int ret;

	if (net == NULL) {
		fprintf(stderr, "no network interface\n");
		return 1;
	}
	ret = suite_run(ob, net, config);
	printf("%s, mode %d, seed %llu: %s\n", ob_net_name(net), (int)config->mode, (unsigned long long)config->seed,
	       ret == 0 ? "passed" : "FAILED");
	ob_net_put(net);
	return ret == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const char *const wires[] = {"socket", "loop", "peer"}, *const modes[] = {"interrupt", "polled",
											 "hybrid"};
	struct suite_config config = {.seed = (uint64_t)time(NULL), .ours = ours, .theirs = theirs};
	struct ob_config context = {.log = print_log, .log_level = OB_LOG_WARN};
	struct ob_machine *machine = NULL;
	struct ob *ob = NULL;
	unsigned wire = 0, mode = OB_COMPLETION_INTERRUPT;
	char *uri;
	int ret;

	if (argc < 3 || argc > 5 || parse(argv[2], wires, ARRAY_SIZE(wires), &wire) != 0 ||
	    (argc > 3 && parse(argv[3], modes, ARRAY_SIZE(modes), &mode) != 0)) {
		fprintf(stderr, "usage: %s URI socket|loop|peer [polled|interrupt|hybrid [SEED]]\n", argv[0]);
		return 2;
	}
	config.wire = (enum wire_kind)wire;
	config.mode = (enum ob_completion_mode)mode;
	if (argc > 4)
		config.seed = strtoull(argv[4], NULL, 0);
	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(ours, sizeof(ours), "%s/ours", directory);
	snprintf(theirs, sizeof(theirs), "%s/theirs", directory);
	uri = make_uri(argv[1]);
	ret = uri != NULL ? ob_create(&context, &ob) : -ENOMEM;
	if (ret == 0)
		ret = ob_machine_open(ob, uri, NULL, &machine);
	if (ret != 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-ret));
		ret = ret == -ENOENT ? 77 : 1;
	} else {
		ret = run(ob, &config);
	}
	ob_machine_close(machine);
	ob_destroy(ob);
	unlink(ours);
	unlink(theirs);
	rmdir(directory);
	free(uri);
	return ret;
}
