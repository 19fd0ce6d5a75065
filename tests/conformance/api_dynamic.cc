// The entry points as the dynamic linker finds them: for the plain program,
// which runs on the system's allocator or on whatever LD_PRELOAD puts in front
// of it.

#include <dlfcn.h>

#include "tests/conformance/api.h"

namespace conformance {
namespace {

template <typename Function>
void LookUp(const char* name, Function** function) {
  *function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

const Face& StandardFace() {
  static const Face face = [] {
    Face found;
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  LookUp(#name, &found.name##_);
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"
    return found;
  }();
  return face;
}

const Face& PrefixedFace() {
  static const Face face = [] {
    Face found;
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind) \
  LookUp("spanmalloc_" #name, &found.name##_);
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form)
#include "allocator/api/entry_points.def"
    return found;
  }();
  return face;
}

const Operators& CxxOperators() {
  static const Operators operators = [] {
    Operators found;
#define SPANMALLOC_C_ENTRY(result, name, parameters, arguments, kind)
#define SPANMALLOC_CXX_ENTRY(result, name, parameters, arguments, kind, form) \
  LookUp(#name, &found.name##_);
#include "allocator/api/entry_points.def"
    return found;
  }();
  return operators;
}

}  // namespace conformance
