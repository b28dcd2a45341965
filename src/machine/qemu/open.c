/* SPDX-License-Identifier: BSD-2-Clause */
/* The QEMU machine's bring-up and end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/qemu/attach.h"
#include "machine/qemu/board.h"
#include "machine/qemu/command_line.h"
#include "machine/qemu/qemu.h"

#define LAST_WORDS_NS (2 * OB_NS_PER_S) /* for a QEMU that closed its sockets to end */

static int make_rom(int *fd)
{
	uint8_t *rom = malloc(QEMU_ROM_BYTES);
	int ret = rom != NULL ? io_memory_file("ob-rom", 0, fd) : -ENOMEM;

	if (ret == 0) {
		qemu_rom(rom);
		if (write(*fd, rom, QEMU_ROM_BYTES) != QEMU_ROM_BYTES)
			ret = -ENOSPC;
	}
	free(rom);
	return ret;
}

/* Memory, firmware and sockets for a QEMU to be started. @pass gets its ends. */
static int make_wiring(struct qemu *q, int pass[QEMU_PASS_COUNT], struct qemu_wiring *w)
{
	int ram_fd, ret;

	ret = io_memory_file("ob-ram", q->uri.mem_bytes, &ram_fd);
	if (ret < 0)
		return ret;
	pass[QEMU_PASS_RAM] = ram_fd; /* closed by q->ram */
	ret = qemu_ram_init(&q->ram, &q->uri.board->memory, ram_fd, q->uri.mem_bytes);
	if (ret < 0)
		return ret;
	q->has_ram = true;
	if (q->uri.board->has_rom)
		ret = make_rom(&pass[QEMU_PASS_ROM]);
	if (ret == 0)
		ret = io_pair(&q->qtest_fd, &pass[QEMU_PASS_QTEST]);
	if (ret == 0)
		ret = io_pair(&q->qmp_fd, &pass[QEMU_PASS_QMP]);
	if (ret == 0 && q->uri.msi)
		ret = io_pair(&q->ivshmem_fd, &pass[QEMU_PASS_IVSHMEM]);
	if (ret < 0)
		return ret;
	snprintf(w->ram, sizeof(w->ram), "/proc/self/fd/%d", ram_fd);
	snprintf(w->rom, sizeof(w->rom), "/proc/self/fd/%d", pass[QEMU_PASS_ROM]);
	snprintf(w->qtest, sizeof(w->qtest), "fd=%d", pass[QEMU_PASS_QTEST]);
	snprintf(w->qmp, sizeof(w->qmp), "fd=%d", pass[QEMU_PASS_QMP]);
	if (q->uri.msi)
		snprintf(w->ivshmem, sizeof(w->ivshmem), "fd=%d", pass[QEMU_PASS_IVSHMEM]);
	return 0;
}

static int find_binary(struct qemu *q, char *path, size_t path_bytes)
{
	const struct qemu_board *board = q->uri.board;
	const char *name = q->uri.binary != NULL ? q->uri.binary : board->binary;
	int ret = qemu_process_find(name, path, path_bytes);

	if (ret == -ENOENT)
		ob_err(q->machine.ob, "qemu: %s is not installed%s%s", name,
		       q->uri.binary == NULL ? "; on Debian it is in the package " : "",
		       q->uri.binary == NULL ? board->package : "");
	else if (ret < 0)
		ob_err(q->machine.ob, "qemu: %s: %s", name, strerror(-ret));
	return ret == -ENOENT ? -ENOPKG : ret;
}

static int start_qemu(struct qemu *q, const char *const *extra, uint64_t deadline_ns)
{
	struct qemu_wiring wiring = {.ivshmem = ""};
	struct strings *line = &q->start.line;
	int *pass = q->start.pass, ret;
	char *path = q->start.path, why[512];

	for (unsigned i = 0; i < QEMU_PASS_COUNT; i++)
		pass[i] = -1;
	ret = find_binary(q, path, sizeof(q->start.path));
	if (ret < 0)
		return ret;
	ret = qemu_check_files(&q->uri, why, sizeof(why));
	if (ret < 0) {
		ob_err(q->machine.ob, "qemu: %s", why);
		return ret;
	}
	ret = make_wiring(q, pass, &wiring);
	if (ret == 0) {
		qemu_command_line(&q->uri, &wiring, extra, line);
		ret = line->failed ? -ENOMEM : 0;
	}
	if (ret == 0 && q->uri.msi)
		ret = ivshmem_greet(q->ivshmem_fd, deadline_ns);
	if (ret == 0)
		ret = qemu_supervisor_start(&q->supervisor, &q->life,
					    &(struct qemu_supervisor_config){
						    .path = path,
						    .argv = line->v,
						    .pass_fds = pass,
						    .pass_count = QEMU_PASS_COUNT,
						    .sockets = {q->qtest_fd, q->qmp_fd},
					    },
					    deadline_ns);
	if (ret < 0)
		ob_err(q->machine.ob, "qemu: cannot start %s: %s", path, strerror(-ret));
	q->has_supervisor = ret == 0;
	if (q->supervisor.stuck)
		return ret;
	strings_fini(line);
	/* Ours would keep the sockets open when QEMU is gone. */
	for (unsigned i = QEMU_PASS_ROM; i < QEMU_PASS_COUNT; i++)
		io_close(&pass[i]);
	return ret;
}

static int attach_qemu(struct qemu *q, uint64_t deadline_ns)
{
	struct qemu_attachment *a = &q->attachment;
	char why[512];
	int ret;

	ret = qemu_attach(&q->uri, a, deadline_ns, why, sizeof(why));
	if (ret < 0) {
		ob_err(q->machine.ob, "qemu: %s", why);
		return ret;
	}
	q->qtest_fd = a->qtest_fd;
	q->qmp_fd = a->qmp_fd;
	q->ivshmem_fd = a->ivshmem_fd;
	ret = qemu_supervisor_start(&q->supervisor, &q->life,
				    &(struct qemu_supervisor_config){.sockets = {q->qtest_fd, q->qmp_fd}}, deadline_ns);
	q->has_supervisor = ret == 0;
	return ret;
}

static int map_attached_ram(struct qemu *q, uint64_t deadline_ns)
{
	uint64_t len_bytes;
	char why[512];
	int fd, ret;

	ret = qemu_attach_ram(&q->uri, &fd, &len_bytes, why, sizeof(why));
	if (ret < 0) {
		ob_err(q->machine.ob, "qemu: %s", why);
		return ret;
	}
	ret = qemu_ram_init(&q->ram, &q->uri.board->memory, fd, len_bytes);
	q->has_ram = ret == 0;
	if (ret == 0 && q->ivshmem_fd >= 0)
		ret = qemu_attach_peer(&q->attachment, q->ram.base + q->uri.board->memory.note_offset, &q->peer,
				       deadline_ns);
	return ret;
}

static int init_parts(struct qemu *q)
{
	int ret = qtest_init(&q->qtest, q->qtest_fd, &q->life);

	q->has_qtest = ret == 0;
	if (ret == 0) {
		ret = qmp_init(&q->qmp, q->qmp_fd, &q->life);
		q->has_qmp = ret == 0;
	}
	if (ret == 0) {
		ret = ivshmem_init(&q->ivshmem, q->ivshmem_fd, &q->qtest);
		q->has_ivshmem = ret == 0;
	}
	if (ret == 0) {
		ret = qemu_intx_init(&q->intx, &q->qtest);
		q->has_intx = ret == 0;
	}
	return ret;
}

/*
 * The device tree, at the start of memory; a copy, because what is there is not ours to keep from anybody. What it says
 * is for the bus to check, but for its length (Devicetree Specification 0.4 §5.2). 0; -EPROTO; -ENOMEM.
 */
static int take_tree(struct qemu *q, struct machine_bus *bus)
{
	const ob_be32 *header = (const void *)q->ram.base;
	uint32_t len_bytes = ob_be32_load(&header[1]);

	if (ob_be32_load(&header[0]) != 0xd00dfeed || len_bytes > q->uri.board->tree_bytes)
		return -EPROTO;
	q->tree = malloc(len_bytes);
	if (q->tree == NULL)
		return -ENOMEM;
	memcpy(q->tree, q->ram.base, len_bytes);
	bus->kind = MACHINE_BUS_DT;
	bus->u.dt.blob = q->tree;
	bus->u.dt.len_bytes = len_bytes;
	return 0;
}

static int set_up_interrupts(struct qemu *q, uint64_t deadline_ns)
{
	const struct qemu_board *board = q->uri.board;
	bool attached = q->uri.attach_dir != NULL, doorbell = q->ivshmem_fd >= 0;
	int ret = 0;

	if (doorbell) {
		ret = qemu_board_map_doorbell(board, &q->qtest);
		if (ret == 0)
			ivshmem_start(&q->ivshmem, board->doorbell_bar, q->peer);
		else if (ret == -ENOENT)
			ob_err(q->machine.ob, "qemu: no ivshmem-doorbell in slot %#x", QEMU_DOORBELL_SLOT);
	}
	if (ret < 0)
		return ret;
	if (attached && q->uri.msi && !doorbell)
		ob_warn(q->machine.ob, "qemu: this QEMU has no ivshmem.sock: no message interrupts");
	ret = qemu_board_controller(board, &q->qmp, q->intx.controller, sizeof(q->intx.controller), deadline_ns);
	if (ret == -ENOENT)
		ob_err(q->machine.ob, "qemu: its %s has no interrupt controller of the usual kind", board->name);
	return ret;
}

/* QEMU answers; set its board up. */
static int set_up(struct qemu *q, uint64_t deadline_ns)
{
	const struct qemu_board *board = q->uri.board;
	struct machine_bus *bus = q->buses;
	int ret = board->init(&q->qtest);

	if (ret == -EINVAL)
		ob_err(q->machine.ob, "qemu: this QEMU's machine is not a %s", board->name);
	if (ret == 0)
		ret = set_up_interrupts(q, deadline_ns);
	if (ret < 0)
		return ret;
	bus->kind = MACHINE_BUS_PCI;
	qemu_board_describe(board, q->ivshmem_fd >= 0, &bus->u.pci);
	bus++;
	if (board->tree_bytes > 0) {
		ret = take_tree(q, bus++);
		if (ret == -EPROTO)
			ob_err(q->machine.ob, "qemu: no device tree at the start of its memory");
	}
	bus->kind = MACHINE_BUS_END;
	return ret == 0 && q->uri.intx_now ? qemu_intx_start(&q->intx) : ret;
}

/* Why QEMU did not come up, from what it left behind. Its arguments are ours to answer for: -EINVAL. */
static int explain(struct qemu *q, int error)
{
	struct qemu_supervisor *s = &q->supervisor;
	struct ob *ob = q->machine.ob;

	if (error == -ETIMEDOUT) {
		ob_err(ob, "qemu: QEMU does not answer%s",
		       q->uri.attach_dir != NULL ? "; is another program attached to it?" : " in time");
		return error;
	}
	if (error != -ENODEV) {
		if (error != -EINVAL && error != -ENOENT)
			ob_err(ob, "qemu: cannot set QEMU up: %s", strerror(-error));
		return error == -EPROTO || error == -EIO ? -ENODEV : error;
	}
	if (q->uri.attach_dir != NULL || qemu_supervisor_wait(s, ob_deadline(LAST_WORDS_NS)) < 0) {
		ob_err(ob, "qemu: %s", q->life.why);
		return error;
	}
	if (s->first_line[0] != '\0') {
		ob_err(ob, "qemu: QEMU refused its arguments: %s", s->first_line);
		return -EINVAL;
	}
	ob_err(ob, "qemu: QEMU ended as it started: %s", s->how[0] != '\0' ? s->how : q->life.why);
	return error;
}

static int bring_up(struct qemu *q, const struct ob_machine_options *options, uint64_t deadline_ns)
{
	bool attach = q->uri.attach_dir != NULL;
	int ret;

	if (attach)
		ret = attach_qemu(q, deadline_ns);
	else
		ret = start_qemu(q, options != NULL ? options->args : NULL, deadline_ns);
	if (ret < 0)
		return ret;
	ret = init_parts(q);
	if (ret < 0)
		return ret;
	/* QEMU's main loop takes the first command once all devices are made. */
	ret = qmp_greet(&q->qmp, deadline_ns);
	if (ret == 0 && attach) {
		ret = map_attached_ram(q, deadline_ns);
		if (ret < 0)
			return ret;
	}
	if (ret == 0)
		ret = set_up(q, deadline_ns);
	return ret < 0 ? explain(q, ret) : 0;
}

/* Ends everything that moves. Locks and descriptors stay: a driver that is stuck may still call, and is told no. */
void qemu_shutdown(struct machine *m)
{
	struct qemu *q = (struct qemu *)(void *)m;
	const int sockets[] = {q->qtest_fd, q->qmp_fd, q->ivshmem_fd};

	if (!q->has_supervisor)
		return;
	qemu_supervisor_stop(&q->supervisor, q->has_qmp ? &q->qmp : NULL);
	q->has_supervisor = false;
	/* Somebody else's QEMU sees that we are gone. */
	for (unsigned i = 0; i < ARRAY_SIZE(sockets); i++)
		if (sockets[i] >= 0)
			(void)shutdown(sockets[i], SHUT_RDWR);
	if (q->has_intx)
		qemu_intx_stop(&q->intx);
	if (q->has_qtest)
		qtest_report(&q->qtest);
}

void qemu_close(struct machine *m)
{
	struct qemu *q = (struct qemu *)(void *)m;

	qemu_shutdown(m);
	if (q->has_intx)
		qemu_intx_fini(&q->intx);
	if (q->has_ivshmem)
		ivshmem_fini(&q->ivshmem);
	if (q->has_qmp)
		qmp_fini(&q->qmp);
	if (q->has_qtest)
		qtest_fini(&q->qtest);
	io_close(&q->qtest_fd);
	io_close(&q->qmp_fd);
	io_close(&q->ivshmem_fd);
	io_close(&q->life.fd);
	io_close(&q->life.buried_fd);
	qemu_uri_fini(&q->uri);
	if (q->has_ram)
		qemu_ram_fini(&q->ram);
	free(q->tree);
	free(q);
}

int qemu_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
	      struct machine **out)
{
	struct qemu *q = calloc(1, sizeof(*q));
	char why[512];
	int ret;

	if (q == NULL)
		return -ENOMEM;
	q->machine.ops = &qemu_machine_ops;
	q->machine.ob = ob;
	q->qtest_fd = q->qmp_fd = q->ivshmem_fd = -1;
	ret = qemu_uri_parse(rest, &q->uri, why, sizeof(why));
	if (ret < 0) {
		ob_err(ob, "qemu: %s", why);
		free(q);
		return ret;
	}
	q->life.machine = &q->machine;
	q->life.wait_ns = q->uri.wait_ns;
	q->life.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->life.buried_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = q->life.fd >= 0 && q->life.buried_fd >= 0 ? bring_up(q, options, deadline_ns) : -errno;
	if (ret < 0) {
		if (q->supervisor.stuck)
			ob_err(ob, "qemu: the thread for QEMU does not start; its memory stays");
		else
			qemu_close(&q->machine);
		return ret;
	}
	*out = &q->machine;
	return 0;
}
