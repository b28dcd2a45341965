/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU that somebody else started. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/qemu/attach.h"
#include "machine/qemu/command_line.h"
#include "machine/qemu/ivshmem.h"
#include "machine/qemu/ram.h"

#define RETRY_NS (10 * OB_NS_PER_MS)

/* In the machine's memory, for who attaches next. */
struct peer_note {
	ob_le32 magic;
	ob_le32 last_peer;
};
#define PEER_NOTE_MAGIC 0x5245504f

static int connect_to(const char *dir, const char *name, int *fd)
{
	char path[512];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	return io_connect(path, fd);
}

/* Again and again while nobody listens yet. */
static int await_socket(const char *dir, const char *name, int *fd, uint64_t deadline_ns)
{
	for (;;) {
		int ret = connect_to(dir, name, fd);

		if (ret != -ENOENT && ret != -ECONNREFUSED && ret != -EAGAIN)
			return ret;
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
	}
}

/*
 * A QEMU with the doorbell device makes its qtest socket only after the first client of ivshmem.sock has come, and then
 * waits for that one's greeting; who comes later must not greet again. So whether qtest.sock answers
 * before anything else tells the two cases apart.
 */
static int connect_doorbell(const struct qemu_uri *uri, struct qemu_attachment *a, uint64_t deadline_ns)
{
	int ret;

	for (;;) {
		a->again = connect_to(uri->attach_dir, "qtest.sock", &a->qtest_fd) == 0;

		ret = connect_to(uri->attach_dir, "ivshmem.sock", &a->ivshmem_fd);
		if (ret == 0)
			return a->again ? 0 : ivshmem_greet(a->ivshmem_fd, deadline_ns);
		if (a->again) /* it has no doorbell */
			return ret == -ENOENT || ret == -ECONNREFUSED ? 0 : ret;
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
	}
}

int qemu_attach(const struct qemu_uri *uri, struct qemu_attachment *out, uint64_t deadline_ns, char *why,
		size_t why_bytes)
{
	const char *name = "ivshmem.sock or qtest.sock";
	int ret = 0;

	*out = (struct qemu_attachment){.qtest_fd = -1, .qmp_fd = -1, .ivshmem_fd = -1};
	deadline_ns = MIN(deadline_ns, ob_deadline(uri->wait_ns));
	if (access(uri->attach_dir, X_OK) < 0) {
		ret = -errno;
		snprintf(why, why_bytes, "attach=%s: %s", uri->attach_dir, strerror(-ret));
		return ret;
	}
	if (uri->msi)
		ret = connect_doorbell(uri, out, deadline_ns);
	if (ret == 0 && out->qtest_fd < 0) {
		name = "qtest.sock";
		ret = await_socket(uri->attach_dir, name, &out->qtest_fd, deadline_ns);
	}
	if (ret == 0) {
		name = "qmp.sock";
		ret = await_socket(uri->attach_dir, name, &out->qmp_fd, deadline_ns);
	}
	if (ret == 0)
		return 0;
	snprintf(why, why_bytes, "attach=%s: %s: %s", uri->attach_dir, name,
		 ret == -ETIMEDOUT ? "no QEMU answers there" : strerror(-ret));
	io_close(&out->qtest_fd);
	io_close(&out->qmp_fd);
	io_close(&out->ivshmem_fd);
	return ret;
}

int qemu_attach_ram(const struct qemu_uri *uri, int *fd, uint64_t *len_bytes, char *why, size_t why_bytes)
{
	char path[512];
	struct stat st;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/ram", uri->attach_dir);
	*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &st) < 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)QEMU_MEM_MIN_BYTES ||
		 (uint64_t)st.st_size > QEMU_RAM_MAX_BYTES || !IS_ALIGNED((uint64_t)st.st_size, OB_MIB))
		ret = -EINVAL;
	if (ret == 0) {
		*len_bytes = (uint64_t)st.st_size;
		return 0;
	}
	snprintf(why, why_bytes, "attach=%s: ram: %s", uri->attach_dir,
		 ret == -EINVAL ? "not a machine's memory" : strerror(-ret));
	io_close(fd);
	return ret;
}

int qemu_attach_peer(const struct qemu_attachment *a, void *note_at, unsigned *peer, uint64_t deadline_ns)
{
	struct peer_note *note = note_at;
	unsigned last = ob_le32_load(&note->last_peer);
	int ret = 0;

	*peer = IVSHMEM_PEER_FIRST;
	/* Without a note the one before us did not get as far as having vectors. */
	if (a->again && ob_le32_load(&note->magic) == PEER_NOTE_MAGIC && last < IVSHMEM_PEER_MAX) {
		*peer = last > IVSHMEM_PEER_QEMU ? last + 1 : IVSHMEM_PEER_QEMU + 1;
		ret = ivshmem_succeed(a->ivshmem_fd, last, deadline_ns);
	}
	ob_le32_store(&note->last_peer, *peer);
	ob_le32_store(&note->magic, PEER_NOTE_MAGIC);
	return ret;
}

/* One word for a shell. */
static void put_quoted(FILE *f, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@";

	if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
		fputs(word, f);
		return;
	}
	fputc('\'', f);
	for (; *word != '\0'; word++)
		if (*word == '\'')
			fputs("'\\''", f);
		else
			fputc(*word, f);
	fputc('\'', f);
}

static void put_file(FILE *f, const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	put_quoted(f, path);
}

static void put_rom(FILE *f, const char *dir)
{
	fputs("{ head -c 65520 /dev/zero; printf '\\372\\364\\353\\375'; head -c 12 /dev/zero; } >", f);
	put_file(f, dir, "halt.bin");
	fputc('\n', f);
}

static void put_help(FILE *f, const struct qemu_uri *uri, const struct strings *line)
{
	fputs("mkdir -p ", f);
	put_quoted(f, uri->attach_dir);
	fputc('\n', f);
	if (uri->board->has_rom)
		put_rom(f, uri->attach_dir);
	for (size_t i = 0; i < line->count; i++) {
		/* An option starts a line, and its value stays beside it. */
		if (i > 0)
			fputs(line->v[i][0] == '-' ? " \\\n\t" : " ", f);
		put_quoted(f, line->v[i]);
	}
	fputc('\n', f);
}

int qemu_attach_help(const char *rest, char **text)
{
	char why[512], *written = NULL;
	struct qemu_wiring w = {.ivshmem = ""};
	struct strings line = {0};
	struct qemu_uri uri;
	size_t len_bytes;
	const char *dir;
	FILE *f;
	int ret;

	ret = qemu_uri_parse(rest, &uri, why, sizeof(why));
	if (ret < 0)
		return ret;
	dir = uri.attach_dir;
	ret = -EINVAL;
	/* A comma would end the value in QEMU's options; the longest name has to fit into a socket's address. */
	if (dir == NULL || strchr(dir, ',') != NULL || strlen(dir) > 80)
		goto fini_uri;
	snprintf(w.ram, sizeof(w.ram), "%s/ram", dir);
	snprintf(w.rom, sizeof(w.rom), "%s/halt.bin", dir);
	snprintf(w.qtest, sizeof(w.qtest), "path=%s/qtest.sock,server=on,wait=off", dir);
	snprintf(w.qmp, sizeof(w.qmp), "path=%s/qmp.sock,server=on,wait=off", dir);
	if (uri.msi)
		snprintf(w.ivshmem, sizeof(w.ivshmem), "path=%s/ivshmem.sock,server=on,wait=on", dir);
	qemu_command_line(&uri, &w, NULL, &line);
	ret = -ENOMEM;
	f = line.failed ? NULL : open_memstream(&written, &len_bytes);
	if (f != NULL) {
		put_help(f, &uri, &line);
		if (fclose(f) == 0 && (*text = ob_alloc(len_bytes + 1)) != NULL) {
			memcpy(*text, written, len_bytes + 1);
			ret = 0;
		}
	}
	free(written);
	strings_fini(&line);
fini_uri:
	qemu_uri_fini(&uri);
	return ret;
}
