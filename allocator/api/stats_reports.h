// Reports that come by themselves: when the process ends, and on a signal.
//
// Place:    api/, beside process.cc, which calls it.
// Purpose:  The options stats_at_exit, stats_signal and stats_format.
// Not here: what a report says (observe/render.h), how a file is written
//           (os/report_file.h).
//
// Concurrency: the handler takes no lock and allocates nothing; while one
//              report is being written on a signal, others are not begun.
// Failure:     one line on stderr.
#ifndef SPANMALLOC_ALLOCATOR_API_STATS_REPORTS_H_
#define SPANMALLOC_ALLOCATOR_API_STATS_REPORTS_H_

#include "allocator/api/options.h"

namespace spanmalloc {

// Once, before main. Takes the signal, unless the program or its parent wants
// something else done with it.
void StartStatsReports(const Options& options);

// As the process ends.
void WriteStatsAtExit();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_STATS_REPORTS_H_
