/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of "vfio:" URIs. */
#include "machine/vfio/uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Hexadecimal digits, @min to @max of them. Returns what follows them, or NULL. */
static const char *hex(const char *text, const char *end, unsigned min, unsigned max, unsigned *out)
{
	unsigned value = 0, digits = 0;

	for (; text < end && digits < max; text++, digits++) {
		char c = *text;

		if (c >= '0' && c <= '9')
			value = value * 16 + (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (unsigned)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (unsigned)(c - 'A') + 10;
		else
			break;
	}
	*out = value;
	return digits >= min ? text : NULL;
}

static const char *skip(const char *text, const char *end, char c)
{
	return text != NULL && text < end && *text == c ? text + 1 : NULL;
}

int vfio_address_parse(const char *text, const char *end, struct vfio_address *out)
{
	unsigned segment = 0, bus, slot, function;
	const char *p, *first_colon;

	if (end == NULL)
		end = text + strlen(text);
	first_colon = memchr(text, ':', (size_t)(end - text));
	if (first_colon != NULL && memchr(first_colon + 1, ':', (size_t)(end - first_colon - 1)) != NULL) {
		text = skip(hex(text, end, 4, 4, &segment), end, ':');
		if (text == NULL)
			return -EINVAL;
	}
	p = skip(hex(text, end, 2, 2, &bus), end, ':');
	p = p != NULL ? skip(hex(p, end, 2, 2, &slot), end, '.') : NULL;
	p = p != NULL ? hex(p, end, 1, 1, &function) : NULL;
	if (p != end || slot > 31 || function > 7)
		return -EINVAL;
	out->segment = (uint16_t)segment;
	out->bdf = (uint16_t)(bus << 8 | slot << 3 | function);
	return 0;
}

static int parse_option(const char *text, struct vfio_uri *out)
{
	if (strcmp(text, "backend=auto") == 0)
		out->backend = VFIO_BACKEND_AUTO;
	else if (strcmp(text, "backend=group") == 0)
		out->backend = VFIO_BACKEND_GROUP;
	else if (strcmp(text, "backend=iommufd") == 0)
		out->backend = VFIO_BACKEND_IOMMUFD;
	else
		return -EINVAL;
	return 0;
}

static bool is_twice(const struct vfio_uri *uri, const struct vfio_address *address)
{
	for (unsigned i = 0; i < uri->device_count; i++)
		if (uri->device[i].segment == address->segment && uri->device[i].bdf == address->bdf)
			return true;
	return false;
}

int vfio_uri_parse(const char *rest, struct vfio_uri *out, char *why, size_t why_bytes)
{
	const char *end = rest + strcspn(rest, "?"), *at = rest;

	*out = (struct vfio_uri){0};
	do {
		const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma != NULL ? comma : end;
		struct vfio_address address;

		if (vfio_address_parse(at, stop, &address) != 0) {
			snprintf(why, why_bytes, "\"%.*s\" is no PCI address like 0000:01:00.0", (int)(stop - at), at);
			return -EINVAL;
		}
		if (out->device_count == VFIO_DEVICES_MAX || is_twice(out, &address)) {
			snprintf(why, why_bytes, "%.*s: %s", (int)(stop - at), at,
				 out->device_count == VFIO_DEVICES_MAX ? "too many devices" : "named twice");
			return -EINVAL;
		}
		/* Configuration space is asked for by bus, slot and function alone. */
		if (out->device_count > 0 && address.segment != out->device[0].segment) {
			snprintf(why, why_bytes, "%.*s: devices of one machine have one segment", (int)(stop - at), at);
			return -EINVAL;
		}
		out->device[out->device_count++] = address;
		at = comma != NULL ? comma + 1 : NULL;
	} while (at != NULL);
	if (*end == '?' && parse_option(end + 1, out) != 0) {
		snprintf(why, why_bytes, "\"%s\" is not understood; there is backend=auto, group or iommufd", end + 1);
		return -EINVAL;
	}
	return 0;
}
