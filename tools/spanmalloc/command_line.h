// The arguments of one command.
//
// Flags are Abseil's. Its own parser knows no commands, and ends the program
// with status 1 where we promise 2; so the arguments are taken apart here.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_COMMAND_LINE_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace spanmalloc_tool {

// What the program ends with.
inline constexpr int kOk = 0;
inline constexpr int kUnreadable = 1;  // The target cannot be read.
inline constexpr int kUsage = 2;       // The command line is wrong.

// Sets the flags among `arguments`, as --name=value, --name value or, for those
// that are true or false, --name. Only names in `flags` are known; "name=flag"
// there lets a name stand for a flag that is called something else. A name of
// one letter is written -n. The other arguments go to `positional`. False, with
// a line that says why, if something is wrong.
bool ParseArguments(const std::vector<std::string>& arguments,
                    const std::vector<absl::string_view>& flags,
                    std::vector<std::string>* positional, std::string* error);

// Says on stderr, in one line, why the command ends so. Returns the status.
int Report(absl::string_view error, int status);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_COMMAND_LINE_H_
