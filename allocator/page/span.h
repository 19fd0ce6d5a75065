// The header of a run of pages that is in use.
//
// Place:    page/. Owned by PageHeap while free, by a CentralFreeList while
//           small, by nobody (found through its address) while large.
// Purpose:  Everything that is known about a block or about the objects in a
//           small span, kept outside of the memory it describes.
//
// States
//   kUnused  no span starts in the four pages of this header.
//   kSmall   eight pages, aligned to 64 KiB, objects of one size class. The
//            fields below "small" belong to the central free list's lock.
//            The second header of such a span describes its guests, if it has
//            any (size_classes.h), and looks unused.
//   kLarge   one block of five pages or more. Belongs to the block's owner;
//            page_count changes under the page heap's lock.
// A header is found by the address of the span's first page: a pointer is the
// start of a large block if and only if the header of its page is kLarge and
// start() is that pointer.
//
// All zeroes are an unused header, and nothing else in one that is unused is
// needed: those of an empty huge page may be released.
//
// Cost: one cache line; with up to 128 objects the free bits are in it too.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_SPAN_H_
#define SPANMALLOC_ALLOCATOR_PAGE_SPAN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/config.h"
#include "allocator/page/page_id.h"

namespace spanmalloc {

enum class SpanState : uint8_t { kUnused, kSmall, kLarge };

struct alignas(kCacheLineSize) Span {
  static constexpr size_t kInlineWords = 2;
  // Of a bitmap that is not: objects of four bytes have one of this size.
  static constexpr size_t kMaxBitmapWords = kSmallSpanSize / 4 / 64;
  // The part of a small span that a bit of `released` stands for.
  static constexpr size_t kReleaseUnit = kSmallSpanSize / 16;

  // What lives here, in one word: the state, and the tag if it is kSmall.
  static constexpr uint16_t Kind(SpanState state, uint8_t tag = 0) {
    return static_cast<uint16_t>(static_cast<unsigned>(state) | tag << 8);
  }
  uint16_t kind() const { return kind_.load(std::memory_order_relaxed); }
  void set_kind(uint16_t kind) { kind_.store(kind, std::memory_order_relaxed); }
  SpanState state() const { return static_cast<SpanState>(kind() & 0xff); }
  uint8_t tag() const { return static_cast<uint8_t>(kind() >> 8); }

  PageId first_page() const { return first; }
  Length length() const { return Length(page_count); }
  uintptr_t address() const { return first.address(); }
  void* start() const { return first.pointer(); }

  PageId first;
  uint32_t page_count;
  std::atomic<uint16_t> kind_;

  // ---- small
  uint8_t list;         // Which list of the central free list it is in.
  uint8_t sweep;        // What the sweeps of that list know about it.
  uint64_t* free_bits;  // One for each object; 1 = free.
  Span* next;
  Span* prev;
  uint16_t free_count;
  uint16_t capacity;
  uint16_t move_at;   // The free_count at which it moves to the next list.
  uint16_t released;  // A bit for each sixteenth the system does not back.
  uint64_t inline_bits[kInlineWords];
};
static_assert(sizeof(Span) == kCacheLineSize);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_SPAN_H_
