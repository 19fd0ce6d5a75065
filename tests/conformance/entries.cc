// See entries.h. One overload of Bind per signature that the table contains: a
// new signature in the table that has none does not compile.

#include "tests/conformance/entries.h"

#include <cerrno>
#include <new>
#include <type_traits>

namespace conformance {
namespace {

enum class Kind { Allocate, AllocateAligned, Resize, Release, Query, Control };

template <Kind kind>
using Tag = std::integral_constant<Kind, kind>;

struct Lists {
  std::vector<AllocatingEntry> allocating;
  std::vector<ReleasingEntry> releasing;
};

template <typename Call>
Outcome Capture(const Call& call) {
  Outcome outcome;
  errno = 0;
  try {
    outcome.pointer = call();
    outcome.error = outcome.pointer == nullptr ? errno : 0;
  } catch (const std::bad_alloc&) {
    outcome.error = ENOMEM;
    outcome.threw = true;
  }
  return outcome;
}

template <typename Call>
void AddAllocating(Lists* lists, const char* name, Alignment alignment,
                   const Call& call) {
  AllocatingEntry entry;
  entry.name = name;
  entry.alignment = alignment;
  entry.is_operator = name[0] == '_';
  entry.allocate = [call](size_t align, size_t size) {
    return Capture([&] { return call(align, size); });
  };
  lists->allocating.push_back(entry);
}

// Allocate
void Bind(Lists* lists, const char* name, Tag<Kind::Allocate>,
          void* (*f)(size_t)) {
  AddAllocating(lists, name, Alignment::kNatural,
                [f](size_t, size_t size) { return f(size); });
}
void Bind(Lists* lists, const char* name, Tag<Kind::Allocate>,
          void* (*f)(size_t, size_t)) {
  AddAllocating(lists, name, Alignment::kNatural,
                [f](size_t, size_t size) { return f(1, size); });
}
void Bind(Lists* lists, const char* name, Tag<Kind::Allocate>,
          void* (*f)(size_t, const std::nothrow_t&)) {
  AddAllocating(lists, name, Alignment::kNatural,
                [f](size_t, size_t size) { return f(size, std::nothrow); });
}

// AllocateAligned
void Bind(Lists* lists, const char* name, Tag<Kind::AllocateAligned>,
          void* (*f)(size_t)) {
  AddAllocating(lists, name, Alignment::kPage,
                [f](size_t, size_t size) { return f(size); });
}
void Bind(Lists* lists, const char* name, Tag<Kind::AllocateAligned>,
          void* (*f)(size_t, size_t)) {
  AddAllocating(
      lists, name, Alignment::kCaller,
      [f](size_t alignment, size_t size) { return f(alignment, size); });
}
void Bind(Lists* lists, const char* name, Tag<Kind::AllocateAligned>,
          int (*f)(void**, size_t, size_t)) {
  AddAllocating(lists, name, Alignment::kCaller,
                [f](size_t alignment, size_t size) {
                  void* pointer = nullptr;
                  const int error = f(&pointer, alignment, size);
                  if (error != 0) errno = error;
                  return error == 0 ? pointer : nullptr;
                });
}
void Bind(Lists* lists, const char* name, Tag<Kind::AllocateAligned>,
          void* (*f)(size_t, std::align_val_t)) {
  AddAllocating(lists, name, Alignment::kCaller,
                [f](size_t alignment, size_t size) {
                  return f(size, static_cast<std::align_val_t>(alignment));
                });
}
void Bind(Lists* lists, const char* name, Tag<Kind::AllocateAligned>,
          void* (*f)(size_t, std::align_val_t, const std::nothrow_t&)) {
  AddAllocating(
      lists, name, Alignment::kCaller, [f](size_t alignment, size_t size) {
        return f(size, static_cast<std::align_val_t>(alignment), std::nothrow);
      });
}

// Resize: with no old block, an allocation.
void Bind(Lists* lists, const char* name, Tag<Kind::Resize>,
          void* (*f)(void*, size_t)) {
  AddAllocating(lists, name, Alignment::kNatural,
                [f](size_t, size_t size) { return f(nullptr, size); });
}
void Bind(Lists* lists, const char* name, Tag<Kind::Resize>,
          void* (*f)(void*, size_t, size_t)) {
  AddAllocating(lists, name, Alignment::kNatural,
                [f](size_t, size_t size) { return f(nullptr, 1, size); });
}

// Release
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*)) {
  lists->releasing.push_back(
      {name, Alignment::kNatural,
       [f](void* pointer, size_t, size_t) { f(pointer); }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, size_t)) {
  lists->releasing.push_back(
      {name, Alignment::kNatural,
       [f](void* pointer, size_t, size_t size) { f(pointer, size); }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, size_t, int)) {
  lists->releasing.push_back(
      {name, Alignment::kNatural, [f](void* pointer, size_t, size_t size) {
         if (pointer != nullptr) f(pointer, size, 0);  // sdallocx: not NULL.
       }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, size_t, size_t)) {
  lists->releasing.push_back(
      {name, Alignment::kCaller,
       [f](void* pointer, size_t alignment, size_t size) {
         f(pointer, alignment, size);
       }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, const std::nothrow_t&)) {
  lists->releasing.push_back(
      {name, Alignment::kNatural,
       [f](void* pointer, size_t, size_t) { f(pointer, std::nothrow); }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, std::align_val_t)) {
  lists->releasing.push_back(
      {name, Alignment::kCaller, [f](void* pointer, size_t alignment, size_t) {
         f(pointer, static_cast<std::align_val_t>(alignment));
       }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, size_t, std::align_val_t)) {
  lists->releasing.push_back(
      {name, Alignment::kCaller,
       [f](void* pointer, size_t alignment, size_t size) {
         f(pointer, size, static_cast<std::align_val_t>(alignment));
       }});
}
void Bind(Lists* lists, const char* name, Tag<Kind::Release>,
          void (*f)(void*, std::align_val_t, const std::nothrow_t&)) {
  lists->releasing.push_back(
      {name, Alignment::kCaller, [f](void* pointer, size_t alignment, size_t) {
         f(pointer, static_cast<std::align_val_t>(alignment), std::nothrow);
       }});
}

// Query, Control: nothing to do here.
template <typename Function>
void Bind(Lists*, const char*, Tag<Kind::Query>, Function) {}
template <typename Function>
void Bind(Lists*, const char*, Tag<Kind::Control>, Function) {}

const Lists& AllLists() {
  static const Lists lists = [] {
    Lists made;
    const Face* face = &StandardFace();
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  if (face->name##_ != nullptr)                                       \
    Bind(&made, #name, Tag<Kind::kind>(), face->name##_);
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"

    face = &PrefixedFace();
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  if (face->name##_ != nullptr)                                       \
    Bind(&made, "spanmalloc_" #name, Tag<Kind::kind>(), face->name##_);
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"

    const Operators& operators = CxxOperators();
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind)
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
  if (operators.name##_ != nullptr)                                           \
    Bind(&made, #name, Tag<Kind::kind>(), operators.name##_);
#include "allocator/api/entry_points.def"
    return made;
  }();
  return lists;
}

}  // namespace

const std::vector<AllocatingEntry>& AllocatingEntries() {
  return AllLists().allocating;
}

const std::vector<AllocatingEntry>& AlignedEntries() {
  static const std::vector<AllocatingEntry> aligned = [] {
    std::vector<AllocatingEntry> found;
    for (const AllocatingEntry& entry : AllocatingEntries()) {
      if (entry.alignment == Alignment::kCaller) found.push_back(entry);
    }
    return found;
  }();
  return aligned;
}

const std::vector<ReleasingEntry>& ReleasingEntries() {
  return AllLists().releasing;
}

void Release(void* pointer) { StandardFace().free_(pointer); }

}  // namespace conformance
