// Turns the heap profiler of another process on, for a while.
//
// Purpose:  Profiles of processes that were started without one.
// Not here: what is read before and after (profile_command.cc).
//
// One word of the process is changed: the mean bytes between samples, which its
// threads look at now and then. It is put back by the destructor at the latest.
// Signals that would end this program end Wait instead, and are else held back
// as long as the word is changed; of those that cannot be held back (SIGKILL),
// the process stays as it is. So do children that it forks meanwhile.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_SAMPLING_WINDOW_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_SAMPLING_WINDOW_H_

#include <signal.h>

#include <cstdint>

#include "allocator/observe/stat_root.h"
#include "tools/spanmalloc/live_process.h"

namespace spanmalloc_tool {

class SamplingWindow {
 public:
  SamplingWindow(LiveProcess* process, const spanmalloc::StatRoot& root);
  ~SamplingWindow();
  SamplingWindow(const SamplingWindow&) = delete;
  SamplingWindow& operator=(const SamplingWindow&) = delete;

  // Sets the interval, if it is off. Then, or if it is on, *interval is what
  // holds. False if it cannot be read or written.
  bool Open(uint64_t* interval);
  // Whether it was off.
  bool changed() const { return changed_; }

  enum class End { kTime, kSignal, kGone };
  // Until so many seconds are over, a signal comes or the process is gone.
  End Wait(double seconds);

  // Puts the interval back, unless somebody else has changed it. False if that
  // fails.
  bool Close();

 private:
  bool ReadInterval(uint64_t* interval);
  bool WriteInterval(uint64_t interval);

  LiveProcess* const process_;
  const uint64_t address_;
  uint64_t written_ = 0;
  bool changed_ = false;
  bool open_ = false;  // And there is something to put back.
  sigset_t mask_before_;
};

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_SAMPLING_WINDOW_H_
