#include "tools/spanmalloc/process_scan.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace spanmalloc_tool {
namespace {

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string VersionOf(const spanmalloc::StatRoot& root) {
  return std::to_string(root.library_version[0]) + "." +
         std::to_string(root.library_version[1]) + "." +
         std::to_string(root.library_version[2]);
}

}  // namespace

bool ProcessScan::Open(pid_t pid, std::string* error) {
  auto target = std::make_unique<LiveProcess>();
  ProcessStat process;
  Known known;
  const bool is_there = ReadProcessStat(pid, &process);
  if (!target->Open(pid, error) ||
      !FindRoot(target.get(), &known.found, error)) {
    return false;
  }
  if (!is_there) return true;  // It is now, and will be found.
  known.image = process.image;
  known.kind = Kind::kOnSpanmalloc;
  known.target = std::move(target);
  known_[pid] = std::move(known);
  return true;
}

ScanResult ProcessScan::Run(const std::vector<pid_t>& pids) {
  ScanResult result;
  for (auto& [pid, known] : known_) known.seen = false;
  for (const pid_t pid : pids) {
    ProcessStat process;
    if (ReadProcessStat(pid, &process) && process.has_memory) {
      Visit(process, &result);
    }
  }
  for (auto i = known_.begin(); i != known_.end();) {
    i = i->second.seen ? std::next(i) : known_.erase(i);
  }
  return result;
}

void ProcessScan::Visit(const ProcessStat& process, ScanResult* result) {
  Known& known = known_[process.pid];
  if (known.image != process.image) {
    known = Known();
    known.image = process.image;
  }
  known.seen = true;
  result->pids.push_back(process.pid);

  ProcessSample sample;
  // The second time if there is no root any more where it was.
  for (int i = 0; i < 2; ++i) {
    if (known.kind != Kind::kOnSpanmalloc) Look(process.pid, &known);
    if (known.kind != Kind::kOnSpanmalloc) break;
    if (ReadSample(process, &known, &sample)) {
      result->samples.push_back(std::move(sample));
      return;
    }
    known.kind = Kind::kUnknown;
    known.pause = known.left = 0;
    known.target.reset();
  }
  if (known.kind == Kind::kUnreadable) ++result->unreadable;
  if (known.kind == Kind::kVersion) ++result->other_version;
}

// Looks for a root, if it is time to.
void ProcessScan::Look(pid_t pid, Known* known) {
  if (known->left > 0) {
    --known->left;
    return;
  }
  known->left = known->pause;
  known->pause = std::min(std::max(2 * known->pause, 1u), kMaxPause);

  auto target = std::make_unique<LiveProcess>();
  std::string error;
  if (!target->Open(pid, &error)) {
    // It has just ended, or we may not.
    ProcessStat now;
    const bool is_there = ReadProcessStat(pid, &now) && now.has_memory;
    known->kind = is_there ? Kind::kUnreadable : Kind::kUnknown;
    return;
  }
  switch (FindRootQuietly(target.get(), &files_, &known->found)) {
    case RootSearch::kFound:
      known->kind = Kind::kOnSpanmalloc;
      known->target = std::move(target);
      break;
    case RootSearch::kNone:
      known->kind = Kind::kOther;
      break;
    case RootSearch::kOtherVersion:
      known->kind = Kind::kVersion;
      break;
  }
}

bool ProcessScan::ReadSample(const ProcessStat& process, Known* known,
                             ProcessSample* sample) {
  const Memory memory = known->target->memory();
  // Another program may be there now, with other memory at that place.
  spanmalloc::StatRoot root;
  if (ReadRoot(memory, reinterpret_cast<uint64_t>(known->found.root.self),
               &root) != RootStatus::kValid) {
    return false;
  }
  sample->process = process;
  sample->seconds = Now();
  if (!ReadSnapshot(memory, root, &sample->snapshot)) return false;
  sample->version = VersionOf(root);
  sample->path = known->found.path;
  return true;
}

}  // namespace spanmalloc_tool
