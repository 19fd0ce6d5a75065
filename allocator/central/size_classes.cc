#include "allocator/central/size_classes.h"

namespace spanmalloc {

SPANMALLOC_CONSTINIT ClassOfSize class_of_size;

}  // namespace spanmalloc
