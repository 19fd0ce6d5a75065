// Labels of heap profiles, for a scope.
//
//   spanmalloc::ProfileLabels labels({{"request", "search"}});
//
// What the thread allocates until the end of the scope is marked with them, and
// with those of the scopes around it. `go tool pprof -tagfocus request=search`
// shows what is. Concurrency: an object belongs to one thread.
#ifndef SPANMALLOC_PROFILE_LABELS_H_
#define SPANMALLOC_PROFILE_LABELS_H_

#include <initializer_list>
#include <utility>

#include "spanmalloc/spanmalloc.h"

namespace spanmalloc {

class ProfileLabels {
 public:
  using KeyAndValue = std::pair<const char*, const char*>;

  explicit ProfileLabels(std::initializer_list<KeyAndValue> labels)
      : before_(spanmalloc_add_profile_label(nullptr, nullptr)) {
    for (const KeyAndValue& label : labels) {
      spanmalloc_add_profile_label(label.first, label.second);
    }
  }
  ~ProfileLabels() { spanmalloc_restore_profile_labels(before_); }
  ProfileLabels(const ProfileLabels&) = delete;
  ProfileLabels& operator=(const ProfileLabels&) = delete;

 private:
  const void* const before_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_PROFILE_LABELS_H_
