/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cables. A frame is copied into the inbox of each end that it goes to, under the cable's lock, which is a leaf: the
 * sender holds its own device's lock. The receivers' devices are run by the machine's worker.
 */
#include "machine/model/cable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INBOX_BYTES (512u * 1024)
#define NAME_BYTES  32u

struct model_cable {
	struct list link; /* machine's */
	struct list ports;
	pthread_mutex_t lock;
	char name[NAME_BYTES]; /* "": of one device alone */
};

static struct model_cable *find(struct model_machine *mm, const char *name)
{
	list_for_each (node, &mm->cables) {
		struct model_cable *cable = list_entry(node, struct model_cable, link);

		if (*name != '\0' && strcmp(cable->name, name) == 0)
			return cable;
	}
	return NULL;
}

static struct model_cable *make(struct model_machine *mm, const char *name)
{
	struct model_cable *cable = calloc(1, sizeof(*cable));

	if (cable == NULL)
		return NULL;
	strncpy(cable->name, name, sizeof(cable->name) - 1);
	list_init(&cable->ports);
	pthread_mutex_init(&cable->lock, NULL);
	list_add_tail(&mm->cables, &cable->link);
	return cable;
}

int cable_join(struct model_machine *mm, const char *name, struct model_port *port)
{
	void *bytes = malloc(INBOX_BYTES);

	port->cable = find(mm, name);
	if (port->cable == NULL && bytes != NULL)
		port->cable = make(mm, name);
	if (port->cable == NULL || bytes == NULL) {
		free(bytes);
		return -ENOMEM;
	}
	vnet_inbox_init(&port->inbox, bytes, INBOX_BYTES);
	list_add_tail(&port->cable->ports, &port->link);
	return 0;
}

void cable_leave(struct model_port *port)
{
	struct model_cable *cable = port->cable;

	list_del(&port->link);
	free(port->inbox.bytes);
	if (!list_empty(&cable->ports))
		return;
	list_del(&cable->link);
	pthread_mutex_destroy(&cable->lock);
	free(cable);
}

bool cable_fresh(struct model_port *port)
{
	bool fresh;

	pthread_mutex_lock(&port->cable->lock);
	fresh = port->fresh;
	port->fresh = false;
	pthread_mutex_unlock(&port->cable->lock);
	return fresh;
}

/* ---- the models' side ---- */

static void cable_send(void *arg, const struct vnet_frame *frame)
{
	struct model_port *from = arg;
	struct model_cable *cable = from->cable;
	bool alone = cable->ports.next == cable->ports.prev;

	pthread_mutex_lock(&cable->lock);
	list_for_each (node, &cable->ports) {
		struct model_port *to = list_entry(node, struct model_port, link);

		if ((to == from && !alone) || !vnet_inbox_put(&to->inbox, frame))
			continue;
		to->fresh = true;
		/* The sender looks for its own when it is done; the others' devices are not ours to run. */
		if (to != from)
			model_host_schedule(&to->dev->host, 0);
	}
	pthread_mutex_unlock(&cable->lock);
}

static bool cable_peek(void *arg, struct vnet_frame *out)
{
	struct model_port *port = arg;
	bool there;

	pthread_mutex_lock(&port->cable->lock);
	there = vnet_inbox_peek(&port->inbox, out);
	pthread_mutex_unlock(&port->cable->lock);
	return there;
}

static void cable_next(void *arg)
{
	struct model_port *port = arg;

	pthread_mutex_lock(&port->cable->lock);
	vnet_inbox_next(&port->inbox);
	pthread_mutex_unlock(&port->cable->lock);
}

const struct vnet_wire_ops cable_wire = {
	.send = cable_send,
	.peek = cable_peek,
	.next = cable_next,
};
