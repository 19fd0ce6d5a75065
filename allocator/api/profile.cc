// The functions of spanmalloc's own that have to do with the heap profiler.
//
// Place:    what programs call.
#include <errno.h>
#include <string.h>

#include "allocator/api/allocator.h"
#include "allocator/api/profile_reports.h"
#include "spanmalloc/spanmalloc.h"

namespace spanmalloc {
namespace {

struct TypeName {
  const char* name;
  ProfileType type;
};
constexpr TypeName kTypes[] = {{"heap", ProfileType::kHeap},
                               {"peak", ProfileType::kPeak},
                               {"growth", ProfileType::kGrowth},
                               {"lifetimes", ProfileType::kLifetimes}};

}  // namespace
}  // namespace spanmalloc

#pragma GCC visibility push(default)

using spanmalloc::HeapProfiler;
using spanmalloc::LabelSet;
using spanmalloc::the_allocator;

size_t spanmalloc_set_profile_interval(size_t bytes) {
  return the_allocator.profiler().SetInterval(bytes);
}

int spanmalloc_write_profile(int fd, const char* type) {
  if (type == nullptr) return EINVAL;
  const int saved_errno = errno;
  int error = EINVAL;
  for (const spanmalloc::TypeName& known : spanmalloc::kTypes) {
    if (strcmp(known.name, type) == 0) {
      error = spanmalloc::WriteProfileTo(fd, known.type);
    }
  }
  errno = saved_errno;
  return error;
}

void spanmalloc_reset_profile_peak() {
  the_allocator.profiler().profile().ResetPeak();
}

const void* spanmalloc_add_profile_label(const char* key, const char* value) {
  const LabelSet* const before = HeapProfiler::labels();
  if (key != nullptr && value != nullptr) {
    HeapProfiler::set_labels(
        the_allocator.profiler().label_table().With(before, key, value));
  }
  return before;
}

void spanmalloc_restore_profile_labels(const void* labels) {
  HeapProfiler::set_labels(static_cast<const LabelSet*>(labels));
}

#pragma GCC visibility pop
