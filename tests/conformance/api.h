// The entry points under test, as tables of function pointers made from
// entry_points.def.
//
// Purpose:  One place that knows where the entry points come from, so that the
// clauses can be
//           compiled once and run against any allocator: the system's, a
//           preloaded library, a linked one. A pointer is null where the
//           allocator lacks the entry.
// Not here: uniform ways to call different entries (entries.h).
//
// Two sources define the functions below: api_dynamic.cc looks every name up at
// run time (plain and preloaded program), api_linked.cc takes addresses, so
// that a missing one fails at link time.

#ifndef SPANMALLOC_TESTS_CONFORMANCE_API_H_
#define SPANMALLOC_TESTS_CONFORMANCE_API_H_

#include <malloc.h>

#include <cstddef>
#include <cstdio>
#include <new>

namespace conformance {

// The C entries. A trailing underscore keeps the names apart from macros and
// from struct mallinfo.
struct Face {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  result(*name##_) parameters = nullptr;
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"
};

// The C++ entries, by mangled name.
struct Operators {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind)
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
  result(*name##_) parameters = nullptr;
#include "allocator/api/entry_points.def"
};

const Face& StandardFace();  // malloc, free, ...
const Face&
PrefixedFace();  // spanmalloc_malloc, ...; all null on another allocator.
const Operators& CxxOperators();

// True if the program's malloc is spanmalloc's. Clauses that ISO C, POSIX or
// the glibc manual leave open, and on which spanmalloc and glibc differ, ask
// this.
inline bool OnSpanmalloc() { return PrefixedFace().malloc_ != nullptr; }

}  // namespace conformance

#endif  // SPANMALLOC_TESTS_CONFORMANCE_API_H_
