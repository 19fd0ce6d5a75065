// Which stacks a report leaves out: what the user names, and what the C and C++
// libraries keep for themselves in every program.
//
// Place:    profile/, beside frame_names.h.
// Purpose:  Tell from names whether a stack is of interest.
// Not here: where the names come from, what becomes of the stacks.
//
// The user's list is a text: a pattern a line, blanks around it left out; empty
// lines and such that begin with # are no patterns. In a pattern * stands for
// any characters; the rest is taken as it is. It is for the whole of a name: of
// a function as it is in the file or as it is printed, or of a module with its
// folders or without. A stack is left out if a frame of it, any one, has such a
// name.
//
// What the libraries keep is told by more than a name: see kOfLibraries.
//
// Concurrency: pure functions of their arguments.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_SUPPRESSIONS_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_SUPPRESSIONS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/profile/label_set.h"

namespace spanmalloc {

bool MatchesPattern(Text pattern, Text name);

struct NamesOfFrame {
  Text function = {"", 0};  // As it is in the file.
  Text decoded = {"", 0};   // As it is printed.
  Text module = {"", 0};    // With its folders.
};

// What the names of a frame say, as a set.
enum FrameTraits : uint32_t {
  kNoTraits = 0,
  kSuppressed = 1 << 0,         // Every stack with it is left out.
  kSuppressedAsFirst = 1 << 1,  // Every stack that begins with it.
  kCxxRuntime = 1 << 2,         // In the C++ runtime.
  kDynamicLinker = 1 << 3,      // In the dynamic linker.
};

// `patterns` is the user's list.
uint32_t TraitsOf(const NamesOfFrame& names, Text patterns);

// Whether a stack is left out. Its frames' traits, innermost first, without
// those of this library.
bool IsSuppressed(const uint32_t* traits, size_t depth);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_SUPPRESSIONS_H_
