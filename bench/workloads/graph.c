// A random graph whose nodes and edges come and go.
//
// Usage:    graph [NODES=50000] [STEPS=1000000]
// Measures: Pointer-chasing through memory as the allocator laid it out, and
//           adjacency lists that grow and shrink through realloc. Half of the
//           new edges lead to a neighbour of a random node, so that some nodes
//           have several times as many as others.
// Steps:    3 of 8 connect two nodes, 2 cut an edge, 1 replaces a node with all
//           its edges, 2 walk along 16 edges, reading and marking the nodes.
// Counted:  One operation a call of malloc, realloc or free.

#include "workload.h"

enum { kNewNodeEdges = 8, kHops = 16, kMinCapacity = 4 };

typedef struct Node {
  struct Node** edges;  // each edge stands in the lists of both its ends
  uint32_t count;
  uint32_t capacity;
  uint64_t mark;
} Node;

typedef struct {
  Node** nodes;
  uint64_t node_count;
  uint64_t operations;
  uint64_t checksum;
  Random random;
} Graph;

static void Resize(Graph* graph, Node* node, uint32_t capacity) {
  node->edges = (Node**)Reallocate(node->edges, capacity * sizeof(Node*));
  node->capacity = capacity;
  graph->operations++;
}

static void AddEnd(Graph* graph, Node* from, Node* to) {
  if (from->count == from->capacity) {
    Resize(graph, from,
           from->capacity == 0 ? kMinCapacity : 2 * from->capacity);
  }
  from->edges[from->count++] = to;
}

// REQUIRES: there is an edge between the two.
static void RemoveEnd(Graph* graph, Node* from, const Node* to) {
  uint32_t i = from->count - 1;
  while (from->edges[i] != to) i--;
  from->edges[i] = from->edges[--from->count];
  if (from->capacity > kMinCapacity && from->count <= from->capacity / 4)
    Resize(graph, from, from->capacity / 2);
}

static Node* DrawNode(Graph* graph) {
  return graph->nodes[RandomBelow(&graph->random, graph->node_count)];
}

static Node* DrawNeighbour(Graph* graph, const Node* node) {
  return node->edges[RandomBelow(&graph->random, node->count)];
}

static void Connect(Graph* graph, Node* node) {
  Node* other = DrawNode(graph);
  if (other->count > 0 && RandomBelow(&graph->random, 2) == 0)
    other = DrawNeighbour(graph, other);
  if (other == node) return;
  AddEnd(graph, node, other);
  AddEnd(graph, other, node);
}

static void Cut(Graph* graph, Node* node) {
  if (node->count == 0) return;
  Node* other = DrawNeighbour(graph, node);
  RemoveEnd(graph, node, other);
  RemoveEnd(graph, other, node);
}

static Node* NewNode(Graph* graph, uint64_t mark) {
  Node* node = (Node*)Allocate(sizeof(Node));
  *node = (Node){NULL, 0, 0, mark};
  graph->operations++;
  return node;
}

static void DeleteNode(Graph* graph, Node* node) {
  for (uint32_t i = 0; i < node->count; i++)
    RemoveEnd(graph, node->edges[i], node);
  graph->checksum += node->mark * (node->count + 1);
  free(node->edges);
  free(node);
  graph->operations += 2;
}

static void ReplaceNode(Graph* graph, uint64_t mark) {
  uint64_t index = RandomBelow(&graph->random, graph->node_count);
  DeleteNode(graph, graph->nodes[index]);
  graph->nodes[index] = NewNode(graph, mark);
  for (int i = 0; i < kNewNodeEdges; i++) Connect(graph, graph->nodes[index]);
}

// The way depends on the marks, so that each hop must wait for the one before.
static void Walk(Graph* graph, Node* node) {
  for (int hop = 0; hop < kHops && node->count > 0; hop++) {
    graph->checksum += node->mark++;
    node = node->edges[node->mark % node->count];
  }
}

static void Step(Graph* graph, uint64_t mark) {
  uint64_t kind = RandomBelow(&graph->random, 8);
  if (kind == 0) {
    ReplaceNode(graph, mark);
  } else if (kind < 4) {
    Connect(graph, DrawNode(graph));
  } else if (kind < 6) {
    Cut(graph, DrawNode(graph));
  } else {
    Walk(graph, DrawNode(graph));
  }
}

int main(int argc, char** argv) {
  Graph graph = {.random = {29}};
  graph.node_count = NumberArgument(argc, argv, 1, 50000);
  uint64_t steps = NumberArgument(argc, argv, 2, 1000000);
  graph.nodes = (Node**)MapArray(graph.node_count, sizeof(Node*));

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < graph.node_count; i++)
    graph.nodes[i] = NewNode(&graph, i);
  for (uint64_t i = 0; i < graph.node_count; i++) {
    for (int k = 0; k < kNewNodeEdges / 2; k++) Connect(&graph, graph.nodes[i]);
  }
  for (uint64_t i = 0; i < steps; i++) Step(&graph, i);
  for (uint64_t i = 0; i < graph.node_count; i++)
    DeleteNode(&graph, graph.nodes[i]);
  Report(graph.operations, NowNs() - start, graph.checksum);
  return 0;
}
