// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter

/// Gives memory back to the system that was needed to start, or to read a configuration, and is not for waiting.
public func returnMemory() { CNetfilter_return_memory() }
