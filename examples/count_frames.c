/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Example 4: receive frames in bursts, count them by what they carry, and send one to everybody.
 *
 *	cc count_frames.c $(pkg-config --cflags --libs outboard) -o count_frames
 *	./count_frames 'qemu:q35?virtio-net=user' 5
 *
 * What waits here is the program; a loop that must not wait asks ob_net_receive() whenever it likes, or gives the channel
 * a function to be called.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/net.h>
#include <outboard/outboard.h>

#define SECONDS(n) ((n)*OB_NS_PER_S)
#define TYPE_IP4   0x0800u
#define TYPE_ARP   0x0806u
#define TYPE_IP6   0x86ddu
#define TYPE_TEST  0x88b5u /* for local experiments */

struct counts {
	unsigned long long ip4, ip6, arp, others, bytes;
};

static void on_log(void *arg, enum ob_log_level level, const char *message)
{
	fprintf(stderr, "outboard: %s\n", message);
}

/* The type stands behind the two addresses, in network order. A frame may lie in several parts: reading copies. */
static unsigned frame_type(const struct ob_packet *frame)
{
	unsigned char type[2];

	return ob_packet_read(frame, 12, type, 2) == 0 ? (unsigned)type[0] << 8 | type[1] : 0;
}

static void count(struct counts *c, const struct ob_packet *frame)
{
	c->bytes += frame->frame_bytes;
	switch (frame_type(frame)) {
	case TYPE_IP4:
		c->ip4++;
		break;
	case TYPE_IP6:
		c->ip6++;
		break;
	case TYPE_ARP:
		c->arp++;
		break;
	default:
		c->others++;
		break;
	}
}

/* A packet that was sent is the channel's: it goes back to its pool by itself. */
static int greet(struct ob_net *net, struct ob_net_channel *channel)
{
	unsigned char frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,           0,
				   0,    0,    0,    0,    0,    TYPE_TEST >> 8, TYPE_TEST & 255};
	struct ob_packet *packet;
	struct ob_net_info info;

	ob_net_info(net, &info);
	memcpy(frame + 6, info.mac, 6);
	packet = ob_packet_from(ob_net_channel_pool(channel), frame, sizeof(frame));
	if (!packet)
		return -1;
	if (ob_net_send(channel, &packet, 1) == 0) {
		ob_packet_put(packet);
		return -1;
	}
	ob_net_kick(channel);
	return ob_net_wait(channel, OB_NET_WAIT_SENT, ob_deadline(SECONDS(1)));
}

static int listen_until(struct ob_net_channel *channel, uint64_t end_ns, struct counts *c)
{
	struct ob_packet *frames[OB_NET_BURST];

	while (ob_now_ns() < end_ns) {
		unsigned n = ob_net_receive(channel, frames, OB_NET_BURST);

		for (unsigned i = 0; i < n; i++)
			count(c, frames[i]);
		ob_packet_put_burst(frames, n);
		/* Frames that have not come by then are no error. */
		if (n == 0 && ob_net_wait(channel, OB_NET_WAIT_RECEIVE, end_ns) == -ENODEV)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : "qemu:q35?virtio-net=user";
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct ob_config config = {.log = on_log, .log_level = OB_LOG_WARN};
	struct counts c = {0};
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_net *net;
	struct ob_net_channel *channel;
	int error, result = EXIT_FAILURE;

	error = ob_create(&config, &ob);
	if (error) {
		fprintf(stderr, "context: %s\n", strerror(-error));
		return EXIT_FAILURE;
	}
	error = ob_machine_open(ob, uri, NULL, &machine);
	if (error) {
		fprintf(stderr, "%s: %s\n", uri, strerror(-error));
		goto destroy;
	}
	net = ob_net_find(ob, NULL);
	if (!net) {
		fprintf(stderr, "%s: no network interface\n", uri);
		goto close;
	}
	error = ob_net_channel_open(net, NULL, &channel);
	if (error) {
		fprintf(stderr, "channel: %s\n", strerror(-error));
		goto put;
	}
	if (greet(net, channel) || listen_until(channel, ob_deadline(SECONDS(seconds)), &c)) {
		fprintf(stderr, "%s: it sends or receives no more\n", ob_net_name(net));
	} else {
		printf("%s: %llu IPv4, %llu IPv6, %llu ARP, %llu others; %llu bytes\n", ob_net_name(net), c.ip4, c.ip6,
		       c.arp, c.others, c.bytes);
		result = EXIT_SUCCESS;
	}
	ob_net_channel_close(channel);
put:
	ob_net_put(net);
close:
	ob_machine_close(machine);
destroy:
	ob_destroy(ob);
	return result;
}
