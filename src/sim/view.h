/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices' own view, for reports and pictures: what state they are in, what they call their registers and memory. */
#ifndef OB_SIM_VIEW_H
#define OB_SIM_VIEW_H

#include "sim/event.h"

/* Puts each device's own view into the report. */
void view_tell_devices(void);

#endif
