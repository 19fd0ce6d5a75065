// What reports that come by themselves have in common.
//
// Place:    api/, below stats_reports.h, profile_reports.h and leak_report.h.
// Purpose:  The signals that options name, and what is said of a file that
//           cannot be written or read.
#ifndef SPANMALLOC_ALLOCATOR_API_REPORT_SIGNALS_H_
#define SPANMALLOC_ALLOCATOR_API_REPORT_SIGNALS_H_

#include <cstdint>

namespace spanmalloc {

// The number of the signal that is choice `i` of such an option; 0 is none.
int SignalOfChoice(uint64_t i);

// Handles the signal, unless the program or its parent wants something else
// done with it: then one line says so, with the option's name.
void TakeSignal(const char* option, int number, void (*handler)(int));

// Prints that `what` cannot be written to a file, and why.
void CannotWrite(const char* what, const char* path, int error);
// The same of one that cannot be read.
void CannotRead(const char* what, const char* path, int error);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_REPORT_SIGNALS_H_
