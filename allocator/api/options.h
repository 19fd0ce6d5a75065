// The settings that a user can make.
//
// Place:    api/.
// Purpose:  Turn SPANMALLOC_OPTIONS into numbers, and list them.
// Not here: the options themselves (options.def), what they do.
//
// Concurrency: pure functions of their arguments; no allocation.
// Failure:     an unknown key, a value that is no number, out of range, no
//              choice or too long: one line of warning, and the value stays as
//              it was.
#ifndef SPANMALLOC_ALLOCATOR_API_OPTIONS_H_
#define SPANMALLOC_ALLOCATOR_API_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "allocator/base/message.h"

namespace spanmalloc {

// The value of an option that is a text; ends with a zero.
struct OptionText {
  static constexpr size_t kCapacity = 256;
  char data[kCapacity] = {};

  bool Is(const char* text) const { return strcmp(data, text) == 0; }
};

// What an option of the type kCgroup holds for the word.
inline constexpr uint64_t kCgroupLimit = UINT64_MAX;

struct Options {
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help) \
  uint64_t key = default_value;
#define SPANMALLOC_CHOICE_OPTION(key, choices, help) uint64_t key = 0;
#define SPANMALLOC_TEXT_OPTION(key, help) OptionText key;
#include "allocator/api/options.def"
};

// Applies "key=value,key=value" to `options`, from left to right. A key alone
// means key=1 if it is a number. Null and empty texts change nothing.
void ParseOptions(const char* text, Options* options);

// Calls print(context, line) with a line for each option: its name, value,
// range and meaning.
void ListOptions(const Options& options,
                 void (*print)(void* context, Message* line), void* context);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_OPTIONS_H_
