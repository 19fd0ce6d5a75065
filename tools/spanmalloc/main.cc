// The command `spanmalloc`: looks at what spanmalloc does in other processes.
//
// Exit codes: 0 done, 1 the target cannot be read, 2 wrong usage.
#include <cstdio>
#include <string>
#include <vector>

#include "spanmalloc/spanmalloc.h"
#include "tools/spanmalloc/command_line.h"
#include "tools/spanmalloc/profile_command.h"
#include "tools/spanmalloc/stat_command.h"
#include "tools/spanmalloc/top_command.h"
#include "tools/spanmalloc/top_help.h"

namespace spanmalloc_tool {
namespace {

struct Command {
  const char* name;
  const char* summary;
  const char* usage;
  int (*run)(const std::vector<std::string>& arguments);
};

constexpr Command kCommands[] = {
    {"stat", "the counters of a process or of a core file", kStatUsage,
     StatCommand},
    {"profile", "the heap profile of a process or of a core file",
     kProfileUsage, ProfileCommand},
    {"top", "all processes on spanmalloc, now and now again", kTopUsage,
     TopCommand},
};

const Command* FindCommand(const std::string& name) {
  for (const Command& command : kCommands) {
    if (name == command.name) return &command;
  }
  return nullptr;
}

int Unknown(const std::string& name) {
  std::fprintf(stderr,
               "spanmalloc: there is no command %s (see: spanmalloc help)\n",
               name.c_str());
  return kUsage;
}

int Help(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    const Command* const command = FindCommand(arguments[0]);
    if (command == nullptr) return Unknown(arguments[0]);
    std::fputs(command->usage, stdout);
    return kOk;
  }
  std::puts("usage: spanmalloc COMMAND [ARGUMENT...]\n");
  for (const Command& command : kCommands) {
    std::printf("  %-8s %s\n", command.name, command.summary);
  }
  std::puts(
      "  help     what a command does: spanmalloc help COMMAND\n"
      "  version  the version of this program\n"
      "\n"
      "Exit status: 0 done, 1 the target cannot be read, 2 wrong usage.");
  return kOk;
}

bool IsHelp(const std::string& argument) {
  return argument == "help" || argument == "--help" || argument == "-h";
}

int Run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::fputs("spanmalloc: which command? (see: spanmalloc help)\n", stderr);
    return kUsage;
  }
  const std::string& name = arguments[0];
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (IsHelp(name)) return Help(rest);
  if (name == "version" || name == "--version") {
    std::printf("spanmalloc %d.%d.%d\n", SPANMALLOC_VERSION_MAJOR,
                SPANMALLOC_VERSION_MINOR, SPANMALLOC_VERSION_PATCH);
    return kOk;
  }
  const Command* const command = FindCommand(name);
  if (command == nullptr) return Unknown(name);
  for (const std::string& argument : rest) {
    if (argument == "--help" || argument == "-h") return Help({name});
  }
  return command->run(rest);
}

}  // namespace
}  // namespace spanmalloc_tool

int main(int argc, char** argv) {
  return spanmalloc_tool::Run(std::vector<std::string>(argv + 1, argv + argc));
}
