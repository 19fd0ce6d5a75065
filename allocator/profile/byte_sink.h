// Where bytes go that are written one after the other.
//
// Place:    profile/. A pointer to a function and what it is called with, since
//           virtual functions would want the C++ runtime.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_BYTE_SINK_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_BYTE_SINK_H_

#include <cstddef>

namespace spanmalloc {

struct ByteSink {
  // Whether that succeeded is the context's affair.
  void (*write)(void* context, const void* data, size_t n);
  void* context;

  void Write(const void* data, size_t n) const { write(context, data, n); }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_BYTE_SINK_H_
