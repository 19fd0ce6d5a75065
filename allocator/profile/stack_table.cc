#include "allocator/profile/stack_table.h"

#include <string.h>

#include "allocator/base/check.h"

namespace spanmalloc {
namespace {

uint64_t Hash(const void* const* frames, size_t depth) {
  uint64_t hash = depth;
  for (size_t i = 0; i < depth; ++i) {
    hash = (hash ^ reinterpret_cast<uintptr_t>(frames[i])) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash;
}

bool HasFrames(const Stack* stack, const void* const* frames, size_t depth) {
  return stack->depth == depth &&
         memcmp(stack->frames(), frames, depth * sizeof(*frames)) == 0;
}

}  // namespace

const Stack* StackTable::Intern(const void* const* frames, size_t depth) {
  if (depth == 0) return &unknown_;
  if (depth > kMaxDepth) depth = kMaxDepth;
  const Stack* const stack = table_.Intern(
      Hash(frames, depth), sizeof(Stack) + depth * sizeof(*frames),
      [&](const Stack* other) { return HasFrames(other, frames, depth); },
      [&](Stack* added) {
        added->depth = depth;
        memcpy(added + 1, frames, depth * sizeof(*frames));
      });
  return stack != nullptr ? stack : &no_room_;
}

void StackTable::CheckInvariants() const {
  table_.CheckInvariants(
      [](const Stack* stack) {
        SPANMALLOC_CHECK(stack->depth >= 1 && stack->depth <= kMaxDepth);
        SPANMALLOC_CHECK(stack->hash == Hash(stack->frames(), stack->depth));
        return sizeof(Stack) + stack->depth * sizeof(void*);
      },
      [](const Stack* a, const Stack* b) {
        return HasFrames(a, b->frames(), b->depth);
      });
}

}  // namespace spanmalloc
