// Profiles as pprof reads them: the message perftools.profiles.Profile of
// github.com/google/pprof, proto/profile.proto.
//
// Place:    profile/, above the tables, which it reads through ProfileSource:
//           those of this process, or copies of another one's.
// Purpose:  Write buckets, stacks, labels and mappings as one message.
// Not here: gzip (gzip_writer.h), files, names of functions.
//
// What is in it
//   heap       alloc_objects, alloc_space, inuse_objects, inuse_space, named
//              and in the order as Go has them
//   peak       peak_objects, peak_space: in use when most was
//   growth     growth_objects (how many times), growth_space: taken from the
//              system
//   lifetimes  freed_objects, freed_space, lifetime (of all of them together,
//   in
//              microseconds); and as labels with numbers lifetime_min, _avg and
//              _max of the samples, in nanoseconds
// Space is of blocks as they are allocated. Samples have the labels of their
// bucket, and the size of a block as the number "bytes". Frames are return
// addresses; the addresses written are one less, within the calls. A stack that
// is not known, or found no room, is one frame with a name that says so.
//
// The message is written as it comes, in one pass over the buckets for the
// samples and one or more for the locations: as many as it takes to remember
// which locations have been written in the memory that the caller lends. Ids of
// locations are places in the mappings laid end to end, so no table of them is
// needed. Buckets may change and come up meanwhile.
//
// Cost:     the passes, and one call of the sink for each message in the
//           profile, so let something gather these.
// Failure:  false if the memory is too small; then nothing is written. Text
//           that is no UTF-8 is written with question marks.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_PROFILE_PROTO_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_PROFILE_PROTO_H_

#include <cstddef>
#include <cstdint>

#include "allocator/profile/byte_sink.h"
#include "allocator/profile/heap_profile.h"
#include "allocator/profile/mappings.h"

namespace spanmalloc {

enum class ProfileType : unsigned char { kHeap, kPeak, kGrowth, kLifetimes };

struct ProfileSource {
  // Calls visit(visitor, bucket) for every bucket of the kind; a later call
  // for all of an earlier one, and perhaps more. Stacks and sets of labels
  // stay where they are meanwhile.
  void (*for_each_bucket)(void* context, BucketKind kind,
                          void (*visit)(void* visitor, const BucketSnapshot&),
                          void* visitor);
  void* context;
  const Mapping* mappings;  // By address, and they do not overlap.
  size_t mapping_count;
  uint64_t interval;     // Bytes between samples.
  uint64_t time_ns;      // Since 1970.
  uint64_t duration_ns;  // Since sampling began.
};

// The source with the buckets of `profile`, and nothing else yet.
ProfileSource SourceOf(const HeapProfile* profile);

// `memory` is aligned to 8 bytes. kLeastProfileMemory and 8 bytes for each
// mapping are enough; 1 MiB makes one pass of a large profile.
inline constexpr size_t kLeastProfileMemory = 64 << 10;
[[nodiscard]] bool WriteProfile(const ProfileSource& source, ProfileType type,
                                void* memory, size_t bytes,
                                const ByteSink& sink);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_PROFILE_PROTO_H_
