// A host class and the class of its guests (size_classes.h), for tests.
//
// Purpose:  What is taken and put is checked against all that is out, and the
//           books of both classes after every step.
//
// Concurrency: none, but list() may be used by several threads.
#ifndef SPANMALLOC_TESTS_SUPPORT_GUEST_HEAP_H_
#define SPANMALLOC_TESTS_SUPPORT_GUEST_HEAP_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <set>
#include <vector>

#include "allocator/central/central_free_list.h"
#include "allocator/central/central_heap.h"
#include "tests/support/fake_system.h"
#include "tests/support/live_bytes.h"

namespace spanmalloc {

using Objects = std::vector<void*>;

inline uintptr_t AddressOf(const void* p) {
  return reinterpret_cast<uintptr_t>(p);
}
inline uintptr_t SpanOf(const void* p) { return AddressOf(p) / kSmallSpanSize; }

inline size_t ClassOfSizeExactly(size_t size) {
  size_t c = 1;
  while (kClassSizes[c] != size) ++c;
  return c;
}

// On a page heap of their own.
class GuestHeap {
 public:
  enum Who { kHost, kGuest };

  explicit GuestHeap(size_t host_size)
      : classes_{ClassOfSizeExactly(host_size),
                 kSizeClasses[ClassOfSizeExactly(host_size)].guest},
        central_(std::make_unique<CentralHeap>(&FakeSystem::memory())) {
    EXPECT_NE(classes_[kGuest], 0u);
  }

  FakeSystem& system() { return system_; }
  PageHeap& page_heap() { return central_->page_heap(); }
  CentralHeap& central() { return *central_; }
  const SizeClass& info(Who who) const { return kSizeClasses[classes_[who]]; }
  CentralFreeList& list(Who who) { return central_->list(classes_[who]); }
  size_t capacity() const { return info(kHost).capacity; }
  const std::set<void*>& out(Who who) const { return out_[who]; }
  size_t spans(Who who) { return list(who).stats().spans; }
  // Those of the two classes.
  size_t used_spans() {
    return page_heap().stats().used.pages() / kPagesPerSmallSpan - strangers_;
  }
  // How many of the guest class's objects in use are in slack.
  size_t guests_out() const { return guests_out_; }
  bool IsGuest(const void* p) const {
    const Span* const span =
        central_->page_heap().pagemap().SmallSpanOf(AddressOf(p));
    return span != nullptr && span->tag() == TagOfClass(classes_[kHost]);
  }

  // As many of `n` objects as there are, in the order of the batch.
  Objects Take(Who who, size_t n) {
    Objects batch(n);
    batch.resize(list(who).RemoveRange(batch.data(), n));
    for (void* object : batch) {
      const auto offset =
          static_cast<uint32_t>(AddressOf(object) % kSmallSpanSize);
      EXPECT_TRUE(who == kGuest && IsGuest(object)
                      ? info(kHost).StartsGuest(offset)
                      : info(who).StartsObject(offset))
          << object;
      EXPECT_TRUE(live_.Add(object, info(who).size))
          << object << " overlaps another";
      EXPECT_TRUE(out_[who].insert(object).second);
      guests_out_ += who == kGuest && IsGuest(object);
    }
    Check();
    return batch;
  }
  void Put(Who who, const Objects& batch) {
    for (void* object : batch) {
      EXPECT_EQ(out_[who].erase(object), 1u);
      guests_out_ -= who == kGuest && IsGuest(object);
      EXPECT_TRUE(live_.Remove(object, info(who).size));
    }
    list(who).InsertRange(batch.data(), batch.size());
    Check();
  }
  void PutAll(Who who) {
    Put(who, Objects(out_[who].begin(), out_[who].end()));
  }
  // Lets somebody else have every span's worth of pages that there is.
  void TakeAllPages() {
    while (page_heap().NewLargeSpan(Length(kPagesPerSmallSpan), kPageSize,
                                    nullptr) != nullptr) {
    }
    NoteStrangers();
  }
  // What is in use now and not by the two classes is not theirs.
  void NoteStrangers() {
    strangers_ = 0;
    strangers_ = used_spans() - spans(kHost) - spans(kGuest);
  }
  // Those of the batch that lie in `span`.
  static Objects In(uintptr_t span, const Objects& batch) {
    Objects some;
    std::copy_if(batch.begin(), batch.end(), std::back_inserter(some),
                 [span](const void* p) { return SpanOf(p) == span; });
    return some;
  }

  // Each object is where the lists say it is.
  void Check() {
    for (const Who who : {kHost, kGuest}) list(who).CheckInvariants();
    const CentralFreeListStats host = list(kHost).stats();
    const CentralFreeListStats guest = list(kGuest).stats();
    EXPECT_EQ(host.spans * capacity(), host.free_objects + out_[kHost].size());
    EXPECT_EQ(host.spans * capacity(), host.free_guests + guests_out_);
    EXPECT_EQ(guest.spans * info(kGuest).capacity,
              guest.free_objects + out_[kGuest].size() - guests_out_);
    EXPECT_EQ(guest.free_guests, 0u);
    EXPECT_EQ(host.spans + guest.spans, used_spans());
  }

 private:
  FakeSystem system_;
  LiveBytes live_;
  const size_t classes_[2];
  const std::unique_ptr<CentralHeap> central_;
  std::set<void*> out_[2];
  size_t guests_out_ = 0;
  size_t strangers_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_GUEST_HEAP_H_
