// Conformance: blocks that one thread allocates and another checks, resizes or
// frees, in every size regime at once.
//
// Not here: thread exit and fork (tests/process/).

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "tests/conformance/entries.h"
#include "tests/conformance/face_test.h"

namespace conformance {
namespace {

// A block knows its size, its mark, and where it is; the mark fills it.
struct Header {
  Header* self;
  size_t size;
  unsigned char mark;
};

Header* Make(void* block, size_t size, unsigned char mark) {
  if (block == nullptr) return nullptr;
  memset(block, mark, size);
  auto* const header = static_cast<Header*>(block);
  *header = {header, size, mark};
  return header;
}

// The first `size` bytes, which may be fewer than the block has.
bool IsWhole(const Header* header, const Header* self, size_t size) {
  if (header->self != self) return false;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(header);
  for (size_t i = sizeof(Header); i < size; i++) {
    if (bytes[i] != header->mark) return false;
  }
  return true;
}

size_t RandomSize(std::mt19937* random) {
  const unsigned draw = (*random)() % 1000;
  size_t range = 300;
  if (draw < 100) range = 5000;
  if (draw < 20) range = 100000;
  if (draw < 2) range = 3000000;
  return sizeof(Header) + (*random)() % range;
}

class FaceThreads : public FaceTest {};
SPANMALLOC_BOTH_FACES(FaceThreads);

// C17 7.22.3p1: "For purposes of determining the existence of a data race,
// memory allocation functions behave as though they accessed only memory
// locations accessible through their arguments".
TEST_P(FaceThreads, BlocksChangeHands) {
  constexpr int kThreads = 4;
  constexpr int kSteps = 40000;
  constexpr size_t kSlots = 512;
  std::vector<std::atomic<Header*>> slots(kSlots);
  std::atomic<int> broken{0};
  const auto body = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int step = 0; step < kSteps && broken == 0; step++) {
      // What somebody put there is taken out, checked and let go; what is made
      // instead is for somebody else.
      Header* const found = slots[random() % kSlots].exchange(nullptr);
      if (found != nullptr && !IsWhole(found, found, found->size)) broken++;
      const size_t size = RandomSize(&random);
      const auto mark = static_cast<unsigned char>(random());
      Header* made = nullptr;
      if (found != nullptr && random() % 4 == 0) {
        const size_t kept = found->size < size ? found->size : size;
        auto* const moved = static_cast<Header*>(face().realloc_(found, size));
        if (moved == nullptr || !IsWhole(moved, found, kept)) broken++;
        made = Make(moved, size, mark);
      } else {
        face().free_(found);
        void* const block =
            random() % 16 == 0
                ? face().memalign_(size_t{64} << random() % 8, size)
                : face().malloc_(size);
        made = Make(block, size, mark);
      }
      if (made == nullptr) {
        broken++;
        break;
      }
      face().free_(slots[random() % kSlots].exchange(made));
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; i++) threads.emplace_back(body, i + 1);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken, 0);
  for (std::atomic<Header*>& slot : slots) face().free_(slot.load());
}

// One thread only allocates, another only frees: the blocks find their way
// home, and the heap does not grow with their number.
TEST_P(FaceThreads, ProducerAndConsumer) {
  constexpr size_t kRing = 1000;
  constexpr size_t kBlocks = 2000000;
  constexpr size_t kBlockSize = 100;
  std::vector<std::atomic<void*>> ring(kRing);
  const size_t before = StandardFace().mallinfo2_().arena;
  std::thread consumer([&] {
    for (size_t i = 0; i < kBlocks; i++) {
      void* block = nullptr;
      while ((block = ring[i % kRing].exchange(nullptr)) == nullptr) {
        std::this_thread::yield();
      }
      face().free_(block);
    }
  });
  for (size_t i = 0; i < kBlocks; i++) {
    void* const block = face().malloc_(kBlockSize);
    memset(block, 1, kBlockSize);
    while (ring[i % kRing].load() != nullptr) std::this_thread::yield();
    ring[i % kRing].store(block);
  }
  consumer.join();
  // A twentieth of what went through.
  EXPECT_LT(StandardFace().mallinfo2_().arena,
            before + kBlocks * kBlockSize / 20);
}

}  // namespace
}  // namespace conformance
