// The part of GuardedHeap that says what was wrong, and of which block.
#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <iterator>

#include "allocator/os/clock.h"
#include "allocator/os/thread_id.h"
#include "allocator/profile/guarded_heap.h"

namespace spanmalloc {

void GuardedHeap::ReportMisuse(const void* p, const GuardedEvent& now,
                               const char* operation, bool frees,
                               const size_t* size) const {
  Found found;
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  {
    MutexLock lock(&lock_);
    if (Owns(p)) found = Find(address);
  }
  GuardedReport report = {};
  report.error = GuardedError::kInvalidPointer;
  if (found.has_block && found.block.address == address && frees) {
    if (found.block.is_freed) {
      report.error = GuardedError::kDoubleFree;
    } else if (size != nullptr) {
      report.error = GuardedError::kWrongSize;
      report.size = *size;
    }
  }
  report.address = address;
  report.now = &now;
  if (found.has_block) report.block = &found.block;
  report.operation = operation;
  PrintGuardedReport(report);
  abort();
}

void GuardedHeap::ReportChange(GuardedError error, const unsigned char* changed,
                               uint32_t index, const GuardedEvent& now) const {
  GuardedBlock block = records_[index].block;
  block.is_freed = false;  // It never will be.
  GuardedReport report = {};
  report.error = error;
  report.address = reinterpret_cast<uintptr_t>(changed);
  report.now = &now;
  report.block = &block;
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

}  // namespace spanmalloc
