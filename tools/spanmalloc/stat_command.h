// `spanmalloc stat`: the counters of a process or of a core file.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_STAT_COMMAND_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_STAT_COMMAND_H_

#include <string>
#include <vector>

namespace spanmalloc_tool {

extern const char kStatUsage[];

// Prints them on stdout, or one line on stderr that says why it can't. Returns
// the exit status.
int StatCommand(const std::vector<std::string>& arguments);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_STAT_COMMAND_H_
