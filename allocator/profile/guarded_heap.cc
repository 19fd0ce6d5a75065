#include "allocator/profile/guarded_heap.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <iterator>

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

struct GuardedHeap::Found {
  GuardedError error = GuardedError::kInvalidAccess;  // If it was a fault.
  bool has_block = false;
  GuardedBlock block;
};

bool GuardedHeap::Enable(size_t slots) {
  MutexLock lock(&lock_);
  if (Load(range_size_) == 0 &&
      !Map(std::min(std::max(slots, size_t{1}), kMaxSlots))) {
    return false;
  }
  enabled_.store(true, std::memory_order_relaxed);
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
  Add(&live_, 1);
  Add(&live_bytes_, size);
  Add(&allocations_, 1);
  if (!slot.dirty) Add(&backed_bytes_, page_size_);
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
  const uintptr_t page = Page(index);
  const GuardedBlock& block = records_[index].block;
  const auto* const head = reinterpret_cast<const unsigned char*>(page);
  const size_t head_size = block.address - page;
  const unsigned char* const tail = head + head_size + block.size;
  const size_t tail_size = page_size_ - head_size - block.size;
  GuardedReport report = {};
  const unsigned char* changed;
  if (!IsPattern(tail, tail_size)) {
    changed = tail;
    while (*changed == kPattern) ++changed;
    report.error = GuardedError::kOverflowBeforeFree;
  } else if (!IsPattern(head, head_size)) {
    changed = head + head_size - 1;
    while (*changed == kPattern) --changed;
    report.error = GuardedError::kUnderflowBeforeFree;
  } else {
    return;
  }
  GuardedBlock copy = block;
  copy.is_freed = false;  // It will not be.
  report.address = reinterpret_cast<uintptr_t>(changed);
  report.now = &now;
  report.block = &copy;
  PrintGuardedReport(report);
  abort();
}

size_t GuardedHeap::SizeOf(const void* p, const char* operation) const {
  {
    MutexLock lock(&lock_);
    const uint32_t index = LiveIndex(p);
    if (index != kNone) return records_[index].block.size;
  }
  GuardedEvent now;
  CaptureNow(&now);
  ReportInvalid(p, false, now, operation);
}

void GuardedHeap::FreeBlock(void* p, const size_t* size,
                            const char* operation) {
  GuardedEvent now;
  CaptureNow(&now);
  uint32_t index;
  GuardedBlock wrong_size;
  {
    MutexLock lock(&lock_);
    index = LiveIndex(p);
    if (index != kNone) {
      Slot& slot = records_[index];
      if (size == nullptr || *size == slot.block.size) {
        slot.state = State::kRetiring;
        slot.block.is_freed = true;
        slot.block.freed = now;
        size = nullptr;
        Add(&live_, size_t{0} - 1);
        Add(&live_bytes_, 0 - slot.block.size);
      } else {
        wrong_size = slot.block;
      }
    }
  }
  if (index == kNone) ReportInvalid(p, true, now, operation);
  if (size != nullptr) {
    GuardedReport report = {};
    report.error = GuardedError::kWrongSize;
    report.address = wrong_size.address;
    report.now = &now;
    report.block = &wrong_size;
    report.size = *size;
    PrintGuardedReport(report);
    abort();
  }
  CheckAround(index, now);
  Retire(index);
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

// ---- Misuse

// kNone: no live block starts there.
uint32_t GuardedHeap::LiveIndex(const void* p) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  const size_t page = (address - Load(range_start_)) / page_size_;
  if (!Owns(p) || page % 2 == 0) return kNone;
  const Slot& slot = records_[page / 2];
  if (slot.state != State::kLive || slot.block.address != address) return kNone;
  return static_cast<uint32_t>(page / 2);
}

void GuardedHeap::ReportInvalid(const void* p, bool frees,
                                const GuardedEvent& now,
                                const char* operation) const {
  Found found;
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  {
    MutexLock lock(&lock_);
    if (Owns(p)) found = Find(address);
  }
  GuardedReport report = {};
  report.error = frees && found.has_block && found.block.is_freed &&
                         found.block.address == address
                     ? GuardedError::kDoubleFree
                     : GuardedError::kInvalidPointer;
  report.address = address;
  report.now = &now;
  if (found.has_block) report.block = &found.block;
  report.operation = operation;
  PrintGuardedReport(report);
  abort();
}

GuardedHeap::Found GuardedHeap::Find(uintptr_t address) const {
  Found found;
  const uint32_t index = Nearest(address);
  if (index == kNone) return found;
  found.has_block = true;
  found.block = records_[index].block;
  if (found.block.is_freed) {
    found.error = GuardedError::kUseAfterFree;
  } else if (address < found.block.address) {
    found.error = GuardedError::kUnderflow;
  } else if (address >= found.block.address + found.block.size) {
    found.error = GuardedError::kOverflow;
  }
  return found;
}

// The slot whose present or last block is nearest, or kNone if those that lie
// nearest have never had one.
uint32_t GuardedHeap::Nearest(uintptr_t address) const {
  const size_t page = (address - Load(range_start_)) / page_size_;
  const auto had_block = [this](size_t index) {
    return index < Load(slots_) && records_[index].block.address != 0;
  };
  const size_t right = page / 2;
  if (page % 2 != 0) {
    return had_block(right) ? static_cast<uint32_t>(right) : kNone;
  }
  // In a guard.
  uint32_t nearest = kNone;
  size_t distance = SIZE_MAX;
  if (right != 0 && had_block(right - 1)) {
    const GuardedBlock& block = records_[right - 1].block;
    nearest = static_cast<uint32_t>(right - 1);
    distance = address - (block.address + block.size);
  }
  if (had_block(right) && records_[right].block.address - address < distance) {
    nearest = static_cast<uint32_t>(right);
  }
  return nearest;
}

// ---- In the signal handler

void GuardedHeap::OnFault(const Fault& fault,
                          void* self) NO_THREAD_SAFETY_ANALYSIS {
  GuardedHeap* const heap = static_cast<GuardedHeap*>(self);
  // The program may live on; but it will not be watched any more.
  heap->Disable();
  GuardedEvent now;
  heap->CaptureFault(fault, &now);
  // The thread that has the lock may be the one that was interrupted.
  constexpr int kTries = 1000;
  bool locked = false;
  for (int i = 0; i < kTries && !locked; ++i) {
    locked = heap->lock_.TryLock();
    if (!locked) sched_yield();
  }
  const Found found = heap->Find(fault.address);
  if (locked) heap->lock_.Unlock();
  GuardedReport report = {};
  report.error = found.error;
  report.address = fault.address;
  report.now = &now;
  if (found.has_block) report.block = &found.block;
  report.access = fault.access;
  PrintGuardedReport(report);
}

// The frames of the handler lie above that of the access.
void GuardedHeap::CaptureFault(const Fault& fault, GuardedEvent* event) const {
  constexpr size_t kHandlerFrames = 16;
  void* frames[kHandlerFrames + GuardedEvent::kMaxFrames];
  void** const end = frames + capture_(frames, std::size(frames), 0);
  // Some give one more than the address of an interrupted instruction, so that
  // it looks like a return address.
  void** const first = std::find_if(frames, end, [&](void* frame) {
    return reinterpret_cast<uintptr_t>(frame) - fault.pc <= 1;
  });
  event->time_ns = MonotonicNanoseconds();
  event->thread = CurrentThreadId();
  // The access alone if the capture did not find its way out of the handler.
  event->depth = std::clamp(static_cast<size_t>(end - first), size_t{1},
                            GuardedEvent::kMaxFrames);
  if (first != end) std::copy_n(first, event->depth, event->frames);
  event->frames[0] = reinterpret_cast<void*>(fault.pc);
}

void GuardedHeap::CaptureNow(GuardedEvent* event) const {
  event->time_ns = MonotonicNanoseconds();
  event->thread = CurrentThreadId();
  // Without the method of ours that calls this.
  event->depth = capture_(event->frames, GuardedEvent::kMaxFrames, 1);
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
  uint32_t last = kNone;
  for (uint32_t i = free_first_; i != kNone; i = records_[i].next) {
    SPANMALLOC_CHECK(i < fresh_ && records_[i].state == State::kFree);
    SPANMALLOC_CHECK(++listed <= free);
    last = i;
  }
  SPANMALLOC_CHECK(listed == free && last == free_last_);
}

}  // namespace spanmalloc
