#include "allocator/api/options.h"

#include <string.h>

namespace spanmalloc {
namespace {

enum class Type { kBytes, kCgroup, kDuration, kNumber, kFlag, kChoice, kText };

struct Option {
  const char* key;
  Type type;
  uint64_t Options::*value;   // But for kText.
  OptionText Options::*text;  // For kText.
  uint64_t least;
  uint64_t most;
  const char* choices;  // For kChoice: names with | between.
  const char* help;
};

constexpr Option kOptions[] = {
#define SPANMALLOC_OPTION(key, type, default_value, least, most, help) \
  {#key, Type::type, &Options::key, nullptr, least, most, nullptr, help},
#define SPANMALLOC_CHOICE_OPTION(key, choices, help) \
  {#key, Type::kChoice, &Options::key, nullptr, 0, 0, choices, help},
#define SPANMALLOC_TEXT_OPTION(key, help) \
  {#key, Type::kText, nullptr, &Options::key, 0, 0, nullptr, help},
#include "allocator/api/options.def"
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

// Moves the number over the suffix at its end. False if that is none.
bool ApplySuffix(Slice suffix, Type type, uint64_t* n) {
  if (suffix.size == 0) return true;
  if (type == Type::kBytes || type == Type::kCgroup) {
    const int shift = SuffixShift(suffix.data[0]);
    if (suffix.size != 1 || shift < 0 || *n > (UINT64_MAX >> shift)) {
      return false;
    }
    *n <<= shift;
    return true;
  }
  if (type != Type::kDuration) return false;
  const uint64_t unit = suffix.Is("ms")  ? 1
                        : suffix.Is("s") ? 1000
                        : suffix.Is("m") ? 60000
                                         : 0;
  return unit != 0 && !__builtin_mul_overflow(*n, unit, n);
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
  if (i == 0 || !ApplySuffix({text.data + i, text.size - i}, type, &n)) {
    return false;
  }
  *value = n;
  return true;
}

// The name at that place in the list, or an empty one.
Slice Choice(const char* choices, uint64_t index) {
  for (; index > 0; --index) {
    choices += strcspn(choices, "|");
    if (*choices == '|') ++choices;
  }
  return {choices, strcspn(choices, "|")};
}

bool ParseChoice(Slice text, const char* choices, uint64_t* value) {
  if (text.size == 0) {
    *value = 0;
    return true;
  }
  for (uint64_t i = 0;; ++i) {
    const Slice name = Choice(choices, i);
    if (name.size == 0) return false;
    if (name.size == text.size &&
        memcmp(name.data, text.data, text.size) == 0) {
      *value = i;
      return true;
    }
  }
}

bool ParseText(Slice text, OptionText* value) {
  if (text.size >= OptionText::kCapacity) return false;
  memcpy(value->data, text.data, text.size);
  value->data[text.size] = '\0';
  return true;
}

// False if `value` is none for the option.
bool Parse(const Option& option, Slice value, Options* options) {
  uint64_t number = 0;
  switch (option.type) {
    case Type::kText:
      return ParseText(value, &(options->*option.text));
    case Type::kChoice:
      if (!ParseChoice(value, option.choices, &number)) return false;
      break;
    case Type::kCgroup:
      if (value.Is("cgroup")) {
        number = kCgroupLimit;
        break;
      }
      [[fallthrough]];
    case Type::kBytes:
    case Type::kDuration:
    case Type::kNumber:
    case Type::kFlag:
      if (!ParseNumber(value, option.type, &number) || number < option.least ||
          number > option.most) {
        return false;
      }
      break;
  }
  options->*option.value = number;
  return true;
}

void AddValue(const Option& option, const Options& options, Message* line) {
  switch (option.type) {
    case Type::kText:
      line->Text((options.*option.text).data);
      break;
    case Type::kChoice: {
      const Slice name = Choice(option.choices, options.*option.value);
      line->Text(name.data, name.size);
      break;
    }
    case Type::kCgroup:
      if (options.*option.value == kCgroupLimit) {
        line->Text("cgroup");
        break;
      }
      line->Decimal(options.*option.value);
      break;
    case Type::kBytes:
    case Type::kDuration:
    case Type::kNumber:
    case Type::kFlag:
      line->Decimal(options.*option.value);
      break;
  }
}

void AddRange(const Option& option, Message* line) {
  switch (option.type) {
    case Type::kText:
      line->Text("up to ").Decimal(OptionText::kCapacity - 1).Text(" bytes");
      break;
    case Type::kChoice:
      line->Text(option.choices);
      break;
    case Type::kBytes:
    case Type::kCgroup:
    case Type::kDuration:
    case Type::kNumber:
    case Type::kFlag:
      line->Decimal(option.least).Text(" to ").Decimal(option.most);
      if (option.type == Type::kCgroup) line->Text(" or cgroup");
      break;
  }
}

void Complain(const Option& option, Slice value, const Options& options) {
  Message line;
  line.Text("option ").Text(option.key).Text(": ");
  if (option.type == Type::kText) {
    line.Text("the value is longer than ")
        .Decimal(OptionText::kCapacity - 1)
        .Text(" bytes; it stays at \"");
    AddValue(option, options, &line);
    line.Text("\"");
  } else {
    line.Text("\"").Text(value.data, value.size).Text("\" is not ");
    line.Text(option.type == Type::kChoice ? "one of " : "a number from ");
    AddRange(option, &line);
    line.Text("; it stays at ");
    AddValue(option, options, &line);
  }
  line.Print();
}

void Apply(const Option& option, Slice value, Options* options) {
  if (!Parse(option, value, options)) Complain(option, value, *options);
}

// Without a value if that is null.
void Apply(Slice key, const Slice* value, Options* options) {
  for (const Option& option : kOptions) {
    if (!key.Is(option.key)) continue;
    const bool is_number =
        option.type != Type::kChoice && option.type != Type::kText;
    const Slice alone = is_number ? Slice{"1", 1} : Slice{"", 0};
    return Apply(option, value != nullptr ? *value : alone, options);
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
      Apply(item, nullptr, options);
    } else {
      const size_t key_size = static_cast<size_t>(equals - item.data);
      const Slice value = {equals + 1, item.size - key_size - 1};
      Apply({item.data, key_size}, &value, options);
    }
  }
}

void ListOptions(const Options& options,
                 void (*print)(void* context, Message* line), void* context) {
  for (const Option& option : kOptions) {
    Message line;
    line.Text(option.key).Text("=");
    AddValue(option, options, &line);
    line.Text(" (");
    AddRange(option, &line);
    line.Text("): ").Text(option.help);
    print(context, &line);
  }
}

}  // namespace spanmalloc
