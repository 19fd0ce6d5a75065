// The entry points as the link editor finds them: for programs linked with the
// shared or the static library, where every name of the table must exist.
// Linking is itself a test.

#include "tests/conformance/api.h"

// Names of our own, bound to the symbols by assembler label, keep clear of the
// declarations in the system's headers.
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  extern "C" result standard_##name parameters __asm__(#name);        \
  extern "C" result prefixed_##name parameters __asm__("spanmalloc_" #name);
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
  extern "C" result cxx_##name parameters __asm__(#name);
#include "allocator/api/entry_points.def"

namespace conformance {

const Face& StandardFace() {
  static const Face face = {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  &standard_##name,
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"
  };
  return face;
}

const Face& PrefixedFace() {
  static const Face face = {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  &prefixed_##name,
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"
  };
  return face;
}

const Operators& CxxOperators() {
  static const Operators operators = {
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind)
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
  &cxx_##name,
#include "allocator/api/entry_points.def"
  };
  return operators;
}

}  // namespace conformance
