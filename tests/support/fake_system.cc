#include "tests/support/fake_system.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>

#include "allocator/base/config.h"

namespace spanmalloc {
namespace {

FakeSystem* current = nullptr;

bool Overlap(FakeSystem::Range a, FakeSystem::Range b) {
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

// Takes [start, start + size) out of the ranges. Returns the bytes found.
size_t Cut(uintptr_t start, size_t size, std::map<uintptr_t, size_t>* ranges) {
  const uintptr_t end = start + size;
  size_t found = 0;
  auto it = ranges->lower_bound(start);
  if (it != ranges->begin()) --it;
  while (it != ranges->end() && it->first < end) {
    const uintptr_t from = it->first, to = it->first + it->second;
    if (to <= start) {
      ++it;
      continue;
    }
    it = ranges->erase(it);
    if (from < start) ranges->emplace(from, start - from);
    if (end < to) ranges->emplace(end, to - end);
    found += std::min(to, end) - std::max(from, start);
  }
  return found;
}

size_t CountCovered(uintptr_t start, size_t size,
                    const std::map<uintptr_t, size_t>& ranges) {
  size_t found = 0;
  for (const auto& [from, length] : ranges) {
    const uintptr_t low = std::max(from, start);
    const uintptr_t high = std::min(from + length, start + size);
    if (low < high) found += high - low;
  }
  return found;
}

}  // namespace

struct FakeSystem::Functions {
  static void* Map(uintptr_t address, size_t size) {
    return current->DoMap(kMap, address, size);
  }

  static void* Reserve(size_t size) {
    return current->DoMap(kReserve, 0, size);
  }

  static bool Unmap(void* p, size_t size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(kUnmap)) return false;
    EXPECT_TRUE(current->Covered(start, size)) << "unmap of what is not mapped";
    current->Forget(start, size);
    return kLinuxMemory.unmap(p, size);
  }

  static bool Release(void* p, size_t size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    if (current->on_release_) current->on_release_();
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(kRelease)) return false;
    EXPECT_TRUE(current->Covered(start, size))
        << "release of what is not mapped";
    if (!kLinuxMemory.release(p, size)) return false;
    const bool mapped = CountCovered(start, size, current->mapped_) != 0;
    (mapped ? current->released_ : current->released_reserved_)
        .push_back({start, size});
    return true;
  }

  static bool ReleaseLazily(void* p, size_t size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    if (current->on_release_) current->on_release_();
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(kReleaseLazily)) return false;
    EXPECT_TRUE(current->Covered(start, size))
        << "release of what is not mapped";
    for (size_t at = 0; at < size; at += 2 * kPageSize) {
      memset(static_cast<char*>(p) + at, 0, std::min(kPageSize, size - at));
    }
    current->lazily_released_.push_back({start, size});
    return true;
  }

  static bool AdviseHuge(void* p, size_t size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(kAdviseHuge)) return false;
    EXPECT_TRUE(current->Covered(start, size))
        << "advice on what is not mapped";
    EXPECT_EQ((start | size) % kHugePageSize, 0u) << "not whole huge pages";
    current->forbidden_.erase(current->forbidden_.lower_bound(start),
                              current->forbidden_.lower_bound(start + size));
    return true;
  }

  static bool ForbidHuge(void* p, size_t size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(kForbidHuge)) return false;
    EXPECT_TRUE(current->Covered(start, size))
        << "advice on what is not mapped";
    EXPECT_EQ((start | size) % kHugePageSize, 0u) << "not whole huge pages";
    for (size_t at = 0; at < size; at += kHugePageSize) {
      current->forbidden_.insert(start + at);
    }
    return true;
  }

  static bool Move(void* from, void* to, size_t size) {
    const uintptr_t source = reinterpret_cast<uintptr_t>(from);
    const uintptr_t target = reinterpret_cast<uintptr_t>(to);
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(kMove)) return false;
    EXPECT_TRUE(current->Covered(source, size)) << "move of what is not mapped";
    EXPECT_TRUE(current->Covered(target, size)) << "move to what is not mapped";
    EXPECT_FALSE(Overlap({source, size}, {target, size}));
    memcpy(to, from, size);
    if (!kLinuxMemory.release(from, size)) return false;
    current->released_.push_back({source, size});
    return true;
  }

  static bool ForbidAccess(void* p, size_t size) {
    return Protect(kForbidAccess, kLinuxMemory.forbid_access, p, size);
  }

  static bool AllowAccess(void* p, size_t size) {
    return Protect(kAllowAccess, kLinuxMemory.allow_access, p, size);
  }

  static bool Protect(Call call, bool (*real)(void*, size_t), void* p,
                      size_t size) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    std::lock_guard<std::mutex> lock(current->mutex_);
    if (!current->Begin(call)) return false;
    EXPECT_TRUE(current->Covered(start, size))
        << "protection of what is not mapped";
    return real(p, size);
  }
};

const SystemMemory& FakeSystem::memory() {
  static constexpr SystemMemory kMemory = {
      Functions::Map,        Functions::Reserve,       Functions::Unmap,
      Functions::Release,    Functions::ReleaseLazily, Functions::AdviseHuge,
      Functions::ForbidHuge, Functions::Move,          Functions::ForbidAccess,
      Functions::AllowAccess};
  return kMemory;
}

FakeSystem::FakeSystem() {
  EXPECT_EQ(current, nullptr) << "one FakeSystem at a time";
  current = this;
}

FakeSystem::~FakeSystem() {
  for (const auto& ranges : {mapped_, reserved_}) {
    for (const auto& [start, size] : ranges) {
      kLinuxMemory.unmap(reinterpret_cast<void*>(start), size);
    }
  }
  current = nullptr;
}

void FakeSystem::FailCalls(size_t first, size_t last) {
  std::lock_guard<std::mutex> lock(mutex_);
  fail_first_ = first == 0 ? 0 : total_calls_ + first;
  fail_last_ = last == SIZE_MAX ? SIZE_MAX : total_calls_ + last;
}

void FakeSystem::Deny(Call call, bool denied) {
  std::lock_guard<std::mutex> lock(mutex_);
  denied_[call] = denied;
}

void FakeSystem::Occupy(uintptr_t start, size_t size) {
  std::lock_guard<std::mutex> lock(mutex_);
  occupied_.push_back({start, size});
}

// Counts a call. False if it shall fail.
bool FakeSystem::Begin(Call call) {
  ++calls_[call];
  ++total_calls_;
  const bool fails =
      denied_[call] || (fail_first_ != 0 && total_calls_ >= fail_first_ &&
                        total_calls_ <= fail_last_);
  if (fails) ++failures_;
  return !fails;
}

void* FakeSystem::DoMap(Call call, uintptr_t address, size_t size) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!Begin(call)) return nullptr;
  if (size > byte_limit_ || bytes_ > byte_limit_ - size) return nullptr;
  if (address != 0) {
    if (refuse_addresses_ || CountCovered(address, size, mapped_) != 0) {
      return nullptr;
    }
    for (const Range& range : occupied_) {
      if (Overlap(range, {address, size})) return nullptr;
    }
  } else if (call == kMap) {
    address = next_place_;
    next_place_ = 0;
  }
  void* const got = call == kMap ? kLinuxMemory.map(address, size)
                                 : kLinuxMemory.reserve(size);
  if (got == nullptr) return nullptr;
  auto& ranges = call == kMap ? mapped_ : reserved_;
  ranges.emplace(reinterpret_cast<uintptr_t>(got), size);
  bytes_ += size;
  return got;
}

void FakeSystem::Forget(uintptr_t start, size_t size) {
  bytes_ -= Cut(start, size, &mapped_) + Cut(start, size, &reserved_);
}

bool FakeSystem::Covered(uintptr_t start, size_t size) const {
  return CountCovered(start, size, mapped_) +
             CountCovered(start, size, reserved_) ==
         size;
}

size_t FakeSystem::calls() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return total_calls_;
}

size_t FakeSystem::calls(Call call) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return calls_[call];
}

size_t FakeSystem::failures() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return failures_;
}

size_t FakeSystem::bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return bytes_;
}

bool FakeSystem::IsMapped(uintptr_t start, size_t size) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return Covered(start, size);
}

std::vector<FakeSystem::Range> FakeSystem::Regions() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Range> regions;
  for (const auto& [start, size] : mapped_) {
    if (!regions.empty() &&
        regions.back().start + regions.back().size == start) {
      regions.back().size += size;
    } else {
      regions.push_back({start, size});
    }
  }
  return regions;
}

std::vector<FakeSystem::Range> FakeSystem::TakeReleased() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Range> taken;
  taken.swap(released_);
  return taken;
}

std::vector<FakeSystem::Range> FakeSystem::TakeReleasedReserved() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Range> taken;
  taken.swap(released_reserved_);
  return taken;
}

std::vector<FakeSystem::Range> FakeSystem::TakeLazilyReleased() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Range> taken;
  taken.swap(lazily_released_);
  return taken;
}

bool FakeSystem::IsForbidden(uintptr_t huge_page) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return forbidden_.count(huge_page) != 0;
}

size_t FakeSystem::forbidden() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return forbidden_.size();
}

}  // namespace spanmalloc
