#include "allocator/profile/suppressions.h"

#include <string.h>

namespace spanmalloc {
namespace {

constexpr Text TextOf(const char* text) {
  return {text, __builtin_strlen(text)};
}

struct Rule {
  const char* pattern;
  bool of_module;  // Else of the function.
  FrameTraits traits;
};

// The last lines are for what the C++ runtime allocates when it is loaded: its
// emergency pool for exceptions. What it allocates for the program is called
// from elsewhere.
constexpr Rule kOfLibraries[] = {
    // Buffers of streams.
    {"_IO_file_doallocate", false, kSuppressed},
    {"_IO_wfile_doallocate", false, kSuppressed},
    // Lists of functions that run at exit.
    {"__cxa_atexit", false, kSuppressed},
    {"__cxa_at_quick_exit", false, kSuppressed},
    {"__cxa_thread_atexit_impl", false, kSuppressed},
    {"__new_exitfn", false, kSuppressed},
    // The databases of users and hosts.
    {"__nss_*", false, kSuppressed},
    // The locale and the time zone.
    {"setlocale", false, kSuppressed},
    {"tzset", false, kSuppressed},
    {"tzset_internal", false, kSuppressed},
    {"__tz_convert", false, kSuppressed},
    // Loaded libraries, and the thread-local storage of threads. These call
    // constructors, too, and so are in many stacks.
    {"_dl_*", false, kSuppressedAsFirst},
    {"allocate_dtv*", false, kSuppressedAsFirst},
    {"ld-linux*", true, kSuppressedAsFirst},
    {"ld-linux*", true, kDynamicLinker},
    {"ld-2.*.so", true, kSuppressedAsFirst},
    {"ld-2.*.so", true, kDynamicLinker},
    {"_GLOBAL__sub_I_eh_alloc.cc", false, kSuppressed},
    {"_GLOBAL__sub_I__ZN9__gnu_cxx9__freeresEv", false, kSuppressed},
    {"libstdc++.so*", true, kCxxRuntime},
};

Text WithoutFolders(Text path) {
  const void* const slash = memrchr(path.start, '/', path.bytes);
  if (slash == nullptr) return path;
  const char* const name = static_cast<const char*>(slash) + 1;
  return {name, path.bytes - static_cast<size_t>(name - path.start)};
}

Text Trimmed(Text line) {
  const auto is_blank = [](char c) {
    return c == ' ' || c == '\t' || c == '\r';
  };
  while (line.bytes != 0 && is_blank(line.start[0])) {
    ++line.start;
    --line.bytes;
  }
  while (line.bytes != 0 && is_blank(line.start[line.bytes - 1])) --line.bytes;
  return line;
}

// What is not known has no name that * could stand for.
bool Matches(Text pattern, Text name) {
  return name.bytes != 0 && MatchesPattern(pattern, name);
}

bool MatchesUser(const NamesOfFrame& names, Text patterns) {
  while (patterns.bytes != 0) {
    const void* const end = memchr(patterns.start, '\n', patterns.bytes);
    const size_t bytes =
        end == nullptr ? patterns.bytes
                       : static_cast<size_t>(static_cast<const char*>(end) -
                                             patterns.start);
    const Text line = Trimmed({patterns.start, bytes});
    if (line.bytes != 0 && line.start[0] != '#' &&
        (Matches(line, names.function) || Matches(line, names.decoded) ||
         Matches(line, names.module) ||
         Matches(line, WithoutFolders(names.module)))) {
      return true;
    }
    const size_t taken = end == nullptr ? bytes : bytes + 1;
    patterns = {patterns.start + taken, patterns.bytes - taken};
  }
  return false;
}

}  // namespace

// Only the last * ever has to stand for more than it does.
bool MatchesPattern(Text pattern, Text name) {
  size_t p = 0, n = 0;
  size_t star = SIZE_MAX, star_end = 0;
  while (n < name.bytes) {
    if (p < pattern.bytes && pattern.start[p] == '*') {
      star = p++;
      star_end = n;
    } else if (p < pattern.bytes && pattern.start[p] == name.start[n]) {
      ++p;
      ++n;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      n = ++star_end;
    } else {
      return false;
    }
  }
  while (p < pattern.bytes && pattern.start[p] == '*') ++p;
  return p == pattern.bytes;
}

uint32_t TraitsOf(const NamesOfFrame& names, Text patterns) {
  uint32_t traits = kNoTraits;
  const Text module = WithoutFolders(names.module);
  for (const Rule& rule : kOfLibraries) {
    if (Matches(TextOf(rule.pattern),
                rule.of_module ? module : names.function)) {
      traits |= rule.traits;
    }
  }
  if (MatchesUser(names, patterns)) traits |= kSuppressed;
  return traits;
}

bool IsSuppressed(const uint32_t* traits, size_t depth) {
  if (depth == 0) return false;
  if ((traits[0] & kSuppressedAsFirst) != 0) return true;
  for (size_t i = 0; i < depth; ++i) {
    if ((traits[i] & kSuppressed) != 0) return true;
  }
  // The runtime's own start, called by the dynamic linker.
  size_t i = 0;
  while (i < depth && (traits[i] & kCxxRuntime) != 0) ++i;
  return i < depth && (traits[i] & kDynamicLinker) != 0;
}

}  // namespace spanmalloc
