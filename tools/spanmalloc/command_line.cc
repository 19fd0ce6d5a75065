#include "tools/spanmalloc/command_line.h"

#include <algorithm>
#include <cstdio>

#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace spanmalloc_tool {

bool ParseArguments(const std::vector<std::string>& arguments,
                    const std::vector<absl::string_view>& flags,
                    std::vector<std::string>* positional, std::string* error) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "--") {
      positional->insert(positional->end(), arguments.begin() + i + 1,
                         arguments.end());
      break;
    }
    if (!absl::ConsumePrefix(&argument, "--")) {
      if (argument.size() > 1 && argument[0] == '-') {
        *error = absl::StrCat("there is no option ", arguments[i]);
        return false;
      }
      positional->push_back(arguments[i]);
      continue;
    }
    const size_t equals = argument.find('=');
    const absl::string_view name = argument.substr(0, equals);
    absl::CommandLineFlag* const flag =
        std::find(flags.begin(), flags.end(), name) == flags.end()
            ? nullptr
            : absl::FindCommandLineFlag(name);
    if (flag == nullptr) {
      *error = absl::StrCat("there is no option --", name);
      return false;
    }
    std::string value = "true";
    if (equals != absl::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (!flag->IsOfType<bool>()) {
      if (i + 1 == arguments.size()) {
        *error = absl::StrCat("--", name, " needs a value");
        return false;
      }
      value = arguments[++i];
    }
    if (!flag->ParseFrom(value, error)) {
      *error = absl::StrCat("--", name, "=", value, " is no value for it");
      return false;
    }
  }
  return true;
}

int Report(absl::string_view error, int status) {
  absl::FPrintF(stderr, "spanmalloc: %s\n", error);
  return status;
}

}  // namespace spanmalloc_tool
