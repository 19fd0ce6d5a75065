// A fuzzer: its input is a program of operations on objects of up to 32 bytes,
// run against the prefixed names and an oracle.
//
// Two bytes are an operation: what to do, with how many objects, of which size.
// Every object is told to the oracle, filled, and verified when it goes; at the
// end of each input everything is freed and sent home, so that the next one
// finds the heap as this one did.
//
// The test tests/fuzz/tiny_fuzz runs it on a fixed number of pseudo-random
// inputs. With libFuzzer:
//
//   CC=clang CXX=clang++ cmake --preset debug -B build/fuzz
//   cmake build/fuzz -DSPANMALLOC_BUILD_FUZZERS=ON
//   cmake --build build/fuzz --target tiny_libfuzzer
//   build/fuzz/tests/tiny_libfuzzer -max_len=400 -max_total_time=600
#include <spanmalloc/spanmalloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "allocator/api/allocator.h"
#include "tests/support/live_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace spanmalloc {
namespace {

constexpr size_t kMost = 32;

#define REQUIRE(condition)                                                    \
  do {                                                                        \
    if (!(condition)) {                                                       \
      std::fprintf(stderr, "tiny_fuzz: line %d: %s\n", __LINE__, #condition); \
      std::abort();                                                           \
    }                                                                         \
  } while (false)

struct Block {
  unsigned char* p;
  size_t size;
  size_t alignment;  // 0: as malloc has it.
  size_t usable;

  unsigned char At(size_t i) const {
    return static_cast<unsigned char>(reinterpret_cast<uintptr_t>(p) / 4 * 13 +
                                      7 * i + size);
  }
};

size_t ObjectSize(size_t size) {
  for (const size_t object : {4, 8, 12, 16, 24}) {
    if (size <= object) return object;
  }
  return kMost;
}

class Program {
 public:
  explicit Program(LiveBytes* live) : live_(live) {}

  void Run(const uint8_t* data, size_t size) {
    for (size_t i = 0; i + 1 < size; i += 2) Step(data[i], data[i + 1]);
    FreeSome(0, 1);
    spanmalloc_malloc_trim(0);
    the_allocator.CheckInvariants();
  }

 private:
  // The oracle costs memory for each chunk that it has heard of.
  static constexpr size_t kMostBlocks = 50000;

  void Step(unsigned what, unsigned which) {
    const size_t size = which % (kMost + 1);
    const unsigned more = which / (kMost + 1);  // 0 to 7.
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
        Allocate(1 + what / 16, size, 0);
        break;
      case 3:
        Allocate(size_t{100} + 300 * (what / 16), size, 0);
        break;
      case 4:
        Allocate(1 + what / 16, size, size_t{1} << more % 6);
        break;
      case 5:
        Zeroed(1 + what / 16, size);
        break;
      case 6:
        // Every n-th of all.
        FreeSome(which % 7, 1 + what / 16);
        break;
      case 7:
        FreeNewest(1 + which);
        break;
      case 8:
        FreeNewest(size_t{100} * (1 + which));
        break;
      case 9:
        FreeOfSize(size);
        break;
      case 10:
        // All but every n-th of a size: spans that few objects pin.
        FreeOfSize(size, 2 + more * size_t{97});
        break;
      case 11:
      case 12:
        Resize(what / 16 * size_t{251} + more, std::max<size_t>(size, 1));
        break;
      case 13:
        FreeAt(what / 16 * size_t{911} + which);
        break;
      case 14:
        std::reverse(blocks_.begin(), blocks_.end());
        break;
      default:
        if (more == 0) the_allocator.CheckInvariants();
        spanmalloc_malloc_trim(0);
    }
  }

  void Welcome(const Block& block) {
    REQUIRE(block.p != nullptr);
    const size_t least = block.size >= 16 ? 16 : block.size >= 8 ? 8 : 4;
    const size_t alignment = std::max(least, block.alignment);
    REQUIRE(reinterpret_cast<uintptr_t>(block.p) % alignment == 0);
    REQUIRE(spanmalloc_malloc_usable_size(block.p) == block.usable);
    REQUIRE(live_->Add(block.p, block.usable));
    for (size_t i = 0; i < block.usable; ++i) block.p[i] = block.At(i);
  }
  void Farewell(const Block& block) {
    for (size_t i = 0; i < block.usable; ++i)
      REQUIRE(block.p[i] == block.At(i));
    REQUIRE(live_->Remove(block.p, block.usable));
  }

  void Allocate(size_t n, size_t size, size_t alignment) {
    const size_t bytes =
        alignment == 0 ? size : AlignUp(std::max<size_t>(size, 1), alignment);
    for (; n != 0 && blocks_.size() < kMostBlocks; --n) {
      void* const p = alignment == 0
                          ? spanmalloc_malloc(size)
                          : spanmalloc_aligned_alloc(alignment, size);
      blocks_.push_back(
          {static_cast<unsigned char*>(p), size, alignment, ObjectSize(bytes)});
      Welcome(blocks_.back());
    }
  }
  void Zeroed(size_t n, size_t size) {
    for (; n != 0 && blocks_.size() < kMostBlocks; --n) {
      auto* const p = static_cast<unsigned char*>(spanmalloc_calloc(1, size));
      REQUIRE(p != nullptr);
      for (size_t i = 0; i < size; ++i) REQUIRE(p[i] == 0);
      blocks_.push_back({p, size, 0, ObjectSize(size)});
      Welcome(blocks_.back());
    }
  }
  void Resize(size_t i, size_t size) {
    if (blocks_.empty()) return;
    Block& block = blocks_[i % blocks_.size()];
    Farewell(block);
    const Block old = block;
    block = {static_cast<unsigned char*>(spanmalloc_realloc(old.p, size)), size,
             0, ObjectSize(size)};
    REQUIRE(block.p != nullptr);
    for (size_t b = 0; b < std::min(old.size, size); ++b) {
      REQUIRE(block.p[b] == old.At(b));
    }
    Welcome(block);
  }
  void Free(const Block& block) {
    Farewell(block);
    if (block.alignment != 0) {
      spanmalloc_free_aligned_sized(block.p, block.alignment, block.size);
    } else if (reinterpret_cast<uintptr_t>(block.p) / 4 % 3 == 0) {
      spanmalloc_free_sized(block.p, block.size);
    } else {
      spanmalloc_free(block.p);
    }
  }
  void FreeAt(size_t i) {
    if (blocks_.empty()) return;
    Block& block = blocks_[i % blocks_.size()];
    Free(block);
    block = blocks_.back();
    blocks_.pop_back();
  }
  void FreeNewest(size_t n) {
    for (; n != 0 && !blocks_.empty(); --n) {
      Free(blocks_.back());
      blocks_.pop_back();
    }
  }
  template <typename F>
  void FreeIf(F&& goes) {
    size_t kept = 0;
    for (size_t i = 0; i < blocks_.size(); ++i) {
      if (goes(i, blocks_[i])) {
        Free(blocks_[i]);
      } else {
        blocks_[kept++] = blocks_[i];
      }
    }
    blocks_.resize(kept);
  }
  void FreeSome(size_t from, size_t step) {
    FreeIf([=](size_t i, const Block&) { return i % step == from % step; });
  }
  void FreeOfSize(size_t size, size_t keep_every = SIZE_MAX) {
    size_t seen = 0;
    FreeIf([=, &seen](size_t, const Block& block) {
      return ObjectSize(block.size) == ObjectSize(size) &&
             ++seen % keep_every != 0;
    });
  }

  LiveBytes* const live_;
  std::vector<Block> blocks_;
};

}  // namespace
}  // namespace spanmalloc

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static spanmalloc::LiveBytes live;
  spanmalloc::Program(&live).Run(data, size);
  return 0;
}
