// What the resident memory of a process is, printed.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_RSS_REPORT_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_RSS_REPORT_H_

#include <sys/types.h>

#include <string>

#include "allocator/observe/stat_root.h"
#include "spanmalloc/spanmalloc.h"
#include "tools/spanmalloc/resident_memory.h"
#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

// False, with a line that says why, if it can't be read.
bool ReadResidentMemory(pid_t pid, Target* target,
                        const spanmalloc::StatRoot& root,
                        const spanmalloc_memstats& stats, ResidentMemory* out,
                        std::string* error);

// A table whose rows add up to its last.
std::string RssTable(const ResidentMemory& memory);

// An object of JSON, indented by four.
std::string RssJson(const ResidentMemory& memory);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_RSS_REPORT_H_
