/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices' own view, for reports, pictures and figures: their states, what they call their registers and memory. */
#ifndef OB_SIM_VIEW_H
#define OB_SIM_VIEW_H

#include "sim/machine/model.h"
#include "sim/view/event.h"

/* By a model: a command was fetched; its completion is about to be written. The type's command_text() knows @a and @b. */
void view_command(struct sim_device *dev, uint64_t a, uint64_t b);
void view_completion(struct sim_device *dev, uint64_t a, uint64_t b);
/* By the device's thread, after all that it does: has a state changed? */
void view_states(void);
/* Is a state (EVENT_STATE) another one in its first word, which says most? */
bool view_state_changes(const struct event *e);
/* By the device's thread: configuration space was written. */
void view_addresses(void);
void view_state_name(const struct sim_device_type *type, unsigned state, char *text, size_t size);

/* Is it an access to a device's memory, not to a register? Such memory lies in a prefetchable BAR. */
bool view_is_memory(uint64_t address);

/* Puts each device's own view into the report. */
void view_tell_devices(void);

#endif
