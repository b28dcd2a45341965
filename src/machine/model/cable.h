/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cables between modelled network devices. What one sends the others on its cable receive; one that is alone on a cable
 * has its own frames back, as with a plug that connects both directions.
 */
#ifndef OB_MACHINE_MODEL_CABLE_H
#define OB_MACHINE_MODEL_CABLE_H

#include "machine/model/model_machine.h"
#include "model/net/inbox.h"

struct model_cable;

/* A device's end of a cable; the model of a network device. */
struct model_port {
	struct model_device *dev;
	struct vnet_model *vnet;
	struct model_cable *cable;
	struct list link; /* cable's ports */
	/* under the cable's lock */
	struct vnet_inbox inbox;
	bool fresh; /* frames have come that the device has not looked for */
};

/** cable_join - a new end of the cable @name ("": one of its own). 0; -ENOMEM. Before the machine is open. */
int cable_join(struct model_machine *mm, const char *name, struct model_port *port);
/** cable_leave - the port is gone from it; the cable goes with its last one */
void cable_leave(struct model_port *port);
/** cable_fresh - have frames come since it was last asked? */
bool cable_fresh(struct model_port *port);

extern const struct vnet_wire_ops cable_wire; /* its argument: the port */

#endif
