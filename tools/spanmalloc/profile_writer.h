// Profiles of another process, as files for pprof.
//
// Place:    profile_tables, target -> [profile_writer] -> profile_command
// Purpose:  Put the tables and the process's mappings together, and compress
//           that.
// Not here: where the file goes.
#ifndef SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_WRITER_H_
#define SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_WRITER_H_

#include <string>

#include "allocator/profile/profile_proto.h"
#include "tools/spanmalloc/target.h"

namespace spanmalloc_tool {

// The gzip file of a profile with the buckets, times and interval of `source`,
// and the mappings that the target has now.
std::string MakeProfile(const spanmalloc::ProfileSource& source,
                        spanmalloc::ProfileType type, Target* target);

}  // namespace spanmalloc_tool

#endif  // SPANMALLOC_TOOLS_SPANMALLOC_PROFILE_WRITER_H_
