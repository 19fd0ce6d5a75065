// Misuse of objects of up to 32 bytes, of guests above all: one line, and the
// end.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "allocator/api/allocator.h"
#include "tests/support/allocator_world.h"

namespace spanmalloc {
namespace {

// A host with a guest behind it.
struct Pair {
  size_t host;
  size_t guest;
};
void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.host; }

class TinyDeathTest : public testing::TestWithParam<Pair> {
 protected:
  TinyDeathTest() {
    // Some of both, so that none of those in question is the first or last.
    host_ = static_cast<char*>(world_.Malloc(GetParam().host));
    for (int i = 0; i < 20; ++i) world_.Malloc(GetParam().host);
    guest_ = static_cast<char*>(world_.Malloc(GetParam().guest));
    for (int i = 0; i < 20; ++i) world_.Malloc(GetParam().guest);
    const uintptr_t span = reinterpret_cast<uintptr_t>(host_) / kSmallSpanSize;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(guest_) / kSmallSpanSize, span)
        << "not a guest";
  }

  void ExpectAbort(const std::function<void()>& misuse,
                   const std::string& line) {
    EXPECT_EXIT(misuse(), testing::KilledBySignal(SIGABRT),
                "^spanmalloc: " + line + "\n$");
  }
  void ExpectDoubleFree(const std::function<void()>& misuse, const void* p,
                        size_t size) {
    ExpectAbort(misuse, Text("double free of %p", p) + " \\(" +
                            std::to_string(size) + "-byte class\\)");
  }
  void ExpectNoBlock(const char* p) {
    const char* const kRest = " of %p, which is not the start of a live block";
    ExpectAbort([&] { Free(const_cast<char*>(p)); }, "free" + Text(kRest, p));
    ExpectAbort([&] { world_.allocator->Reallocate(const_cast<char*>(p), 10); },
                "realloc" + Text(kRest, p));
    ExpectAbort([&] { world_.allocator->UsableSize(p); },
                "malloc_usable_size" + Text(kRest, p));
    ExpectAbort([&] { FreeSized(const_cast<char*>(p), GetParam().guest); },
                "malloc_usable_size" + Text(kRest, p));
  }
  void ExpectWrongSize(char* p, size_t told, size_t real) {
    ExpectAbort([&] { FreeSized(p, told); },
                Text("sized free of %p", p) + " with size " +
                    std::to_string(told) + ", but the block has " +
                    std::to_string(real) + " bytes");
  }
  static std::string Text(const char* format, const void* p) {
    char text[200];
    std::snprintf(text, sizeof(text), format, p);
    return text;
  }
  void Free(void* p) {
    if (!Allocator::Free(p)) world_.allocator->FreeSlow(p);
  }
  void FreeSized(void* p, size_t size) {
    if (!Allocator::FreeSized(p, size)) {
      world_.allocator->FreeSizedSlow(p, size, 1);
    }
  }

  void FreeAlignedSized(void* p, size_t alignment, size_t size) {
    world_.allocator->FreeSizedSlow(p, size, alignment);
  }

  AllocatorWorld world_;
  char* host_;
  char* guest_;
};
INSTANTIATE_TEST_SUITE_P(Hosts, TinyDeathTest,
                         testing::Values(Pair{12, 4}, Pair{24, 8}));

TEST_P(TinyDeathTest, DoubleFreeBackToBack) {
  const size_t size = GetParam().guest;
  ExpectDoubleFree([&] { Free(guest_), Free(guest_); }, guest_, size);
  ExpectDoubleFree([&] { Free(guest_), FreeSized(guest_, size); }, guest_,
                   size);
  ExpectDoubleFree([&] { FreeSized(guest_, size), Free(guest_); }, guest_,
                   size);
  world_.self.Exit();
  ExpectDoubleFree([&] { Free(guest_), Free(guest_); }, guest_, size);
}

TEST_P(TinyDeathTest, DoubleFreeFoundWhenTheGuestComesHome) {
  ExpectDoubleFree(
      [&] {
        void* const other = world_.Malloc(GetParam().guest);
        Free(guest_), Free(other), Free(guest_);
        world_.allocator->scavenger().Trim(0);
      },
      guest_, GetParam().guest);
  ExpectDoubleFree(
      [&] {
        void* const other = world_.Malloc(GetParam().host);
        Free(host_), Free(other), Free(host_);
        world_.allocator->scavenger().Trim(0);
      },
      host_, GetParam().host);
}

// It has been home in between.
TEST_P(TinyDeathTest, DoubleFreeLater) {
  ExpectDoubleFree(
      [&] {
        Free(guest_);
        world_.allocator->scavenger().Trim(0);
        Free(guest_);
        world_.allocator->scavenger().Trim(0);
      },
      guest_, GetParam().guest);
}

// Also its span is gone, and perhaps somebody else's.
TEST_P(TinyDeathTest, DoubleFreeWhenTheSpanIsGone) {
  const std::string line =
      Text("free of %p, which is not the start of a live block", guest_);
  const auto leave = [&] {
    world_.FreeAll();
    world_.allocator->scavenger().Trim(0);
  };
  ExpectAbort([&] { leave(), Free(guest_); }, line);
  ExpectAbort(
      [&] {
        leave();
        // No object of that size starts at any multiple of the guest's host.
        for (int i = 0; i < 100; ++i) world_.Malloc(20000);
        Free(guest_);
      },
      line);
}

// Behind a live object, but not given out.
TEST_P(TinyDeathTest, FreeOfSlackThatIsNobodys) {
  std::vector<char*> hosts;
  for (int i = 0; i < 1000; ++i) {
    hosts.push_back(static_cast<char*>(world_.Malloc(GetParam().host)));
  }
  char* const slack = hosts.back() + GetParam().host;
  ExpectDoubleFree(
      [&] {
        Free(slack);
        world_.allocator->scavenger().Trim(0);
      },
      slack, GetParam().guest);
}

TEST_P(TinyDeathTest, PointersIntoObjectsAndSlack) {
  const char* const host_end = host_ + GetParam().host;
  for (const char* p = host_ + 1; p != host_end; ++p) ExpectNoBlock(p);
  // The slack's start may be an object, the rest cannot.
  for (size_t i = 1; i < GetParam().guest; ++i) {
    ExpectNoBlock(host_end + i);
    ExpectNoBlock(guest_ + i);
  }
}

TEST_P(TinyDeathTest, WrongSize) {
  const size_t host = GetParam().host, guest = GetParam().guest;
  ExpectWrongSize(guest_, host, guest);
  ExpectWrongSize(guest_, guest + 1, guest);
  ExpectWrongSize(guest_, 1000, guest);
  ExpectWrongSize(host_, guest, host);
  ExpectWrongSize(host_, host + 1, host);
  ExpectWrongSize(host_, 16, host);
  if (guest > 4) ExpectWrongSize(guest_, 4, guest);
  // The size is right, but with that alignment it would be another block.
  for (const size_t alignment : {16, 64, 4096}) {
    ExpectAbort([&] { FreeAlignedSized(guest_, alignment, guest); },
                Text("sized free of %p", guest_) + " with size " +
                    std::to_string(guest) + ", but the block has " +
                    std::to_string(guest) + " bytes");
  }
}

// A guest needs no lock to be freed, and nothing else is taken for one.
TEST_P(TinyDeathTest, TheCacheTakesGuests) {
  ThreadCache& cache = *current_thread.cache;
  const size_t host_tag = class_of_size.TagFor(GetParam().host);
  const size_t guest_tag = class_of_size.TagFor(GetParam().guest);
  EXPECT_FALSE(cache.FreeGuestOfClass(host_, host_tag));
  EXPECT_FALSE(cache.FreeGuestOfClass(host_, guest_tag));
  EXPECT_FALSE(cache.FreeGuestOfClass(guest_ + 1, guest_tag));
  EXPECT_FALSE(cache.FreeGuestOfClass(guest_, host_tag));
  EXPECT_FALSE(cache.FreeGuestOfClass(&cache, guest_tag));
  EXPECT_FALSE(cache.FreeOfClass(guest_, host_tag));
  EXPECT_FALSE(cache.FreeOfClass(guest_, guest_tag));
  EXPECT_TRUE(cache.FreeGuestOfClass(guest_, guest_tag));
  EXPECT_FALSE(cache.FreeGuestOfClass(guest_, guest_tag)) << "it is there";
  EXPECT_FALSE(cache.Free(guest_)) << "it is there";
  EXPECT_EQ(cache.Pop(guest_tag), guest_);
  const uint64_t frees = cache.frees(ClassOfTag(guest_tag));
  EXPECT_FALSE(cache.Free(guest_ + 1));
  EXPECT_TRUE(cache.Free(guest_));
  EXPECT_EQ(cache.frees(ClassOfTag(guest_tag)), frees + 1);
  EXPECT_EQ(cache.Pop(guest_tag), guest_);
}

// Every size that the class serves is a right one.
TEST_P(TinyDeathTest, RightSizes) {
  const size_t host = GetParam().host, guest = GetParam().guest;
  for (size_t size = guest == 4 ? 0 : guest - 3; size <= guest; ++size) {
    FreeSized(guest_, size);
    world_.allocator->scavenger().Trim(0);
    guest_ = static_cast<char*>(Allocator::Allocate(guest));
    if (guest_ == nullptr) {
      guest_ = static_cast<char*>(world_.allocator->AllocateSlow(guest));
    }
  }
  for (size_t size = host - 3; size <= host; ++size) {
    FreeSized(host_, size);
    world_.allocator->scavenger().Trim(0);
    host_ = static_cast<char*>(Allocator::Allocate(host));
    if (host_ == nullptr) {
      host_ = static_cast<char*>(world_.allocator->AllocateSlow(host));
    }
  }
}

}  // namespace
}  // namespace spanmalloc
