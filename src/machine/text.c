/* SPDX-License-Identifier: BSD-2-Clause */
/* What the URIs of several machines have in common. */
#include "machine/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name; /* NULL ends */
	uint64_t scale;
};

static int parse_scaled(const char *text, const struct unit *units, uint64_t *out)
{
	char *end;
	uint64_t value;

	errno = 0;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	value = strtoull(text, &end, 0);
	if (errno != 0)
		return -EINVAL;
	for (const struct unit *u = units; u->name != NULL; u++) {
		if (strcasecmp(end, u->name) != 0)
			continue;
		if (value > UINT64_MAX / u->scale)
			return -EINVAL;
		*out = value * u->scale;
		return 0;
	}
	return -EINVAL;
}

int machine_text_size(const char *text, uint64_t *bytes)
{
	static const struct unit units[] = {
		{"", 1},         {"K", OB_KIB},   {"M", OB_MIB},   {"G", OB_GIB},          {"T", 1024 * OB_GIB},
		{"KiB", OB_KIB}, {"MiB", OB_MIB}, {"GiB", OB_GIB}, {"TiB", 1024 * OB_GIB}, {NULL, 0},
	};

	return parse_scaled(text, units, bytes);
}

int machine_text_time(const char *text, uint64_t *ns)
{
	static const struct unit units[] = {
		{"", 1}, {"ns", 1}, {"us", OB_NS_PER_US}, {"ms", OB_NS_PER_MS}, {"s", OB_NS_PER_S}, {NULL, 0},
	};

	return parse_scaled(text, units, ns);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *d;

	d = c != '\0' ? strchr(digits, tolower((unsigned char)c)) : NULL;
	return d != NULL ? (int)(d - digits) : -1;
}

int machine_text_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		int high, low;

		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		high = hex_digit(from[1]);
		low = high >= 0 ? hex_digit(from[2]) : -1;
		if (low < 0 || (high | low) == 0)
			return -EINVAL;
		*to++ = (char)(high << 4 | low);
		from += 2;
	}
	*to = '\0';
	return 0;
}

int machine_text_refuse(const struct machine_text_why *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->line, why->size, format, args);
	va_end(args);
	return -EINVAL;
}

int machine_text_switch(const char *key, const char *value, bool *out, const struct machine_text_why *why)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
		return machine_text_refuse(why, "%s=%s is neither on nor off", key, value);
	*out = strcmp(value, "on") == 0;
	return 0;
}

int machine_text_number(const char *key, const char *value, uint64_t min, uint64_t max, uint64_t *out,
			const struct machine_text_why *why)
{
	if (machine_text_size(value, out) == 0 && *out >= min && *out <= max)
		return 0;
	return machine_text_refuse(why, "%s=%s is not a number from %llu to %llu", key, value, (unsigned long long)min,
				   (unsigned long long)max);
}

static int cut_pair(char *pair, char **value, const struct machine_text_why *why)
{
	*value = strchr(pair, '=');
	if (*value == NULL)
		return machine_text_refuse(why, "'%s' has no '=value'", pair);
	*(*value)++ = '\0';
	if (machine_text_decode(pair) == 0 && machine_text_decode(*value) == 0)
		return 0;
	return machine_text_refuse(
		why, "'%s=%s': a '%%' is not followed by two hex digits (write %%25 for a percent sign)", pair, *value);
}

static const char *key_at(const char *const *first, size_t stride_bytes, size_t index)
{
	return *(const char *const *)(const void *)((const char *)(const void *)first + index * stride_bytes);
}

int machine_text_key(char *pair, const char *const *first, size_t stride_bytes, size_t key_count, char **value,
		     const struct machine_text_why *why)
{
	int ret = cut_pair(pair, value, why);
	size_t len = 0;

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < key_count; i++)
		if (strcmp(key_at(first, stride_bytes, i), pair) == 0)
			return (int)i;
	len = (size_t)snprintf(why->line, why->size, "unknown key '%s'; known: ", pair);
	for (size_t i = 0; i < key_count && len < why->size; i++)
		len += (size_t)snprintf(why->line + len, why->size - len, "%s%s", i > 0 ? ", " : "",
					key_at(first, stride_bytes, i));
	return -EINVAL;
}
