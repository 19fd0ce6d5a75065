// What a reader from outside has to know to take a snapshot of a process's
// memory: one symbol, spanmalloc_stat_root, from which everything hangs.
//
// Place:    observe/, but it includes nothing of ours: tools that read other
//           processes and core files include it too.
// Purpose:  Where each number lies that a spanmalloc_memstats is made of, so
//           that a reader needs neither symbols nor debug information, and need
//           not be built from the same sources as the library.
// Not here: how it is filled (stat_layout.h), how it is read
//           (tools/spanmalloc/stat_reader.h).
//
// Constant: it is there before any code runs, never changes, and costs nothing.
//           It has addresses in it, so in a library or a position-independent
//           program the dynamic linker writes it once; hence it is in every
//           core file.
// Found by: its name, in .dynsym or .symtab; in a stripped program by its magic
//           words and the pointer to itself.
// Versions: a reader knows the root by kStatRootVersion. Fields are only added
//           at the end (root_bytes grows); any other change is a new version.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_STAT_ROOT_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_STAT_ROOT_H_

#include <stdint.h>

namespace spanmalloc {

inline constexpr uint32_t kStatRootVersion = 2;
inline constexpr uint64_t kStatRootMagic0 = 0x6c616d6e61707320;  // " spanmal"
inline constexpr uint64_t kStatRootMagic1 = 0x746f6f7220636f6c;  // "loc root"
inline constexpr uint32_t kStatRootClasses = 64;

// An address in the process; eight bytes, as everywhere that we run.
using StatAddress = const void*;
static_assert(sizeof(StatAddress) == sizeof(uint64_t), "64-bit systems only");

// Element i of an array is at address + i * stride.
struct StatArray {
  StatAddress address;
  uint64_t stride;
};

struct StatClass {
  uint32_t bytes;         // Of an object.
  uint32_t capacity;      // Objects in a span.
  uint32_t record_bytes;  // Of metadata for a span.
  uint32_t guest_bytes;   // Of the smaller object behind each one, or 0.
};

// Numbers are unsigned and of eight bytes, but for those of which another width
// is told.
struct StatRoot {
  uint64_t magic[2];
  uint32_t version;     // kStatRootVersion
  uint32_t root_bytes;  // sizeof(StatRoot) of the library.
  StatAddress self;
  uint32_t library_version[3];  // Major, minor, patch.

  // ---- Constants. Classes are numbered from 1; place 0 of arrays is not used.
  uint32_t classes;
  uint64_t page_bytes;
  uint64_t small_span_bytes;
  uint64_t span_record_bytes;   // Of metadata for a large block.
  uint64_t thread_cache_bytes;  // Of a thread's cache.

  // ---- Threads. All caches that ever were are in one list.
  StatAddress threads;         // How many have a cache.
  StatAddress first_cache;     // Holds the address of the first one, or 0.
  StatArray direct_mallocs;    // By class: counts of threads without a cache.
  StatArray direct_frees;      // By class.
  uint64_t cache_next;         // Offsets in a cache: of the address of the next
  uint64_t cache_bins;         // one, or 0; of its bins, by class.
  uint64_t cache_bin_stride;   // From bin to bin.
  uint64_t cache_bin_mallocs;  // Offsets in a bin.
  uint64_t cache_bin_frees;

  // ---- Central lists and transfer caches, by class.
  StatArray central_spans;
  StatArray central_free_objects;
  StatArray central_free_guests;  // Of the smaller objects.
  StatArray transfer_objects;
  uint64_t transfer_objects_width;  // Bytes of each of these numbers: 4 or 8.

  // ---- The page heap's record: a sequence number, odd while the record is
  // being written, and behind it the record's words.
  StatAddress page_record;
  uint32_t page_record_words;
  // Which of the words has it:
  uint32_t mapped_pages;
  uint32_t used_pages;
  uint32_t fresh_pages;
  uint32_t huge_pages;
  uint32_t large_pages;
  uint32_t peak_used_pages;
  uint32_t peak_backed_pages;
  uint32_t large_count;
  uint32_t large_mallocs;
  uint32_t large_frees;
  uint32_t large_bytes_allocated;
  uint32_t large_bytes_freed;
  uint32_t released_bytes;

  // ---- Metadata
  StatAddress arena_system_bytes;
  StatAddress arena_spans;  // Bytes used by records of each kind.
  StatAddress arena_thread_caches;
  StatAddress arena_transfer_caches;
  StatAddress arena_page_map;
  StatAddress class_map_bytes;

  // ---- Others
  StatAddress lock_waits;
  StatAddress peak_alloc;

  StatClass by_class[kStatRootClasses];  // Class c is in by_class[c - 1].

  // ---- What every address is. A table of addresses of leaves; a leaf has the
  // addresses of the trackers of its huge pages.
  StatAddress page_map;       // Holds the address of the table, or 0.
  uint64_t page_map_entries;  // Leaf i is of the addresses from
  uint64_t page_map_shift;    // i << page_map_shift on, 0 = none of ours.
  uint64_t leaf_trackers;     // Offset in a leaf of its array, 0 = not ours.
  uint64_t huge_page_bytes;
  uint64_t tracker_free;   // Offsets in a tracker of two bitmaps, with a
  uint64_t tracker_fresh;  // bit for each page: free; free, unbacked.
  StatAddress class_map;   // Holds its address, or 0.
  StatAddress records;     // Holds the address of the first part of the
                           // memory for records: there are the address of
                           // the next part, or 0, this one's bytes and start.

  // ---- The scavenger. Three more words of the page heap's record:
  uint32_t lazy_pages;
  uint32_t released_in_spans;  // Bytes.
  uint32_t lazily_released_bytes;
  uint32_t reserved;
  StatAddress release_calls;
  StatAddress scavenge_cycles;
  StatAddress scavenge_ns;
  StatAddress memory_limit;
  StatAddress memory_limit_hard;

  // ---- The heap profiler
  StatAddress arena_profile;     // Bytes used by its tables.
  StatAddress profile_interval;  // Mean bytes between samples, 0 = off. The one
                                 // word that a reader may change.
  StatAddress profile_start_ns;  // Of the monotonic clock; 0 = never on.
  StatAddress profile_totals;    // A record like that of the page heap.
  StatArray profile_lists;       // By kind of bucket: each holds the address of
                                 // the newest one, or 0.
  StatAddress profile_pool;      // The bucket for samples that got none.
  uint64_t bucket_bytes;
  uint32_t bucket_next;    // Offsets in a bucket: of the address of the one
  uint32_t bucket_stack;   // before, or 0; of the addresses of a stack and of
  uint32_t bucket_labels;  // a set of labels, or 0; of the size of a block;
  uint32_t bucket_size;    // of its sums, a record like that of the page heap.
  uint32_t bucket_sums;
  // Words of records, to be compared with those of profile_records.h, and bytes
  // of what precedes the frames of a stack and the text of labels.
  uint32_t bucket_sums_words;
  uint32_t profile_totals_words;
  uint32_t stack_head_bytes;
  uint32_t label_head_bytes;
  uint32_t reserved_too;

  // ---- Blocks between guard pages
  StatAddress guarded_range_bytes;
  StatAddress guarded_records_bytes;
  StatAddress guarded_backed_bytes;
  StatAddress guarded_peak_backed_bytes;
  StatAddress guarded_mallocs;
  StatAddress guarded_frees;
  StatAddress guarded_allocated_bytes;
  StatAddress guarded_freed_bytes;
  StatAddress guarded_peak_bytes;

  // ---- What the heap profiler counts
  StatAddress profile_samples;
  StatAddress profile_live_samples;
  StatAddress profile_lost_samples;
};
static_assert(sizeof(StatRoot) % sizeof(uint64_t) == 0);

}  // namespace spanmalloc

// Protected: each copy of the library has its own, and it alone is meant there.
extern "C" __attribute__((visibility("protected")))
const spanmalloc::StatRoot spanmalloc_stat_root;

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_STAT_ROOT_H_
