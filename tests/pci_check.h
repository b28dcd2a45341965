/* SPDX-License-Identifier: BSD-2-Clause */
/* What must hold of every PCI tree after enumeration, whatever machine it is on. Reads configuration space itself. */
#ifndef TESTS_PCI_CHECK_H
#define TESTS_PCI_CHECK_H

#include <outboard/device.h>

/*
 * Bus numbers nest; every BAR has an address, aligned to its length, unless @bars_may_lack; what decodes lies inside
 * the windows of all bridges above and overlaps nothing beside it. Fails the test with the two devices' names.
 * Returns the number of functions.
 */
unsigned pci_check_tree(struct ob_machine *machine, bool bars_may_lack);

#endif
