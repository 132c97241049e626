// SPDX-License-Identifier: GPL-3.0-or-later

#ifndef CTOML_SCAN_HPP
#define CTOML_SCAN_HPP

#include "CToml.h"

#include <string>
#include <string_view>
#include <vector>

/// A string in a lifted array: where it is in the text, quotes excluded, and where its quote is.
struct LiftedString {
    uint32_t offset;
    uint32_t length;
    CToml_Position position;
};

/// An array of strings that toml++ gets to see as `[]`.
struct LiftedArray {
    /// Where the `[` is, in the shortened text.
    CToml_Position opening;
    /// Where the `]` is, in the shortened text and in the original one.
    CToml_Position closing;
    CToml_Position originalClosing;
    /// Its elements in Scan::strings.
    size_t first;
    size_t count;
};

/// What one quick pass over a text finds before toml++ parses it.
///
/// Two things make it worth its lines. toml++ 3.3.0 overflows the stack on deeply dotted names and takes
/// quadratic time for very many tables: such a text is refused here. And toml++ spends 19 ms and 6 MB on 50 000
/// strings: a long array of plain strings is lifted out of the text, so that toml++ parses only what has a
/// structure. Then it is 2 ms and 1 MB.
struct Scan {
    /// Lifts the arrays that have at least so many strings.
    Scan(std::string_view text, size_t shortestLifted);

    /// Why the text is refused, or null.
    const char *error = nullptr;
    CToml_Position errorPosition = {1, 1};
    /// The text without the content of the lifted arrays; empty if there are none.
    std::string shortened;
    /// In the order of the text.
    std::vector<LiftedArray> arrays;
    std::vector<LiftedString> strings;

    /// Where a position in the shortened text is in the original one.
    CToml_Position original(CToml_Position position) const;
    /// The lifted array that opens there in the shortened text, or null.
    const LiftedArray *array(CToml_Position opening) const;
};

#endif
