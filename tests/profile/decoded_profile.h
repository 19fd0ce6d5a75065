// A profile.proto, taken apart: a second opinion on what the encoder writes.
//
// Purpose:  Tests ask for strings and numbers; that the message is well formed,
//           and that everything it refers to is there once, is checked on the
//           way.
// Not here: gzip. Written from the description of the wire format alone.
#ifndef SPANMALLOC_TESTS_PROFILE_DECODED_PROFILE_H_
#define SPANMALLOC_TESTS_PROFILE_DECODED_PROFILE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace spanmalloc {

class DecodedProfile {
 public:
  struct Location {
    uint64_t mapping = 0;
    uint64_t address = 0;
    std::string function;  // Of its one line, if it has any.
  };
  struct Mapping {
    uint64_t start = 0, limit = 0, offset = 0;
    std::string name, build_id;
  };
  struct Sample {
    std::vector<Location> stack;
    std::vector<int64_t> values;
    std::map<std::string, std::string> labels;
    // Number and unit.
    std::map<std::string, std::pair<int64_t, std::string>> numbers;
  };

  std::vector<std::pair<std::string, std::string>> types;
  std::string default_type;
  std::pair<std::string, std::string> period_type;
  int64_t period = 0, time_ns = 0, duration_ns = 0;
  std::vector<Sample> samples;
  std::map<uint64_t, Location> locations;
  std::map<uint64_t, Mapping> mappings;
  size_t strings = 0;

  explicit DecodedProfile(const std::string& message) {
    const Fields fields = Parse(message);
    for (const Field& field : fields) {
      if (field.number == 6) table_.push_back(field.bytes);
    }
    strings = table_.size();
    EXPECT_FALSE(table_.empty());
    EXPECT_EQ(StringAt(0), "");
    for (const Field& field : fields) {
      if (field.number == 5) AddFunction(Parse(field.bytes));
      if (field.number == 3) AddMapping(Parse(field.bytes));
    }
    for (const Field& field : fields) {
      if (field.number == 4) AddLocation(Parse(field.bytes));
    }
    for (const Field& field : fields) Add(field);
  }

 private:
  struct Field {
    uint64_t number;
    uint64_t value = 0;  // Of a number.
    std::string bytes;   // Of anything else.
  };
  using Fields = std::vector<Field>;

  static uint64_t Varint(const std::string& text, size_t* at) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      EXPECT_LT(*at, text.size());
      EXPECT_LT(shift, 70);
      if (*at >= text.size() || shift >= 70) return 0;
      const unsigned char byte = static_cast<unsigned char>(text[(*at)++]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  }

  static Fields Parse(const std::string& message) {
    Fields fields;
    for (size_t at = 0; at < message.size();) {
      const uint64_t tag = Varint(message, &at);
      Field field{tag >> 3, 0, ""};
      if ((tag & 7) == 0) {
        field.value = Varint(message, &at);
      } else {
        EXPECT_EQ(tag & 7, 2u);
        const uint64_t bytes = Varint(message, &at);
        EXPECT_LE(bytes, message.size() - at);
        if (bytes > message.size() - at) return fields;
        field.bytes = message.substr(at, bytes);
        at += bytes;
      }
      fields.push_back(std::move(field));
    }
    return fields;
  }

  static std::vector<uint64_t> Packed(const std::string& bytes) {
    std::vector<uint64_t> values;
    for (size_t at = 0; at < bytes.size();) {
      values.push_back(Varint(bytes, &at));
    }
    return values;
  }

  static uint64_t Number(const Fields& fields, uint64_t number) {
    for (const Field& field : fields) {
      if (field.number == number) return field.value;
    }
    return 0;
  }

  std::string StringAt(uint64_t i) const {
    EXPECT_LT(i, table_.size());
    return i < table_.size() ? table_[i] : "";
  }
  std::string String(const Fields& fields, uint64_t number) const {
    return StringAt(Number(fields, number));
  }

  void AddFunction(const Fields& fields) {
    EXPECT_TRUE(
        functions_.emplace(Number(fields, 1), String(fields, 2)).second);
  }

  void AddMapping(const Fields& fields) {
    Mapping mapping;
    mapping.start = Number(fields, 2);
    mapping.limit = Number(fields, 3);
    mapping.offset = Number(fields, 4);
    mapping.name = String(fields, 5);
    mapping.build_id = String(fields, 6);
    EXPECT_NE(Number(fields, 1), 0u);
    EXPECT_TRUE(mappings.emplace(Number(fields, 1), mapping).second);
  }

  void AddLocation(const Fields& fields) {
    Location location;
    location.mapping = Number(fields, 2);
    location.address = Number(fields, 3);
    for (const Field& field : fields) {
      if (field.number != 4) continue;
      const auto it = functions_.find(Number(Parse(field.bytes), 1));
      EXPECT_NE(it, functions_.end());
      if (it != functions_.end()) location.function = it->second;
    }
    if (location.mapping != 0) {
      const auto it = mappings.find(location.mapping);
      EXPECT_NE(it, mappings.end());
      if (it != mappings.end()) {
        EXPECT_GE(location.address, it->second.start);
        EXPECT_LT(location.address, it->second.limit);
      }
    }
    EXPECT_NE(Number(fields, 1), 0u);
    EXPECT_TRUE(locations.emplace(Number(fields, 1), location).second);
  }

  void Add(const Field& field) {
    switch (field.number) {
      case 1:
        types.push_back(ValueType(field));
        break;
      case 2:
        AddSample(Parse(field.bytes));
        break;
      case 9:
        time_ns = static_cast<int64_t>(field.value);
        break;
      case 10:
        duration_ns = static_cast<int64_t>(field.value);
        break;
      case 11:
        period_type = ValueType(field);
        break;
      case 12:
        period = static_cast<int64_t>(field.value);
        break;
      case 14:
        default_type = StringAt(field.value);
        break;
      default:
        EXPECT_GE(field.number, 3u);
        EXPECT_LE(field.number, 6u);
    }
  }

  std::pair<std::string, std::string> ValueType(const Field& field) const {
    const Fields fields = Parse(field.bytes);
    return {String(fields, 1), String(fields, 2)};
  }

  void AddSample(const Fields& fields) {
    Sample sample;
    for (const Field& field : fields) {
      if (field.number == 1) {
        for (uint64_t id : Packed(field.bytes)) {
          EXPECT_EQ(locations.count(id), 1u);
          sample.stack.push_back(locations[id]);
        }
      } else if (field.number == 2) {
        for (uint64_t value : Packed(field.bytes)) {
          sample.values.push_back(static_cast<int64_t>(value));
        }
      } else {
        EXPECT_EQ(field.number, 3u);
        const Fields label = Parse(field.bytes);
        const std::string key = String(label, 1);
        EXPECT_NE(key, "");
        if (Number(label, 2) != 0) {
          EXPECT_TRUE(sample.labels.emplace(key, String(label, 2)).second);
        } else {
          sample.numbers[key] = {static_cast<int64_t>(Number(label, 3)),
                                 String(label, 4)};
        }
      }
    }
    samples.push_back(std::move(sample));
  }

  std::vector<std::string> table_;
  std::map<uint64_t, std::string> functions_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_PROFILE_DECODED_PROFILE_H_
