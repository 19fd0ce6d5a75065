#include "allocator/api/options.h"

#include <string.h>

namespace spanmalloc {
namespace {

enum class Type { kBytes, kFlag };

struct Option {
  const char* key;
  Type type;
  uint64_t Options::*value;
  uint64_t least;
  uint64_t most;
  const char* help;
};

constexpr Option kOptions[] = {
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help) \
  {#key, Type::type, &Options::key, least, most, help},
#include "allocator/api/options.def"
#undef SPANMALLOC_OPTION
};

// A piece of the text.
struct Slice {
  const char* data;
  size_t size;

  bool Is(const char* text) const {
    return strlen(text) == size && memcmp(text, data, size) == 0;
  }
};

int SuffixShift(char suffix) {
  switch (suffix) {
    case 'K':
    case 'k':
      return 10;
    case 'M':
    case 'm':
      return 20;
    case 'G':
    case 'g':
      return 30;
    case 'T':
    case 't':
      return 40;
    default:
      return -1;
  }
}

bool ParseNumber(Slice text, Type type, uint64_t* value) {
  uint64_t n = 0;
  size_t i = 0;
  for (; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; ++i) {
    if (__builtin_mul_overflow(n, uint64_t{10}, &n) ||
        __builtin_add_overflow(n, static_cast<uint64_t>(text.data[i] - '0'),
                               &n)) {
      return false;
    }
  }
  if (i == 0) return false;
  if (i < text.size && type == Type::kBytes) {
    const int shift = SuffixShift(text.data[i]);
    if (shift < 0 || n > (UINT64_MAX >> shift)) return false;
    n <<= shift;
    ++i;
  }
  *value = n;
  return i == text.size;
}

void Apply(Slice key, Slice value, Options* options) {
  for (const Option& option : kOptions) {
    if (!key.Is(option.key)) continue;
    uint64_t number = 0;
    if (ParseNumber(value, option.type, &number) && number >= option.least &&
        number <= option.most) {
      options->*option.value = number;
      return;
    }
    Message()
        .Text("option ")
        .Text(option.key)
        .Text(": \"")
        .Text(value.data, value.size)
        .Text("\" is not a number from ")
        .Decimal(option.least)
        .Text(" to ")
        .Decimal(option.most)
        .Text("; it stays at ")
        .Decimal(options->*option.value)
        .Print();
    return;
  }
  Message()
      .Text("unknown option \"")
      .Text(key.data, key.size)
      .Text("\" (SPANMALLOC_OPTIONS=help lists them)")
      .Print();
}

}  // namespace

void ParseOptions(const char* text, Options* options) {
  if (text == nullptr) return;
  while (*text != '\0') {
    const Slice item = {text, strcspn(text, ",")};
    text += item.size;
    if (*text == ',') ++text;
    if (item.size == 0) continue;
    const char* const equals =
        static_cast<const char*>(memchr(item.data, '=', item.size));
    if (equals == nullptr) {
      Apply(item, {"1", 1}, options);
    } else {
      const size_t key_size = static_cast<size_t>(equals - item.data);
      Apply({item.data, key_size}, {equals + 1, item.size - key_size - 1},
            options);
    }
  }
}

void ListOptions(const Options& options,
                 void (*print)(void* context, Message* line), void* context) {
  for (const Option& option : kOptions) {
    Message line;
    line.Text(option.key)
        .Text("=")
        .Decimal(options.*option.value)
        .Text(" (")
        .Decimal(option.least)
        .Text(" to ")
        .Decimal(option.most)
        .Text("): ")
        .Text(option.help);
    print(context, &line);
  }
}

}  // namespace spanmalloc
