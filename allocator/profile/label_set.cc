#include "allocator/profile/label_set.h"

#include <string.h>

#include <initializer_list>

#include "allocator/base/check.h"

namespace spanmalloc {
namespace {

int Compare(Text a, Text b) {
  const int order =
      memcmp(a.start, b.start, a.bytes < b.bytes ? a.bytes : b.bytes);
  if (order != 0) return order;
  return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

// At most `most` bytes, and no half of a character at the end.
Text Cut(Text text, size_t most) {
  if (text.bytes <= most) return text;
  size_t bytes = most;
  while (bytes > 0 && (text.start[bytes] & 0xc0) == 0x80) --bytes;
  // That is no UTF-8 at all.
  return {text.start, bytes > 0 ? bytes : most};
}

// The labels of `parent` with another one in its place in the order, as they
// would come from a LabelReader.
class MergedLabels {
 public:
  MergedLabels(const LabelSet* parent, const Label& added)
      : parent_(parent),
        added_(added),
        adds_(added.value.bytes != 0),
        has_next_(parent_.Next(&next_)) {}

  bool Next(Label* label) {
    if (has_next_ && Compare(next_.key, added_.key) == 0) {
      has_next_ = parent_.Next(&next_);
    }
    if (adds_ && (!has_next_ || Compare(added_.key, next_.key) < 0)) {
      adds_ = false;
      *label = added_;
      return true;
    }
    if (!has_next_) return false;
    *label = next_;
    has_next_ = parent_.Next(&next_);
    return true;
  }

 private:
  LabelReader parent_;
  const Label added_;
  bool adds_;
  Label next_;
  bool has_next_;
};

// What can be known of labels without writing them down.
struct Summary {
  uint64_t hash = 0;
  uint32_t count = 0;
  uint32_t text_bytes = 0;

  void Add(const Label& label) {
    Add(label.key);
    Add(label.value);
    ++count;
  }

 private:
  void Add(Text text) {
    hash = (hash ^ text.bytes) * 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < text.bytes; ++i) {
      hash = (hash ^ static_cast<unsigned char>(text.start[i])) *
             0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
    text_bytes += static_cast<uint32_t>(text.bytes);
  }
};

template <typename Labels>
Summary Summarize(Labels labels) {
  Summary summary;
  for (Label label; labels.Next(&label);) summary.Add(label);
  return summary;
}

template <typename Labels>
bool HasLabels(const LabelSet* set, Labels labels) {
  LabelReader reader(set);
  Label mine, theirs;
  while (reader.Next(&mine)) {
    if (!labels.Next(&theirs) || Compare(mine.key, theirs.key) != 0 ||
        Compare(mine.value, theirs.value) != 0) {
      return false;
    }
  }
  return !labels.Next(&theirs);
}

template <typename Labels>
void Fill(LabelSet* set, const Summary& summary, Labels labels) {
  set->count = summary.count;
  set->text_bytes = summary.text_bytes;
  uint16_t* sizes = reinterpret_cast<uint16_t*>(set + 1);
  char* text = reinterpret_cast<char*>(sizes + 2 * summary.count);
  for (Label label; labels.Next(&label);) {
    for (const Text& part : {label.key, label.value}) {
      *sizes++ = static_cast<uint16_t>(part.bytes);
      memcpy(text, part.start, part.bytes);
      text += part.bytes;
    }
  }
}

}  // namespace

LabelReader::LabelReader(const LabelSet* set) {
  if (set == nullptr) return;
  left_ = set->count;
  sizes_ = reinterpret_cast<const uint16_t*>(set + 1);
  text_ = reinterpret_cast<const char*>(sizes_ + 2 * left_);
}

bool LabelReader::Next(Label* label) {
  if (left_ == 0) return false;
  --left_;
  label->key = {text_, sizes_[0]};
  label->value = {text_ + sizes_[0], sizes_[1]};
  text_ += sizes_[0] + sizes_[1];
  sizes_ += 2;
  return true;
}

const LabelSet* LabelTable::With(const LabelSet* parent, Text key, Text value) {
  if (key.bytes == 0) return parent;
  const MergedLabels labels(
      parent, {Cut(key, kMaxKeyBytes), Cut(value, kMaxValueBytes)});
  const Summary summary = Summarize(labels);
  if (summary.count == 0) return nullptr;
  if (summary.count > kMaxLabels) {
    table_.CountLoss();
    return parent;
  }
  const size_t bytes = sizeof(LabelSet) + summary.count * 2 * sizeof(uint16_t) +
                       summary.text_bytes;
  const LabelSet* const set = table_.Intern(
      summary.hash, bytes,
      [&](const LabelSet* other) { return HasLabels(other, labels); },
      [&](LabelSet* added) { Fill(added, summary, labels); });
  return set != nullptr ? set : parent;
}

const LabelSet* LabelTable::With(const LabelSet* parent, const char* key,
                                 const char* value) {
  return With(parent, Text{key, strlen(key)}, Text{value, strlen(value)});
}

void LabelTable::CheckInvariants() const {
  table_.CheckInvariants(
      [](const LabelSet* set) {
        Text last = {"", 0};
        LabelReader reader(set);
        for (Label label; reader.Next(&label);) {
          SPANMALLOC_CHECK(Compare(last, label.key) < 0);  // S1
          SPANMALLOC_CHECK(label.key.bytes <= kMaxKeyBytes);
          SPANMALLOC_CHECK(label.value.bytes != 0);
          SPANMALLOC_CHECK(label.value.bytes <= kMaxValueBytes);
          last = label.key;
        }
        const Summary summary = Summarize(LabelReader(set));
        SPANMALLOC_CHECK(set->count == summary.count);
        SPANMALLOC_CHECK(set->count <= kMaxLabels);
        SPANMALLOC_CHECK(set->text_bytes == summary.text_bytes);
        SPANMALLOC_CHECK(set->hash == summary.hash);
        return set->bytes();
      },
      [](const LabelSet* a, const LabelSet* b) {
        return HasLabels(a, LabelReader(b));
      });
}

}  // namespace spanmalloc
