// Objects of up to 32 bytes against a model: threads allocate, resize and free
// them in every way there is, their own and each other's; no two overlap, each
// is aligned as far as its size says, may be used to its last byte and keeps
// what is written there.
//
// SPANMALLOC_TEST_SCALE=N in the environment makes it N times as long.
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "allocator/api/allocator.h"
#include "tests/support/live_bytes.h"

namespace spanmalloc {
namespace {

constexpr size_t kMost = 32;
constexpr int kThreads = 4;
#if defined(SPANMALLOC_TSAN)
constexpr int kSteps = 40000;
#else
constexpr int kSteps = 500000;
#endif

int Scale() {
  const char* const text = getenv("SPANMALLOC_TEST_SCALE");
  return text == nullptr ? 1 : std::max(1, atoi(text));
}

// What a request of so many bytes gets, by default.
size_t ObjectSize(size_t size) {
  for (const size_t object : {4, 8, 12, 16, 24}) {
    if (size <= object) return object;
  }
  return kMost;
}

// C23's rule: enough for any type that fits into the size; and never less than
// four.
size_t LeastAlignment(size_t size) {
  return size >= 16 ? 16 : size >= 8 ? 8 : 4;
}

struct Block {
  unsigned char* p = nullptr;
  size_t size = 0;       // As asked for.
  size_t usable = 0;     // As it has to be.
  size_t alignment = 0;  // As asked for, or 0.
  unsigned char pattern = 0;

  // No two bytes of a block are the same, so a shifted one is found too.
  unsigned char At(size_t i) const {
    return static_cast<unsigned char>(pattern + 7 * i);
  }
  void Fill() const {
    for (size_t i = 0; i < usable; ++i) p[i] = At(i);
  }
  bool Holds(size_t n) const {
    for (size_t i = 0; i < n; ++i) {
      if (p[i] != At(i)) return false;
    }
    return true;
  }
};

// What all threads share: the oracle, and blocks that are left for others.
struct World {
  static constexpr size_t kSlots = 1024;
  struct Slot {
    std::mutex mutex;
    Block block;
  };
  LiveBytes live;
  std::array<Slot, kSlots> slots;
};

class Worker {
 public:
  Worker(unsigned seed, World* world) : random_(seed), world_(world) {}

  void Run(int steps) {
    // As many as fill several spans of one size.
    std::vector<Block> blocks(12000);
    for (int step = 0; step < steps; ++step) {
      // Each phase has a favourite size, and grows or declines, so that spans
      // fill up, drain, leave and serve others.
      if (step % 20000 == 0) {
        favourite_ = random_() % (kMost + 1);
        grows_ = random_() % 2 == 0;
        if (random_() % 4 == 0) spanmalloc_malloc_trim(0);
      }
      Block& block = blocks[random_() % blocks.size()];
      const unsigned dice = random_() % 16;
      if (block.p == nullptr) {
        if (grows_ || dice < 4) Allocate(&block);
      } else if (dice < 2) {
        Exchange(&block);
      } else if (dice < 5) {
        Resize(&block);
      } else if (!grows_ || dice < 8) {
        Free(&block);
      }
    }
    // A part of what is left is for the others.
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (i % 16 == 0) Exchange(&blocks[i]);
      if (blocks[i].p != nullptr) Free(&blocks[i]);
    }
  }

  void FreeAllOfTheOthers() {
    for (World::Slot& slot : world_->slots) {
      if (slot.block.p != nullptr) Free(&slot.block);
    }
  }

  int errors() const { return errors_; }

 private:
  void Exchange(Block* block) {
    World::Slot& slot = world_->slots[random_() % World::kSlots];
    std::lock_guard<std::mutex> lock(slot.mutex);
    std::swap(slot.block, *block);
  }

  void Check(bool ok, const char* what, const Block& block) {
    if (ok) return;
    // A broken heap breaks everywhere: the first lines are enough.
    if (++errors_ <= 3) {
      ADD_FAILURE() << what << ": " << static_cast<void*>(block.p)
                    << " of size " << block.size << ", alignment "
                    << block.alignment;
    }
  }

  size_t RandomSize() {
    return random_() % 2 == 0 ? favourite_ : random_() % (kMost + 1);
  }

  // It has just come from the allocator.
  void Welcome(Block* block) {
    Check(block->p != nullptr, "no memory", *block);
    const size_t alignment =
        std::max(LeastAlignment(block->size), block->alignment);
    Check(reinterpret_cast<uintptr_t>(block->p) % alignment == 0, "alignment",
          *block);
    Check(spanmalloc_malloc_usable_size(block->p) == block->usable,
          "usable size", *block);
    Check(world_->live.Add(block->p, block->usable), "overlap", *block);
  }
  // It is about to go.
  void Farewell(const Block& block) {
    Check(block.Holds(block.usable), "contents", block);
    Check(world_->live.Remove(block.p, block.usable), "was not live", block);
  }

  void Allocate(Block* block) {
    const size_t size = RandomSize();
    *block = Block();
    block->size = size;
    block->usable = ObjectSize(size);
    void* p = nullptr;
    switch (random_() % 8) {
      case 0:
        p = spanmalloc_calloc(size, 1);
        for (size_t i = 0; i < size; ++i) {
          Check(static_cast<char*>(p)[i] == 0, "zero", *block);
        }
        break;
      case 1:
        p = spanmalloc_realloc(nullptr, size);
        break;
      case 2: {
        block->alignment = size_t{1} << random_() % 6;
        // As if the size were rounded up to a multiple of the alignment.
        const size_t bytes =
            AlignUp(std::max<size_t>(size, 1), block->alignment);
        block->usable = ObjectSize(bytes);
        p = random_() % 2 == 0 || block->alignment < sizeof(void*)
                ? spanmalloc_aligned_alloc(block->alignment, size)
                : PosixMemalign(block->alignment, size);
        break;
      }
      default:
        p = spanmalloc_malloc(size);
    }
    block->p = static_cast<unsigned char*>(p);
    block->pattern = static_cast<unsigned char>(random_());
    Welcome(block);
    block->Fill();
  }
  static void* PosixMemalign(size_t alignment, size_t size) {
    void* p = nullptr;
    return spanmalloc_posix_memalign(&p, alignment, size) == 0 ? p : nullptr;
  }

  void Resize(Block* block) {
    Farewell(*block);
    const size_t kept = std::min(block->size, size_t{kMost});
    block->size = std::max<size_t>(RandomSize(), 1);
    block->usable = ObjectSize(block->size);
    block->alignment = 0;
    block->p =
        static_cast<unsigned char*>(spanmalloc_realloc(block->p, block->size));
    Welcome(block);
    Check(block->Holds(std::min(kept, block->size)), "contents", *block);
    block->pattern = static_cast<unsigned char>(random_());
    block->Fill();
  }

  void Free(Block* block) {
    Farewell(*block);
    const unsigned dice = random_() % 4;
    if (dice == 0 && block->alignment != 0) {
      spanmalloc_free_aligned_sized(block->p, block->alignment, block->size);
    } else if (dice == 1 && block->alignment == 0) {
      spanmalloc_free_sized(block->p, block->size);
    } else if (dice == 2 && block->alignment == 0) {
      spanmalloc_sdallocx(block->p, block->size, 0);
    } else {
      spanmalloc_free(block->p);
    }
    *block = Block();
  }

  std::mt19937 random_;
  World* const world_;
  size_t favourite_ = 0;
  bool grows_ = true;
  int errors_ = 0;
};

TEST(Tiny, EverySize) {
  for (size_t size = 0; size <= kMost; ++size) {
    const size_t usable = ObjectSize(size);
    EXPECT_EQ(spanmalloc_nallocx(size, 0), usable) << size;
    std::vector<void*> blocks;
    for (int i = 0; i < 50; ++i) {
      blocks.push_back(spanmalloc_malloc(size));
      ASSERT_NE(blocks.back(), nullptr);
      EXPECT_EQ(spanmalloc_malloc_usable_size(blocks.back()), usable) << size;
      EXPECT_EQ(
          reinterpret_cast<uintptr_t>(blocks.back()) % LeastAlignment(size), 0u)
          << size;
      EXPECT_TRUE(spanmalloc_owns(blocks.back()));
    }
    for (void* p : blocks) spanmalloc_free_sized(p, size);
  }
}

// Every pair of an old and a new size, of objects and of guests.
TEST(Tiny, ReallocKeepsContents) {
  std::vector<void*> hosts;
  for (int i = 0; i < 300; ++i) {
    for (const size_t size : {12, 24}) hosts.push_back(spanmalloc_malloc(size));
  }
  for (size_t from = 1; from <= kMost; ++from) {
    for (size_t to = 1; to <= kMost + 16; ++to) {
      Block block;
      block.p = static_cast<unsigned char*>(spanmalloc_malloc(from));
      block.usable = from;
      block.Fill();
      void* const before = block.p;
      block.p = static_cast<unsigned char*>(spanmalloc_realloc(block.p, to));
      EXPECT_TRUE(block.Holds(std::min(from, to))) << from << " to " << to;
      EXPECT_EQ(block.p == before,
                to <= kMost && ObjectSize(from) == ObjectSize(to))
          << from << " to " << to;
      spanmalloc_free_sized(block.p, to);
    }
  }
  for (void* p : hosts) spanmalloc_free(p);
}

// As many objects of 4 and of 12 bytes as there are need no more memory than
// blocks of 16 would.
TEST(Tiny, GuestsTakeNoMemory) {
  constexpr size_t kPairs = 40000;
  std::vector<void*> blocks;
  const auto in_use = [] { return the_allocator.ReadStats().heap_inuse; };
  for (size_t i = 0; i < kPairs; ++i) blocks.push_back(spanmalloc_malloc(12));
  const uint64_t hosts = in_use();
  for (size_t i = 0; i < kPairs; ++i) blocks.push_back(spanmalloc_malloc(4));
  EXPECT_EQ(in_use(), hosts);
  for (void* p : blocks) spanmalloc_free(p);
}

TEST(Tiny, ThreadsAgreeWithTheModel) {
  const MemStats before = the_allocator.ReadStats();
  World world;
  int errors = 0;
  const int generations = 4 * Scale();
  for (int generation = 0; generation < generations; ++generation) {
    std::vector<Worker> workers;
    for (int t = 0; t < kThreads; ++t) {
      workers.emplace_back(static_cast<unsigned>(generation * kThreads + t),
                           &world);
    }
    std::vector<std::thread> threads;
    for (Worker& worker : workers) {
      threads.emplace_back([&worker] { worker.Run(kSteps); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Worker& worker : workers) errors += worker.errors();
    the_allocator.CheckInvariants();
    if (errors != 0) break;
  }
  Worker last(0, &world);
  last.FreeAllOfTheOthers();
  EXPECT_EQ(errors + last.errors(), 0);
  const MemStats after = the_allocator.ReadStats();
  EXPECT_EQ(after.heap_alloc, before.heap_alloc);
  EXPECT_EQ(after.mallocs - before.mallocs, after.frees - before.frees);
  the_allocator.CheckInvariants();
  // Nothing is out, so at most one span of each class stays.
  spanmalloc_malloc_trim(0);
  EXPECT_LE(the_allocator.ReadStats().heap_inuse, before.heap_inuse);
}

}  // namespace
}  // namespace spanmalloc
