// SPDX-License-Identifier: GPL-3.0-or-later

/// TOML 1.0 text as a tree of values with their positions, by way of toml++.
///
/// It knows no schema. Everything that is handed out points into the document or into the text that was parsed,
/// and is valid while both live.

#ifndef CTOML_H
#define CTOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// One parsed text; owned by whoever called CToml_parse().
typedef struct CToml_Document CToml_Document;

/// Both count from 1, columns in code points; a byte order mark counts as nothing.
typedef struct {
    uint32_t line;
    uint32_t column;
} CToml_Position;

/// UTF-8 without a terminating NUL.
typedef struct {
    const char *bytes;
    size_t length;
} CToml_Text;

/// TOML's types; the four date and time types are one.
typedef enum __attribute__((enum_extensibility(closed))) {
    CToml_Kind_table,
    CToml_Kind_array,
    CToml_Kind_string,
    CToml_Kind_integer,
    CToml_Kind_float,
    CToml_Kind_boolean,
    CToml_Kind_dateTime,
} CToml_Kind;

/// A value, borrowed from its document.
typedef struct {
    CToml_Kind kind;
    /// Where it begins: a string's quote, an array's bracket, a table's header.
    CToml_Position position;
    /// A string's content, with escapes resolved.
    CToml_Text string;
    /// An integer, or 0 and 1 for a boolean.
    int64_t integer;
    /// The number of an array's elements or a table's entries.
    size_t count;
    const CToml_Document *document;
    /// For CToml.cpp only.
    const void *node;
} CToml_Value;

/// A key and its value.
typedef struct {
    CToml_Text key;
    CToml_Position position;
    CToml_Value value;
} CToml_Entry;

/// Parses a text that must outlive the document; never returns NULL.
///
/// Arrays of at least `shortestLifted` plain strings go around toml++; what is read is the same with any number.
CToml_Document *CToml_parse(const char *bytes, size_t length, size_t shortestLifted);

/// Frees a document.
void CToml_free(CToml_Document *document);

/// Tells whether the text was refused, and then why and where; such a document has an empty root.
bool CToml_error(const CToml_Document *document, CToml_Text *message, CToml_Position *position);

/// The table that the whole text is.
CToml_Value CToml_root(const CToml_Document *document);

/// An array's element in constant time; the index must be less than its count.
CToml_Value CToml_element(CToml_Value array, size_t index);

/// Writes all of a table's entries, `count` of them, in no particular order.
void CToml_entries(CToml_Value table, CToml_Entry *entries);

#ifdef __cplusplus
}
#endif

#endif
