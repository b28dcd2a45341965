/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packet capture files in the pcapng format (IETF draft-ietf-opsawg-pcapng): one section, one Ethernet interface,
 * stamps in nanoseconds. tshark and Wireshark read them.
 */
#ifndef OB_CLI_PCAPNG_H
#define OB_CLI_PCAPNG_H

#include <outboard/packet.h>

enum pcapng_direction {
	PCAPNG_UNKNOWN = 0,
	PCAPNG_INBOUND = 1,
	PCAPNG_OUTBOUND = 2,
};

/* For whom an inbound frame was. */
enum pcapng_reception {
	PCAPNG_ANYBODY = 0, /* nobody looked */
	PCAPNG_UNICAST = 1, /* the interface's own address */
	PCAPNG_MULTICAST = 2,
	PCAPNG_BROADCAST = 3,
	PCAPNG_PROMISCUOUS = 4, /* another's */
};

#define PCAPNG_BUFFER_BYTES 262144u
#define PCAPNG_SNAP_MAX     131072u

/* What was captured waits in the buffer until it is full, or until pcapng_flush(). */
struct pcapng {
	int fd;
	uint32_t snap_bytes; /* at most this much of a frame is kept; at most PCAPNG_SNAP_MAX */
	uint64_t wall_ns;    /* added to stamps: they are of a clock that begins somewhere */
	uint64_t begin_ns;   /* of that clock */
	uint64_t frames, bytes;
	uint64_t kept;  /* frames that are in the file, whole */
	int64_t offset; /* in the file, where the buffer goes; -1: it is none that can be cut */
	int error;      /* of writing: nothing is written any more */
	size_t used;
	uint8_t buffer[PCAPNG_BUFFER_BYTES];
};

/* What is captured from. */
struct pcapng_interface {
	const char *name;
	const uint8_t *mac;  /* 6 bytes */
	uint32_t speed_mbps; /* 0: unknown */
	uint32_t snap_bytes;
};

/* What is known of a frame beside its bytes. */
struct pcapng_about {
	uint64_t stamp_ns; /* when it was seen */
	enum pcapng_direction direction;
	enum pcapng_reception reception;
	uint32_t queue; /* of the interface, that it came in by */
	uint64_t lost;  /* frames between this one and the one before it */
};

/* Of the whole capture. */
struct pcapng_counts {
	uint64_t received;  /* by the interface */
	uint64_t missed;    /* … which had no room for these; 0: none, or it does not say */
	uint64_t damaged;   /* thrown away by the driver */
	uint64_t delivered; /* to us */
};

/**
 * pcapng_begin - the head of the file
 * @now_ns: of the clock that stamps are of
 *
 * Return: 0, or negative errno of write().
 */
int pcapng_begin(struct pcapng *p, int fd, const struct pcapng_interface *interface, uint64_t now_ns);
/**
 * pcapng_frame - one frame, with its hash if that is known
 *
 * Return: 0, or negative errno of write().
 */
int pcapng_frame(struct pcapng *p, const struct pcapng_about *about, const struct ob_packet *frame);
/** pcapng_end - what was counted, and all that waits. 0 or negative errno; an error that was there before is none again */
int pcapng_end(struct pcapng *p, const struct pcapng_counts *counts, uint64_t now_ns);
/**
 * pcapng_flush - write what waits
 *
 * A file that takes only a part of it is cut behind the last frame that is whole.
 *
 * Return: 0 or negative errno.
 */
int pcapng_flush(struct pcapng *p);

#endif
