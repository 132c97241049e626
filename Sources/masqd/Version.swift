// SPDX-License-Identifier: GPL-3.0-or-later

/// The version, as CHANGELOG.md has it.
let version = "0.1.0"
