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
    if (left < low_) low_ = left;
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

// The oldest first. Other threads may come between two chunks; what they have
// asked for meanwhile is not unused any more.
size_t TransferCache::SendHome(bool unused_only) {
  void* batch[kChunk];
  size_t sent = 0;
  for (size_t left = SIZE_MAX; left != 0;) {
    size_t n;
    {
      MutexLock lock(&lock_);
      const uint32_t count = count_.load(std::memory_order_relaxed);
      const size_t most = unused_only ? low_ : count;
      if (left > most) left = most;
      n = left < kChunk ? left : kChunk;
      const uint32_t kept = count - static_cast<uint32_t>(n);
      if (n != 0) {
        memcpy(batch, slots_, n * sizeof(void*));
        memmove(slots_, slots_ + n, kept * sizeof(void*));
      }
      count_.store(kept, std::memory_order_relaxed);
      left -= n;
      low_ = left == 0 || low_ < n ? kept : low_ - static_cast<uint32_t>(n);
    }
    list_->InsertRange(batch, n);
    sent += n;
  }
  return sent;
}

void TransferCache::CheckInvariants() const {
  MutexLock lock(&lock_);
  const size_t count = objects();
  SPANMALLOC_CHECK(count <= info_->max_cached);
  SPANMALLOC_CHECK(low_ <= count);
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t offset =
        reinterpret_cast<uintptr_t>(slots_[i]) % kSmallSpanSize;
    SPANMALLOC_CHECK(info_->StartsObject(static_cast<uint32_t>(offset)));
    SPANMALLOC_CHECK(!list_->IsFree(slots_[i]));
  }
}

}  // namespace spanmalloc
