// The heap profiler's tables, copied out of another process.
//
// Place:    stat_reader, target -> [profile_tables] -> profile_writer
// Purpose:  Buckets with their stacks and sets of labels, for the encoder of
//           profiles (allocator/profile/profile_proto.h); of one look, or what
//           has come between two.
// Not here: files (profile_writer.h), mappings (target.h).
//
// Nothing that is read is trusted: lists may end in themselves, addresses lead
// nowhere, and counts be of any size.
//
// Concurrency: the process may take samples meanwhile. Each bucket is then of
//   one moment, but not all of the same.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_TABLES_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_TABLES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "allocator/observe/stat_root.h"
#include "allocator/profile/profile_proto.h"
#include "tools/spanmalloc/stat_reader.h"

namespace spanmalloc_tool {

class ProfileTables {
 public:
  // More buckets than that of one kind are no list, but a loop.
  static constexpr size_t kMaxBuckets = size_t{1} << 18;

  // Whether the tables are laid out as this program knows them.
  static bool IsKnownLayout(const spanmalloc::StatRoot& root);

  // Once. False if some memory is not there or makes no sense.
  // REQUIRES: IsKnownLayout(root).
  bool Read(const Memory& memory, const spanmalloc::StatRoot& root);

  // Leaves of all that is counted from the start what is not in `earlier`, a
  // look at the same process: allocations, frees, growth, lifetimes. What is or
  // was in use, and the extremes of lifetimes, stay as they are.
  void Subtract(const ProfileTables& earlier);

  uint64_t interval() const { return interval_; }
  // When sampling began, by the monotonic clock; 0 if that is not known.
  uint64_t start_ns() const { return start_ns_; }
  const spanmalloc::HeapProfileTotals& totals() const { return totals_; }
  size_t buckets(spanmalloc::BucketKind kind) const {
    return buckets_[static_cast<size_t>(kind)].size();
  }

  // The source with these buckets, and nothing else yet. The tables must
  // outlive it.
  spanmalloc::ProfileSource Source() const;

 private:
  struct Bucket {
    uint64_t address;
    spanmalloc::BucketSnapshot snapshot;
  };
  using Record = std::unique_ptr<uint64_t[]>;

  bool ReadList(const Memory& memory, const spanmalloc::StatRoot& root,
                spanmalloc::BucketKind kind);
  bool ReadBucket(const Memory& memory, const spanmalloc::StatRoot& root,
                  uint64_t address, Bucket* bucket, uint64_t* next);
  const spanmalloc::Stack* GetStack(const Memory& memory, uint64_t address);
  const spanmalloc::LabelSet* GetLabels(const Memory& memory, uint64_t address);

  uint64_t interval_ = 0;
  uint64_t start_ns_ = 0;
  spanmalloc::HeapProfileTotals totals_;
  std::array<std::vector<Bucket>, spanmalloc::kBucketKinds> buckets_;
  // Copies, by their addresses there.
  std::unordered_map<uint64_t, Record> stacks_, labels_;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_TABLES_H_
