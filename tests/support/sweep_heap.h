// A class, and the class of its guests if it has any, whose free pages are
// released, for tests.
//
// Purpose:  Every object that is out holds a pattern, which is checked when it
//           is put back; what a sweep gives to the system is compared with what
//           the objects that are out leave free.
//
// Concurrency: none, but list() may be used by several threads.
#ifndef SPANMALLOC_TESTS_SUPPORT_SWEEP_HEAP_H_
#define SPANMALLOC_TESTS_SUPPORT_SWEEP_HEAP_H_

#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "allocator/central/central_heap.h"
#include "allocator/central/span_parts.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {

using Objects = std::vector<void*>;

class SweepHeap {
 public:
  enum Who { kOwn, kGuest };

  explicit SweepHeap(size_t size_class)
      : classes_{size_class, kSizeClasses[size_class].guest},
        central_(std::make_unique<CentralHeap>(&FakeSystem::memory())) {}

  static size_t ClassOfSizeExactly(size_t size) {
    size_t c = 1;
    while (kClassSizes[c] != size) ++c;
    return c;
  }

  FakeSystem& system() { return system_; }
  CentralHeap& central() { return *central_; }
  PageHeap& page_heap() { return central_->page_heap(); }
  const SizeClass& info(Who who = kOwn) const {
    return kSizeClasses[classes_[who]];
  }
  CentralFreeList& list(Who who = kOwn) {
    return central_->list(classes_[who]);
  }
  size_t capacity() const { return info().capacity; }
  bool has_guests() const { return classes_[kGuest] != 0; }
  size_t out() const { return out_.size(); }
  uint64_t released_in_spans() { return page_heap().stats().released_in_spans; }

  // As many of `n` objects as there are, in the order of the batch.
  Objects Take(size_t n, Who who = kOwn) {
    Objects batch(n);
    batch.resize(list(who).RemoveRange(batch.data(), n));
    for (void* p : batch) {
      const size_t size = info(who).size;
      // The next object that is out, and the one before.
      const auto next = out_.lower_bound(AddressOf(p));
      if (next != out_.end()) {
        EXPECT_LE(AddressOf(p) + size, next->first);
      }
      if (next != out_.begin()) {
        const auto before = std::prev(next);
        EXPECT_LE(before->first + info(before->second.who).size, AddressOf(p));
      }
      ++seed_;
      out_[AddressOf(p)] = {who, seed_};
      memset(p, seed_, size);
    }
    Check();
    return batch;
  }
  void Put(const Objects& batch, Who who = kOwn) {
    for (void* p : batch) {
      const auto it = out_.find(AddressOf(p));
      ASSERT_NE(it, out_.end());
      EXPECT_EQ(it->second.who, who);
      EXPECT_TRUE(IsIntact(it->first, it->second)) << p;
      out_.erase(it);
    }
    list(who).InsertRange(batch.data(), batch.size());
    Check();
  }
  Objects AllOut(Who who = kOwn) const {
    Objects all;
    for (const auto& [address, object] : out_) {
      if (object.who == who) all.push_back(reinterpret_cast<void*>(address));
    }
    return all;
  }
  void PutAll() {
    Put(AllOut());
    if (has_guests()) Put(AllOut(kGuest), kGuest);
  }

  // A sweep of all spans; its releases are exactly the pages that are free.
  size_t ReleaseAll(size_t page_size) {
    const std::set<uintptr_t> free = FreePages(page_size);
    system_.TakeReleased();
    const SpanRelease release =
        list().ReleaseFreePages(false, SIZE_MAX, page_size);
    EXPECT_FALSE(release.refused);
    std::set<uintptr_t> released;
    size_t bytes = 0;
    for (const FakeSystem::Range& range : system_.TakeReleased()) {
      EXPECT_EQ((range.start | range.size) % page_size, 0u);
      bytes += range.size;
      for (size_t at = 0; at < range.size; at += page_size) {
        EXPECT_TRUE(released.insert(range.start + at).second);
      }
    }
    EXPECT_EQ(released, free);
    EXPECT_EQ(release.bytes, bytes);
    std::set<uintptr_t> spans;
    for (const uintptr_t page : released) spans.insert(page / kSmallSpanSize);
    EXPECT_EQ(release.spans, spans.size());
    Check();
    return bytes;
  }

  // Those pages in partly used spans of the class of which no byte belongs to
  // an object that is out, and which are not released.
  std::set<uintptr_t> FreePages(size_t page_size) {
    std::map<uintptr_t, std::set<uintptr_t>> used;  // By span.
    for (const auto& [address, object] : out_) {
      if (SpanAt(address)->tag() != TagOfClass(classes_[kOwn])) continue;
      const uintptr_t last = address + info(object.who).size - 1;
      for (uintptr_t page = AlignDown(address, page_size); page <= last;
           page += page_size) {
        used[AlignDown(address, kSmallSpanSize)].insert(page);
      }
    }
    std::set<uintptr_t> free;
    for (const auto& [span, pages] : used) {
      for (uintptr_t page = span; page < span + kSmallSpanSize;
           page += page_size) {
        const size_t part = (page - span) / Span::kReleaseUnit;
        if (pages.count(page) == 0 &&
            (SpanAt(span)->released >> part & 1) == 0) {
          free.insert(page);
        }
      }
    }
    return free;
  }

  static uintptr_t AddressOf(const void* p) {
    return reinterpret_cast<uintptr_t>(p);
  }
  const Span* SpanAt(uintptr_t address) {
    return page_heap().pagemap().SmallSpanOf(address);
  }
  // Of the `size` bytes there.
  static size_t ResidentBytes(uintptr_t address, size_t size) {
    constexpr size_t kPage = 4096;
    std::vector<unsigned char> pages(size / kPage);
    EXPECT_EQ(mincore(reinterpret_cast<void*>(address), size, pages.data()), 0);
    size_t n = 0;
    for (const unsigned char page : pages) n += page & 1;
    return n * kPage;
  }

  void Check() {
    central_->CheckWhenQuiet();
    for (const auto& [address, object] : out_) {
      if (!IsIntact(address, object)) {
        ADD_FAILURE() << "changed at " << std::hex << address;
        return;
      }
    }
  }

 private:
  struct Object {
    Who who;
    uint8_t seed;
  };
  bool IsIntact(uintptr_t address, const Object& object) const {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(address);
    const size_t size = info(object.who).size;
    return bytes[0] == object.seed && memcmp(bytes, bytes + 1, size - 1) == 0;
  }

  FakeSystem system_;
  const size_t classes_[2];
  const std::unique_ptr<CentralHeap> central_;
  std::map<uintptr_t, Object> out_;
  uint8_t seed_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_SWEEP_HEAP_H_
