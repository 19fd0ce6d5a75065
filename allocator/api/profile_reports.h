// Heap profiles that are written: when the program asks for one, when it ends,
// and on a signal.
//
// Place:    api/, beside process.cc, which calls it.
// Purpose:  The options profile_at_exit, profile_signal and profile_type.
// Not here: what a profile says (profile/profile_proto.h), how a file is
//           written (os/report_file.h).
//
// Concurrency: the handler takes no lock and allocates nothing from the heap:
//              the memory that writing takes is mapped for the time it takes.
//              While one profile is being written on a signal, others are not
//              begun.
// Failure:     one line on stderr, or an error for who asked.
#ifndef SPANMALLOC_ALLOCATOR_API_PROFILE_REPORTS_H_
#define SPANMALLOC_ALLOCATOR_API_PROFILE_REPORTS_H_

#include "allocator/api/options.h"
#include "allocator/profile/profile_proto.h"

namespace spanmalloc {

// Once, before main.
void StartProfileReports(const Options& options);

// As the process ends.
void WriteProfileAtExit();

// Writes a compressed profile to an open file. 0, ENOMEM, or what write(2)
// says.
int WriteProfileTo(int fd, ProfileType type);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_PROFILE_REPORTS_H_
