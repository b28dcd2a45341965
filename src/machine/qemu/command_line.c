/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/qemu/command_line.h"

void qemu_rom(uint8_t rom[QEMU_ROM_BYTES])
{
	/* The ROM ends at 4 GiB; the CPU starts 16 bytes below (SDM vol. 3 §10.1.4). */
	static const uint8_t halt[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; 1: hlt; jmp 1b */

	memset(rom, 0, QEMU_ROM_BYTES);
	memcpy(rom + QEMU_ROM_BYTES - 16, halt, sizeof(halt));
}

void qemu_command_line(const struct qemu_uri *uri, const struct qemu_wiring *wiring, const char *const *extra,
		       struct strings *out)
{
	unsigned long long mem_mib = uri->mem_bytes / OB_MIB;

	strings_add(out, "%s", uri->binary != NULL ? uri->binary : uri->board->binary);
	strings_add(out, "-name");
	strings_add(out, "outboard");
	strings_add(out, "-nodefaults");
	strings_add(out, "-no-user-config");
	strings_add(out, "-display");
	strings_add(out, "none");
	strings_add(out, "-machine");
	strings_add(out, "%s,memory-backend=ob-ram", uri->board->machine);
	for (const char *const *arg = uri->board->args; arg != NULL && *arg != NULL; arg++)
		strings_add(out, "%s", *arg);
	strings_add(out, "-object");
	strings_add(out, "memory-backend-file,id=ob-ram,size=%lluM,mem-path=%s,share=on", mem_mib, wiring->ram);
	strings_add(out, "-m");
	strings_add(out, "%lluM", mem_mib);
	if (uri->board->has_rom) {
		strings_add(out, "-bios");
		strings_add(out, "%s", wiring->rom);
	}
	if (wiring->ivshmem[0] != '\0') {
		strings_add(out, "-chardev");
		strings_add(out, "socket,id=ob-ivshmem,%s", wiring->ivshmem);
		strings_add(out, "-device");
		strings_add(out, "ivshmem-doorbell,id=ob-doorbell,chardev=ob-ivshmem,vectors=256,bus=pcie.0,addr=%x",
			    QEMU_DOORBELL_SLOT);
	}
	strings_add(out, "-chardev");
	strings_add(out, "socket,id=ob-qmp,%s", wiring->qmp);
	strings_add(out, "-mon");
	strings_add(out, "chardev=ob-qmp,mode=control");
	strings_add(out, "-chardev");
	strings_add(out, "socket,id=ob-qtest,%s", wiring->qtest);
	strings_add(out, "-object");
	strings_add(out, "qtest,id=ob-qtest-server,chardev=ob-qtest,log=none");
	for (size_t i = 0; i < uri->args.count; i++)
		strings_add(out, "%s", uri->args.v[i]);
	for (size_t i = 0; extra != NULL && extra[i] != NULL; i++)
		strings_add(out, "%s", extra[i]);
}

/* QEMU itself reports nothing: its device would have a link, and nobody at the other end. */
static int check_stream(const struct qemu_stream *stream, char *why, size_t why_bytes)
{
	const char *slash = strrchr(stream->path, '/'), *kind = stream->listen ? "listen" : "connect";
	size_t len = slash == NULL ? 0 : slash == stream->path ? 1 : (size_t)(slash - stream->path);
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st;
	int error = 0;

	if (strlen(stream->path) >= sizeof(dir)) {
		snprintf(why, why_bytes, "%s=%s:%s: longer than the %zu bytes that a socket's path may have",
			 stream->key, kind, stream->path, sizeof(dir) - 1);
		return -EINVAL;
	}
	snprintf(dir, sizeof(dir), "%.*s", len > 0 ? (int)len : 1, len > 0 ? stream->path : ".");
	if (stream->listen ? access(dir, W_OK | X_OK) < 0 : stat(stream->path, &st) < 0)
		error = errno;
	else if (!stream->listen && !S_ISSOCK(st.st_mode))
		error = ENOTSOCK;
	else if (!stream->listen && access(stream->path, W_OK) < 0)
		error = errno;
	if (error == 0)
		return 0;
	snprintf(why, why_bytes, "%s=%s:%s: %s", stream->key, kind, stream->path,
		 error == ENOENT && !stream->listen ? "there is no such socket; who listens is started first"
						    : strerror(error));
	return -error;
}

/* By an interface that QEMU makes before that one. */
static bool listened_to_here(const struct qemu_uri *uri, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (uri->streams[i].listen && strcmp(uri->streams[i].path, uri->streams[index].path) == 0)
			return true;
	return false;
}

int qemu_check_files(const struct qemu_uri *uri, char *why, size_t why_bytes)
{
	for (size_t i = 0; i < uri->disk_count; i++) {
		const struct qemu_disk *disk = &uri->disks[i];
		struct stat st;

		if (stat(disk->file, &st) < 0) {
			int error = errno;

			snprintf(why, why_bytes, "%s=%s: %s", disk->key, disk->file, strerror(error));
			return -error;
		}
		if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
			snprintf(why, why_bytes, "%s=%s: neither a file nor a block device", disk->key, disk->file);
			return -EINVAL;
		}
		if (access(disk->file, R_OK) < 0) {
			snprintf(why, why_bytes, "%s=%s: not readable", disk->key, disk->file);
			return -EACCES;
		}
		if (!disk->readonly && access(disk->file, W_OK) < 0) {
			snprintf(why, why_bytes, "%s=%s: not writable (add ,readonly=on to only read it)", disk->key,
				 disk->file);
			return -EACCES;
		}
	}
	for (size_t i = 0; i < uri->stream_count; i++) {
		int ret = listened_to_here(uri, i) ? 0 : check_stream(&uri->streams[i], why, why_bytes);

		if (ret < 0)
			return ret;
	}
	return 0;
}
