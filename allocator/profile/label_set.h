// Labels of samples: what the program says about what it was doing.
//
// Place:    profile/, beside the table of stacks.
// Purpose:  Turn a set of pairs of key and value into a pointer that stays good
//           for ever, so that equal sets are equal pointers.
// Not here: whose labels they are (each thread has its current set); the size,
//           which is written as a label too, but is a number (profile_proto.h).
//
// A set never changes: With() gives another one. A scope that sets a label
// remembers the set that was there before, and puts it back at its end. The
// name of a thread is a label like others, under kThreadKey.
//
// Concurrency, invariants: see intern_table.h; and
//   S1  The labels of a set are sorted by key, each key is there once, neither
//       keys nor values are empty.
// Cost:     a hash over all text of the set and one comparison. A record of 24
//           bytes, 4 for each label, and the text, rounded up to 64.
// Failure:  where there is no room, or too many labels, the set stays as it
//           was; lost() counts these. Text that is too long is cut, between
//           characters of UTF-8.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_LABEL_SET_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_LABEL_SET_H_

#include <cstddef>
#include <cstdint>

#include "allocator/profile/intern_table.h"

namespace spanmalloc {

struct Text {
  const char* start;
  size_t bytes;
};

struct Label {
  Text key;
  Text value;
};

// A record that is read from outside as well. Behind it lie `count` pairs of
// two-byte numbers, the bytes of each key and of its value; then the text of
// all, in the same order, without zeroes.
struct LabelSet {
  const LabelSet* next;  // In the chain; null at its end.
  uint64_t hash;
  uint32_t count;
  uint32_t text_bytes;

  size_t bytes() const {
    return sizeof(LabelSet) + count * 2 * sizeof(uint16_t) + text_bytes;
  }
};
static_assert(sizeof(LabelSet) == 24);

// The labels of a set, one after the other.
class LabelReader {
 public:
  // Null is the empty set.
  explicit LabelReader(const LabelSet* set);
  // False at the end.
  bool Next(Label* label);

 private:
  const uint16_t* sizes_ = nullptr;
  const char* text_ = nullptr;
  uint32_t left_ = 0;
};

class LabelTable {
 public:
  static constexpr size_t kMaxLabels = 16;
  static constexpr size_t kMaxKeyBytes = 64;
  static constexpr size_t kMaxValueBytes = 128;
  static constexpr size_t kDefaultLimit = 1 << 20;
  static constexpr size_t kChains = 1 << 10;
  static constexpr const char* kThreadKey = "thread";

  constexpr explicit LabelTable(MetadataArena* arena,
                                size_t limit = kDefaultLimit)
      : table_(arena, limit) {}

  // The set that has `key` with this value, and else what `parent` has. An
  // empty value takes the label away. Null is the empty set, here and there.
  const LabelSet* With(const LabelSet* parent, Text key, Text value);
  const LabelSet* With(const LabelSet* parent, const char* key,
                       const char* value);

  // Of records, for those that are added from now on.
  void set_limit(size_t bytes) { table_.set_limit(bytes); }
  size_t limit() const { return table_.limit(); }
  size_t used_bytes() const { return table_.used_bytes(); }
  size_t sets() const { return table_.count(); }
  uint64_t lost() const { return table_.lost(); }

  void CheckInvariants() const;
  Mutex& fork_lock() { return table_.fork_lock(); }

 private:
  friend struct StatLayout;

  InternTable<LabelSet, kChains> table_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_LABEL_SET_H_
