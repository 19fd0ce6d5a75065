#include "tools/spanmalloc/heap_map.h"

#include <algorithm>

namespace spanmalloc_tool {
namespace {

using spanmalloc::StatAddress;
using spanmalloc::StatRoot;

// More parts than that are no list but a loop.
constexpr size_t kMaxParts = size_t{1} << 20;
// More than that no leaf and no bitmap can have.
constexpr uint64_t kMaxCount = 1 << 16;

uint64_t Number(StatAddress address) {
  return reinterpret_cast<uintptr_t>(address);
}

bool ReadNumber(const Memory& memory, uint64_t address, uint64_t* out) {
  return memory.read(memory.context, address, out, sizeof(*out));
}

bool IsPowerOfTwo(uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

bool IsSound(const StatRoot& root) {
  return IsPowerOfTwo(root.page_bytes) && IsPowerOfTwo(root.huge_page_bytes) &&
         root.huge_page_bytes >= root.page_bytes &&
         root.huge_page_bytes / root.page_bytes <= kMaxCount &&
         root.huge_page_bytes / root.page_bytes % 64 == 0 &&
         root.page_map_shift < 48 &&
         (uint64_t{1} << root.page_map_shift) / root.huge_page_bytes - 1 <
             kMaxCount;
}

}  // namespace

bool HeapMap::Read(const Memory& memory, const StatRoot& root,
                   const std::vector<Range>& mapped) {
  if (!IsSound(root)) return false;
  page_bytes_ = root.page_bytes;
  huge_page_bytes_ = root.huge_page_bytes;
  uint64_t table;
  if (!ReadNumber(memory, Number(root.page_map), &table)) return false;
  if (table == 0) return true;  // It has no heap yet.
  uint64_t next = 0;            // Leaves below have been looked at.
  for (const Range& range : mapped) {
    if (range.end <= range.start) continue;
    const uint64_t last = std::min((range.end - 1) >> root.page_map_shift,
                                   root.page_map_entries - 1);
    for (uint64_t i = std::max(next, range.start >> root.page_map_shift);
         i <= last; ++i) {
      uint64_t leaf;
      if (!ReadNumber(memory, table + i * sizeof(uint64_t), &leaf) ||
          (leaf != 0 &&
           !ReadLeaf(memory, root, i << root.page_map_shift, leaf))) {
        return false;
      }
      next = i + 1;
    }
  }
  AddRecords(table, root.page_map_entries * sizeof(uint64_t));
  return ReadRecords(memory, root);
}

bool HeapMap::ReadLeaf(const Memory& memory, const StatRoot& root,
                       uint64_t first_address, uint64_t leaf) {
  std::vector<uint64_t> trackers((uint64_t{1} << root.page_map_shift) /
                                 huge_page_bytes_);
  if (!memory.read(memory.context, leaf + root.leaf_trackers, trackers.data(),
                   trackers.size() * sizeof(uint64_t))) {
    return false;
  }
  const size_t words = huge_page_bytes_ / page_bytes_ / 64;
  for (size_t i = 0; i < trackers.size(); ++i) {
    if (trackers[i] == 0) continue;
    Tracker tracker = {std::vector<uint64_t>(words),
                       std::vector<uint64_t>(words)};
    const size_t bytes = words * sizeof(uint64_t);
    if (!memory.read(memory.context, trackers[i] + root.tracker_free,
                     tracker.free.data(), bytes) ||
        !memory.read(memory.context, trackers[i] + root.tracker_fresh,
                     tracker.fresh.data(), bytes)) {
      return false;
    }
    huge_pages_[first_address + i * huge_page_bytes_] = tracker;
  }
  return true;
}

bool HeapMap::ReadRecords(const Memory& memory, const StatRoot& root) {
  uint64_t class_map, class_map_bytes, part;
  if (!ReadNumber(memory, Number(root.class_map), &class_map) ||
      !ReadNumber(memory, Number(root.class_map_bytes), &class_map_bytes) ||
      !ReadNumber(memory, Number(root.records), &part)) {
    return false;
  }
  if (class_map != 0) AddRecords(class_map, class_map_bytes);
  for (size_t n = 0; part != 0; ++n) {
    uint64_t next_bytes_start[3];
    if (n == kMaxParts || !memory.read(memory.context, part, next_bytes_start,
                                       sizeof(next_bytes_start))) {
      return false;
    }
    AddRecords(next_bytes_start[2], next_bytes_start[1]);
    part = next_bytes_start[0];
  }
  return true;
}

void HeapMap::AddRecords(uint64_t start, uint64_t bytes) {
  if (start + bytes > start) records_[start] = start + bytes;
}

PageState HeapMap::StateAt(uint64_t address, uint64_t* end) const {
  if (huge_page_bytes_ == 0) {
    *end = UINT64_MAX;
    return PageState::kForeign;
  }
  const uint64_t huge_page = address / huge_page_bytes_ * huge_page_bytes_;
  const auto tracker = huge_pages_.find(huge_page);
  if (tracker != huge_pages_.end()) {
    const uint64_t page = (address - huge_page) / page_bytes_;
    *end = huge_page + (page + 1) * page_bytes_;
    const auto is_set = [page](const std::vector<uint64_t>& bits) {
      return (bits[page / 64] >> page % 64 & 1) != 0;
    };
    return !is_set(tracker->second.free)   ? PageState::kUsed
           : is_set(tracker->second.fresh) ? PageState::kReleased
                                           : PageState::kIdle;
  }
  *end = UINT64_MAX;
  const auto next_huge_page = huge_pages_.lower_bound(address);
  if (next_huge_page != huge_pages_.end()) *end = next_huge_page->first;
  const auto next = records_.upper_bound(address);
  if (next != records_.end()) *end = std::min(*end, next->first);
  if (next == records_.begin() || std::prev(next)->second <= address) {
    return PageState::kForeign;
  }
  *end = std::min(*end, std::prev(next)->second);
  return PageState::kRecords;
}

}  // namespace spanmalloc_tool
