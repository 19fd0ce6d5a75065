#include "tools/spanmalloc/resident_memory.h"

#include <algorithm>
#include <set>
#include <string>

namespace spanmalloc_tool {
namespace {

// Pages that are asked for at a time.
constexpr uint64_t kPagesAtATime = 1 << 16;

bool StartsWith(const std::string& text, const char* prefix) {
  return text.rfind(prefix, 0) == 0;
}

class Division {
 public:
  Division(const std::vector<MappedMemory>& mappings, const HeapMap& heap,
           Residency* residency, ResidentMemory* out)
      : mappings_(mappings), heap_(heap), residency_(residency), out_(out) {
    for (const MappedMemory& mapping : mappings) {
      if (mapping.executable && !mapping.file.empty()) {
        programs_.insert(mapping.file);
      }
    }
  }

  bool Run() {
    for (size_t i = 0; i < mappings_.size(); ++i) {
      if (!Add(i)) return false;
    }
    return true;
  }

  int64_t used() const { return used_; }

 private:
  bool Add(size_t i) {
    const MappedMemory& mapping = mappings_[i];
    const int64_t resident = static_cast<int64_t>(mapping.resident);
    out_->total += resident;
    out_->swapped += static_cast<int64_t>(mapping.swapped);
    int64_t by_state[kPageStates] = {};
    bool is_all_ours = false;
    if (mapping.file.empty() && mapping.resident != 0 &&
        !Count(mapping, by_state, &is_all_ours)) {
      return false;
    }
    used_ += by_state[static_cast<size_t>(PageState::kUsed)];
    out_->idle += by_state[static_cast<size_t>(PageState::kIdle)];
    out_->released += by_state[static_cast<size_t>(PageState::kReleased)];
    out_->records += by_state[static_cast<size_t>(PageState::kRecords)];
    int64_t left = resident;
    for (size_t s = 0; s < kPageStates; ++s) {
      if (s != static_cast<size_t>(PageState::kForeign)) left -= by_state[s];
    }
    const bool has_ours = left != resident;
    if (has_ours) out_->huge += static_cast<int64_t>(mapping.huge);
    // A mapping may be partly somebody else's, if it came to lie next to ours.
    (is_all_ours || left < 0 ? out_->difference : OutsidePart(i)) += left;
    return true;
  }

  // Adds up the resident bytes of each state.
  bool Count(const MappedMemory& mapping, int64_t* by_state,
             bool* is_all_ours) {
    const uint64_t page = residency_->page_bytes();
    std::vector<bool> resident;
    uint64_t read_from = 0, read_to = 0;
    *is_all_ours = true;
    for (uint64_t at = mapping.start; at < mapping.end;) {
      uint64_t end;
      const PageState state = heap_.StateAt(at, &end);
      end = std::min(end, mapping.end);
      if (state == PageState::kForeign) {
        *is_all_ours = false;
        at = end;
        continue;
      }
      // Allocator's pages may be smaller than the system's, or larger.
      while (at < end) {
        const uint64_t system_page = at / page * page;
        if (system_page < read_from || system_page >= read_to) {
          const uint64_t count = std::min(
              kPagesAtATime, (mapping.end - system_page + page - 1) / page);
          if (!residency_->Read(system_page, count, &resident)) return false;
          read_from = system_page;
          read_to = system_page + count * page;
        }
        const uint64_t next = std::min(end, system_page + page);
        if (resident[(system_page - read_from) / page]) {
          by_state[static_cast<size_t>(state)] +=
              static_cast<int64_t>(next - at);
        }
        at = next;
      }
    }
    return true;
  }

  int64_t& OutsidePart(size_t i) {
    const MappedMemory& mapping = mappings_[i];
    if (StartsWith(mapping.path, "[stack")) return out_->stack;
    if (StartsWith(mapping.path, "[v")) return out_->kernel;
    if (programs_.count(mapping.file) != 0 || IsBss(i)) return out_->programs;
    if (mapping.shared &&
        (mapping.path.empty() || StartsWith(mapping.path, "/dev/") ||
         StartsWith(mapping.path, "/memfd:") ||
         StartsWith(mapping.path, "/SYSV"))) {
      return out_->shared;
    }
    return mapping.file.empty() ? out_->anonymous : out_->files;
  }

  // Whether it is the data of a program or library that is not in its file: it
  // follows right behind what is.
  bool IsBss(size_t i) const {
    return i != 0 && mappings_[i].path.empty() &&
           mappings_[i].start == mappings_[i - 1].end &&
           programs_.count(mappings_[i - 1].file) != 0;
  }

  const std::vector<MappedMemory>& mappings_;
  const HeapMap& heap_;
  Residency* const residency_;
  ResidentMemory* const out_;
  std::set<std::string> programs_;  // Files that code was mapped from.
  int64_t used_ = 0;
};

}  // namespace

bool DivideResidentMemory(const std::vector<MappedMemory>& mappings,
                          const HeapMap& heap, const spanmalloc_memstats& stats,
                          Residency* residency, ResidentMemory* out) {
  *out = {};
  Division division(mappings, heap, residency, out);
  if (!division.Run()) return false;
  out->in_use = static_cast<int64_t>(stats.heap_alloc);
  out->held_free = static_cast<int64_t>(stats.heap_inuse - stats.heap_alloc);
  out->never_touched = division.used() - static_cast<int64_t>(stats.heap_inuse);
  return true;
}

}  // namespace spanmalloc_tool
