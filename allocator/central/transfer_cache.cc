#include "allocator/central/transfer_cache.h"

#include <string.h>

#include "allocator/base/check.h"

namespace spanmalloc {

bool TransferCache::HaveSlots() {
  if (SPANMALLOC_LIKELY(slots_ != nullptr)) return true;
  slots_ = static_cast<void**>(page_heap_->AllocateRecord(
      info_->max_cached * sizeof(void*), RecordKind::kTransferCaches));
  return slots_ != nullptr;
}

size_t TransferCache::RemoveRange(void** batch, size_t n) {
  if (!shared_->load(std::memory_order_relaxed)) {
    return list_->RemoveRange(batch, n);
  }
  size_t got;
  {
    MutexLock lock(&lock_);
    const uint32_t count = count_.load(std::memory_order_relaxed);
    got = n < count ? n : count;
    const uint32_t left = count - static_cast<uint32_t>(got);
    if (got != 0) memcpy(batch, slots_ + left, got * sizeof(void*));
    count_.store(left, std::memory_order_relaxed);
  }
  return got != 0 ? got : list_->RemoveRange(batch, n);
}

void TransferCache::InsertRange(void* const* batch, size_t n) {
  size_t taken = 0;
  if (shared_->load(std::memory_order_relaxed)) {
    MutexLock lock(&lock_);
    if (HaveSlots()) {
      const uint32_t count = count_.load(std::memory_order_relaxed);
      const size_t room = info_->max_cached - count;
      taken = n < room ? n : room;
      memcpy(slots_ + count, batch + (n - taken), taken * sizeof(void*));
      count_.store(count + static_cast<uint32_t>(taken),
                   std::memory_order_relaxed);
    }
  }
  if (taken != n) list_->InsertRange(batch, n - taken);
}

void TransferCache::Flush() {
  MutexLock lock(&lock_);
  const uint32_t count = count_.load(std::memory_order_relaxed);
  if (count != 0) list_->InsertRange(slots_, count);
  count_.store(0, std::memory_order_relaxed);
}

void TransferCache::CheckInvariants() const {
  MutexLock lock(&lock_);
  const size_t count = objects();
  SPANMALLOC_CHECK(count <= info_->max_cached);
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t offset =
        reinterpret_cast<uintptr_t>(slots_[i]) % kSmallSpanSize;
    SPANMALLOC_CHECK(info_->StartsObject(static_cast<uint32_t>(offset)));
    SPANMALLOC_CHECK(!list_->IsFree(slots_[i]));
  }
}

}  // namespace spanmalloc
