// `spanmalloc profile`: the heap profile of a process or of a core file.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_COMMAND_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_COMMAND_H_

#include <string>
#include <vector>

namespace spanmalloc_tool {

extern const char kProfileUsage[];

// Writes it to a file, or says on stderr in one line why it can't. Returns the
// exit status.
int ProfileCommand(const std::vector<std::string>& arguments);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_COMMAND_H_
