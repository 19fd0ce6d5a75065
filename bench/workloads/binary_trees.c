// Binary trees, built and torn down.
//
// Usage:    binary_trees [DEPTH=18] [THREADS=1]
// Measures: Programs made of small nodes of one size: many short-lived trees of
//           all depths beside one large tree that lives throughout.
// Counted:  One operation a node allocated or freed. With several threads each
//           does the whole work.

#include "threads.h"

enum { kMinDepth = 4 };

typedef struct Node {
  struct Node* left;
  struct Node* right;
} Node;

typedef struct {
  uint64_t depth;
  uint64_t nodes;
} Work;

static Node* Build(uint64_t depth) {
  Node* node = (Node*)Allocate(sizeof(Node));
  node->left = depth == 0 ? NULL : Build(depth - 1);
  node->right = depth == 0 ? NULL : Build(depth - 1);
  return node;
}

// Frees the tree and returns how many nodes it had.
static uint64_t TearDown(Node* node) {
  if (node == NULL) return 0;
  uint64_t count = 1 + TearDown(node->left) + TearDown(node->right);
  free(node);
  return count;
}

static void* Run(void* argument) {
  Work* work = (Work*)argument;
  uint64_t nodes = TearDown(Build(work->depth + 1));
  Node* long_lived = Build(work->depth);
  for (uint64_t depth = kMinDepth; depth <= work->depth; depth += 4) {
    uint64_t trees = (uint64_t)1 << (work->depth - depth + kMinDepth);
    for (uint64_t i = 0; i < trees; i++) nodes += TearDown(Build(depth));
  }
  work->nodes = nodes + TearDown(long_lived);
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t depth = NumberArgument(argc, argv, 1, 18);
  uint64_t thread_count = NumberArgument(argc, argv, 2, 1);
  Work* work = (Work*)MapArray(thread_count, sizeof(Work));

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < thread_count; i++) work[i].depth = depth;
  RunThreads(thread_count, Run, work, sizeof(Work));
  uint64_t nodes = 0;
  for (uint64_t i = 0; i < thread_count; i++) nodes += work[i].nodes;
  Report(2 * nodes, NowNs() - start, nodes);
  return 0;
}
