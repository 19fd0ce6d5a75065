// An allocator on a fake system, and everything that it has given out.
//
// Purpose:  Tests say what happens; that all blocks stay intact, that the books
//           balance and that the structures are sound is checked on the way.
//
// Concurrency: none; the calling thread has its cache in this allocator until
//              the end of the scope.
#ifndef SPANMALLOC_TESTS_SUPPORT_ALLOCATOR_WORLD_H_
#define SPANMALLOC_TESTS_SUPPORT_ALLOCATOR_WORLD_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "allocator/api/allocator.h"
#include "tests/support/fake_system.h"
#include "tests/support/unjoined_thread.h"

namespace spanmalloc {

class AllocatorWorld {
 public:
  FakeSystem system;
  UnjoinedThread self;
  const std::unique_ptr<Allocator> allocator =
      std::make_unique<Allocator>(&FakeSystem::memory());

  ~AllocatorWorld() { Check(); }

  void* Malloc(size_t size) {
    void* p = Allocator::Allocate(size);
    if (p == nullptr) p = allocator->AllocateSlow(size);
    return Note(p, size);
  }
  void* Calloc(size_t size) {
    char* p = static_cast<char*>(Allocator::Allocate(size));
    if (p != nullptr) {
      memset(p, 0, size);
    } else {
      p = static_cast<char*>(allocator->AllocateZeroedSlow(size));
    }
    for (size_t i = 0; p != nullptr && i < size; i += 61) EXPECT_EQ(p[i], 0);
    return Note(p, size);
  }
  void* Aligned(size_t alignment, size_t size) {
    void* const p = allocator->AllocateAligned(alignment, size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u);
    return Note(p, size);
  }
  void* Realloc(size_t i, size_t size) {
    Block& block = blocks_[i];
    CheckPattern(block);
    void* const p = allocator->Reallocate(block.p, size);
    if (p == nullptr) {
      CheckPattern(block);
      return nullptr;
    }
    block.p = static_cast<char*>(p);
    CheckPattern(block, std::min(block.size, size));
    block.size = size;
    Fill(block);
    return p;
  }
  void Free(size_t i) {
    CheckPattern(blocks_[i]);
    void* const p = blocks_[i].p;
    std::swap(blocks_[i], blocks_.back());
    blocks_.pop_back();
    if (!Allocator::Free(p)) allocator->FreeSlow(p);
  }
  void FreeAll() {
    while (!blocks_.empty()) Free(blocks_.size() - 1);
  }
  size_t live() const { return blocks_.size(); }
  MemStats stats() { return allocator->ReadStats(); }

  // Everything is intact and adds up.
  void Check() {
    for (const Block& block : blocks_) CheckPattern(block);
    allocator->CheckInvariants();
    if (current_thread_state == ThreadState::kActive) {
      current_thread.cache->CheckInvariants();
    }
    const MemStats now = stats();
    EXPECT_EQ(now.mallocs - now.frees, blocks_.size());
    EXPECT_EQ(now.heap_inuse, now.heap_alloc + now.thread_cache_bytes +
                                  now.central_free_bytes + now.span_tail_bytes);
  }

 private:
  struct Block {
    char* p;
    size_t size;
    char pattern;
  };

  void* Note(void* p, size_t size) {
    if (p == nullptr) return nullptr;
    EXPECT_GE(allocator->UsableSize(p), size);
    EXPECT_TRUE(allocator->Owns(p));
    blocks_.push_back({static_cast<char*>(p), size, ++last_pattern_});
    Fill(blocks_.back());
    return p;
  }
  // Some of the first `size` bytes; all that lie in the first line.
  template <typename F>
  static void ForSome(const Block& block, size_t size, F&& f) {
    for (size_t i = 0; i < size; i += i < 64 ? 1 : 509) f(block.p[i]);
  }
  static void Fill(const Block& block) {
    ForSome(block, block.size, [&](char& c) { c = block.pattern; });
    if (block.size != 0) block.p[block.size - 1] = block.pattern;
  }
  static void CheckPattern(const Block& block, size_t size) {
    bool intact = true;
    ForSome(block, size,
            [&](char& c) { intact = intact && c == block.pattern; });
    EXPECT_TRUE(intact) << "block of " << block.size;
  }
  static void CheckPattern(const Block& block) {
    CheckPattern(block, block.size);
    if (block.size != 0) {
      EXPECT_EQ(block.p[block.size - 1], block.pattern);
    }
  }

  std::vector<Block> blocks_;
  char last_pattern_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_ALLOCATOR_WORLD_H_
