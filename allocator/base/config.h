// The allocator's fixed geometry.
//
// Place:    base/, below everything.
// Purpose:  The sizes that the data structures are built around, in one list.
// Not here: anything a user can set (api/options.def), anything the system
//           decides (os/system_info.h).
//
//   object      8 B to 32 KiB, carved from a small span
//   page        8 KiB, the unit in which large blocks are measured
//   small span  64 KiB, aligned to its size: the home of objects of one class
//   huge page   2 MiB, the unit in which memory comes from the system
#ifndef SPANMALLOC_ALLOCATOR_BASE_CONFIG_H_
#define SPANMALLOC_ALLOCATOR_BASE_CONFIG_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

inline constexpr size_t kPageShift = 13;
inline constexpr size_t kPageSize = size_t{1} << kPageShift;

inline constexpr size_t kSmallSpanShift = 16;
inline constexpr size_t kSmallSpanSize = size_t{1} << kSmallSpanShift;
inline constexpr size_t kPagesPerSmallSpan = kSmallSpanSize / kPageSize;

inline constexpr size_t kHugePageShift = 21;
inline constexpr size_t kHugePageSize = size_t{1} << kHugePageShift;
inline constexpr size_t kPagesPerHugePage = kHugePageSize / kPageSize;
inline constexpr size_t kSmallSpansPerHugePage = kHugePageSize / kSmallSpanSize;

// Requests above this size get pages of their own.
inline constexpr size_t kMaxSmallSize = 32 << 10;

// Every large block has at least five pages, so at most one of them starts in
// any group of four pages: one span header for each group is enough.
inline constexpr size_t kPagesPerHeader = 4;
inline constexpr size_t kHeadersPerHugePage =
    kPagesPerHugePage / kPagesPerHeader;
static_assert(kMaxSmallSize >= kPagesPerHeader * kPageSize);

// User addresses have at most this many bits: x86-64 and AArch64 hand out
// higher ones only to programs that ask for them by hint.
inline constexpr size_t kAddressBits = 48;

// The largest page of any system we run on: what is a multiple of it is a
// multiple of the page that the system really has.
inline constexpr size_t kMaxSystemPageSize = 64 << 10;
// And the smallest.
inline constexpr size_t kMinSystemPageSize = 4 << 10;

// Keeps data of different writers apart.
inline constexpr size_t kCacheLineSize = 64;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_CONFIG_H_
