#include "allocator/profile/stack_table.h"

#include <string.h>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {

uint64_t StackTable::Hash(const void* const* frames, size_t depth) {
  uint64_t hash = depth;
  for (size_t i = 0; i < depth; ++i) {
    hash = (hash ^ reinterpret_cast<uintptr_t>(frames[i])) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash;
}

const Stack* StackTable::Find(const Stack* first, uint64_t hash,
                              const void* const* frames, size_t depth) {
  for (const Stack* stack = first; stack != nullptr; stack = stack->next) {
    if (stack->hash == hash && stack->depth == depth &&
        memcmp(stack->frames(), frames, depth * sizeof(*frames)) == 0) {
      return stack;
    }
  }
  return nullptr;
}

const Stack* StackTable::Intern(const void* const* frames, size_t depth) {
  if (depth == 0) return &unknown_;
  if (depth > kMaxDepth) depth = kMaxDepth;
  const uint64_t hash = Hash(frames, depth);
  if (Chain* const chains = chains_.load(std::memory_order_acquire)) {
    const Stack* const first =
        chains[hash % kChains].load(std::memory_order_acquire);
    if (const Stack* const found = Find(first, hash, frames, depth)) {
      return found;
    }
  }

  MutexLock lock(&lock_);
  Chain* const chains = GetChains();
  if (chains == nullptr) return Lose();
  Chain& chain = chains[hash % kChains];
  const Stack* const first = chain.load(std::memory_order_relaxed);
  if (const Stack* const found = Find(first, hash, frames, depth)) return found;
  const size_t bytes =
      AlignUp(sizeof(Stack) + depth * sizeof(*frames), MetadataArena::kGranule);
  const size_t used = bytes_.load(std::memory_order_relaxed);
  const size_t limit = limit_.load(std::memory_order_relaxed);
  if (used > limit || bytes > limit - used) return Lose();
  Stack* const stack =
      static_cast<Stack*>(arena_->Allocate(bytes, RecordKind::kProfile));
  if (stack == nullptr) return Lose();
  *stack = {first, hash, depth};
  memcpy(stack + 1, frames, depth * sizeof(*frames));
  bytes_.store(used + bytes, std::memory_order_relaxed);
  count_.store(count_.load(std::memory_order_relaxed) + 1,
               std::memory_order_relaxed);
  chain.store(stack, std::memory_order_release);
  return stack;
}

StackTable::Chain* StackTable::GetChains() {
  Chain* chains = chains_.load(std::memory_order_relaxed);
  if (chains == nullptr) {
    // Never freed by anyone before, since it is larger than what can be: zero.
    static_assert(kChains * sizeof(Chain) > MetadataArena::kMaxReusable);
    chains = static_cast<Chain*>(
        arena_->Allocate(kChains * sizeof(Chain), RecordKind::kProfile));
    chains_.store(chains, std::memory_order_release);
  }
  return chains;
}

void StackTable::CheckInvariants() const {
  MutexLock lock(&lock_);
  const Chain* const chains = chains_.load(std::memory_order_relaxed);
  size_t count = 0, bytes = 0;
  for (size_t i = 0; chains != nullptr && i < kChains; ++i) {
    const Stack* stack = chains[i].load(std::memory_order_relaxed);
    for (; stack != nullptr; stack = stack->next) {
      SPANMALLOC_CHECK(stack->depth >= 1 && stack->depth <= kMaxDepth);
      SPANMALLOC_CHECK(stack->hash == Hash(stack->frames(), stack->depth));
      SPANMALLOC_CHECK(stack->hash % kChains == i);
      SPANMALLOC_CHECK(Find(stack->next, stack->hash, stack->frames(),
                            stack->depth) == nullptr);
      ++count;
      bytes += AlignUp(sizeof(Stack) + stack->depth * sizeof(void*),
                       MetadataArena::kGranule);
    }
  }
  SPANMALLOC_CHECK(count == count_.load(std::memory_order_relaxed));
  SPANMALLOC_CHECK(bytes == bytes_.load(std::memory_order_relaxed));
}

}  // namespace spanmalloc
