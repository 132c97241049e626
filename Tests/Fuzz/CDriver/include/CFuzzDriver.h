/* SPDX-License-Identifier: GPL-3.0-or-later */

#ifndef CFUZZDRIVER_H
#define CFUZZDRIVER_H

#include <stddef.h>
#include <stdint.h>

/* Feeds one input to a target; implemented in Swift, in Tests/Fuzz/Driver. */
void CFuzzDriver_feed(const uint8_t *bytes, size_t count);

/*
 * What libFuzzer's main() calls with each input.
 *
 * libnftnl and libnetfilter_conntrack end the process where an attribute has another length than they know ("kernel ABI is
 * broken"), on purpose, and no kernel makes one. Such an input is left, and is no finding.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#endif
