/* A C program that runs on spanmalloc and includes its header. It does without
 * a test framework, which would bring C++ in.
 *
 * Exit status: 0 passed, 1 failed.
 */
#define _POSIX_C_SOURCE 200809L

#include <spanmalloc/spanmalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define EXPECT(condition)                                             \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      failures = 1;                                                   \
    }                                                                 \
  } while (0)

int main(void) {
  char version[32];
  snprintf(version, sizeof(version), "%d.%d.%d", SPANMALLOC_VERSION_MAJOR,
           SPANMALLOC_VERSION_MINOR, SPANMALLOC_VERSION_PATCH);
  EXPECT(strcmp(spanmalloc_version(), version) == 0);

  /* Both names lead to the same heap. */
  char* const block = malloc(100);
  EXPECT(block != NULL);
  EXPECT(spanmalloc_owns(block));
  EXPECT(spanmalloc_malloc_usable_size(block) == malloc_usable_size(block));
  char* const larger = spanmalloc_realloc(block, 100000);
  EXPECT(larger != NULL);
  free(larger);

  /* Memory that the C library allocates comes from there as well. */
  char* const copy = strdup("text");
  EXPECT(copy != NULL && strcmp(copy, "text") == 0);
  EXPECT(spanmalloc_owns(copy));
  spanmalloc_free(copy);
  return failures;
}
