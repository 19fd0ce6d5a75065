// A record that the allocator publishes (base/published.h), read from outside.
//
// Not here: what the words mean.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PUBLISHED_RECORD_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PUBLISHED_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/spanmalloc/stat_reader.h"

namespace spanmalloc_tool {

// The words of the record at the address, as one moment has them; or after some
// patience what is there: then *torn is true. False if the memory is not there.
bool ReadPublished(const Memory& memory, uint64_t address, size_t words,
                   std::vector<uint64_t>* record, bool* torn);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PUBLISHED_RECORD_H_
