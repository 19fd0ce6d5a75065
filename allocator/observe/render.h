// A snapshot as text, for people and for programs.
//
// Place:    observe/, above metrics.h.
// Purpose:  The formats of spanmalloc_write_stats and of the reports at exit
//           and on a signal.
// Not here: where the text goes (TextWriter's sink); glibc's forms
//           (heap_report.h).
//
// Concurrency: no state and no lock; may be called in a signal handler.
// Cost:        RenderPrometheus also reads a few files of /proc.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_RENDER_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_RENDER_H_

#include <cstddef>

#include "allocator/observe/mem_stats.h"
#include "allocator/observe/text_writer.h"
#include "allocator/os/process_info.h"

namespace spanmalloc {

// The compiler and its version, as "gcc 12.2.0".
extern const char* const kCompiler;
// The library's, as "major.minor.patch".
extern const char* const kVersion;
// The commit that it was built from, "unknown" outside of a repository.
extern const char* const kRevision;

// Where the memory is, in about ten lines: malloc_stats.
void RenderSummary(const MemStats& stats, TextWriter* out);
// That, then every number, then every size class that was used.
void RenderText(const MemStats& stats, TextWriter* out);
// One object: every metric under its dotted name, and an array by_size.
void RenderJson(const MemStats& stats, TextWriter* out);
// The text format of Prometheus: spanmalloc_memstats_*, the size classes,
// spanmalloc_build_info, and what `process` holds as process_*.
void RenderPrometheus(const MemStats& stats, const ProcessInfo& process,
                      TextWriter* out);

enum class StatsFormat { kText, kJson, kPrometheus };
// "text", "json" or "prometheus". False if it is none of them.
bool ParseStatsFormat(const char* name, StatsFormat* format);
void RenderStats(StatsFormat format, const MemStats& stats, TextWriter* out);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_RENDER_H_
