// SPDX-License-Identifier: GPL-3.0-or-later

#include "Scan.hpp"

#include <algorithm>
#include <cstring>

namespace {

/// masqd's own names have one dot at most; each nests a table, and toml++ destroys tables recursively.
constexpr int maximumDots = 16;
/// toml++ searches its lists of tables linearly: this many take it a second at worst.
constexpr int maximumTables = 32768;

bool precedes(CToml_Position left, CToml_Position right) {
    return left.line != right.line ? left.line < right.line : left.column < right.column;
}

/// Reads bytes and knows where it is.
struct Cursor {
    std::string_view text;
    size_t offset = 0;
    CToml_Position position = {1, 1};

    bool atEnd() const { return offset >= text.size(); }
    unsigned char byte() const { return static_cast<unsigned char>(text[offset]); }
    bool sees(std::string_view expected) const { return text.compare(offset, expected.size(), expected) == 0; }

    void advance() {
        if (byte() == '\n') {
            position = {position.line + 1, 1};
        } else if ((byte() & 0xC0) != 0x80) {  // not inside a code point
            position.column++;
        }
        offset++;
    }

    void advance(size_t count) {
        for (size_t index = 0; index < count && !atEnd(); index++) advance();
    }

    /// To the line's end; what stands in a comment is toml++'s to judge.
    void skipComment() {
        while (!atEnd() && byte() != '\n') advance();
    }

    /// Behind the closing quote, or to where an unclosed string ends.
    void skipString() {
        const char quote = text[offset];
        const char triple[] = {quote, quote, quote, 0};
        const bool multiLine = sees(triple);
        advance(multiLine ? 3 : 1);
        while (!atEnd()) {
            if (byte() == '\\' && quote == '"') {
                advance(2);
            } else if (multiLine && sees(triple)) {
                advance(3);
                // Up to two quotes may stand directly before the closing three.
                for (int extra = 0; extra < 2 && !atEnd() && text[offset] == quote; extra++) advance();
                return;
            } else if (!multiLine && (text[offset] == quote || byte() == '\n')) {
                advance();
                return;
            } else {
                advance();
            }
        }
    }

    /// Whitespace, line ends and plain comments between elements; false if toml++ should look at them.
    bool skipFiller() {
        while (!atEnd()) {
            switch (byte()) {
            case ' ': case '\t': case '\n':
                advance();
                break;
            case '\r':
                if (!sees("\r\n")) return false;
                advance(2);
                break;
            case '#':
                while (!atEnd() && byte() != '\n' && !sees("\r\n")) {
                    if ((byte() < ' ' && byte() != '\t') || byte() > '~') return false;
                    advance();
                }
                break;
            default:
                return true;
            }
        }
        return false;
    }

    /// A one-line string of printable ASCII without escapes; false if it is anything else.
    bool readPlainString(LiftedString &string) {
        const unsigned char quote = byte();
        if (quote != '"' && quote != '\'') return false;
        size_t end = offset + 1;
        for (; end < text.size() && static_cast<unsigned char>(text[end]) != quote; end++) {
            const auto character = static_cast<unsigned char>(text[end]);
            if (character < ' ' || character > '~' || (character == '\\' && quote == '"')) return false;
        }
        if (end >= text.size()) return false;
        string = {static_cast<uint32_t>(offset + 1), static_cast<uint32_t>(end - offset - 1), position};
        position.column += static_cast<uint32_t>(end + 1 - offset);
        offset = end + 1;
        return true;
    }
};

/// Reads an array of plain strings from its `[`; leaves the cursor on the `]`, or returns false.
bool readPlainArray(Cursor &cursor, std::vector<LiftedString> &strings) {
    cursor.advance();
    while (cursor.skipFiller()) {
        if (cursor.byte() == ']') return true;
        LiftedString string;
        if (!cursor.readPlainString(string)) return false;
        strings.push_back(string);
        if (!cursor.skipFiller()) return false;
        if (cursor.byte() == ',') {
            cursor.advance();
        } else if (cursor.byte() != ']') {
            return false;
        }
    }
    return false;
}

/// Counts what costs toml++ more than linear time or stack.
struct Complexity {
    int dots = 0;
    int tables = 0;
    bool isLineBlank = true;
    /// The last table's header, from its first bracket to its last one.
    std::string_view header;

    /// Takes in the first byte of what is left, outside strings and comments; returns why it is too much, or null.
    const char *count(std::string_view rest) {
        const auto byte = static_cast<unsigned char>(rest.front());
        switch (byte) {
        case '.':
            if (++dots > maximumDots) return "a name has more than 16 dots";
            tables++;
            break;
        case '[':
            dots = 0;
            // One more element of the array before it is found at once.
            if (!isLineBlank) break;
            if (header.empty() || rest.substr(0, header.size()) != header) tables++;
            header = rest.substr(0, std::min(rest.find_first_of("]\n"), rest.size() - 1) + 1);
            break;
        case '=': case ',': case '{': case '}': case ']': case '\n':
            dots = 0;
            break;
        }
        if (byte == '\n') {
            isLineBlank = true;
        } else if (byte != ' ' && byte != '\t') {
            isLineBlank = false;
        }
        return tables > maximumTables ? "the file has more than 32768 tables and dotted names" : nullptr;
    }
};

}  // namespace

Scan::Scan(std::string_view text, size_t shortestLifted) {
    if (text.size() > UINT32_MAX / 2) {
        error = "the file is larger than 2 GB";
        return;
    }
    Cursor cursor{text};
    if (cursor.sees("\xEF\xBB\xBF")) cursor.offset = 3;
    Complexity complexity;
    size_t copied = 0;
    bool expectsValue = false;  // only whitespace since the last `=`
    while (!cursor.atEnd()) {
        const auto byte = cursor.byte();
        if (byte == '#') {
            cursor.skipComment();
            continue;
        }
        if (byte == '"' || byte == '\'') {
            cursor.skipString();
            expectsValue = false;
            continue;
        }
        if ((error = complexity.count(cursor.text.substr(cursor.offset)))) {
            errorPosition = cursor.position;
            return;
        }
        if (byte == '[' && expectsValue) {
            Cursor ahead = cursor;
            const size_t first = strings.size();
            if (readPlainArray(ahead, strings) && strings.size() - first >= shortestLifted) {
                shortened.append(text.substr(copied, cursor.offset + 1 - copied));
                copied = ahead.offset;
                LiftedArray array = {};
                array.opening = cursor.position;
                if (!arrays.empty()) {
                    const auto &last = arrays.back();
                    if (cursor.position.line == last.originalClosing.line) {
                        array.opening.column -= last.originalClosing.column - last.closing.column;
                    }
                    array.opening.line -= last.originalClosing.line - last.closing.line;
                }
                array.closing = {array.opening.line, array.opening.column + 1};
                array.originalClosing = ahead.position;
                array.first = first;
                array.count = strings.size() - first;
                arrays.push_back(array);
                cursor = ahead;
            } else {
                strings.resize(first);
            }
        }
        if (byte != ' ' && byte != '\t') expectsValue = byte == '=';
        cursor.advance();
    }
    if (!arrays.empty()) shortened.append(text.substr(copied));
}

CToml_Position Scan::original(CToml_Position position) const {
    const auto next = std::upper_bound(
        arrays.begin(), arrays.end(), position,
        [](CToml_Position left, const LiftedArray &right) { return precedes(left, right.closing); });
    if (next == arrays.begin()) return position;
    const auto &last = *(next - 1);
    if (position.line == last.closing.line) {
        position.column = position.column - last.closing.column + last.originalClosing.column;
    }
    position.line += last.originalClosing.line - last.closing.line;
    return position;
}

const LiftedArray *Scan::array(CToml_Position opening) const {
    const auto found = std::lower_bound(
        arrays.begin(), arrays.end(), opening,
        [](const LiftedArray &left, CToml_Position right) { return precedes(left.opening, right); });
    if (found == arrays.end() || precedes(opening, found->opening)) return nullptr;
    return &*found;
}
