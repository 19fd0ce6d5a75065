#include "allocator/profile/guarded_heap.h"

#include <string.h>

#include <algorithm>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/os/clock.h"
#include "allocator/os/system_info.h"
#include "allocator/os/thread_id.h"

namespace spanmalloc {
namespace {

// What surrounds a block. Neither zero nor text, which overflows often write.
constexpr unsigned char kPattern = 0xb7;

bool IsPattern(const unsigned char* p, size_t size) {
  // If each byte equals the next, all equal the first.
  return size == 0 || (p[0] == kPattern && memcmp(p, p + 1, size - 1) == 0);
}

}  // namespace

bool GuardedHeap::Enable(size_t slots) {
  MutexLock lock(&lock_);
  if (Load(range_size_) == 0 &&
      !Map(std::min(std::max(slots, size_t{1}), kMaxSlots))) {
    return false;
  }
  enabled_.store(true, std::memory_order_release);
  return true;
}

bool GuardedHeap::Map(size_t slots) {
  page_size_ = SystemPageSize();
  const size_t range_size = (2 * slots + 1) * page_size_;
  const size_t records_size = AlignUp(slots * sizeof(Slot), page_size_);
  void* const records = system_->reserve(records_size);
  void* const range = system_->reserve(range_size);
  const uintptr_t start = reinterpret_cast<uintptr_t>(range);
  records_ = static_cast<Slot*>(records);
  // A handler may run as soon as it is installed, but nobody has a pointer into
  // the range yet.
  if (records == nullptr || range == nullptr ||
      !system_->forbid_access(range, range_size) ||
      !WatchFaults(start, range_size, OnFault, this)) {
    Unmap(range, range_size, records, records_size);
    return false;
  }
  random_ = RandomBits() | 1;
  slots_.store(slots, std::memory_order_relaxed);
  mapped_bytes_.store(range_size + records_size, std::memory_order_relaxed);
  records_bytes_.store(records_size, std::memory_order_relaxed);
  range_start_.store(start, std::memory_order_relaxed);
  range_size_.store(range_size, std::memory_order_release);
  return true;
}

void GuardedHeap::Unmap(void* range, size_t range_size, void* records,
                        size_t records_size) const {
  if (range != nullptr) system_->unmap(range, range_size);
  if (records != nullptr) system_->unmap(records, records_size);
}

// ---- Blocks

void* GuardedHeap::Allocate(size_t size, size_t alignment) {
  if (!enabled() || size > page_size_ || alignment > page_size_) return nullptr;
  bool right;
  const uint32_t index = Take(&right);
  if (index == kNone) return nullptr;
  void* const page = reinterpret_cast<void*>(Page(index));
  if (!system_->allow_access(page, page_size_)) {
    GiveBack(index);
    return nullptr;
  }
  Slot& slot = records_[index];
  if (slot.dirty) memset(page, 0, page_size_);
  GuardedBlock block;
  block.address = Place(index, size, alignment, right);
  block.size = size;
  block.alignment = alignment;
  block.is_freed = false;
  block.freed.depth = 0;
  CaptureNow(&block.allocated);
  FillAround(index, block);
  MutexLock lock(&lock_);
  slot.block = block;
  slot.state = State::kLive;
  if (!slot.dirty) {
    Raise(&peak_backed_bytes_, Load(backed_bytes_) + page_size_);
    Add(&backed_bytes_, page_size_);
  }
  Raise(&peak_live_bytes_, Load(live_bytes_) + size);
  Add(&live_, 1);
  Add(&live_bytes_, size);
  Add(&allocations_, 1);
  Add(&allocated_bytes_, size);
  slot.dirty = false;
  return reinterpret_cast<void*>(block.address);
}

uint32_t GuardedHeap::Take(bool* right) {
  MutexLock lock(&lock_);
  uint32_t index;
  if (fresh_ < Load(slots_)) {
    index = fresh_++;
  } else if (free_first_ != kNone) {
    index = free_first_;
    free_first_ = records_[index].next;
    if (free_first_ == kNone) free_last_ = kNone;
  } else {
    Add(&refused_, 1);
    return kNone;
  }
  records_[index].state = State::kPreparing;
  // xorshift64.
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  *right = (random_ >> 63) != 0;
  return index;
}

// What Take took. It is the first again.
void GuardedHeap::GiveBack(uint32_t index) {
  MutexLock lock(&lock_);
  Add(&refused_, 1);
  records_[index].state = State::kFree;
  records_[index].next = free_first_;
  free_first_ = index;
  if (free_last_ == kNone) free_last_ = index;
}

uintptr_t GuardedHeap::Place(uint32_t index, size_t size, size_t alignment,
                             bool right) const {
  if (!right) return Page(index);
  // A block of no bytes has an address of its own.
  return AlignDown(Page(index) + page_size_ - std::max(size, size_t{1}),
                   std::max(alignment, kMinAlignment));
}

void GuardedHeap::FillAround(uint32_t index, const GuardedBlock& block) const {
  const uintptr_t page = Page(index), end = block.address + block.size;
  memset(reinterpret_cast<void*>(page), kPattern, block.address - page);
  memset(reinterpret_cast<void*>(end), kPattern, page + page_size_ - end);
}

// Of the changed bytes that which is nearest to the block is reported.
void GuardedHeap::CheckAround(uint32_t index, const GuardedEvent& now) const {
  const GuardedBlock& block = records_[index].block;
  const auto* const head = reinterpret_cast<const unsigned char*>(Page(index));
  const size_t head_size = block.address - Page(index);
  const unsigned char* const tail = head + head_size + block.size;
  const size_t tail_size = page_size_ - head_size - block.size;
  if (!IsPattern(tail, tail_size)) {
    const unsigned char* changed = tail;
    while (*changed == kPattern) ++changed;
    ReportChange(GuardedError::kOverflowBeforeFree, changed, index, now);
  }
  if (!IsPattern(head, head_size)) {
    const unsigned char* changed = head + head_size - 1;
    while (*changed == kPattern) --changed;
    ReportChange(GuardedError::kUnderflowBeforeFree, changed, index, now);
  }
}

size_t GuardedHeap::SizeOf(const void* p, const char* operation) const {
  {
    MutexLock lock(&lock_);
    const uint32_t index = LiveIndex(p);
    if (index != kNone) return records_[index].block.size;
  }
  GuardedEvent now;
  CaptureNow(&now);
  ReportMisuse(p, now, operation, false, nullptr);
}

void GuardedHeap::FreeBlock(void* p, const size_t* size,
                            const char* operation) {
  GuardedEvent now;
  CaptureNow(&now);
  const uint32_t index = TakeLive(p, size, now);
  if (index == kNone) ReportMisuse(p, now, operation, true, size);
  CheckAround(index, now);
  Retire(index);
}

uint32_t GuardedHeap::TakeLive(const void* p, const size_t* size,
                               const GuardedEvent& now) {
  MutexLock lock(&lock_);
  const uint32_t index = LiveIndex(p);
  if (index == kNone) return kNone;
  Slot& slot = records_[index];
  if (size != nullptr && *size != slot.block.size) return kNone;
  slot.state = State::kRetiring;
  slot.block.is_freed = true;
  slot.block.freed = now;
  Add(&live_, size_t{0} - 1);
  Add(&live_bytes_, 0 - slot.block.size);
  Add(&frees_, 1);
  Add(&freed_bytes_, slot.block.size);
  return index;
}

void GuardedHeap::Retire(uint32_t index) {
  void* const page = reinterpret_cast<void*>(Page(index));
  // In this order, so that a write after the free is a fault, not lost. If the
  // system refuses, there is nothing better to do than to go on.
  system_->forbid_access(page, page_size_);
  const bool released = system_->release(page, page_size_);
  MutexLock lock(&lock_);
  Slot& slot = records_[index];
  slot.dirty = !released;
  if (released) Add(&backed_bytes_, 0 - page_size_);
  slot.state = State::kFree;
  slot.next = kNone;
  if (free_last_ == kNone) {
    free_first_ = index;
  } else {
    records_[free_last_].next = index;
  }
  free_last_ = index;
}

// kNone: no live block starts there.
uint32_t GuardedHeap::LiveIndex(const void* p) const {
  if (!Owns(p)) return kNone;
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  const size_t page = (address - Load(range_start_)) / page_size_;
  if (page % 2 == 0) return kNone;
  const Slot& slot = records_[page / 2];
  if (slot.state != State::kLive || slot.block.address != address) return kNone;
  return static_cast<uint32_t>(page / 2);
}

void GuardedHeap::CaptureNow(GuardedEvent* event) const {
  event->time_ns = MonotonicNanoseconds();
  event->thread = CurrentThreadId();
  // Without the method of ours that calls this.
  event->depth = capture_(event->frames, GuardedEvent::kMaxFrames, 1);
}

// Frees first, peaks last: no difference can come out negative.
GuardedStats GuardedHeap::stats() const {
  const auto load = [](const std::atomic<size_t>& n) -> uint64_t {
    return n.load(std::memory_order_acquire);
  };
  GuardedStats stats;
  stats.freed_bytes = load(freed_bytes_);
  stats.frees = load(frees_);
  stats.allocated_bytes = load(allocated_bytes_);
  stats.mallocs = load(allocations_);
  stats.backed_bytes = load(backed_bytes_);
  stats.peak_bytes = load(peak_live_bytes_);
  stats.peak_backed_bytes = load(peak_backed_bytes_);
  stats.range_bytes = load(range_size_);
  stats.records_bytes = stats.range_bytes == 0 ? 0 : load(records_bytes_);
  return stats;
}

// ---- Invariants

void GuardedHeap::CheckInvariants() const {
  MutexLock lock(&lock_);
  const uint32_t slots = static_cast<uint32_t>(Load(slots_));
  size_t live = 0, live_bytes = 0, free = 0, listed = 0;
  SPANMALLOC_CHECK(fresh_ <= slots);
  for (uint32_t i = 0; i < fresh_; ++i) {
    const Slot& slot = records_[i];
    SPANMALLOC_CHECK(slot.state != State::kFresh);
    if (slot.state == State::kFree) ++free;
    if (slot.state != State::kLive) continue;
    ++live;
    live_bytes += slot.block.size;
    const uintptr_t page = Page(i), address = slot.block.address;
    SPANMALLOC_CHECK(address >= page && !slot.block.is_freed);
    SPANMALLOC_CHECK(address + slot.block.size <= page + page_size_);
    SPANMALLOC_CHECK(address % slot.block.alignment == 0);
  }
  SPANMALLOC_CHECK(live == Load(live_) && live_bytes == Load(live_bytes_));
  SPANMALLOC_CHECK(live == Load(allocations_) - Load(frees_));
  SPANMALLOC_CHECK(live_bytes == Load(allocated_bytes_) - Load(freed_bytes_));
  SPANMALLOC_CHECK(live_bytes <= Load(peak_live_bytes_));
  uint32_t last = kNone;
  for (uint32_t i = free_first_; i != kNone; i = records_[i].next) {
    SPANMALLOC_CHECK(i < fresh_ && records_[i].state == State::kFree);
    SPANMALLOC_CHECK(++listed <= free);
    last = i;
  }
  SPANMALLOC_CHECK(listed == free && last == free_last_);
}

}  // namespace spanmalloc
