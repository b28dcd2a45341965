/* SPDX-License-Identifier: BSD-2-Clause */
/* What the URIs of several machines have in common. */
#ifndef OB_MACHINE_TEXT_H
#define OB_MACHINE_TEXT_H

#include <outboard/types.h>

/** machine_text_size - bytes: "512", "64M", "1GiB". 0; -EINVAL. */
int machine_text_size(const char *text, uint64_t *bytes);
/** machine_text_time - nanoseconds: "5", "10us", "1ms", "2s". 0; -EINVAL. */
int machine_text_time(const char *text, uint64_t *ns);
/**
 * machine_text_decode - percent-encoding (RFC 3986 §2.1), in place
 *
 * Return: 0; -EINVAL a percent sign without two hex digits, or a NUL.
 */
int machine_text_decode(char *text);
/* Where a parser says in one line what is wrong with a URI. */
struct machine_text_why {
	char *line;
	size_t size;
};

/** machine_text_refuse - say why; -EINVAL */
int machine_text_refuse(const struct machine_text_why *why, const char *format, ...) OB_PRINTF(2, 3);
/** machine_text_switch - on or off. 0; -EINVAL, with a line in @why. */
int machine_text_switch(const char *key, const char *value, bool *out, const struct machine_text_why *why);
/** machine_text_number - from @min to @max. 0; -EINVAL, with a line in @why. */
int machine_text_number(const char *key, const char *value, uint64_t min, uint64_t max, uint64_t *out,
			const struct machine_text_why *why);
/**
 * machine_text_key - "key=value", both percent-encoded, cut in two and decoded in place, and which key it is
 * @pair:         becomes the key
 * @first:        the first of @key_count known keys, which are members of structs of @stride_bytes
 * @value:        set to the value
 *
 * Return: the key's index; -EINVAL, with a line in @why.
 */
int machine_text_key(char *pair, const char *const *first, size_t stride_bytes, size_t key_count, char **value,
		     const struct machine_text_why *why);

#endif
