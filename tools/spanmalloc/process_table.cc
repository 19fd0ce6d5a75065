#include "tools/spanmalloc/process_table.h"

#include <algorithm>
#include <utility>

namespace spanmalloc_tool {
namespace {

// Since the look before.
class Change {
 public:
  // No rate comes out of them where counters have fallen: then another program
  // counts in the place of the first one.
  Change(const ProcessSample* before, const ProcessSample& now) {
    if (before == nullptr || before->process.image != now.process.image ||
        now.seconds <= before->seconds) {
      return;
    }
    const spanmalloc_memstats& old = before->snapshot.stats;
    const spanmalloc_memstats& stats = now.snapshot.stats;
    for (auto counter :
         {&spanmalloc_memstats::mallocs, &spanmalloc_memstats::frees,
          &spanmalloc_memstats::total_alloc,
          &spanmalloc_memstats::total_freed}) {
      if (stats.*counter < old.*counter) return;
    }
    before_ = &old;
    seconds_ = now.seconds - before->seconds;
  }

  bool is_known() const { return before_ != nullptr; }
  const spanmalloc_memstats& before() const { return *before_; }
  double Rate(uint64_t old, uint64_t now) const {
    return now > old ? static_cast<double>(now - old) / seconds_ : 0;
  }

 private:
  const spanmalloc_memstats* before_ = nullptr;
  double seconds_ = 0;
};

void AddClasses(const Change& change, ProcessRow* row) {
  const spanmalloc_memstats& stats = row->stats();
  for (size_t i = 0; i < SPANMALLOC_SIZE_CLASSES; ++i) {
    const spanmalloc_size_stats& size = stats.by_size[i];
    if (size.mallocs == 0) continue;
    ClassRow added;
    added.size = size.size;
    added.blocks = size.mallocs - size.frees;
    added.bytes = added.blocks * size.size;
    if (change.is_known()) {
      const spanmalloc_size_stats& old = change.before().by_size[i];
      added.mallocs = change.Rate(old.mallocs, size.mallocs);
      added.frees = change.Rate(old.frees, size.frees);
    }
    row->classes.push_back(added);
  }
  if (stats.large_mallocs == 0) return;
  ClassRow added;
  added.blocks = stats.large_objects;
  added.bytes = stats.large_bytes;
  if (change.is_known()) {
    const spanmalloc_memstats& old = change.before();
    added.mallocs = change.Rate(old.large_mallocs, stats.large_mallocs);
    added.frees = change.Rate(old.large_frees, stats.large_frees);
  }
  row->classes.push_back(added);
}

ProcessRow MakeRow(ProcessSample sample, const ProcessSample* before) {
  ProcessRow row;
  row.sample = std::move(sample);
  const Change change(before, row.sample);
  row.has_rates = change.is_known();
  if (row.has_rates) {
    const spanmalloc_memstats& old = change.before();
    const spanmalloc_memstats& stats = row.stats();
    row.mallocs = change.Rate(old.mallocs, stats.mallocs);
    row.frees = change.Rate(old.frees, stats.frees);
    row.bytes_allocated = change.Rate(old.total_alloc, stats.total_alloc);
    row.bytes_freed = change.Rate(old.total_freed, stats.total_freed);
  }
  AddClasses(change, &row);
  return row;
}

double Figure(const ProcessRow& row, SortKey key) {
  switch (key) {
    case SortKey::kRss:
      return static_cast<double>(row.sample.process.rss_bytes);
    case SortKey::kInUse:
      return static_cast<double>(row.stats().heap_alloc);
    case SortKey::kHeld:
      return static_cast<double>(row.held());
    case SortKey::kIdle:
      return static_cast<double>(row.idle());
    case SortKey::kAllocated:
      return row.bytes_allocated;
    case SortKey::kMallocs:
      return row.mallocs;
    case SortKey::kPid:
    case SortKey::kCommand:
      break;  // PIDs and names go the other way.
  }
  return 0;
}

bool IsBefore(const ProcessRow& a, const ProcessRow& b, SortKey key) {
  if (key == SortKey::kCommand) {
    return a.sample.process.command < b.sample.process.command;
  }
  if (key == SortKey::kPid) return a.sample.process.pid < b.sample.process.pid;
  return Figure(a, key) > Figure(b, key);
}

}  // namespace

void ProcessTable::Update(ScanResult scan) {
  std::vector<ProcessRow> rows;
  rows.reserve(scan.samples.size());
  for (ProcessSample& sample : scan.samples) {
    const ProcessRow* const before = Find(sample.process.pid);
    rows.push_back(MakeRow(std::move(sample),
                           before == nullptr ? nullptr : &before->sample));
  }
  rows_ = std::move(rows);
  pids_ = std::move(scan.pids);
  unreadable_ = scan.unreadable;
  other_version_ = scan.other_version;
  Sort();
}

void ProcessTable::SortBy(SortKey key, bool reversed) {
  key_ = key;
  reversed_ = reversed;
  Sort();
}

// Equal ones stand by PID, so that they do not change places.
void ProcessTable::Sort() {
  std::sort(rows_.begin(), rows_.end(),
            [this](const ProcessRow& a, const ProcessRow& b) {
              if (IsBefore(a, b, key_)) return !reversed_;
              if (IsBefore(b, a, key_)) return reversed_;
              return a.sample.process.pid < b.sample.process.pid;
            });
}

const ProcessRow* ProcessTable::Find(pid_t pid) const {
  const auto found = std::find_if(
      rows_.begin(), rows_.end(),
      [pid](const ProcessRow& row) { return row.sample.process.pid == pid; });
  return found == rows_.end() ? nullptr : &*found;
}

bool ProcessTable::Exists(pid_t pid) const {
  return std::binary_search(pids_.begin(), pids_.end(), pid);
}

}  // namespace spanmalloc_tool
