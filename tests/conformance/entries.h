// Every allocating and every releasing entry point behind one signature, made
// from the table.
//
// Purpose:  A clause that holds for all of them ("too large a size gives
// ENOMEM") is written once
//           and instantiated for each.
// Not here: clauses.

#ifndef SPANMALLOC_TESTS_CONFORMANCE_ENTRIES_H_
#define SPANMALLOC_TESTS_CONFORMANCE_ENTRIES_H_

#include <cstddef>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/conformance/api.h"

namespace conformance {

struct Outcome {
  void* pointer = nullptr;
  int error = 0;  // When pointer is null: errno, the code returned, or ENOMEM
                  // for bad_alloc.
  bool threw = false;  // std::bad_alloc arrived.
};

enum class Alignment {
  kNatural,  // What an object of the size can need.
  kPage,     // The system page.
  kCaller,   // The argument.
};

struct AllocatingEntry {
  std::string name;
  Alignment alignment = Alignment::kNatural;
  bool is_operator = false;
  // The first argument is ignored unless alignment is kCaller.
  std::function<Outcome(size_t alignment, size_t size)> allocate;
};

struct ReleasingEntry {
  std::string name;
  Alignment alignment =
      Alignment::kNatural;  // kCaller if the entry wants to be told.
  std::function<void(void* pointer, size_t alignment, size_t size)> release;
};

// The entries that exist here: C names, prefixed names, C++ operators.
const std::vector<AllocatingEntry>& AllocatingEntries();
const std::vector<AllocatingEntry>& AlignedEntries();  // Those of kind kCaller.
const std::vector<ReleasingEntry>& ReleasingEntries();

// Releases a block of any entry: spanmalloc and glibc both let free take back
// what new gave.
void Release(void* pointer);

inline void PrintTo(const AllocatingEntry& entry, std::ostream* out) {
  *out << entry.name;
}
inline void PrintTo(const ReleasingEntry& entry, std::ostream* out) {
  *out << entry.name;
}

// Names the instances of a parameterised clause.
struct EntryName {
  template <typename Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

}  // namespace conformance

#endif  // SPANMALLOC_TESTS_CONFORMANCE_ENTRIES_H_
