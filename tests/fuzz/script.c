/* SPDX-License-Identifier: BSD-2-Clause */
/* The script of a hostile device: reading it, and what is due when. */
#include "tests/fuzz/hostile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"

#define ALWAYS 255u

struct hostile_script hostile;
bool hostile_verbose;

void hostile_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("hostile: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

static uint16_t get16(const uint8_t *b)
{
	return (uint16_t)(b[0] | b[1] << 8);
}

void hostile_parse(struct hostile_script *s, const uint8_t *bytes, size_t len_bytes)
{
	size_t header = MIN(len_bytes, (size_t)HOSTILE_HEADER);

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < header; i++)
		s->header[i] = bytes[i];
	for (size_t at = header; at + HOSTILE_RECORD <= len_bytes && s->count < HOSTILE_RECORDS; at += HOSTILE_RECORD) {
		const uint8_t *b = bytes + at;
		struct hostile_record *r = &s->records[s->count++];

		r->kind = b[0] % HOSTILE_KINDS;
		r->times = b[1];
		r->skip = get16(b + 2);
		r->position = get16(b + 4);
		r->op = b[6];
		r->value = get16(b + 8) | (uint32_t)get16(b + 10) << 16;
		r->left = r->times == ALWAYS ? UINT32_MAX : r->times + 1u;
	}
}

void hostile_count(enum hostile_kind kind)
{
	hostile.seen[kind]++;
}

struct hostile_record *hostile_due(enum hostile_kind kind, unsigned position, unsigned len_bytes)
{
	for (unsigned i = 0; i < hostile.count; i++) {
		struct hostile_record *r = &hostile.records[i];

		/* One event is changed once by each record. */
		if (r->kind != kind || r->left == 0 || r->last_seen == hostile.seen[kind] ||
		    hostile.seen[kind] <= r->skip)
			continue;
		if (len_bytes != 0 && r->position - position >= len_bytes)
			continue;
		if (r->left != UINT32_MAX)
			r->left--;
		r->last_seen = hostile.seen[kind];
		hostile.applied++;
		if (hostile_verbose)
			fprintf(stderr, "hostile: kind %u, event %u: position %u op %u value %#x\n", kind,
				hostile.seen[kind], r->position, r->op, r->value);
		return r;
	}
	return NULL;
}

void hostile_change(const struct hostile_record *r, uint8_t *data, size_t len_bytes, size_t position)
{
	size_t width = (size_t)1 << (r->op >> 2 & 3);
	uint64_t carry = 0;

	for (size_t i = 0; i < width && position + i < len_bytes; i++) {
		uint8_t byte = (uint8_t)(r->value >> 8 * (i % 4));
		uint8_t *at = &data[position + i];

		switch (r->op & 3) {
		case 0:
			*at = byte;
			break;
		case 1:
			*at ^= byte;
			break;
		case 2:
			carry += (uint64_t)*at + (i < 4 ? byte : 0);
			*at = (uint8_t)carry;
			carry >>= 8;
			break;
		default:
			*at = (uint8_t)r->value;
		}
	}
}
