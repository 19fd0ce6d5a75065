#include "tools/spanmalloc/stat_reader.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tools/spanmalloc/published_record.h"

namespace spanmalloc_tool {
namespace {

using spanmalloc::StatAddress;
using spanmalloc::StatArray;
using spanmalloc::StatClass;
using spanmalloc::StatRoot;

constexpr size_t kMaxClasses = spanmalloc::kStatRootClasses;
static_assert(kMaxClasses <= SPANMALLOC_SIZE_CLASSES);

// More than that is no list of caches but a loop.
constexpr size_t kMaxCaches = size_t{1} << 20;
// What a record or the bins of a cache may have at most, if the root is sound.
constexpr uint64_t kMaxBlock = 1 << 20;

uint64_t Minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

uint64_t Number(StatAddress address) {
  return reinterpret_cast<uintptr_t>(address);
}

class Reader {
 public:
  Reader(const Memory& memory, const StatRoot& root)
      : memory_(memory), root_(root) {}

  bool Read(Snapshot* snapshot) {
    *snapshot = {};
    spanmalloc_memstats* const stats = &snapshot->stats;
    if (!IsSound()) return false;
    if (!ReadNumber(root_.threads, &stats->threads) || !ReadCounts(stats) ||
        !ReadGuarded(stats) || !ReadPageRecord(&snapshot->between_steps)) {
      return false;
    }
    SumCounts(stats);
    SumPages(stats);
    return SumFree(stats) && SumRecords(stats) && ReadOthers(stats);
  }

 private:
  // Whether the root's numbers can be right.
  bool IsSound() const {
    const uint32_t words[] = {
        root_.mapped_pages,      root_.used_pages,
        root_.fresh_pages,       root_.huge_pages,
        root_.large_pages,       root_.peak_used_pages,
        root_.large_count,       root_.peak_backed_pages,
        root_.large_mallocs,     root_.large_frees,
        root_.released_bytes,    root_.large_bytes_allocated,
        root_.lazy_pages,        root_.large_bytes_freed,
        root_.released_in_spans, root_.lazily_released_bytes};
    return root_.classes <= kMaxClasses &&
           root_.cache_bin_stride <= kMaxBlock / (kMaxClasses + 1) &&
           root_.cache_bin_mallocs < root_.cache_bin_stride &&
           root_.cache_bin_frees < root_.cache_bin_stride &&
           root_.page_record_words <= kMaxBlock / sizeof(uint64_t) &&
           (root_.transfer_objects_width == 4 ||
            root_.transfer_objects_width == 8) &&
           *std::max_element(std::begin(words), std::end(words)) <
               root_.page_record_words;
  }

  bool ReadBytes(uint64_t address, void* out, size_t n) const {
    return memory_.read(memory_.context, address, out, n);
  }
  bool ReadNumber(uint64_t address, uint64_t* out) const {
    return ReadBytes(address, out, sizeof(*out));
  }
  bool ReadNumber(StatAddress address, uint64_t* out) const {
    return ReadNumber(Number(address), out);
  }
  // The element of class c.
  bool ReadElement(const StatArray& array, size_t c, uint64_t width,
                   uint64_t* out) const {
    *out = 0;
    return ReadBytes(Number(array.address) + c * array.stride, out, width);
  }

  // Frees first: an object's malloc is counted before its free.
  bool ReadCounts(spanmalloc_memstats* stats) {
    for (size_t c = 1; c <= root_.classes; ++c) {
      spanmalloc_size_stats& size = stats->by_size[c - 1];
      size.size = root_.by_class[c - 1].bytes;
      if (!ReadElement(root_.direct_frees, c, 8, &size.frees)) return false;
    }
    if (!ForEachCache([&](size_t c, const char* bin) {
          stats->by_size[c - 1].frees += Count(bin, root_.cache_bin_frees);
        })) {
      return false;
    }
    for (size_t c = 1; c <= root_.classes; ++c) {
      uint64_t* const mallocs = &stats->by_size[c - 1].mallocs;
      if (!ReadElement(root_.direct_mallocs, c, 8, mallocs)) return false;
    }
    return ForEachCache([&](size_t c, const char* bin) {
      stats->by_size[c - 1].mallocs += Count(bin, root_.cache_bin_mallocs);
    });
  }

  static uint64_t Count(const char* bin, uint64_t offset) {
    uint64_t count;
    std::memcpy(&count, bin + offset, sizeof(count));
    return count;
  }

  // Calls f(class, bin) for every bin of every cache.
  template <typename F>
  bool ForEachCache(F&& f) {
    // Behind the last bin, for a count that begins at its end.
    bins_.resize((root_.classes + 1) * root_.cache_bin_stride +
                 sizeof(uint64_t));
    uint64_t cache;
    if (!ReadNumber(root_.first_cache, &cache)) return false;
    for (size_t n = 0; cache != 0; ++n) {
      const size_t bytes = bins_.size() - sizeof(uint64_t);
      if (n == kMaxCaches ||
          !ReadBytes(cache + root_.cache_bins, bins_.data(), bytes)) {
        return false;
      }
      for (size_t c = 1; c <= root_.classes; ++c) {
        f(c, bins_.data() + c * root_.cache_bin_stride);
      }
      if (!ReadNumber(cache + root_.cache_next, &cache)) return false;
    }
    return true;
  }

  // Frees first, peaks last.
  bool ReadGuarded(spanmalloc_memstats* stats) {
    if (!ReadNumber(root_.guarded_freed_bytes, &guarded_.freed_bytes) ||
        !ReadNumber(root_.guarded_frees, &stats->guarded_frees) ||
        !ReadNumber(root_.guarded_allocated_bytes, &guarded_.allocated_bytes) ||
        !ReadNumber(root_.guarded_mallocs, &stats->guarded_mallocs) ||
        !ReadNumber(root_.guarded_backed_bytes, &guarded_.backed_bytes) ||
        !ReadNumber(root_.guarded_peak_bytes, &guarded_.peak_bytes) ||
        !ReadNumber(root_.guarded_peak_backed_bytes,
                    &guarded_.peak_backed_bytes) ||
        !ReadNumber(root_.guarded_range_bytes, &guarded_.range_bytes) ||
        !ReadNumber(root_.guarded_records_bytes, &guarded_.records_bytes)) {
      return false;
    }
    stats->guarded_mallocs =
        std::max(stats->guarded_mallocs, stats->guarded_frees);
    guarded_.allocated_bytes =
        std::max(guarded_.allocated_bytes, guarded_.freed_bytes);
    stats->guarded_objects = stats->guarded_mallocs - stats->guarded_frees;
    stats->guarded_bytes = guarded_.allocated_bytes - guarded_.freed_bytes;
    stats->mallocs = stats->guarded_mallocs;
    stats->frees = stats->guarded_frees;
    stats->total_alloc = guarded_.allocated_bytes;
    stats->total_freed = guarded_.freed_bytes;
    return true;
  }

  bool ReadPageRecord(bool* between_steps) {
    return ReadPublished(memory_, Number(root_.page_record),
                         root_.page_record_words, &record_, between_steps);
  }

  uint64_t Word(uint32_t word) const { return record_[word]; }
  uint64_t Pages(uint32_t word) const { return Word(word) * root_.page_bytes; }

  void SumCounts(spanmalloc_memstats* stats) const {
    for (const spanmalloc_size_stats& size : stats->by_size) {
      stats->mallocs += size.mallocs;
      stats->frees += size.frees;
      stats->total_alloc += size.mallocs * size.size;
      stats->total_freed += size.frees * size.size;
    }
    stats->large_objects = Word(root_.large_count);
    stats->large_bytes = Pages(root_.large_pages);
    // Differences can be negative only in a record that is half written.
    stats->large_frees = Word(root_.large_frees);
    stats->large_mallocs =
        std::max(Word(root_.large_mallocs), stats->large_frees);
    stats->mallocs += stats->large_mallocs;
    stats->frees += stats->large_frees;
    const uint64_t freed = Word(root_.large_bytes_freed);
    stats->total_alloc += std::max(Word(root_.large_bytes_allocated), freed);
    stats->total_freed += freed;
    stats->heap_objects = stats->mallocs - stats->frees;
    stats->alloc = stats->heap_alloc = stats->total_alloc - stats->total_freed;
  }

  // Counts that are a moment older than the pages may say more than fits.
  void SumPages(spanmalloc_memstats* stats) const {
    stats->heap_inuse = std::max(Pages(root_.used_pages) + stats->guarded_bytes,
                                 stats->heap_alloc);
    stats->heap_sys = std::max(Pages(root_.mapped_pages) + guarded_.range_bytes,
                               stats->heap_inuse);
    stats->heap_idle = stats->heap_sys - stats->heap_inuse;
    stats->heap_released =
        std::min(Pages(root_.fresh_pages) +
                     Minus(guarded_.range_bytes, guarded_.backed_bytes),
                 stats->heap_idle);
    stats->heap_lazy = std::min(Pages(root_.lazy_pages),
                                stats->heap_idle - stats->heap_released);
    stats->span_released =
        std::min(Word(root_.released_in_spans), stats->heap_inuse);
    stats->heap_huge = std::min(Pages(root_.huge_pages), stats->heap_sys);
    stats->peak_heap_inuse = std::max(
        Pages(root_.peak_used_pages) + guarded_.peak_bytes, stats->heap_inuse);
    stats->peak_resident =
        Pages(root_.peak_backed_pages) + guarded_.peak_backed_bytes;
    stats->released_total = Word(root_.released_bytes);
    stats->lazily_released_total = Word(root_.lazily_released_bytes);
  }

  // What of heap_inuse no block has.
  bool SumFree(spanmalloc_memstats* stats) {
    stats->mspan_inuse = stats->large_objects * root_.span_record_bytes;
    for (size_t c = 1; c <= root_.classes; ++c) {
      const StatClass& info = root_.by_class[c - 1];
      uint64_t spans, objects, guests, moving;
      if (!ReadElement(root_.central_spans, c, 8, &spans) ||
          !ReadElement(root_.central_free_objects, c, 8, &objects) ||
          !ReadElement(root_.central_free_guests, c, 8, &guests) ||
          !ReadElement(root_.transfer_objects, c, root_.transfer_objects_width,
                       &moving)) {
        return false;
      }
      stats->central_free_bytes +=
          objects * info.bytes + guests * info.guest_bytes;
      stats->transfer_cache_bytes += moving * info.bytes;
      stats->span_tail_bytes +=
          spans * (root_.small_span_bytes -
                   uint64_t{info.capacity} * (info.bytes + info.guest_bytes));
      stats->mspan_inuse += spans * info.record_bytes;
      SumTiny(c, spans, stats);
      SumGuests(info, Minus(spans * info.capacity, guests), stats);
    }
    // Each takes what those before it have left.
    uint64_t left = stats->heap_inuse - stats->heap_alloc;
    for (uint64_t* part : {&stats->central_free_bytes, &stats->span_tail_bytes,
                           &stats->transfer_cache_bytes}) {
      *part = std::min(*part, left);
      left -= *part;
    }
    stats->thread_cache_bytes = left;
    return true;
  }

  static uint64_t Live(const spanmalloc_memstats& stats, size_t c) {
    return stats.by_size[c - 1].mallocs - stats.by_size[c - 1].frees;
  }

  // If class c is one of blocks that share places of 16 bytes.
  void SumTiny(size_t c, uint64_t spans, spanmalloc_memstats* stats) const {
    const StatClass& info = root_.by_class[c - 1];
    const uint64_t place = uint64_t{info.bytes} + info.guest_bytes;
    if (info.bytes >= 16 || place > 16) return;
    stats->tiny_allocs += stats->by_size[c - 1].mallocs;
    stats->tiny_frees += stats->by_size[c - 1].frees;
    stats->tiny_objects += Live(*stats, c);
    stats->tiny_bytes += Live(*stats, c) * info.bytes;
    stats->tiny_blocks += spans * (root_.small_span_bytes / 16);
    stats->tiny_saved += Live(*stats, c) * ((info.bytes <= 8 ? 8 : 16) - place);
  }
  // `guests` blocks lie between those of the class `info`.
  void SumGuests(const StatClass& info, uint64_t guests,
                 spanmalloc_memstats* stats) const {
    for (size_t c = 1; info.guest_bytes != 0 && c <= root_.classes; ++c) {
      if (root_.by_class[c - 1].bytes != info.guest_bytes) continue;
      stats->tiny_saved += std::min(guests, Live(*stats, c)) * info.guest_bytes;
      return;
    }
  }

  bool SumRecords(spanmalloc_memstats* stats) {
    uint64_t spans, thread_caches, transfer_caches, page_map, profile;
    uint64_t class_map, all;
    if (!ReadNumber(root_.arena_spans, &spans) ||
        !ReadNumber(root_.arena_thread_caches, &thread_caches) ||
        !ReadNumber(root_.arena_transfer_caches, &transfer_caches) ||
        !ReadNumber(root_.arena_page_map, &page_map) ||
        !ReadNumber(root_.arena_profile, &profile) ||
        !ReadNumber(root_.class_map_bytes, &class_map) ||
        !ReadNumber(root_.arena_system_bytes, &all)) {
      return false;
    }
    stats->mspan_sys = spans;
    stats->mspan_inuse = std::min(stats->mspan_inuse, spans);
    stats->mcache_sys = thread_caches + transfer_caches;
    stats->mcache_inuse =
        std::min(stats->threads * root_.thread_cache_bytes, thread_caches) +
        transfer_caches;
    stats->buck_hash_sys = profile + guarded_.records_bytes;
    stats->metadata_sys = page_map + class_map;
    stats->other_sys = Minus(
        all, spans + thread_caches + transfer_caches + page_map + profile);
    stats->sys = stats->heap_sys + stats->mspan_sys + stats->mcache_sys +
                 stats->buck_hash_sys + stats->metadata_sys + stats->other_sys;
    return true;
  }

  bool ReadOthers(spanmalloc_memstats* stats) {
    uint64_t peak;
    if (!ReadNumber(root_.peak_alloc, &peak) ||
        !ReadNumber(root_.lock_waits, &stats->lock_waits) ||
        !ReadNumber(root_.release_calls, &stats->release_calls) ||
        !ReadNumber(root_.scavenge_cycles, &stats->scavenge_cycles) ||
        !ReadNumber(root_.scavenge_ns, &stats->scavenge_ns) ||
        !ReadNumber(root_.memory_limit, &stats->memory_limit) ||
        !ReadNumber(root_.memory_limit_hard, &stats->memory_limit_hard) ||
        !ReadNumber(root_.profile_samples, &stats->profile_samples) ||
        !ReadNumber(root_.profile_live_samples, &stats->profile_live_samples) ||
        !ReadNumber(root_.profile_lost_samples, &stats->profile_lost_samples)) {
      return false;
    }
    stats->peak_heap_alloc = std::max(peak, stats->heap_alloc);
    stats->peak_heap_inuse =
        std::max(stats->peak_heap_inuse, stats->peak_heap_alloc);
    return true;
  }

  const Memory& memory_;
  const StatRoot& root_;
  struct {
    uint64_t range_bytes, records_bytes, backed_bytes, peak_backed_bytes;
    uint64_t allocated_bytes, freed_bytes, peak_bytes;
  } guarded_ = {};
  std::vector<char> bins_;
  std::vector<uint64_t> record_;
};

}  // namespace

RootStatus ReadRoot(const Memory& memory, uint64_t address, StatRoot* root) {
  *root = {};
  // The part that all versions have.
  if (!memory.read(memory.context, address, root,
                   offsetof(StatRoot, library_version))) {
    return RootStatus::kUnreadable;
  }
  if (root->magic[0] != spanmalloc::kStatRootMagic0 ||
      root->magic[1] != spanmalloc::kStatRootMagic1 ||
      Number(root->self) != address) {
    return RootStatus::kNone;
  }
  if (root->version != spanmalloc::kStatRootVersion ||
      root->root_bytes < sizeof(StatRoot)) {
    return RootStatus::kOtherVersion;
  }
  return memory.read(memory.context, address, root, sizeof(StatRoot))
             ? RootStatus::kValid
             : RootStatus::kUnreadable;
}

bool ReadSnapshot(const Memory& memory, const StatRoot& root,
                  Snapshot* snapshot) {
  return Reader(memory, root).Read(snapshot);
}

}  // namespace spanmalloc_tool
