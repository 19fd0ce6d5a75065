// The table of processes, as lines of text.
//
// Place: process_table -> [top_list], top_detail, top_help -> top_screen
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TOP_LIST_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TOP_LIST_H_

#include <cstddef>
#include <string>

#include "tools/spanmalloc/process_table.h"
#include "tools/spanmalloc/screen_text.h"

namespace spanmalloc_tool {

// Columns that do not fit are left out, the least important first; the name of
// the process has what is left.
Line ListHeader(const ProcessTable& table, size_t width);
Line ListRow(const ProcessRow& row, size_t width);

// All processes together.
Line ListTotals(const ProcessTable& table);

// What is not in the table and why, or nothing.
std::string ListNote(const ProcessTable& table);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TOP_LIST_H_
