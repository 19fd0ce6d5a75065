#include "tools/spanmalloc/process_profile.h"

#include <inttypes.h>
#include <time.h>

#include <cstdio>

#include "allocator/profile/heap_profiler.h"
#include "allocator/profile/profile_proto.h"
#include "tools/spanmalloc/profile_tables.h"
#include "tools/spanmalloc/profile_writer.h"
#include "tools/spanmalloc/sampling_window.h"

namespace spanmalloc_tool {
namespace {

using spanmalloc::BucketKind;
using spanmalloc::HeapProfiler;
using spanmalloc::ProfileType;

struct TypeName {
  const char* name;
  ProfileType type;
};
constexpr TypeName kTypes[] = {{"heap", ProfileType::kHeap},
                               {"peak", ProfileType::kPeak},
                               {"growth", ProfileType::kGrowth},
                               {"lifetimes", ProfileType::kLifetimes}};

// REQUIRES: IsProfileType(name).
ProfileType TypeOf(const std::string& name) {
  ProfileType type = ProfileType::kHeap;
  for (const TypeName& known : kTypes) {
    if (name == known.name) type = known.type;
  }
  return type;
}

uint64_t Nanoseconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

bool Fail(Target* target, const std::string& why, std::string* error) {
  *error = target->Name() + ": " + why;
  return false;
}

bool ReadTables(Target* target, const spanmalloc::StatRoot& root,
                ProfileTables* tables, std::string* error) {
  if (!ProfileTables::IsKnownLayout(root)) {
    return Fail(target,
                "this program does not know the layout of its profiler's "
                "tables",
                error);
  }
  return tables->Read(target->memory(), root) ||
         Fail(target, target->WhyUnreadable(), error);
}

void Encode(const ProfileTables& tables, const std::string& type,
            uint64_t interval, uint64_t duration_ns, Target* target,
            std::string* profile) {
  spanmalloc::ProfileSource source = tables.Source();
  source.interval = interval;
  source.time_ns = Nanoseconds(CLOCK_REALTIME);
  source.duration_ns = duration_ns;
  *profile = MakeProfile(source, TypeOf(type), target);
}

}  // namespace

bool IsProfileType(const std::string& type) {
  for (const TypeName& known : kTypes) {
    if (type == known.name) return true;
  }
  return false;
}

bool TakeProfile(Target* target, bool is_core, const std::string& type,
                 std::string* profile, std::string* error) {
  FoundRoot found;
  ProfileTables tables;
  if (!FindRoot(target, &found, error) ||
      !ReadTables(target, found.root, &tables, error)) {
    return false;
  }
  const BucketKind kind = TypeOf(type) == ProfileType::kGrowth
                              ? BucketKind::kGrowth
                              : BucketKind::kHeap;
  if (tables.interval() == 0 && tables.buckets(kind) == 0) {
    return Fail(target,
                std::string("sampling is off and nothing was sampled; ") +
                    (is_core ? "" : "use --seconds N, or ") +
                    "start it with SPANMALLOC_OPTIONS=profile_interval=512K",
                error);
  }
  const uint64_t now = Nanoseconds(CLOCK_MONOTONIC);
  const uint64_t start = tables.start_ns();
  const uint64_t duration_ns =
      !is_core && start != 0 && now > start ? now - start : 0;
  Encode(tables, type, tables.interval(), duration_ns, target, profile);
  return true;
}

bool TakeProfileOver(LiveProcess* process, double seconds, uint64_t interval,
                     const std::string& type, std::string* profile,
                     std::string* error) {
  if (interval == 0) interval = HeapProfiler::kDefaultInterval;
  FoundRoot found;
  ProfileTables before, after;
  if (!FindRoot(process, &found, error) ||
      !ReadTables(process, found.root, &before, error)) {
    return false;
  }
  const std::string name = process->Name();
  const uint64_t start = Nanoseconds(CLOCK_MONOTONIC);
  uint64_t duration_ns;
  {
    SamplingWindow window(process, found.root);
    if (!window.Open(&interval)) {
      return Fail(process,
                  "sampling is off, and its memory cannot be written to turn "
                  "it on",
                  error);
    }
    std::fprintf(
        stderr,
        "spanmalloc: %s: sampling %s, every %" PRIu64 " bytes, for %g s\n",
        name.c_str(), window.changed() ? "was off, is on now" : "is on",
        interval, seconds);
    const SamplingWindow::End end = window.Wait(seconds);
    duration_ns = Nanoseconds(CLOCK_MONOTONIC) - start;
    if (end == SamplingWindow::End::kGone || !window.Close()) {
      return Fail(process, process->WhyUnreadable(), error);
    }
    if (window.changed()) {
      std::fprintf(stderr, "spanmalloc: %s: sampling is off again\n",
                   name.c_str());
    }
    if (!ReadTables(process, found.root, &after, error)) return false;
  }
  after.Subtract(before);
  Encode(after, type, interval, duration_ns, process, profile);
  return true;
}

}  // namespace spanmalloc_tool
