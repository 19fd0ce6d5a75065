#include "allocator/profile/profile_proto.h"

#include <string.h>

#include <new>

#include "allocator/base/bits.h"
#include "allocator/profile/address_set.h"
#include "allocator/profile/proto_message.h"
#include "allocator/profile/utf8.h"

namespace spanmalloc {
namespace {

// The numbers of the fields, by the names that they have in profile.proto.
namespace profile {
enum : uint32_t {
  sample_type = 1,
  sample = 2,
  mapping = 3,
  location = 4,
  function = 5,
  string_table = 6,
  time_nanos = 9,
  duration_nanos = 10,
  period_type = 11,
  period = 12,
  default_sample_type = 14,
};
}  // namespace profile
namespace value_type {
enum : uint32_t { type = 1, unit = 2 };
}
namespace sample {
enum : uint32_t { location_id = 1, value = 2, label = 3 };
}
namespace label {
enum : uint32_t { key = 1, str = 2, num = 3, num_unit = 4 };
}
namespace mapping {
enum : uint32_t {
  id = 1,
  memory_start = 2,
  memory_limit = 3,
  file_offset = 4,
  filename = 5,
  build_id = 6,
};
}
namespace location {
enum : uint32_t { id = 1, mapping_id = 2, address = 3, line = 4 };
}
namespace line {
enum : uint32_t { function_id = 1 };
}
namespace function {
enum : uint32_t { id = 1, name = 2 };
}

// Strings that every profile has, and their places in the table of strings.
constexpr const char* kStrings[] = {
    "",
    "count",
    "bytes",
    "space",
    "nanoseconds",
    "microseconds",
    "[stack not known]",
    "[no room for the stack]",
    "lifetime_min",
    "lifetime_avg",
    "lifetime_max",
};
enum : uint64_t {
  kNoString,
  kCount,
  kBytes,
  kSpace,
  kNanoseconds,
  kMicroseconds,
  kUnknownStack,
  kNoRoomStack,
  kLifetimeMin,
  kLifetimeAvg,
  kLifetimeMax,
  kFirstOther,
};
static_assert(sizeof(kStrings) / sizeof(kStrings[0]) == kFirstOther);

struct ValueType {
  const char* type;
  uint64_t unit;
};

constexpr size_t kMostValues = 4;
struct TypeInfo {
  BucketKind kind;
  size_t values;
  size_t default_value;
  ValueType value_types[kMostValues];
};
// By ProfileType.
constexpr TypeInfo kTypes[] = {
    {BucketKind::kHeap,
     4,
     3,
     {{"alloc_objects", kCount},
      {"alloc_space", kBytes},
      {"inuse_objects", kCount},
      {"inuse_space", kBytes}}},
    {BucketKind::kHeap,
     2,
     1,
     {{"peak_objects", kCount}, {"peak_space", kBytes}}},
    {BucketKind::kGrowth,
     2,
     1,
     {{"growth_objects", kCount}, {"growth_space", kBytes}}},
    {BucketKind::kHeap,
     3,
     1,
     {{"freed_objects", kCount},
      {"freed_space", kBytes},
      {"lifetime", kMicroseconds}}},
};

Text TextOf(const char* string) { return {string, strlen(string)}; }

// Numbers are signed there.
uint64_t Bounded(uint64_t value) {
  return value < INT64_MAX ? value : uint64_t{INT64_MAX};
}
uint64_t Bounded(double value) {
  return value < 0x1p63 ? static_cast<uint64_t>(value) : uint64_t{INT64_MAX};
}

class Encoder {
 public:
  Encoder(const ProfileSource& source, ProfileType type, const ByteSink& sink,
          uint64_t* first_ids, AddressSet addresses)
      : source_(source),
        type_(type),
        info_(kTypes[static_cast<size_t>(type)]),
        sink_(sink),
        first_ids_(first_ids),
        addresses_(addresses) {}

  void Write() {
    for (const char* string : kStrings) AddString(TextOf(string));
    WriteTypes();
    uint64_t id = 1;
    for (size_t i = 0; i < source_.mapping_count; ++i) {
      first_ids_[i] = id;
      id += source_.mappings[i].limit - source_.mappings[i].start;
    }
    special_ids_ = id;
    ForEachBucket<&Encoder::WriteSample>();
    WriteLocations();
    WriteSpecialLocation(kUnknownStack);
    WriteSpecialLocation(kNoRoomStack);
    for (size_t i = 0; i < source_.mapping_count; ++i) WriteMapping(i);
  }

 private:
  struct KnownLabels {
    const LabelSet* set;
    uint64_t first_string;
  };
  static constexpr size_t kKnownLabels = 256;

  template <void (Encoder::*kVisit)(const BucketSnapshot&)>
  void ForEachBucket() {
    source_.for_each_bucket(
        source_.context, info_.kind,
        [](void* encoder, const BucketSnapshot& bucket) {
          (static_cast<Encoder*>(encoder)->*kVisit)(bucket);
        },
        this);
  }

  void Emit() {
    if (message_.ok()) sink_.Write(message_.data(), message_.size());
    message_.Clear();
  }
  template <size_t kOther>
  void Emit(uint32_t field, const ProtoMessage<kOther>& message) {
    if (!message.ok()) return;
    message_.AddHead(field, message.size());
    Emit();
    sink_.Write(message.data(), message.size());
  }

  // Returns its place in the table.
  uint64_t AddString(Text text) {
    message_.AddHead(profile::string_table, text.bytes);
    Emit();
    char part[256];
    size_t filled = 0;
    for (size_t at = 0; at < text.bytes;) {
      const size_t bytes = Utf8Character(text.start + at, text.bytes - at);
      if (filled + 4 > sizeof(part)) {
        sink_.Write(part, filled);
        filled = 0;
      }
      if (bytes == 0) {
        part[filled++] = '?';
        ++at;
      } else {
        memcpy(part + filled, text.start + at, bytes);
        filled += bytes;
        at += bytes;
      }
    }
    sink_.Write(part, filled);
    return strings_++;
  }

  void WriteTypes() {
    for (size_t i = 0; i < info_.values; ++i) {
      const uint64_t name = AddString(TextOf(info_.value_types[i].type));
      part_.Clear();
      part_.AddNumber(value_type::type, name);
      part_.AddNumber(value_type::unit, info_.value_types[i].unit);
      Emit(profile::sample_type, part_);
      if (i == info_.default_value) {
        message_.AddNumber(profile::default_sample_type, name);
        Emit();
      }
    }
    part_.Clear();
    part_.AddNumber(value_type::type, kSpace);
    part_.AddNumber(value_type::unit, kBytes);
    Emit(profile::period_type, part_);
    message_.AddNumber(profile::period, Bounded(source_.interval));
    message_.AddNumber(profile::time_nanos, Bounded(source_.time_ns));
    message_.AddNumber(profile::duration_nanos, Bounded(source_.duration_ns));
    Emit();
  }

  // False if the bucket has nothing for this type of profile.
  bool ValuesOf(const BucketSnapshot& bucket, uint64_t* values) const {
    size_t n = 0;
    const auto add = [&](const Estimate& estimate) {
      values[n++] = WholeObjects(estimate.objects);
      values[n++] = Bounded(estimate.allocated_bytes);
    };
    switch (type_) {
      case ProfileType::kHeap:
        add(bucket.allocated);
        add(bucket.in_use);
        // A profile of a while has nothing allocated of what is older.
        return bucket.allocated.objects != 0 || bucket.in_use.objects != 0;
      case ProfileType::kPeak:
        add(bucket.peak);
        return bucket.peak.objects != 0;
      case ProfileType::kGrowth:
        add(bucket.allocated);
        return bucket.allocated.objects != 0;
      case ProfileType::kLifetimes:
        add(bucket.freed);
        values[n] = Bounded(static_cast<double>(values[0]) * 1e-3 *
                            Average(bucket.lifetimes));
        return bucket.lifetimes.count != 0;
    }
    return false;
  }

  static double Average(const Lifetimes& lifetimes) {
    return lifetimes.count == 0 ? 0
                                : static_cast<double>(lifetimes.sum_ns) /
                                      static_cast<double>(lifetimes.count);
  }

  void WriteSample(const BucketSnapshot& bucket) {
    uint64_t values[kMostValues] = {};
    if (!ValuesOf(bucket, values)) return;
    // Comes first: it may have to write strings.
    const uint64_t first_string = StringsOf(bucket.labels);
    sample_.Clear();
    part_.Clear();
    const size_t depth = DepthOf(bucket.stack);
    for (size_t i = 0; i < depth; ++i) {
      part_.AddVarint(IdOf(AddressOf(bucket.stack, i)));
    }
    if (depth == 0) part_.AddVarint(SpecialId(NameOf(bucket.stack)));
    sample_.AddMessage(sample::location_id, part_);
    part_.Clear();
    for (size_t i = 0; i < info_.values; ++i) part_.AddVarint(values[i]);
    sample_.AddMessage(sample::value, part_);
    LabelReader labels(bucket.labels);
    Label label;
    for (uint64_t string = first_string; labels.Next(&label); string += 2) {
      part_.Clear();
      part_.AddNumber(label::key, string);
      part_.AddNumber(label::str, string + 1);
      sample_.AddMessage(sample::label, part_);
    }
    if (bucket.size != 0) AddNumberLabel(kBytes, bucket.size, kBytes);
    if (type_ == ProfileType::kLifetimes) {
      const Lifetimes& lifetimes = bucket.lifetimes;
      AddNumberLabel(kLifetimeMin, lifetimes.min_ns, kNanoseconds);
      AddNumberLabel(kLifetimeAvg, Bounded(Average(lifetimes)), kNanoseconds);
      AddNumberLabel(kLifetimeMax, lifetimes.max_ns, kNanoseconds);
    }
    Emit(profile::sample, sample_);
  }

  void AddNumberLabel(uint64_t key, uint64_t number, uint64_t unit) {
    part_.Clear();
    part_.AddNumber(label::key, key);
    part_.AddNumber(label::num, Bounded(number));
    part_.AddNumber(label::num_unit, unit);
    sample_.AddMessage(sample::label, part_);
  }

  // The place of the first key among the strings, behind which the others
  // follow. They are written once, or again where other sets came between.
  uint64_t StringsOf(const LabelSet* set) {
    if (set == nullptr) return 0;
    KnownLabels& known =
        known_labels_[(reinterpret_cast<uintptr_t>(set) >> 6) % kKnownLabels];
    if (known.set != set) {
      known = {set, strings_};
      LabelReader labels(set);
      for (Label label; labels.Next(&label);) {
        AddString(label.key);
        AddString(label.value);
      }
    }
    return known.first_string;
  }

  static size_t DepthOf(const Stack* stack) {
    return stack->depth < StackTable::kMaxDepth ? stack->depth
                                                : StackTable::kMaxDepth;
  }
  static uint64_t AddressOf(const Stack* stack, size_t i) {
    return reinterpret_cast<uintptr_t>(stack->frames()[i]) - 1;
  }
  static uint64_t NameOf(const Stack* stack) {
    return stack->hash == Stack::kNoRoomHash ? kNoRoomStack : kUnknownStack;
  }

  // The number of mappings if it is in none.
  size_t MappingOf(uint64_t address) const {
    size_t low = 0, high = source_.mapping_count;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (address < source_.mappings[middle].limit) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low < source_.mapping_count && address >= source_.mappings[low].start
               ? low
               : source_.mapping_count;
  }

  // Ids of locations: first all places in mappings, then those with a name,
  // then all other addresses.
  uint64_t IdOf(uint64_t address) const {
    const size_t i = MappingOf(address);
    return i < source_.mapping_count
               ? first_ids_[i] + (address - source_.mappings[i].start)
               : special_ids_ + kFirstOther + address;
  }
  uint64_t SpecialId(uint64_t name) const { return special_ids_ + name; }

  // All addresses of which the hash ends in the same bits are gathered, then
  // written; if they are too many, those that end in one bit more.
  void WriteLocations() {
    uint64_t bits = 0;
    int count = 0;
    for (;;) {
      addresses_.Restart(bits, count);
      ForEachBucket<&Encoder::GatherAddresses>();
      if (addresses_.is_full()) {
        ++count;  // With a 0 as the bit before.
        continue;
      }
      addresses_.ForEach([this](uint64_t address) { WriteLocation(address); });
      // Where the bit was 1, both halves are done.
      while (count > 0 && (bits >> (count - 1) & 1) != 0) {
        bits ^= uint64_t{1} << --count;
      }
      if (count == 0) break;
      bits |= uint64_t{1} << (count - 1);
    }
  }

  void GatherAddresses(const BucketSnapshot& bucket) {
    if (addresses_.is_full()) return;
    const size_t depth = DepthOf(bucket.stack);
    for (size_t i = 0; i < depth; ++i) {
      addresses_.Insert(AddressOf(bucket.stack, i));
    }
  }

  void WriteLocation(uint64_t address) {
    const size_t i = MappingOf(address);
    part_.Clear();
    part_.AddNumber(location::id, IdOf(address));
    if (i < source_.mapping_count) part_.AddNumber(location::mapping_id, i + 1);
    part_.AddNumber(location::address, address);
    Emit(profile::location, part_);
  }

  // A location that has a name, but no address.
  void WriteSpecialLocation(uint64_t name) {
    part_.Clear();
    part_.AddNumber(function::id, name);
    part_.AddNumber(function::name, name);
    Emit(profile::function, part_);
    part_.Clear();
    part_.AddNumber(line::function_id, name);
    sample_.Clear();
    sample_.AddNumber(location::id, SpecialId(name));
    sample_.AddMessage(location::line, part_);
    Emit(profile::location, sample_);
  }

  void WriteMapping(size_t i) {
    const Mapping& mapping = source_.mappings[i];
    const uint64_t name = AddString(mapping.name);
    char build_id[2 * Mapping::kMaxBuildId];
    const size_t build_id_bytes = mapping.build_id_bytes < Mapping::kMaxBuildId
                                      ? mapping.build_id_bytes
                                      : Mapping::kMaxBuildId;
    for (size_t k = 0; k < build_id_bytes; ++k) {
      constexpr char kDigits[] = "0123456789abcdef";
      build_id[2 * k] = kDigits[mapping.build_id[k] >> 4];
      build_id[2 * k + 1] = kDigits[mapping.build_id[k] & 15];
    }
    const uint64_t build_id_string = AddString({build_id, 2 * build_id_bytes});
    part_.Clear();
    part_.AddNumber(mapping::id, i + 1);
    part_.AddNumber(mapping::memory_start, mapping.start);
    part_.AddNumber(mapping::memory_limit, mapping.limit);
    part_.AddNumber(mapping::file_offset, mapping.offset);
    part_.AddNumber(mapping::filename, name);
    part_.AddNumber(mapping::build_id, build_id_string);
    Emit(profile::mapping, part_);
  }

  const ProfileSource& source_;
  const ProfileType type_;
  const TypeInfo& info_;
  const ByteSink& sink_;
  uint64_t* const first_ids_;  // Of locations, by mapping.
  AddressSet addresses_;
  uint64_t special_ids_ = 0;
  uint64_t strings_ = 0;
  KnownLabels known_labels_[kKnownLabels] = {};
  ProtoMessage<64> message_;  // The head of a field of the profile.
  ProtoMessage<1024> part_;
  ProtoMessage<4096> sample_;
};

}  // namespace

ProfileSource SourceOf(const HeapProfile* profile) {
  ProfileSource source = {};
  source.for_each_bucket = [](void* context, BucketKind kind,
                              void (*visit)(void*, const BucketSnapshot&),
                              void* visitor) {
    static_cast<const HeapProfile*>(context)->ForEachBucket(kind, visit,
                                                            visitor);
  };
  source.context = const_cast<HeapProfile*>(profile);
  return source;
}

bool WriteProfile(const ProfileSource& source, ProfileType type, void* memory,
                  size_t bytes, const ByteSink& sink) {
  static_assert(sizeof(Encoder) + AddressSet::kLeastBytes <=
                kLeastProfileMemory);
  const size_t id_bytes = source.mapping_count * sizeof(uint64_t);
  const size_t needed = sizeof(Encoder) + id_bytes;
  if (bytes < kLeastProfileMemory + id_bytes) return false;
  char* const start = static_cast<char*>(memory);
  uint64_t* const first_ids =
      reinterpret_cast<uint64_t*>(start + sizeof(Encoder));
  const AddressSet addresses(start + needed, bytes - needed);
  (::new (memory) Encoder(source, type, sink, first_ids, addresses))->Write();
  return true;
}

}  // namespace spanmalloc
