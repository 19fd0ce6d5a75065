#include "allocator/observe/render.h"

#include <string.h>

namespace spanmalloc {

#define SPANMALLOC_TEXT_OF(x) #x
#define SPANMALLOC_TEXT(x) SPANMALLOC_TEXT_OF(x)

// Other compilers than gcc begin with their names.
const char* const kCompiler = __VERSION__[0] >= '0' && __VERSION__[0] <= '9'
                                  ? "gcc " __VERSION__
                                  : __VERSION__;
const char* const kVersion =
    SPANMALLOC_TEXT(SPANMALLOC_VERSION_MAJOR) "." SPANMALLOC_TEXT(
        SPANMALLOC_VERSION_MINOR) "." SPANMALLOC_TEXT(SPANMALLOC_VERSION_PATCH);

// The build gives it.
const char* const kRevision = SPANMALLOC_TEXT(SPANMALLOC_REVISION);

bool ParseStatsFormat(const char* name, StatsFormat* format) {
  if (strcmp(name, "text") == 0) {
    *format = StatsFormat::kText;
  } else if (strcmp(name, "json") == 0) {
    *format = StatsFormat::kJson;
  } else if (strcmp(name, "prometheus") == 0) {
    *format = StatsFormat::kPrometheus;
  } else {
    return false;
  }
  return true;
}

void RenderStats(StatsFormat format, const MemStats& stats, TextWriter* out) {
  switch (format) {
    case StatsFormat::kText:
      return RenderText(stats, out);
    case StatsFormat::kJson:
      return RenderJson(stats, out);
    case StatsFormat::kPrometheus:
      return RenderPrometheus(stats, ReadProcessInfo(), out);
  }
}

}  // namespace spanmalloc
