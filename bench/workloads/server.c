// A server's requests: objects that live for one of them, and a cache.
//
// Usage:    server [THREADS=4] [REQUESTS=50000] [CACHE=50000]
// Measures: Short-lived objects among long-lived ones, and now and then a block
//           of another thread. For each request a thread parses a text of a
//           dozen fields into copies, makes rows of a result, writes both to a
//           buffer that grows through realloc, and frees all of it. It also
//           puts a value into a random slot of the CACHE that all threads
//           share, and visits kVisits others, whose values go when their time
//           is over.
// Counted:  One operation a call of malloc, realloc or free; REQUESTS is the
//           number for each thread.

#include "ageing_cache.h"
#include "threads.h"

enum { kTexts = 64, kTextBytes = 2048, kVisits = 4, kDigestStride = 16 };
enum { kMaxRows = 24, kRowBytes = 40, kFirstCapacity = 256 };

typedef struct Field {
  struct Field* next;
  char* name;
  char* value;
} Field;

typedef struct Row {
  struct Row* next;
  char text[kRowBytes];
} Row;

typedef struct {
  char* bytes;
  size_t size;
  size_t capacity;
} Buffer;

typedef struct {
  uint64_t number;
  uint64_t requests;
  Tally tally;
} Worker;

static const char* const kNames[] = {"Accept",        "Accept-Encoding",
                                     "Authorization", "Cache-Control",
                                     "Cookie",        "Date",
                                     "Host",          "If-None-Match",
                                     "Referer",       "User-Agent",
                                     "Via",           "X-Forwarded-For"};
enum { kNameCount = sizeof(kNames) / sizeof(kNames[0]) };

static char texts[kTexts][kTextBytes];
static AgeingCache cache;

// Lines of the form "name: value\n"; values of 1 to 127 characters.
static void InitTexts(void) {
  Random random = {47};
  for (int i = 0; i < kTexts; i++) {
    char* end = texts[i];
    for (int k = 0; k < kNameCount; k++) {
      end = stpcpy(stpcpy(end, kNames[k]), ": ");
      uint64_t limit = (uint64_t)8 << RandomBelow(&random, 5);
      for (uint64_t left = 1 + RandomBelow(&random, limit - 1); left > 0;
           left--)
        *end++ = (char)('a' + RandomBelow(&random, 26));
      *end++ = '\n';
    }
    *end = '\0';
  }
}

static char* CopyText(Tally* tally, const char* from, const char* to) {
  size_t length = (size_t)(to - from);
  char* copy = (char*)Allocate(length + 1);
  memcpy(copy, from, length);
  copy[length] = '\0';
  tally->operations++;
  return copy;
}

static Field* Parse(Tally* tally, const char* text) {
  Field* fields = NULL;
  while (*text != '\0') {
    const char* colon = strchr(text, ':');
    const char* end = strchr(colon, '\n');
    Field* field = (Field*)Allocate(sizeof(Field));
    tally->operations++;
    field->name = CopyText(tally, text, colon);
    field->value = CopyText(tally, colon + 2, end);
    field->next = fields;
    fields = field;
    text = end + 1;
  }
  return fields;
}

static Row* MakeRows(Tally* tally, Random* random, const char* text) {
  Row* rows = NULL;
  for (uint64_t left = RandomBelow(random, kMaxRows); left > 0; left--) {
    Row* row = (Row*)Allocate(sizeof(Row));
    tally->operations++;
    uint64_t length = 1 + RandomBelow(random, kRowBytes - 1);
    memcpy(row->text, text + left, length);
    row->text[length] = '\0';
    row->next = rows;
    rows = row;
  }
  return rows;
}

static void Append(Tally* tally, Buffer* buffer, const char* text) {
  size_t length = strlen(text);
  while (buffer->size + length > buffer->capacity) {
    buffer->capacity =
        buffer->capacity == 0 ? kFirstCapacity : 2 * buffer->capacity;
    buffer->bytes = (char*)Reallocate(buffer->bytes, buffer->capacity);
    tally->operations++;
  }
  memcpy(buffer->bytes + buffer->size, text, length);
  buffer->size += length;
}

// Both free what they have written.
static void WriteFields(Tally* tally, Buffer* buffer, Field* field) {
  while (field != NULL) {
    Field* next = field->next;
    Append(tally, buffer, field->name);
    Append(tally, buffer, field->value);
    free(field->name);
    free(field->value);
    free(field);
    tally->operations += 3;
    field = next;
  }
}

static void WriteRows(Tally* tally, Buffer* buffer, Row* row) {
  while (row != NULL) {
    Row* next = row->next;
    Append(tally, buffer, row->text);
    free(row);
    tally->operations++;
    row = next;
  }
}

static void Serve(Tally* tally, Random* random) {
  const char* text = texts[RandomBelow(random, kTexts)];
  Field* fields = Parse(tally, text);
  Row* rows = MakeRows(tally, random, text);
  Buffer response = {NULL, 0, 0};
  WriteFields(tally, &response, fields);
  WriteRows(tally, &response, rows);
  for (size_t at = 0; at < response.size; at += kDigestStride)
    tally->checksum += (unsigned char)response.bytes[at];
  free(response.bytes);
  tally->operations++;
}

static void* Run(void* argument) {
  Worker worker = *(Worker*)argument;
  Random random = {worker.number};
  for (uint64_t now = 0; now < worker.requests; now++) {
    uint64_t slot = RandomBelow(&random, cache.slot_count);
    Serve(&worker.tally, &random);
    PutEntry(&cache, &worker.tally, slot, now, now);
    for (int i = 0; i < kVisits; i++) {
      slot = RandomBelow(&random, cache.slot_count);
      VisitEntry(&cache, &worker.tally, slot, now);
    }
  }
  *(Worker*)argument = worker;
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t count = NumberArgument(argc, argv, 1, 4);
  uint64_t requests = NumberArgument(argc, argv, 2, 50000);
  InitCache(&cache, NumberArgument(argc, argv, 3, 50000));
  InitTexts();
  Worker* workers = (Worker*)MapArray(count, sizeof(Worker));

  uint64_t start = NowNs();
  for (uint64_t i = 0; i < count; i++) {
    workers[i].number = i;
    workers[i].requests = requests;
  }
  RunThreads(count, Run, workers, sizeof(Worker));
  Tally total = {0, 0};
  for (uint64_t i = 0; i < count; i++) {
    total.operations += workers[i].tally.operations;
    total.checksum += workers[i].tally.checksum;
  }
  ClearCache(&cache, &total);
  Report(total.operations, NowNs() - start, total.checksum);
  return 0;
}
