// The settings that a user can make.
//
// Place:    api/.
// Purpose:  Turn SPANMALLOC_OPTIONS into numbers, and list them.
// Not here: the options themselves (options.def), what they do.
//
// Concurrency: pure functions of their arguments; no allocation.
// Failure:     an unknown key, a value that is no number or out of range: one
//              line of warning, and the value stays as it was.
#ifndef SPANMALLOC_ALLOCATOR_API_OPTIONS_H_
#define SPANMALLOC_ALLOCATOR_API_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/message.h"

namespace spanmalloc {

struct Options {
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help) \
  uint64_t key = default_value;
#include "allocator/api/options.def"
#undef SPANMALLOC_OPTION
};

// Applies "key=value,key=value" to `options`, from left to right. A key alone
// means key=1. Null and empty texts change nothing.
void ParseOptions(const char* text, Options* options);

// Calls print(context, line) with a line for each option: its name, value,
// range and meaning.
void ListOptions(const Options& options,
                 void (*print)(void* context, Message* line), void* context);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_OPTIONS_H_
