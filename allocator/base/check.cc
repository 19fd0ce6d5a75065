#include "allocator/base/check.h"

#include "allocator/base/message.h"

namespace spanmalloc {

void CheckFailed(const char* condition, const char* file, int line) {
  Message()
      .Text("check failed: ")
      .Text(condition)
      .Text(" at ")
      .Text(file)
      .Text(":")
      .Decimal(static_cast<uint64_t>(line))
      .Abort();
}

}  // namespace spanmalloc
