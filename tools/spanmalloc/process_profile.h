// Takes the heap profile of a process or a core file: of now, or of a while.
//
// Place:    profile_tables, sampling_window, profile_writer ->
//           [process_profile] -> profile_command
// Purpose:  When the tables are read, and what to say if there is nothing.
// Not here: the command line, and the file (profile_command.cc). Abseil: its
//           names of lock annotations are the allocator's, too.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_PROFILE_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_PROFILE_H_

#include <cstdint>
#include <string>

#include "tools/spanmalloc/live_process.h"
#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

// By its name: heap, peak, growth or lifetimes.
bool IsProfileType(const std::string& type);

// What was sampled until now; `is_core` if the target does not go on. The
// gzip file in *profile, or false and a line that says why there is none.
bool TakeProfile(Target* target, bool is_core, const std::string& type,
                 std::string* profile, std::string* error);

// What is sampled in the next seconds, if need be with sampling turned on for
// that time; 0 is the usual interval. Says on stderr what it does to the
// process.
bool TakeProfileOver(LiveProcess* process, double seconds, uint64_t interval,
                     const std::string& type, std::string* profile,
                     std::string* error);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROCESS_PROFILE_H_
