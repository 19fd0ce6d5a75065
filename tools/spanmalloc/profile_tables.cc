#include "tools/spanmalloc/profile_tables.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "tools/spanmalloc/published_record.h"

namespace spanmalloc_tool {
namespace {

using spanmalloc::BucketKind;
using spanmalloc::BucketSnapshot;
using spanmalloc::BucketSums;
using spanmalloc::Estimate;
using spanmalloc::HeapProfileTotals;
using spanmalloc::LabelSet;
using spanmalloc::LabelTable;
using spanmalloc::Lifetimes;
using spanmalloc::Stack;
using spanmalloc::StackTable;
using spanmalloc::StatAddress;
using spanmalloc::StatRoot;

constexpr uint64_t kMaxBucketBytes = 4096;

template <typename T>
constexpr uint64_t kWords = sizeof(T) / sizeof(uint64_t);

uint64_t Number(StatAddress address) {
  return reinterpret_cast<uintptr_t>(address);
}

bool ReadBytes(const Memory& memory, uint64_t address, void* out, size_t n) {
  return memory.read(memory.context, address, out, n);
}

bool ReadNumber(const Memory& memory, uint64_t address, uint64_t* number) {
  return ReadBytes(memory, address, number, sizeof(*number));
}

template <typename T>
bool ReadRecord(const Memory& memory, uint64_t address, T* record) {
  std::vector<uint64_t> words;
  bool torn;
  if (!ReadPublished(memory, address, kWords<T>, &words, &torn)) return false;
  std::memcpy(static_cast<void*>(record), words.data(), sizeof(*record));
  return true;
}

// Counts only grow; but if one look met a bucket in the middle of a step, not
// in the eyes of this program.
template <typename T>
void Take(T* from, T what) {
  *from = *from > what ? *from - what : 0;
}

void Take(Estimate* from, const Estimate& what) {
  Take(&from->objects, what.objects);
  Take(&from->requested_bytes, what.requested_bytes);
  Take(&from->allocated_bytes, what.allocated_bytes);
}

void Take(Lifetimes* from, const Lifetimes& what) {
  Take(&from->count, what.count);
  Take(&from->sum_ns, what.sum_ns);
  for (size_t i = 0; i < Lifetimes::kDecades; ++i) {
    Take(&from->decades[i], what.decades[i]);
  }
}

}  // namespace

bool ProfileTables::IsKnownLayout(const StatRoot& root) {
  const uint32_t numbers[] = {root.bucket_next, root.bucket_stack,
                              root.bucket_labels, root.bucket_size};
  return root.bucket_sums_words == kWords<BucketSums> &&
         root.profile_totals_words == kWords<HeapProfileTotals> &&
         root.stack_head_bytes == sizeof(Stack) &&
         root.label_head_bytes == sizeof(LabelSet) &&
         root.bucket_bytes <= kMaxBucketBytes &&
         *std::max_element(std::begin(numbers), std::end(numbers)) +
                 sizeof(uint64_t) <=
             root.bucket_bytes &&
         root.bucket_sums + (1 + kWords<BucketSums>)*sizeof(uint64_t) <=
             root.bucket_bytes;
}

bool ProfileTables::Read(const Memory& memory, const StatRoot& root) {
  // The totals come first: buckets that are younger than the last peak know
  // that, which it was, by its number.
  if (!ReadRecord(memory, Number(root.profile_totals), &totals_) ||
      !ReadNumber(memory, Number(root.profile_interval), &interval_) ||
      !ReadNumber(memory, Number(root.profile_start_ns), &start_ns_) ||
      !ReadList(memory, root, BucketKind::kHeap) ||
      !ReadList(memory, root, BucketKind::kGrowth)) {
    return false;
  }
  Bucket pool;
  uint64_t next;
  if (!ReadBucket(memory, root, Number(root.profile_pool), &pool, &next)) {
    return false;
  }
  if (pool.snapshot.allocated.objects != 0) buckets_[0].push_back(pool);
  return true;
}

bool ProfileTables::ReadList(const Memory& memory, const StatRoot& root,
                             BucketKind kind) {
  const size_t place = static_cast<size_t>(kind);
  uint64_t address;
  if (!ReadNumber(memory,
                  Number(root.profile_lists.address) +
                      place * root.profile_lists.stride,
                  &address)) {
    return false;
  }
  std::unordered_set<uint64_t> seen;
  while (address != 0) {
    if (seen.size() == kMaxBuckets || !seen.insert(address).second) {
      return false;
    }
    Bucket bucket;
    if (!ReadBucket(memory, root, address, &bucket, &address)) return false;
    buckets_[place].push_back(bucket);
  }
  return true;
}

bool ProfileTables::ReadBucket(const Memory& memory, const StatRoot& root,
                               uint64_t address, Bucket* bucket,
                               uint64_t* next) {
  char bytes[kMaxBucketBytes];
  if (!ReadBytes(memory, address, bytes, root.bucket_bytes)) return false;
  const auto number_at = [&](uint32_t offset) {
    uint64_t number;
    std::memcpy(&number, bytes + offset, sizeof(number));
    return number;
  };
  BucketSums sums;
  if (!ReadRecord(memory, address + root.bucket_sums, &sums)) return false;
  const uint64_t labels = number_at(root.bucket_labels);
  const Stack* const stack = GetStack(memory, number_at(root.bucket_stack));
  const LabelSet* const label_set =
      labels == 0 ? nullptr : GetLabels(memory, labels);
  if (stack == nullptr || (labels != 0 && label_set == nullptr)) return false;
  *next = number_at(root.bucket_next);
  bucket->address = address;
  bucket->snapshot = {stack,
                      label_set,
                      number_at(root.bucket_size),
                      sums.allocated,
                      sums.freed,
                      sums.in_use(),
                      sums.at_peak(totals_.peak_epoch),
                      sums.lifetimes};
  return true;
}

// Null if there is none.
const Stack* ProfileTables::GetStack(const Memory& memory, uint64_t address) {
  Record& record = stacks_[address];
  if (record == nullptr) {
    Stack head;
    if (!ReadBytes(memory, address, &head, sizeof(head)) ||
        head.depth > StackTable::kMaxDepth) {
      return nullptr;
    }
    Record copy(new uint64_t[kWords<Stack> + head.depth]);
    if (!ReadBytes(memory, address + sizeof(Stack), copy.get() + kWords<Stack>,
                   head.depth * sizeof(uint64_t))) {
      return nullptr;
    }
    head.next = nullptr;
    std::memcpy(copy.get(), &head, sizeof(head));
    record = std::move(copy);
  }
  return reinterpret_cast<const Stack*>(record.get());
}

// Null if there is none.
const LabelSet* ProfileTables::GetLabels(const Memory& memory,
                                         uint64_t address) {
  Record& record = labels_[address];
  if (record == nullptr) {
    LabelSet head;
    if (!ReadBytes(memory, address, &head, sizeof(head)) ||
        head.count > LabelTable::kMaxLabels ||
        head.text_bytes > head.count * (LabelTable::kMaxKeyBytes +
                                        LabelTable::kMaxValueBytes)) {
      return nullptr;
    }
    const size_t bytes = head.bytes();
    Record copy(new uint64_t[(bytes + 7) / 8]);
    char* const behind = reinterpret_cast<char*>(copy.get()) + sizeof(head);
    if (!ReadBytes(memory, address + sizeof(head), behind,
                   bytes - sizeof(head))) {
      return nullptr;
    }
    size_t text_bytes = 0;
    for (size_t i = 0; i < size_t{2} * head.count; ++i) {
      uint16_t part;
      std::memcpy(&part, behind + i * sizeof(part), sizeof(part));
      if (part == 0) return nullptr;
      text_bytes += part;
    }
    if (text_bytes != head.text_bytes) return nullptr;
    head.next = nullptr;
    std::memcpy(copy.get(), &head, sizeof(head));
    record = std::move(copy);
  }
  return reinterpret_cast<const LabelSet*>(record.get());
}

void ProfileTables::Subtract(const ProfileTables& earlier) {
  for (size_t kind = 0; kind < spanmalloc::kBucketKinds; ++kind) {
    // Buckets never move, and never become another one's.
    std::unordered_map<uint64_t, const BucketSnapshot*> by_address;
    for (const Bucket& bucket : earlier.buckets_[kind]) {
      by_address[bucket.address] = &bucket.snapshot;
    }
    for (Bucket& bucket : buckets_[kind]) {
      const auto before = by_address.find(bucket.address);
      if (before == by_address.end()) continue;
      Take(&bucket.snapshot.allocated, before->second->allocated);
      Take(&bucket.snapshot.freed, before->second->freed);
      Take(&bucket.snapshot.lifetimes, before->second->lifetimes);
    }
  }
}

spanmalloc::ProfileSource ProfileTables::Source() const {
  spanmalloc::ProfileSource source = {};
  source.for_each_bucket = [](void* context, BucketKind kind,
                              void (*visit)(void*, const BucketSnapshot&),
                              void* visitor) {
    const ProfileTables* const tables =
        static_cast<const ProfileTables*>(context);
    for (const Bucket& bucket : tables->buckets_[static_cast<size_t>(kind)]) {
      visit(visitor, bucket.snapshot);
    }
  };
  source.context = const_cast<ProfileTables*>(this);
  source.interval = interval_;
  return source;
}

}  // namespace spanmalloc_tool
