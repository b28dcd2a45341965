/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of the model machine: messages and lines become eventfds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <outboard/log.h>

#include "machine/model/model_machine.h"

int model_irq_init(struct model_machine *mm)
{
	mm->msi_fds = malloc(MODEL_MSI_MAX * sizeof(*mm->msi_fds));
	if (mm->msi_fds == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < MODEL_MSI_MAX; i++)
		mm->msi_fds[i] = -1;
	return 0;
}

void model_irq_fini(struct model_machine *mm)
{
	for (unsigned i = 0; mm->msi_fds != NULL && i < MODEL_MSI_MAX; i++)
		if (mm->msi_fds[i] >= 0)
			close(mm->msi_fds[i]);
	free(mm->msi_fds);
	for (unsigned slot = 0; slot < PCI_SLOTS_PER_BUS; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			if (mm->intx_users[slot][pin] != 0)
				close(mm->intx_fds[slot][pin]);
}

static void fd_fire(int fd)
{
	static const uint64_t one = 1;

	/* Only a counter that is about to overflow refuses, and that one is readable already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- messages ---- */

/* The first of @count free numbers in a row; a block for plain MSI is aligned to its size. */
static unsigned msi_find(const struct model_machine *mm, unsigned count, bool contiguous)
{
	unsigned step = contiguous ? count : 1;

	for (unsigned first = 0; first + count <= MODEL_MSI_MAX; first += step) {
		unsigned run = 0;

		while (run < count && mm->msi_fds[first + run] < 0)
			run++;
		if (run == count)
			return first;
	}
	return MODEL_MSI_MAX;
}

int model_msi_alloc(struct machine *m, struct ob_device *dev, unsigned count, bool contiguous, struct machine_msi *out)
{
	struct model_machine *mm = model_of(m);
	unsigned first, made = 0;
	int ret = -ENOSPC;

	if (count == 0)
		return -EINVAL;
	pthread_mutex_lock(&mm->irq_lock);
	first = msi_find(mm, count, contiguous);
	if (first == MODEL_MSI_MAX)
		goto unlock;
	for (; made < count; made++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0)
			goto undo;
		mm->msi_fds[first + made] = fd;
		out[made] = (struct machine_msi){
			.fd = fd,
			.program = true,
			.address = MODEL_MSI_ADDRESS,
			.data = first + made,
		};
	}
	ret = 0;
	goto unlock;
undo:
	while (made-- > 0) {
		close(mm->msi_fds[first + made]);
		mm->msi_fds[first + made] = -1;
	}
unlock:
	pthread_mutex_unlock(&mm->irq_lock);
	return ret;
}

void model_msi_free(struct machine *m, struct ob_device *dev, unsigned count, struct machine_msi *msi)
{
	struct model_machine *mm = model_of(m);

	pthread_mutex_lock(&mm->irq_lock);
	for (unsigned i = 0; i < count; i++) {
		if (msi[i].data >= MODEL_MSI_MAX || mm->msi_fds[msi[i].data] != msi[i].fd)
			continue;
		close(msi[i].fd);
		mm->msi_fds[msi[i].data] = -1;
	}
	pthread_mutex_unlock(&mm->irq_lock);
}

void model_irq_message(struct model_pci_root *root, struct model_pci *from, uint64_t address, uint32_t data)
{
	struct model_machine *mm = container_of(root, struct model_machine, root);
	bool delivered = false;

	pthread_mutex_lock(&mm->irq_lock);
	if (address == MODEL_MSI_ADDRESS && data < MODEL_MSI_MAX && mm->msi_fds[data] >= 0) {
		fd_fire(mm->msi_fds[data]);
		delivered = true;
	}
	pthread_mutex_unlock(&mm->irq_lock);
	if (!delivered)
		ob_warn(mm->machine.ob, "model: %02x.%x: message interrupt to nobody: %#x at %#llx",
			FIELD_GET(PCI_BDF_SLOT, from->devfn), FIELD_GET(PCI_BDF_FUNCTION, from->devfn), data,
			(unsigned long long)address);
}

/* ---- lines ---- */

struct intx_cookie {
	unsigned slot, pin;
};

int model_intx_open(struct machine *m, struct ob_device *dev, unsigned slot, unsigned pin, struct machine_intx *out)
{
	struct model_machine *mm = model_of(m);
	struct intx_cookie *cookie;
	int ret = 0;

	if (slot >= PCI_SLOTS_PER_BUS || pin < 1 || pin > 4)
		return -EINVAL;
	cookie = malloc(sizeof(*cookie));
	if (cookie == NULL)
		return -ENOMEM;
	*cookie = (struct intx_cookie){slot, pin - 1};
	pthread_mutex_lock(&mm->irq_lock);
	if (mm->intx_users[slot][pin - 1] == 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0)
			ret = -ENOSPC;
		else
			mm->intx_fds[slot][pin - 1] = fd;
		if (fd >= 0 && mm->intx_level[slot][pin - 1] != 0)
			fd_fire(fd);
	}
	if (ret == 0) {
		mm->intx_users[slot][pin - 1]++;
		*out = (struct machine_intx){.fd = mm->intx_fds[slot][pin - 1], .cookie = cookie};
	}
	pthread_mutex_unlock(&mm->irq_lock);
	if (ret != 0)
		free(cookie);
	return ret;
}

void model_intx_close(struct machine *m, struct machine_intx *line)
{
	struct model_machine *mm = model_of(m);
	struct intx_cookie *cookie = line->cookie;

	pthread_mutex_lock(&mm->irq_lock);
	if (--mm->intx_users[cookie->slot][cookie->pin] == 0)
		close(mm->intx_fds[cookie->slot][cookie->pin]);
	pthread_mutex_unlock(&mm->irq_lock);
	free(cookie);
	*line = (struct machine_intx){.fd = -1};
}

bool model_intx_level(struct machine *m, struct machine_intx *line)
{
	struct model_machine *mm = model_of(m);
	const struct intx_cookie *cookie = line->cookie;
	bool up;

	pthread_mutex_lock(&mm->irq_lock);
	up = mm->intx_level[cookie->slot][cookie->pin] != 0;
	pthread_mutex_unlock(&mm->irq_lock);
	return up;
}

void model_irq_line(struct model_pci_root *root, unsigned slot, unsigned pin, bool level)
{
	struct model_machine *mm = container_of(root, struct model_machine, root);
	unsigned *count = &mm->intx_level[slot][pin - 1];

	pthread_mutex_lock(&mm->irq_lock);
	*count = level ? *count + 1 : *count - 1;
	if (level && *count == 1 && mm->intx_users[slot][pin - 1] != 0)
		fd_fire(mm->intx_fds[slot][pin - 1]);
	pthread_mutex_unlock(&mm->irq_lock);
}
