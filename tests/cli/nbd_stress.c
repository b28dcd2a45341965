/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NBD client that is as awkward as the protocol allows: several connections write, zero and read parts of blocks that
 * they share with each other, at any byte, and check that each finds what it wrote itself.
 *
 *	nbd_stress SOCKET CONNECTIONS OPERATIONS     0: all as it should be; 1: not; 2: cannot connect
 *	nbd_stress SOCKET CONNECTIONS 0              goes on until the server fails; 0: each got an error or an end
 */
#include <endian.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The NBD protocol, doc/proto.md of the NetworkBlockDevice project. */
#define NBD_MAGIC         0x4e42444d41474943ull
#define NBD_OPTION_MAGIC  0x49484156454f5054ull
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_REPLY_MAGIC   0x67446698u
enum {
	NBD_OPT_EXPORT_NAME = 1
};
enum {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_WRITE_ZEROES = 6
};
enum {
	NBD_CMD_FLAG_FUA = 1
};

/* Parts that no block boundary falls on twice in the same place; their owners take turns. */
enum {
	PART_BYTES = 700,
	PARTS_PER_CLIENT = 40,
	CLIENTS_MAX = 16
};
enum {
	ENDED = -1
}; /* the connection */

struct client {
	int fd;
	unsigned index, count;
	unsigned long operations;
	uint64_t random, handle;
	uint8_t shadow[PARTS_PER_CLIENT][PART_BYTES];
	bool failed;
	pthread_t thread;
};

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t handle, offset;
	uint32_t length;
} __attribute__((packed));

struct reply {
	uint32_t magic, error;
	uint64_t handle;
} __attribute__((packed));

static bool send_all(int fd, const void *data, size_t len)
{
	for (const char *p = data; len;) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive_all(int fd, void *data, size_t len)
{
	for (char *p = data; len;) {
		ssize_t n = recv(fd, p, len, 0);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool negotiate(int fd)
{
	struct {
		uint64_t magic, option_magic;
		uint16_t flags;
	} __attribute__((packed)) hello;
	struct {
		uint32_t flags;
		uint64_t magic;
		uint32_t option, length;
	} __attribute__((packed)) choice = {htobe32(3), htobe64(NBD_OPTION_MAGIC), htobe32(NBD_OPT_EXPORT_NAME), 0};
	uint8_t export[10]; /* size and flags: no zeroes follow, as asked */

	return receive_all(fd, &hello, sizeof(hello)) && be64toh(hello.magic) == NBD_MAGIC &&
	       be64toh(hello.option_magic) == NBD_OPTION_MAGIC && (be16toh(hello.flags) & 3) == 3 &&
	       send_all(fd, &choice, sizeof(choice)) && receive_all(fd, export, sizeof(export));
}

/* 0, the server's error, or ENDED. */
static int command(struct client *c, unsigned type, unsigned flags, uint64_t offset, uint32_t length, void *data)
{
	struct request request = {
		.magic = htobe32(NBD_REQUEST_MAGIC),
		.flags = htobe16((uint16_t)flags),
		.type = htobe16((uint16_t)type),
		.handle = ++c->handle,
		.offset = htobe64(offset),
		.length = htobe32(length),
	};
	struct reply reply;

	if (!send_all(c->fd, &request, sizeof(request)) || (type == NBD_CMD_WRITE && !send_all(c->fd, data, length)) ||
	    !receive_all(c->fd, &reply, sizeof(reply)) || be32toh(reply.magic) != NBD_REPLY_MAGIC ||
	    reply.handle != c->handle)
		return ENDED;
	if (reply.error)
		return (int)be32toh(reply.error);
	return type == NBD_CMD_READ && !receive_all(c->fd, data, length) ? ENDED : 0;
}

static uint32_t next_random(struct client *c, uint32_t below)
{
	c->random = c->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(((c->random >> 32) * below) >> 32);
}

static uint64_t part_offset(const struct client *c, unsigned part)
{
	return ((uint64_t)part * c->count + c->index) * PART_BYTES;
}

static int write_some(struct client *c, unsigned part)
{
	uint32_t from = next_random(c, PART_BYTES), len = 1 + next_random(c, PART_BYTES - from);
	unsigned flags = next_random(c, 8) ? 0 : NBD_CMD_FLAG_FUA;
	bool zero = !next_random(c, 4);

	for (uint32_t i = from; i < from + len; i++)
		c->shadow[part][i] = zero ? 0 : (uint8_t)next_random(c, 256);
	return command(c, zero ? NBD_CMD_WRITE_ZEROES : NBD_CMD_WRITE, flags, part_offset(c, part) + from, len,
		       &c->shadow[part][from]);
}

static int check_part(struct client *c, unsigned part)
{
	uint8_t data[PART_BYTES];
	int error = command(c, NBD_CMD_READ, 0, part_offset(c, part), PART_BYTES, data);

	if (error)
		return error;
	for (unsigned i = 0; i < PART_BYTES; i++) {
		if (data[i] == c->shadow[part][i])
			continue;
		fprintf(stderr, "client %u, part %u, byte %llu: 0x%02x, should be 0x%02x\n", c->index, part,
			(unsigned long long)part_offset(c, part) + i, data[i], c->shadow[part][i]);
		c->failed = true;
		return 0;
	}
	return 0;
}

static int run_operations(struct client *c)
{
	int error = 0;

	for (unsigned part = 0; part < PARTS_PER_CLIENT && !error; part++)
		error = command(c, NBD_CMD_WRITE, 0, part_offset(c, part), PART_BYTES, c->shadow[part]);
	for (unsigned long i = 0; (!c->operations || i < c->operations) && !error && !c->failed; i++) {
		unsigned part = next_random(c, PARTS_PER_CLIENT);

		if (!next_random(c, 50))
			error = command(c, NBD_CMD_FLUSH, 0, 0, 0, NULL);
		else
			error = next_random(c, 3) ? write_some(c, part) : check_part(c, part);
	}
	for (unsigned part = 0; part < PARTS_PER_CLIENT && !error; part++)
		error = check_part(c, part);
	return error;
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	int error = run_operations(c);

	if (c->operations && error) {
		fprintf(stderr, "client %u: %s %d\n", c->index, error == ENDED ? "connection ended" : "error", error);
		c->failed = true;
	}
	if (!error) {
		struct request bye = {.magic = htobe32(NBD_REQUEST_MAGIC), .type = htobe16(NBD_CMD_DISC)};

		send_all(c->fd, &bye, sizeof(bye));
	}
	return NULL;
}

static int open_client(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) || !negotiate(fd)) {
		perror(path);
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static struct client clients[CLIENTS_MAX];
	unsigned count = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	bool failed = false;

	if (!count || count > CLIENTS_MAX) {
		fprintf(stderr, "usage: nbd_stress SOCKET CONNECTIONS OPERATIONS\n");
		return 2;
	}
	for (unsigned i = 0; i < count; i++) {
		clients[i].index = i;
		clients[i].count = count;
		clients[i].operations = strtoul(argv[3], NULL, 10);
		clients[i].random = i + 1;
		clients[i].fd = open_client(argv[1]);
	}
	for (unsigned i = 0; i < count; i++)
		pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
	for (unsigned i = 0; i < count; i++) {
		pthread_join(clients[i].thread, NULL);
		failed |= clients[i].failed;
	}
	return failed;
}
