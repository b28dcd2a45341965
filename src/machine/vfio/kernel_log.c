/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the kernel's log about blocked DMA. */
#include "machine/vfio/kernel_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_address(const char *text, struct vfio_fault *out)
{
	unsigned segment = 0, bus, slot, function;

	if (sscanf(text, "%4x:%2x:%2x.%1x", &segment, &bus, &slot, &function) != 4) {
		segment = 0;
		if (sscanf(text, "%2x:%2x.%1x", &bus, &slot, &function) != 3)
			return false;
	}
	if (slot > 31 || function > 7)
		return false;
	out->segment = (uint16_t)segment;
	out->bdf = (uint16_t)(bus << 8 | slot << 3 | function);
	return true;
}

static bool read_hex(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 16);
	return end != text;
}

/* "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0xdead000 [fault reason 0x05] …" */
static bool intel(const char *line, struct vfio_fault *out)
{
	const char *device = strstr(line, "Request device ["), *address = strstr(line, "fault addr ");
	const char *what = strstr(line, "[DMA ");

	if (device == NULL || address == NULL || what == NULL)
		return false;
	out->write = strncmp(what, "[DMA Write", 10) == 0;
	return read_address(device + strlen("Request device ["), out) &&
	       read_hex(address + strlen("fault addr "), &out->address);
}

/*
 * "vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0xdead000 flags=0x0020]"; bit 5 of
 * the flags is RW (AMD I/O virtualization specification §2.5.2).
 */
static bool amd(const char *line, struct vfio_fault *out)
{
	const char *event = strstr(line, "AMD-Vi: Event logged [IO_PAGE_FAULT"), *address, *flags, *device;
	uint64_t bits = 0;

	if (event == NULL)
		return false;
	address = strstr(event, "address=");
	flags = strstr(event, "flags=");
	device = strstr(event, "device=");
	if (address == NULL || !read_hex(address + strlen("address="), &out->address))
		return false;
	if (flags != NULL && read_hex(flags + strlen("flags="), &bits))
		out->write = (bits & 0x20) != 0;
	if (device != NULL)
		return read_address(device + strlen("device="), out);
	/* The device is the one that speaks: the word before "AMD-Vi". */
	for (device = event; device > line && device[-1] == ' '; device--)
		;
	while (device > line && device[-1] != ' ' && device[-1] != ';')
		device--;
	return read_address(device, out);
}

bool kernel_log_fault(const char *line, struct vfio_fault *out)
{
	*out = (struct vfio_fault){0};
	return intel(line, out) || amd(line, out);
}
