/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machines: what provides hardware, chosen by a URI.
 *
 *	model:              models inside the process (the default)
 *	qemu:q35?nvme=disk.img
 *	vfio:0000:01:00.0
 *	vhost-user:/run/disk.sock
 *
 * Opening a machine finds its devices on all buses and binds drivers to them. Code above never asks which kind it is.
 */
#ifndef OUTBOARD_MACHINE_H
#define OUTBOARD_MACHINE_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;
struct ob_machine;
struct ob_window;

#define OB_MACHINE_NO_BIND 0x1u /* find the devices, bind no driver: ob_device_bind() does it later */

struct ob_machine_options {
	unsigned flags;
	uint64_t timeout_ns;     /* for start and probe together; default 30 s */
	const char *const *args; /* more arguments for the machine, NULL-terminated (qemu: its command line); or NULL */
};

/**
 * ob_machine_open - open the machine named by @uri, find its devices, bind drivers
 * @uri:     "scheme:rest"; docs in outboard-machine(7)
 * @options: copied; NULL for the defaults
 * @out:     the machine; ob_machine_close() ends it
 *
 * A device whose probe fails is logged and left unbound; that is no error of the open.
 * Context: a plain thread (it turns CPU 0 when nobody else does).
 * Return: 0; -EINVAL malformed URI; -ENOENT unknown scheme; -ENOPKG a program is not installed, QEMU for example; -ENODEV
 * it died; -ETIMEDOUT; the log says more.
 */
int ob_machine_open(struct ob *ob, const char *uri, const struct ob_machine_options *options, struct ob_machine **out);

/**
 * ob_machine_close - unbind all drivers (children first), then let the machine go. A plain thread. NULL is fine.
 *
 * Waits up to 60 s for users of its devices. When they or a driver have not ended by then the log says so, the far side
 * is stopped all the same (a QEMU that was started ends), and the memory of machine and context is never freed.
 */
void ob_machine_close(struct ob_machine *machine);

/**
 * ob_machine_rescan - look for devices again and bind what is new
 *
 * A device that had to leave (vfio: the kernel wanted it, or it had an error) is taken again if it can be had; the log says
 * why one cannot.
 * Context: task, or a plain thread.
 * Return: 0; -ENODEV the machine is dead; -ETIMEDOUT; -ENOMEM; what a bus said.
 */
int ob_machine_rescan(struct ob_machine *machine);

/**
 * ob_machine_suspend - ob_device_suspend() for all devices that have a driver, those behind others first
 *
 * When one refuses, those that were suspended by this call are resumed. Context: task, or a plain thread.
 * Return: 0; what the first said that refused; -ENODEV; -ETIMEDOUT; -ENOMEM.
 */
int ob_machine_suspend(struct ob_machine *machine, uint64_t deadline_ns);
/**
 * ob_machine_resume - ob_device_resume() for all that are suspended, in the opposite order
 *
 * One that cannot be resumed keeps none of the others down. Context: task, or a plain thread.
 * Return: 0; what the first said that could not; -ENODEV; -ETIMEDOUT; -ENOMEM.
 */
int ob_machine_resume(struct ob_machine *machine, uint64_t deadline_ns);

/** ob_machine_context, ob_machine_uri - fixed for the machine's life; any context */
struct ob *ob_machine_context(const struct ob_machine *machine);
const char *ob_machine_uri(const struct ob_machine *machine);

/**
 * ob_machine_command - a command in the machine's own language (qemu: one QMP command as JSON), for faults and hot plug
 * @command:     e.g. {"execute":"query-status"}
 * @reply:       the reply as text, to be freed with ob_free(), and NULL when there is none; or NULL
 * @deadline_ns: for the answer
 *
 * Context: a plain thread or a task.
 * Return: 0; -EOPNOTSUPP; -EINVAL not of this language; -EIO refused (the reply says why); -ENODEV; -ETIMEDOUT.
 */
int ob_machine_command(struct ob_machine *machine, const char *command, char **reply, uint64_t deadline_ns);

/**
 * ob_machine_attach_help - what a user must start, so that ob_machine_open() of the same @uri can attach to it
 * @uri:  e.g. qemu:q35?attach=DIR&nvme=disk.img
 * @text: shell commands, to be freed with ob_free()
 *
 * Return: 0; -EINVAL malformed URI; -ENOENT unknown scheme; -EOPNOTSUPP nothing to attach to in this kind of machine;
 * -ENOMEM.
 */
int ob_machine_attach_help(const char *uri, char **text);

#ifdef __cplusplus
}
#endif
#endif
