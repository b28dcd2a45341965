/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel has to say: that it wants a device back, that a device has an error, that the IOMMU blocked something.
 * One thread sleeps on it all.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"

#define POLL_MAX      (2 + 2 * VFIO_DEVICES_MAX)
#define FAULTS_LOGGED 10   /* of one device; then they are only counted */
#define RECORD_MAX    8192 /* the longest that the kernel makes */
#define RECORDS_MAX   256  /* at a time; then the devices have their turn */

static bool take(int fd)
{
	uint64_t count;
	ssize_t n;

	do
		n = read(fd, &count, sizeof(count));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(count);
}

/* ---- removal ---- */

static void tell_core(struct vfio_device *dev, enum machine_removal how, const char *why)
{
	struct machine *m = &dev->vm->machine;
	void (*on_removal)(struct machine * machine, const char *device, enum machine_removal removal,
			   const char *text);

	on_removal = __atomic_load_n(&m->on_removal, __ATOMIC_ACQUIRE);
	if (on_removal != NULL)
		on_removal(m, dev->name, how, why);
}

static void on_request(struct vfio_device *dev)
{
	/* The kernel asks again every ten seconds until it has it. */
	if (!__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		return;
	if (vfio_device_answers(dev))
		tell_core(dev, MACHINE_REMOVAL_ASKED, "the kernel wants it back");
	else
		tell_core(dev, MACHINE_REMOVAL_GONE, "it was taken out");
}

static void on_error(struct vfio_device *dev)
{
	if (__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		tell_core(dev, MACHINE_REMOVAL_GONE, "PCI Express error that the kernel could not correct");
}

/* ---- blocked DMA ---- */

static void on_fault(struct vfio_machine *vm, const struct vfio_fault *fault)
{
	struct vfio_device *dev = vfio_device_at(vm, fault->bdf);
	char where[128];

	if (dev == NULL || (fault->segment != 0 && fault->segment != dev->segment))
		return;
	vfio_dma_describe(dev, fault->address, fault->write, where, sizeof(where));
	pthread_mutex_lock(&vm->dma_lock);
	vm->faults[vm->fault_count++ % VFIO_FAULTS_MAX] = *fault;
	pthread_mutex_unlock(&vm->dma_lock);
	if (dev->dma_faults++ < FAULTS_LOGGED)
		ob_err(vm->machine.ob, "vfio: %s: the IOMMU blocked its %s at %#" PRIx64 ": %s", dev->name,
		       fault->write ? "write" : "read", fault->address, where);
}

/* One record at each read: numbers, then ';' and the text, and more lines. */
static void read_log(struct vfio_machine *vm)
{
	char record[RECORD_MAX];

	for (unsigned i = 0; i < RECORDS_MAX; i++) {
		ssize_t n = read(vm->log_fd, record, sizeof(record) - 1);
		struct vfio_fault fault;
		char *text;

		if (n < 0 && (errno == EINTR || errno == EPIPE || errno == EINVAL)) /* EPIPE: overwritten meanwhile */
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			ob_warn(vm->machine.ob, "vfio: /dev/kmsg: %s: blocked DMA is not reported any more",
				n < 0 ? strerror(errno) : "it ends");
			close(vm->log_fd);
			vm->log_fd = -1;
			return;
		}
		record[n] = '\0';
		text = strchr(record, ';');
		if (text != NULL && kernel_log_fault(text + 1, &fault))
			on_fault(vm, &fault);
	}
}

/* ---- the thread ---- */

static unsigned gather(struct vfio_machine *vm, struct pollfd p[POLL_MAX])
{
	unsigned count = 0;

	p[count++] = (struct pollfd){.fd = vm->stop_fd, .events = POLLIN};
	p[count++] = (struct pollfd){.fd = vm->log_fd, .events = POLLIN}; /* -1: ignored */
	for (unsigned i = 0; i < vm->device_count; i++) {
		p[count++] = (struct pollfd){.fd = vm->devices[i].request_fd, .events = POLLIN};
		p[count++] = (struct pollfd){.fd = vm->devices[i].error_fd, .events = POLLIN};
	}
	return count;
}

static void *listen_to_kernel(void *arg)
{
	struct vfio_machine *vm = arg;
	struct pollfd p[POLL_MAX];

	for (;;) {
		unsigned count = gather(vm, p);

		if (poll(p, count, -1) < 0)
			continue;
		if (p[0].revents != 0)
			return NULL;
		if (p[1].revents != 0)
			read_log(vm);
		for (unsigned i = 0; i < vm->device_count; i++) {
			if (p[2 + 2 * i].revents != 0 && take(vm->devices[i].request_fd))
				on_request(&vm->devices[i]);
			if (p[3 + 2 * i].revents != 0 && take(vm->devices[i].error_fd))
				on_error(&vm->devices[i]);
		}
	}
}

int vfio_notify_start(struct vfio_machine *vm)
{
	sigset_t all, before;
	int ret;

	vm->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->stop_fd < 0) {
		ret = -errno;
		ob_err(vm->machine.ob, "vfio: an eventfd: %s", strerror(-ret));
		return ret;
	}
	/* Where the system lets this user read it. Only what comes from now on. */
	vm->log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (vm->log_fd >= 0)
		(void)lseek(vm->log_fd, 0, SEEK_END);
	else
		ob_info(vm->machine.ob,
			"vfio: /dev/kmsg: %s: blocked DMA is not reported; 'sysctl kernel.dmesg_restrict=0' lets all "
			"users read it",
			strerror(errno));
	/* The program's signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&vm->listener, NULL, listen_to_kernel, vm);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	vm->listening = ret == 0;
	if (ret == 0)
		pthread_setname_np(vm->listener, "ob-vfio");
	else
		ob_err(vm->machine.ob, "vfio: a thread: %s", strerror(-ret));
	return ret;
}

void vfio_notify_stop(struct vfio_machine *vm)
{
	static const uint64_t one = 1;

	if (vm->listening) {
		while (write(vm->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(vm->listener, NULL);
		vm->listening = false;
	}
	if (vm->stop_fd >= 0)
		close(vm->stop_fd);
	if (vm->log_fd >= 0)
		close(vm->log_fd);
	vm->stop_fd = vm->log_fd = -1;
}

/* ---- the machine's own language: "faults" lists blocked DMA ---- */

int vfio_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns)
{
	struct vfio_machine *vm = vfio_of(m);
	size_t room = 64 + VFIO_FAULTS_MAX * 64, len;
	bool is_known;
	char *text;

	if (strcmp(command, "faults") != 0)
		return -EOPNOTSUPP;
	text = ob_alloc(room);
	if (text == NULL)
		return -ENOMEM;
	/* None that is known is not the same as none. */
	is_known = OB_READ_ONCE(vm->log_fd) >= 0;
	if (!is_known)
		snprintf(text, room, "not known: the kernel's log (/dev/kmsg) cannot be read\n");
	pthread_mutex_lock(&vm->dma_lock);
	len = is_known ? (size_t)snprintf(text, room, "%" PRIu64 " faults\n", vm->fault_count) : strlen(text);
	for (uint64_t i = vm->fault_count - MIN(vm->fault_count, (uint64_t)VFIO_FAULTS_MAX); i < vm->fault_count; i++) {
		const struct vfio_fault *f = &vm->faults[i % VFIO_FAULTS_MAX];
		const struct vfio_device *dev = vfio_device_at(vm, f->bdf);

		len += (size_t)snprintf(text + len, room - len, "%s %s %#" PRIx64 "\n", dev != NULL ? dev->name : "?",
					f->write ? "write" : "read", f->address);
	}
	pthread_mutex_unlock(&vm->dma_lock);
	if (reply != NULL)
		*reply = text;
	else
		ob_free(text);
	return is_known ? 0 : -EIO;
}
