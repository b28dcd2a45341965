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

#define PCAPNG_BUFFER_BYTES 262144u
#define PCAPNG_SNAP_MAX     131072u

/* What was captured waits in the buffer until it is full, or until pcapng_flush(). */
struct pcapng {
	int fd;
	uint32_t snap_bytes; /* at most this much of a frame is kept; at most PCAPNG_SNAP_MAX */
	uint64_t wall_ns;    /* added to stamps: they are of a clock that begins somewhere */
	uint64_t frames, bytes;
	size_t used;
	uint8_t buffer[PCAPNG_BUFFER_BYTES];
};

/**
 * pcapng_begin - the head of the file
 * @interface: its name, for the reader
 * @now_ns:    of the clock that stamps are of
 *
 * Return: 0, or negative errno of write().
 */
int pcapng_begin(struct pcapng *p, int fd, const char *interface, uint32_t snap_bytes, uint64_t now_ns);
/**
 * pcapng_frame - one frame
 * @stamp_ns: when it was seen, of that clock
 * @queue:    of the interface, that it came in by
 *
 * Return: 0, or negative errno of write().
 */
int pcapng_frame(struct pcapng *p, uint64_t stamp_ns, enum pcapng_direction direction, uint32_t queue,
		 const struct ob_packet *frame);
/** pcapng_flush - write what waits; 0 or negative errno */
int pcapng_flush(struct pcapng *p);

#endif
