// Texts of 1 to 64 bytes: documents of names and values, or texts alone.
//
// Usage:    strings [KIND=json|tiny] [STEPS=20000] [LIVE=1000]
// Measures: The smallest sizes, many of them at a time.
//             json  each step frees one of LIVE documents and builds another: a
//                   tree of 32-byte nodes with keys, strings and numbers as
//                   text, about a hundred nodes, freed as a whole
//             tiny  each step frees one of LIVE texts of 1 to 15 bytes and
//                   copies another
// Counted:  One operation a call of malloc or free.

#include <stdbool.h>

#include "workload.h"

enum { kSourceBytes = 4096, kMaxTinyText = 14, kDepth = 4 };

typedef struct Node {
  struct Node* next;   // the next member of the same object or array
  struct Node* child;  // the first member, NULL for a text
  char* key;           // NULL for a member of an array
  char* text;          // NULL for an object or array
} Node;

static char source[kSourceBytes];
static uint64_t operations;

static char* CopyText(const char* text, size_t length) {
  char* copy = (char*)Allocate(length + 1);
  memcpy(copy, text, length);
  copy[length] = '\0';
  operations++;
  return copy;
}

static char* NewText(Random* random, size_t length) {
  return CopyText(source + RandomBelow(random, kSourceBytes - length), length);
}

static char* NewNumber(uint64_t number) {
  char digits[24];
  char* first = digits + sizeof(digits);
  do {
    *--first = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return CopyText(first, (size_t)(digits + sizeof(digits) - first));
}

// Reads the text to its end, then frees it. NULL is no text.
static uint64_t FreeText(char* text) {
  if (text == NULL) return 0;
  uint64_t sum = 0;
  for (const char* at = text; *at != '\0'; at++)
    sum = 3 * sum + (unsigned char)*at;
  free(text);
  operations++;
  return sum;
}

static Node* BuildNode(Random* random, int depth, bool with_key);

static Node* BuildMembers(Random* random, int depth, bool with_key) {
  Node* first = NULL;
  for (uint64_t left = 1 + RandomBelow(random, 8); left > 0; left--) {
    Node* node = BuildNode(random, depth, with_key);
    node->next = first;
    first = node;
  }
  return first;
}

// An object, an array, a string or a number; only texts where `depth` is 0.
static Node* BuildNode(Random* random, int depth, bool with_key) {
  Node* node = (Node*)Allocate(sizeof(Node));
  operations++;
  *node = (Node){NULL, NULL, NULL, NULL};
  if (with_key) node->key = NewText(random, 3 + RandomBelow(random, 10));
  uint64_t kind = RandomBelow(random, 8);
  if (kind < 4 && depth > 0) {
    node->child = BuildMembers(random, depth - 1, kind < 3);
  } else if (kind < 6) {
    // Short strings are the most frequent, 63 characters the longest.
    uint64_t limit = (uint64_t)4 << RandomBelow(random, 5);
    node->text = NewText(random, RandomBelow(random, limit));
  } else {
    uint64_t bits = RandomBelow(random, 40);
    node->text = NewNumber(NextRandom(random) >> (63 - bits));
  }
  return node;
}

static uint64_t FreeNodes(Node* node) {
  uint64_t sum = 0;
  while (node != NULL) {
    Node* next = node->next;
    sum += FreeText(node->key) + FreeText(node->text) + FreeNodes(node->child);
    free(node);
    operations++;
    node = next;
  }
  return sum;
}

static uint64_t RunJson(uint64_t steps, uint64_t live) {
  Node** documents = (Node**)MapArray(live, sizeof(Node*));
  Random random = {37};
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < steps; i++) {
    Node** document = &documents[RandomBelow(&random, live)];
    checksum += FreeNodes(*document);
    *document = BuildMembers(&random, kDepth, true);
  }
  for (uint64_t i = 0; i < live; i++) checksum += FreeNodes(documents[i]);
  return checksum;
}

static uint64_t RunTiny(uint64_t steps, uint64_t live) {
  char** texts = (char**)MapArray(live, sizeof(char*));
  Random random = {37};
  uint64_t checksum = 0;
  for (uint64_t i = 0; i < steps; i++) {
    char** text = &texts[RandomBelow(&random, live)];
    checksum += FreeText(*text);
    *text = NewText(&random, RandomBelow(&random, kMaxTinyText + 1));
  }
  for (uint64_t i = 0; i < live; i++) checksum += FreeText(texts[i]);
  return checksum;
}

int main(int argc, char** argv) {
  const char* kind = TextArgument(argc, argv, 1, "json");
  uint64_t steps = NumberArgument(argc, argv, 2, 20000);
  uint64_t live = NumberArgument(argc, argv, 3, 1000);
  bool json = strcmp(kind, "json") == 0;
  if (!json && strcmp(kind, "tiny") != 0) Fail("KIND is json or tiny");
  Random random = {31};
  for (int i = 0; i < kSourceBytes; i++)
    source[i] = (char)('a' + RandomBelow(&random, 26));

  uint64_t start = NowNs();
  uint64_t checksum = json ? RunJson(steps, live) : RunTiny(steps, live);
  Report(operations, NowNs() - start, checksum);
  return 0;
}
