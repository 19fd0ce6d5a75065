#include "allocator/api/profile_reports.h"

#include <errno.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "allocator/api/allocator.h"
#include "allocator/api/report_signals.h"
#include "allocator/os/clock.h"
#include "allocator/os/report_file.h"
#include "allocator/profile/gzip_writer.h"
#include "allocator/profile/mappings.h"

namespace spanmalloc {
namespace {

// A file, and the first error in writing it.
struct Output {
  int fd;
  int error = 0;

  static void Write(void* context, const void* data, size_t n) {
    Output* const output = static_cast<Output*>(context);
    const char* next = static_cast<const char*>(data);
    while (n != 0 && output->error == 0) {
      const ssize_t wrote = write(output->fd, next, n);
      if (wrote >= 0) {
        next += wrote;
        n -= static_cast<size_t>(wrote);
      } else if (errno != EINTR) {
        output->error = errno;
      }
    }
  }
};

// What writing takes: most of it is touched only as far as it is needed.
struct Workspace {
  static constexpr size_t kMappingBytes = 1 << 20;
  static constexpr size_t kLocationBytes = 1 << 20;

  alignas(Mapping) char mappings[kMappingBytes];
  alignas(uint64_t) char locations[kLocationBytes];
  alignas(GzipWriter) char gzip[sizeof(GzipWriter)];
};

// Set by StartProfileReports, then constant.
OptionText target;
ProfileType type = ProfileType::kHeap;

std::atomic<bool> writing_on_signal{false};

void WriteToFile(const char* pattern) {
  ReportFile file;
  int error = file.Open(pattern);
  if (error == 0) {
    error = WriteProfileTo(file.descriptor(), type);
    const int close_error = file.Close(error == 0);
    if (error == 0) error = close_error;
  }
  if (error != 0) CannotWrite("the heap profile", file.path(), error);
}

void OnSignal(int) {
  const int saved_errno = errno;
  if (!writing_on_signal.exchange(true, std::memory_order_acquire)) {
    WriteToFile(target.Is("") ? "spanmalloc.%p.pb.gz" : target.data);
    writing_on_signal.store(false, std::memory_order_release);
  }
  errno = saved_errno;
}

}  // namespace

int WriteProfileTo(int fd, ProfileType profile_type) {
  constexpr size_t kBytes =
      AlignUp(sizeof(Workspace), size_t{kMaxSystemPageSize});
  void* const memory = kLinuxMemory.reserve(kBytes);
  if (memory == nullptr) return ENOMEM;
  Workspace* const work = static_cast<Workspace*>(memory);
  MappingTable mappings(work->mappings, sizeof(work->mappings));
  mappings.ReadOwn();
  HeapProfiler& profiler = the_allocator.profiler();
  ProfileSource source = SourceOf(&profiler.profile());
  source.mappings = mappings.begin();
  source.mapping_count = mappings.size();
  source.interval = profiler.interval();
  source.time_ns = WallClockNanoseconds();
  source.duration_ns = profiler.start_ns() == 0
                           ? 0
                           : MonotonicNanoseconds() - profiler.start_ns();
  Output output = {fd};
  GzipWriter* const gzip =
      new (work->gzip) GzipWriter({Output::Write, &output});
  const bool written = WriteProfile(source, profile_type, work->locations,
                                    sizeof(work->locations), gzip->sink());
  gzip->Finish();
  kLinuxMemory.unmap(memory, kBytes);
  return output.error != 0 ? output.error : written ? 0 : ENOMEM;
}

void StartProfileReports(const Options& options) {
  target = options.profile_at_exit;
  type = static_cast<ProfileType>(options.profile_type);
  const int number = SignalOfChoice(options.profile_signal);
  if (number != 0) TakeSignal("profile_signal", number, OnSignal);
}

void WriteProfileAtExit() {
  if (target.Is("")) return;
  const int saved_errno = errno;
  WriteToFile(target.data);
  errno = saved_errno;
}

}  // namespace spanmalloc
