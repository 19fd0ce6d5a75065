// Figures and names as people read them.
//
// Not here: where on a screen they stand (top_list.h, top_detail.h).
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_FORMAT_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_FORMAT_H_

#include <cstdint>
#include <string>

namespace spanmalloc_tool {

// "812 B", "27.9 MiB".
std::string Human(uint64_t bytes);

// For a narrow column, five characters at most: "812", "27.9M", "1010K". Steps
// are 1024.
std::string ShortBytes(uint64_t bytes);

// The same for counts and rates: "0", "3.5", "812", "27.9k", "1.2M". Steps are
// 1000.
std::string ShortCount(double count);

// A share of the whole: "12.5%"; "-" of nothing.
std::string Percent(uint64_t part, uint64_t whole);

// What a process calls itself can be any bytes, and some are orders to a
// terminal. Everything but printable ASCII becomes a '?'.
std::string Printable(const std::string& text);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_FORMAT_H_
