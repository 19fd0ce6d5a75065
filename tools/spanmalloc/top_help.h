// What `spanmalloc top` has to say about itself.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_TOP_HELP_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_TOP_HELP_H_

#include "tools/spanmalloc/screen_text.h"

namespace spanmalloc_tool {

extern const char kTopUsage[];

// The part of it that is about columns and keys, for the screen.
Lines TopHelp();

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_TOP_HELP_H_
