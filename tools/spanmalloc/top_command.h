// `spanmalloc top`: all processes on spanmalloc, now and now again.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TOP_COMMAND_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TOP_COMMAND_H_

#include <string>
#include <vector>

namespace spanmalloc_tool {

// Fills the screen until it is told to end, or prints once. Returns the exit
// status.
int TopCommand(const std::vector<std::string>& arguments);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TOP_COMMAND_H_
