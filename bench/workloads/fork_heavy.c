// A process with a live heap that forks many short-lived children.
//
// Usage:    fork_heavy [CHILDREN=1000] [OBJECTS=20000] [BLOCKS=200]
//                      [AT_ONCE=2] [MIX=mixed]
// Measures: What the allocator adds to fork: its handlers, and the pages of its
//           own bookkeeping that parent and child must copy once either writes.
//           A child allocates BLOCKS blocks, frees as many of the objects that
//           it inherited, then its own blocks, and ends; meanwhile the parent
//           replaces as many objects.
// Counted:  5 operations a block of each child, 3 of them in the child itself,
//           and 2 an object for the filling and final clearing.
//
// A child's exit status is made of what it read from its blocks and from the
// inherited objects. The parent knows what it must be.

#include <sys/wait.h>
#include <unistd.h>

#include "size_mix.h"

// A status is never below kStatusBase, which tells it from that of Fail().
enum { kMaxAtOnce = 64, kStatusBase = 64, kStatusValues = 128 };

typedef struct {
  void* block;
  size_t size;
  unsigned char tag;
} Object;

typedef struct {
  pid_t process;
  int status;  // what it has to be
} Child;

static SizeMix mix;
static Object* objects;
static uint64_t object_count;

static Object NewObject(uint64_t draw) {
  Object object = {NULL, SizeAt(&mix, draw), (unsigned char)draw};
  object.block = Allocate(object.size);
  WriteEnds(object.block, object.size, object.tag);
  return object;
}

static uint64_t FreeObject(const Object* object) {
  uint64_t sum = ReadEnds(object->block, object->size);
  free(object->block);
  return sum;
}

// Inherited objects lie `step` apart, so that a child's frees touch many pages.
static const Object* Inherited(uint64_t index, uint64_t block_count) {
  uint64_t step = object_count / block_count;
  return &objects[index * step];
}

static int StatusOf(uint64_t sum) {
  return kStatusBase + (int)(sum % kStatusValues);
}

static _Noreturn void RunChild(Object* own, uint64_t block_count,
                               uint64_t draw) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < block_count; i++) own[i] = NewObject(draw + i);
  for (uint64_t i = 0; i < block_count; i++)
    sum += FreeObject(Inherited(i, block_count));
  for (uint64_t i = 0; i < block_count; i++) sum += FreeObject(&own[i]);
  _exit(StatusOf(sum / 257));
}

// The status without the blocks: both ends hold the tag, so each reads as 257
// times that.
static int ExpectedStatus(uint64_t block_count, uint64_t draw) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < block_count; i++)
    sum += (unsigned char)(draw + i) + Inherited(i, block_count)->tag;
  return StatusOf(sum);
}

static Child StartChild(Object* own, uint64_t block_count, uint64_t draw) {
  Child child = {0, ExpectedStatus(block_count, draw)};
  child.process = fork();
  if (child.process < 0) Fail("cannot fork");
  if (child.process == 0) RunChild(own, block_count, draw);
  return child;
}

static uint64_t FinishChild(const Child* child) {
  int status;
  if (waitpid(child->process, &status, 0) != child->process)
    Fail("cannot wait for a child");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != child->status)
    Fail("a child did not end as it should");
  return (uint64_t)WEXITSTATUS(status);
}

int main(int argc, char** argv) {
  uint64_t child_count = NumberArgument(argc, argv, 1, 1000);
  object_count = NumberArgument(argc, argv, 2, 20000);
  uint64_t block_count = NumberArgument(argc, argv, 3, 200);
  uint64_t at_once = NumberArgument(argc, argv, 4, 2);
  InitSizeMix(&mix, TextArgument(argc, argv, 5, "mixed"));
  if (at_once > kMaxAtOnce) Fail("AT_ONCE is too large");
  if (object_count < block_count) Fail("OBJECTS must be at least BLOCKS");
  objects = (Object*)MapArray(object_count, sizeof(Object));
  Object* own = (Object*)MapArray(block_count, sizeof(Object));
  Child children[kMaxAtOnce] = {{0, 0}};
  Random random = {43};
  uint64_t checksum = 0;
  uint64_t draw = 0;

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < object_count; i++) objects[i] = NewObject(draw++);
  for (uint64_t i = 0; i < child_count; i++) {
    Child* child = &children[i % at_once];
    if (i >= at_once) checksum += FinishChild(child);
    *child = StartChild(own, block_count, draw);
    for (uint64_t k = 0; k < block_count; k++) {
      Object* object = &objects[RandomBelow(&random, object_count)];
      checksum += FreeObject(object);
      *object = NewObject(draw++);
    }
  }
  uint64_t running = child_count < at_once ? child_count : at_once;
  for (uint64_t i = 0; i < running; i++) checksum += FinishChild(&children[i]);
  for (uint64_t i = 0; i < object_count; i++)
    checksum += FreeObject(&objects[i]);
  Report(5 * child_count * block_count + 2 * object_count, NowNs() - start,
         checksum);
  return 0;
}
