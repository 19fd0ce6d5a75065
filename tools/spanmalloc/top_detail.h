// One process in detail, as lines of text.
//
// Place:    process_table -> top_list, [top_detail], top_help -> top_screen
// Not here: what the figures mean (docs/stats.md).
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TOP_DETAIL_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TOP_DETAIL_H_

#include <cstddef>
#include <string>

#include "tools/spanmalloc/process_table.h"
#include "tools/spanmalloc/screen_text.h"

namespace spanmalloc_tool {

// What the size classes are sorted by: the largest first, or by size.
enum class ClassKey { kSize, kBytes, kMallocs };

// Memory, rates and peaks; side by side if the width allows.
Lines DetailSummary(const ProcessRow& row, size_t width);

Line ClassHeader(ClassKey key, size_t width);
Lines ClassRows(const ProcessRow& row, ClassKey key, size_t width);

// Who it is, on how many threads and on which spanmalloc.
std::string DetailTitle(const ProcessSample& sample);
std::string DetailSubtitle(const ProcessSample& sample);

// All of it, for a printer.
Lines DetailText(const ProcessRow& row);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TOP_DETAIL_H_
