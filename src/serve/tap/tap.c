/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TAP device in front of a network interface. Frames cross the kernel's border one system call each, with the header
 * of <linux/virtio_net.h> in front that tells of open checksums and segments; inside they lie in packets, uncopied.
 *
 * What the kernel wants to send waits there while our ring is full: the descriptor is not looked at until there is room.
 */
#include <outboard/tap.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <outboard/device.h>
#include <outboard/log.h>
#include <outboard/outboard.h>

#include "serve/tap/device.h"

#define DEPTH_DEFAULT 1024u
#define BUDGET        64u /* frames in one go; then others have their turn */
#define PARTS_MAX     33u /* of one frame from the kernel */
#define SEGMENT_BYTES (65535u + 18u)
#define PACKET_BYTES  2048u
#define RX_OFFLOADS   (OB_NET_RX_CSUM | OB_NET_RX_TSO4 | OB_NET_RX_TSO6 | OB_NET_RX_ECN)
#define STOP_NS       (2 * OB_NS_PER_S)
#define STARVED_NS    (100 * OB_NS_PER_US) /* until packets are looked for again */
#define LONG_FRAMES   128u                 /* of the longest, that packets are there for */

struct ob_tap {
	struct ob_fd fd; /* first of those that the CPU touches */
	struct ob_work work;
	struct ob_timer starved_timer;
	struct ob_net *net;
	struct ob *ob;
	struct ob_cpu *cpu;
	struct ob_packet_pool *pool;
	struct ob_net_channel *channel;
	struct ob_net_watch watch;
	bool watching, listening, stopping;
	bool starved;                       /* there are too few packets to read into; the timer is armed */
	bool gone;                          /* __atomic */
	struct ob_packet *spare[PARTS_MAX]; /* to read into */
	unsigned part_count, spare_count;
	uint32_t frame_max; /* that the interface sends in one */
	bool told_long;     /* that the kernel makes longer ones */
	struct ob_packet *unsent[BUDGET];
	unsigned unsent_count;
	/* What was changed of the interface, and what it was before. */
	bool filter_changed, offloads_changed;
	bool promiscuous_before;
	uint32_t offloads_before;
	struct ob_tap_stats stats;
	char name[TAP_NAME_LEN];
};

static struct ob_tap *tap_of_fd(struct ob_fd *fd)
{
	return (struct ob_tap *)(void *)((uint8_t *)fd - offsetof(struct ob_tap, fd));
}

static struct ob_tap *tap_of_work(struct ob_work *work)
{
	return (struct ob_tap *)(void *)((uint8_t *)work - offsetof(struct ob_tap, work));
}

static struct ob_tap *tap_of_timer(struct ob_timer *timer)
{
	return (struct ob_tap *)(void *)((uint8_t *)timer - offsetof(struct ob_tap, starved_timer));
}

static struct ob_tap *tap_of_watch(struct ob_net_watch *watch)
{
	return (struct ob_tap *)(void *)((uint8_t *)watch - offsetof(struct ob_tap, watch));
}

/* ---- to the kernel ---- */

static void describe_frame(const struct ob_packet *frame, struct virtio_net_hdr *header)
{
	static const uint8_t gso_types[] = {
		[OB_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
		[OB_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
		[OB_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP,
	};
	unsigned gso = frame->gso & ~OB_GSO_ECN;

	*header = (struct virtio_net_hdr){0};
	if ((frame->flags & OB_PACKET_CSUM_PARTIAL) != 0) {
		header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header->csum_start = frame->csum_start;
		header->csum_offset = frame->csum_offset;
	} else if ((frame->flags & OB_PACKET_CSUM_GOOD) != 0) {
		header->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if ((frame->flags & OB_PACKET_SEGMENT) != 0 && gso < sizeof(gso_types) && gso_types[gso] != 0) {
		header->gso_type = gso_types[gso];
		if ((frame->gso & OB_GSO_ECN) != 0)
			header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		header->gso_size = frame->gso_bytes;
		header->hdr_len = frame->header_bytes;
	}
}

/* Somebody deleted it: the descriptor stays readable, and says so for ever. */
static void say_gone(struct ob_tap *tap, int error)
{
	if (!tap->gone)
		ob_err(tap->ob, "TAP device %s: %s", tap->name,
		       error == EBADFD ? "somebody deleted it" : strerror(error));
	__atomic_store_n(&tap->gone, true, __ATOMIC_RELEASE);
}

static void to_kernel(struct ob_tap *tap, const struct ob_packet *frame)
{
	struct virtio_net_hdr header;
	struct iovec parts[PARTS_MAX + 1] = {{&header, sizeof(header)}};
	int count = 1;

	describe_frame(frame, &header);
	for (const struct ob_packet *p = frame; p != NULL && count <= (int)PARTS_MAX; p = p->next)
		parts[count++] = (struct iovec){p->data, p->len_bytes};
	errno = EMSGSIZE;
	if ((unsigned)count - 1 == frame->segments && writev(tap->fd.fd, parts, count) >= 0) {
		tap->stats.to_kernel_frames++;
		tap->stats.to_kernel_bytes += frame->frame_bytes;
		return;
	}
	tap->stats.to_kernel_dropped++;
	if (errno == EBADFD)
		say_gone(tap, errno);
}

static void received(struct ob_net_channel *channel, struct ob_packet **frames, unsigned count, void *arg)
{
	struct ob_tap *tap = arg;

	(void)channel;
	for (unsigned i = 0; i < count; i++)
		to_kernel(tap, frames[i]);
	ob_packet_put_burst(frames, count);
}

/* ---- from the kernel ---- */

static bool fill_spare(struct ob_tap *tap)
{
	while (tap->spare_count < tap->part_count) {
		struct ob_packet *packet = ob_packet_alloc(tap->pool);

		/* What was sent is given back when more is sent; and now there is nothing to send. */
		if (packet == NULL && ob_net_reap(tap->channel) > 0)
			packet = ob_packet_alloc(tap->pool);
		if (packet == NULL)
			return false;
		tap->spare[tap->spare_count++] = packet;
	}
	return true;
}

/* Nobody tells when packets come back. */
static void starve(struct ob_tap *tap)
{
	tap->starved = true;
	ob_timer_start(&tap->starved_timer, ob_cpu_time_ns(tap->cpu) + STARVED_NS);
}

static void starved(struct ob_timer *timer)
{
	struct ob_tap *tap = tap_of_timer(timer);

	tap->starved = false;
	if (!tap->stopping)
		ob_cpu_post(tap->cpu, &tap->work);
}

static void describe_packet(struct ob_packet *packet, const struct virtio_net_hdr *header)
{
	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
		packet->flags |= OB_PACKET_CSUM_PARTIAL;
		packet->csum_start = header->csum_start;
		packet->csum_offset = header->csum_offset;
	}
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		packet->gso = OB_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		packet->gso = OB_GSO_TCP6;
		break;
	default:
		return;
	}
	if ((header->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0)
		packet->gso |= OB_GSO_ECN;
	packet->flags |= OB_PACKET_SEGMENT;
	packet->gso_bytes = header->gso_size;
	packet->header_bytes = header->hdr_len;
}

/* One frame of @len_bytes was read into the spare packets; those that it took become it. */
static struct ob_packet *take_frame(struct ob_tap *tap, uint32_t len_bytes)
{
	struct ob_packet *frame = tap->spare[0];
	unsigned used = 0;

	while (len_bytes > 0) {
		struct ob_packet *part = tap->spare[used++];
		uint32_t room = ob_packet_tailroom(part);
		uint32_t bytes = len_bytes < room ? len_bytes : room;

		ob_packet_append(part, bytes);
		len_bytes -= bytes;
		if (part != frame)
			ob_packet_chain(frame, part);
	}
	tap->spare_count -= used;
	memmove(tap->spare, tap->spare + used, tap->spare_count * sizeof(*tap->spare));
	return frame;
}

/* NULL: there is none now, or no packet to read it into. */
static struct ob_packet *read_frame(struct ob_tap *tap)
{
	struct virtio_net_hdr header;
	struct iovec parts[PARTS_MAX + 1] = {{&header, sizeof(header)}};
	struct ob_packet *frame;
	ssize_t len;

	if (!fill_spare(tap)) {
		starve(tap);
		return NULL;
	}
	for (unsigned i = 0; i < tap->part_count; i++)
		parts[i + 1] = (struct iovec){tap->spare[i]->data, ob_packet_tailroom(tap->spare[i])};
	do {
		len = readv(tap->fd.fd, parts, (int)tap->part_count + 1);
		if (len >= 0 && len <= (ssize_t)sizeof(header))
			tap->stats.from_kernel_dropped++;
	} while ((len < 0 && errno == EINTR) || (len >= 0 && len <= (ssize_t)sizeof(header)));
	if (len < 0) {
		if (errno != EAGAIN)
			say_gone(tap, errno);
		return NULL;
	}
	frame = take_frame(tap, (uint32_t)len - (uint32_t)sizeof(header));
	describe_packet(frame, &header);
	return frame;
}

/*
 * Somebody gave the TAP device another MTU. A frame that was read without segments left open may also have been cut: there
 * is one byte of room for that to be seen.
 */
static bool is_too_long(struct ob_tap *tap, const struct ob_packet *frame)
{
	bool segments = (frame->flags & OB_PACKET_SEGMENT) != 0;

	if ((segments ? (uint32_t)frame->header_bytes + frame->gso_bytes : frame->frame_bytes) <= tap->frame_max)
		return false;
	if (!tap->told_long)
		ob_warn(tap->ob, "TAP device %s: its MTU is more than the %u of %s: longer frames are dropped",
			tap->name, tap->frame_max - OB_NET_FRAME_OVERHEAD, ob_net_name(tap->net));
	tap->told_long = true;
	return true;
}

/* Whether there was one. */
static bool take_from_kernel(struct ob_tap *tap)
{
	struct ob_packet *frame = read_frame(tap);

	if (frame == NULL)
		return false;
	if (is_too_long(tap, frame)) {
		tap->stats.from_kernel_dropped++;
		ob_packet_put(frame);
		return true;
	}
	tap->stats.from_kernel_frames++;
	tap->stats.from_kernel_bytes += frame->frame_bytes;
	tap->unsent[tap->unsent_count++] = frame;
	return true;
}

static void listen_again(struct ob_tap *tap)
{
	if (!tap->listening && !tap->stopping && !tap->gone)
		tap->listening = ob_fd_add(tap->cpu, &tap->fd) == 0;
}

/* Soft context: the kernel has something to send, or our ring has room again. */
static void from_kernel(struct ob_work *work)
{
	struct ob_tap *tap = tap_of_work(work);
	unsigned room, sent;

	if (tap->stopping)
		return;
	room = BUDGET - tap->unsent_count;
	while (room > 0 && !tap->starved && take_from_kernel(tap))
		room--;
	sent = ob_net_send(tap->channel, tap->unsent, tap->unsent_count);
	ob_net_kick(tap->channel);
	tap->unsent_count -= sent;
	memmove(tap->unsent, tap->unsent + sent, tap->unsent_count * sizeof(*tap->unsent));
	if (tap->unsent_count > 0)
		return; /* sendable() goes on */
	if (room == 0)
		ob_cpu_post(tap->cpu, &tap->work);
	else if (!tap->starved)
		listen_again(tap);
}

static void sendable(struct ob_net_channel *channel, void *arg)
{
	struct ob_tap *tap = arg;

	(void)channel;
	if (!tap->stopping)
		ob_cpu_post(tap->cpu, &tap->work);
}

/* Hard context. */
static void readable(struct ob_fd *fd)
{
	struct ob_tap *tap = tap_of_fd(fd);

	ob_fd_remove(tap->cpu, fd);
	tap->listening = false;
	ob_cpu_post(tap->cpu, &tap->work);
}

/* ---- link ---- */

static void link_changed(struct ob_net_watch *watch, unsigned events)
{
	struct ob_tap *tap = tap_of_watch(watch);
	struct ob_net_link link;

	ob_net_link(tap->net, &link);
	tap_device_carrier(tap->fd.fd, link.up && (events & OB_NET_EVENT_GONE) == 0);
}

/* ---- begin and end ---- */

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/*
 * So that the longest segment that the kernel gives fits into as many parts as the interface takes: no frame may have more
 * than its ring has entries, one of which may be the device's header.
 */
static int make_pool(struct ob_tap *tap, const struct ob_net_info *info, bool offloads, unsigned depth)
{
	uint32_t longest = offloads ? SEGMENT_BYTES : tap->frame_max + 1;
	uint32_t parts = least(least(info->segments_max, PARTS_MAX), depth > 2 ? depth - 1 : 1);
	struct ob_packet_pool_config config = {
		.machine = ob_device_machine(ob_net_device(tap->net)),
		.cpu = tap->cpu,
		.packet_bytes = PACKET_BYTES,
	};

	if (longest > parts * config.packet_bytes)
		config.packet_bytes = ((longest + parts - 1) / parts + 63u) & ~63u;
	tap->part_count = (longest + config.packet_bytes - 1) / config.packet_bytes;
	/* Those in the ring to receive, and as many in our hands; and those that are sent, when all are of the longest. */
	config.count = 2 * depth + 2 * BUDGET + tap->part_count * (least(depth, LONG_FRAMES) + 1);
	return ob_packet_pool_create(&config, &tap->pool);
}

static int open_channel(struct ob_tap *tap, const struct ob_tap_config *config, unsigned depth)
{
	const struct ob_net_channel_config channel = {
		.cpu = tap->cpu,
		.pool = tap->pool,
		.rx_depth = depth,
		.tx_depth = depth,
		.poll = config->poll,
		.received = received,
		.sendable = sendable,
		.arg = tap,
	};

	return ob_net_channel_open(tap->net, &channel, &tap->channel);
}

/* On the CPU. */
static void begin(void *arg)
{
	listen_again(arg);
}

static void stop(void *arg)
{
	struct ob_tap *tap = arg;

	tap->stopping = true;
	if (tap->listening)
		ob_fd_remove(tap->cpu, &tap->fd);
	tap->listening = false;
	ob_timer_stop(&tap->starved_timer);
}

/* Nothing of ours is posted any more once this has run: it was posted last. */
static void drop_packets(void *arg)
{
	struct ob_tap *tap = arg;

	ob_packet_put_burst(tap->spare, tap->spare_count);
	ob_packet_put_burst(tap->unsent, tap->unsent_count);
	tap->spare_count = tap->unsent_count = 0;
}

static int failed(const struct ob_tap *tap, const char *what, int error)
{
	ob_err(tap->ob, "%s: %s for the TAP device: %s", ob_net_name(tap->net), what, strerror(-error));
	return error;
}

/* The TAP device has another address than the interface. One that cannot be told so lets everything through anyway. */
static int receive_all(struct ob_tap *tap)
{
	struct ob_net_filter filter;
	int error;

	ob_net_get_filter(tap->net, &filter);
	tap->promiscuous_before = filter.promiscuous;
	filter.promiscuous = true;
	error = ob_net_set_filter(tap->net, &filter);
	tap->filter_changed = error == 0;
	return error == -EOPNOTSUPP ? 0 : error;
}

/* What is sent stays as it is: the kernel's frames may leave open what the interface does for them. */
static void receive_offloads(struct ob_tap *tap, const struct ob_net_info *info)
{
	uint32_t wanted = info->offloads_on | (info->offloads & RX_OFFLOADS);

	tap->offloads_before = info->offloads_on;
	if (wanted != info->offloads_on)
		tap->offloads_changed = ob_net_set_offloads(tap->net, wanted) == 0;
}

static void restore_offloads(struct ob_tap *tap)
{
	if (tap->offloads_changed)
		ob_net_set_offloads(tap->net, tap->offloads_before);
	tap->offloads_changed = false;
}

static void restore_filter(struct ob_tap *tap)
{
	struct ob_net_filter filter;

	if (!tap->filter_changed)
		return;
	ob_net_get_filter(tap->net, &filter);
	filter.promiscuous = tap->promiscuous_before;
	ob_net_set_filter(tap->net, &filter);
}

/* The pool, and the channel that receives into it. What it receives may change with that. */
static int open_both(struct ob_tap *tap, const struct ob_tap_config *config, const struct ob_net_info *info,
		     unsigned depth)
{
	int error = make_pool(tap, info, !config->no_offloads, depth);

	if (error != 0)
		return failed(tap, "memory", error);
	/* Where its buffers cannot hold what that makes, frames come whole. */
	if (!config->no_offloads)
		receive_offloads(tap, info);
	error = open_channel(tap, config, depth);
	if (error == -EINVAL && tap->offloads_changed) {
		restore_offloads(tap);
		error = open_channel(tap, config, depth);
	}
	return error != 0 ? failed(tap, "a channel", error) : 0;
}

static void close_both(struct ob_tap *tap)
{
	ob_net_channel_close(tap->channel);
	tap->channel = NULL;
	restore_offloads(tap);
	ob_packet_pool_put(tap->pool);
	tap->pool = NULL;
}

static int start(struct ob_tap *tap, const struct ob_tap_config *config)
{
	unsigned depth = config->depth != 0 ? config->depth : DEPTH_DEFAULT, found;
	struct ob_net_info info;
	unsigned kernel_offloads = 0;
	bool own_mac = false;
	int error;

	ob_net_info(tap->net, &info);
	tap->frame_max = info.mtu + OB_NET_FRAME_OVERHEAD;
	if (!config->no_offloads)
		kernel_offloads = TAP_CSUM | TAP_TSO4 | TAP_TSO6;
	error = tap_device_open(tap->ob, config->name, kernel_offloads, info.mac, info.mtu, tap->name, &own_mac,
				&tap->fd.fd);
	if (error == 0 && own_mac)
		error = receive_all(tap);
	if (error != 0)
		return error;
	depth = least(depth, info.tx_depth_max > info.rx_depth_max ? info.tx_depth_max : info.rx_depth_max);
	error = open_both(tap, config, &info, depth);
	if (error != 0)
		return error;
	/* The device's own ring may be smaller still. */
	found = ob_net_channel_tx_depth(tap->channel);
	if (found < depth && tap->part_count > 1 && tap->part_count >= found) {
		close_both(tap);
		error = open_both(tap, config, &info, found);
		if (error != 0)
			return error;
	}
	tap->watch.fn = link_changed;
	ob_net_watch(tap->net, tap->cpu, &tap->watch);
	tap->watching = true;
	link_changed(&tap->watch, 0);
	return ob_cpu_call(tap->cpu, begin, tap, ob_deadline(STOP_NS));
}

int ob_tap_create(struct ob_net *net, const struct ob_tap_config *config, struct ob_tap **out)
{
	static const struct ob_tap_config defaults;
	struct ob_tap *tap;
	int error;

	if (net == NULL || out == NULL)
		return -EINVAL;
	tap = ob_alloc(sizeof(*tap));
	if (tap == NULL)
		return -ENOMEM;
	if (config == NULL)
		config = &defaults;
	tap->net = ob_net_get(net);
	tap->ob = ob_device_context(ob_net_device(net));
	tap->cpu = config->cpu != NULL ? config->cpu : ob_cpu_get(tap->ob, 0);
	tap->fd = (struct ob_fd){.fd = -1, .fn = readable};
	ob_work_init(&tap->work, from_kernel);
	ob_timer_init(&tap->starved_timer, tap->cpu, starved);
	error = start(tap, config);
	if (error != 0) {
		ob_tap_destroy(tap);
		return error;
	}
	*out = tap;
	return 0;
}

/* False: it does not answer. */
static bool on_cpu(struct ob_tap *tap, void (*fn)(void *arg))
{
	return ob_cpu_call_firmly(tap->cpu, fn, tap, ob_deadline(STOP_NS)) == 0;
}

void ob_tap_destroy(struct ob_tap *tap)
{
	bool answers;

	if (tap == NULL)
		return;
	if (tap->watching)
		ob_net_unwatch(&tap->watch);
	answers = on_cpu(tap, stop);
	ob_net_channel_close(tap->channel);
	answers = answers && on_cpu(tap, drop_packets);
	restore_offloads(tap);
	restore_filter(tap);
	if (!answers) {
		/* What that CPU has of it (descriptor, work, packets) it may come back to. */
		ob_err(tap->ob, "%s: the CPU of its TAP device does not answer; its memory is never freed",
		       ob_net_name(tap->net));
		return;
	}
	if (tap->fd.fd >= 0)
		close(tap->fd.fd);
	ob_packet_pool_put(tap->pool);
	ob_net_put(tap->net);
	ob_free(tap);
}

bool ob_tap_online(const struct ob_tap *tap)
{
	return !__atomic_load_n(&tap->gone, __ATOMIC_ACQUIRE);
}

const char *ob_tap_name(const struct ob_tap *tap)
{
	return tap->name;
}

struct ob_net_channel *ob_tap_channel(const struct ob_tap *tap)
{
	return tap->channel;
}

void ob_tap_stats(const struct ob_tap *tap, struct ob_tap_stats *out)
{
	*out = tap->stats;
}

int ob_tap_set_address(struct ob_tap *tap, uint32_t address, unsigned prefix_bits)
{
	if (prefix_bits < 1 || prefix_bits > 32)
		return -EINVAL;
	return tap_device_address(tap->name, address, prefix_bits);
}
