#include "allocator/page/region_supply.h"

#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {
namespace {

// How far to jump over whatever lies in the way of the heap.
constexpr uintptr_t kJump = uintptr_t{1} << 30;

// A limited process gets a window that fits the limit, so that the map of the
// window does not use it up.
size_t WindowFor(size_t address_space_limit) {
  if (address_space_limit >= RegionSupply::kDefaultWindow / 2) {
    return RegionSupply::kDefaultWindow;
  }
  return size_t{2} << Log2Ceil(address_space_limit | kHugePageSize);
}

}  // namespace

void RegionSupply::ChooseWindow() {
  window_chosen_ = true;
  if (window_size_ == 0) window_size_ = WindowFor(AddressSpaceLimit());
  next_ = PreferredHeapAddress();
  if (next_ != 0) class_map_->Init(next_, window_size_, *system_);
}

// The system maps downwards from its libraries: the window lies below the
// region, but for a little.
void RegionSupply::OpenWindowAround(const Region& region) {
  const uintptr_t end = AlignUp(region.address + region.bytes(), kJump);
  const size_t size = AlignDown(window_size_, kSmallSpanSize);
  uintptr_t start = end > size ? end - size : 0;
  // A small window, and a region that lies across a multiple of kJump.
  if (start > region.address) start = AlignDown(region.address, kSmallSpanSize);
  class_map_->Init(start, size, *system_);
}

size_t RegionSupply::Step() const {
  const size_t step = mapped_bytes_ / 2 >> kHugePageShift;
  return step < kMinStep ? kMinStep : step > kMaxStep ? kMaxStep : step;
}

Region RegionSupply::Get(size_t needed, size_t before) {
  if (!window_chosen_) ChooseWindow();
  const Region region = GetNext(needed - before);
  return region.huge_pages != 0 ? region : GetAnywhere(needed);
}

Region RegionSupply::GetNext(size_t needed) {
  if (next_ == 0) return {};
  size_t step = Step();
  if (step < needed) step = needed;
  for (;; step = step / 2 < needed ? needed : step / 2) {
    const Region region = {next_, step};
    if (step <= (class_map_->window_end() - next_) >> kHugePageShift &&
        system_->map(next_, region.bytes()) != nullptr) {
      next_ += region.bytes();
      mapped_bytes_ += region.bytes();
      return region;
    }
    if (step == needed) return {};
  }
}

Region RegionSupply::GetAnywhere(size_t needed) {
  // With some reserve if there is room, else just what is needed.
  size_t count = Step() < needed ? needed : Step();
  uintptr_t address = MapAligned(count << kHugePageShift);
  if (address == 0 && count != needed) {
    count = needed;
    address = MapAligned(count << kHugePageShift);
  }
  if (address == 0) return {};
  const Region region = {address, count};
  mapped_bytes_ += region.bytes();
  // Only around the first one: later ones have blocks that are looked up.
  if (class_map_->map_bytes() == 0 && mapped_bytes_ == region.bytes()) {
    OpenWindowAround(region);
  }
  if (next_ != 0) {
    // There is memory, so it was the address: go on behind the obstacle.
    const uintptr_t jump = AlignUp(next_ + 1, kJump);
    next_ = jump < class_map_->window_end() ? jump : 0;
  }
  return region;
}

uintptr_t RegionSupply::MapAligned(size_t bytes) {
  const size_t padded = bytes + kHugePageSize;
  if (padded < bytes) return 0;
  void* const got = system_->map(0, padded);
  if (got == nullptr) return 0;
  const uintptr_t start = reinterpret_cast<uintptr_t>(got);
  const uintptr_t aligned = AlignUp(start, kHugePageSize);
  if (aligned != start) system_->unmap(got, aligned - start);
  const size_t behind = start + padded - (aligned + bytes);
  if (behind != 0) {
    system_->unmap(reinterpret_cast<void*>(aligned + bytes), behind);
  }
  return aligned;
}

void RegionSupply::PutBack(const Region& region) {
  system_->unmap(reinterpret_cast<void*>(region.address), region.bytes());
  mapped_bytes_ -= region.bytes();
  if (next_ == region.address + region.bytes()) next_ = region.address;
}

}  // namespace spanmalloc
