#include "tools/spanmalloc/command_line.h"

#include <cstdio>

#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace spanmalloc_tool {
namespace {

// The flag that has the name on this command line, or null.
absl::CommandLineFlag* FindFlag(const std::vector<absl::string_view>& flags,
                                absl::string_view name) {
  for (const absl::string_view known : flags) {
    const size_t equals = known.find('=');
    if (known.substr(0, equals) != name) continue;
    return absl::FindCommandLineFlag(
        equals == absl::string_view::npos ? known : known.substr(equals + 1));
  }
  return nullptr;
}

}  // namespace

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
    const size_t dashes = argument.substr(0, 2) == "--" ? 2 : 1;
    if (argument.size() < 2 || argument[0] != '-') {
      positional->push_back(arguments[i]);
      continue;
    }
    argument.remove_prefix(dashes);
    const size_t equals = argument.find('=');
    const absl::string_view name = argument.substr(0, equals);
    absl::CommandLineFlag* const flag =
        dashes == 2 || name.size() == 1 ? FindFlag(flags, name) : nullptr;
    if (flag == nullptr) {
      *error =
          absl::StrCat("there is no option ",
                       dashes == 2 ? absl::StrCat("--", name) : arguments[i]);
      return false;
    }
    const std::string written = absl::StrCat(dashes == 2 ? "--" : "-", name);
    std::string value = "true";
    if (equals != absl::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (!flag->IsOfType<bool>()) {
      if (i + 1 == arguments.size()) {
        *error = absl::StrCat(written, " needs a value");
        return false;
      }
      value = arguments[++i];
    }
    if (!flag->ParseFrom(value, error)) {
      *error = absl::StrCat(written, "=", value, " is no value for it");
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
