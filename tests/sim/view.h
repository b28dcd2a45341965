/* SPDX-License-Identifier: BSD-2-Clause */
/* Small worlds for the tests of what a person sees of a run: view.c is instrumented, as a driver is. */
#ifndef TESTS_SIM_VIEW_H
#define TESTS_SIM_VIEW_H

#include "sim/sim.h"

/* A driver that looks at the device's data without a read barrier, and one that does it right. */
extern const struct sim_scenario view_no_barrier, view_barrier;

/* Lines of view.c that the first one reaches, and one that neither does. */
extern const unsigned view_line_reached, view_line_missed;

#endif
