#include "allocator/central/misuse.h"

#include "allocator/base/message.h"

namespace spanmalloc {

void ReportDoubleFree(const void* p, size_t class_size) {
  Message()
      .Text("double free of ")
      .Pointer(p)
      .Text(" (")
      .Decimal(class_size)
      .Text("-byte class)")
      .Abort();
}

void ReportInvalidPointer(const char* what, const void* p) {
  Message()
      .Text(what)
      .Text(" of ")
      .Pointer(p)
      .Text(", which is not the start of a live block")
      .Abort();
}

void ReportWrongSize(const void* p, size_t size, size_t real_size) {
  Message()
      .Text("sized free of ")
      .Pointer(p)
      .Text(" with size ")
      .Decimal(size)
      .Text(", but the block has ")
      .Decimal(real_size)
      .Text(" bytes")
      .Abort();
}

}  // namespace spanmalloc
