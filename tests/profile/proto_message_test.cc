// The wire format, byte by byte, and messages that are full.

#include "allocator/profile/proto_message.h"

#include <gtest/gtest.h>

#include <string>

namespace spanmalloc {
namespace {

template <size_t kCapacity>
std::string BytesOf(const ProtoMessage<kCapacity>& message) {
  return std::string(reinterpret_cast<const char*>(message.data()),
                     message.size());
}

TEST(ProtoMessageTest, Numbers) {
  ProtoMessage<64> message;
  message.AddNumber(1, 0);  // That is what a missing field is.
  EXPECT_EQ(BytesOf(message), "");
  message.AddNumber(1, 150);
  EXPECT_EQ(BytesOf(message), "\x08\x96\x01");
  message.Clear();
  message.AddNumber(16, 127);
  EXPECT_EQ(BytesOf(message), "\x80\x01\x7f");
  message.Clear();
  message.AddVarint(0);
  EXPECT_EQ(BytesOf(message), std::string(1, '\0'));
  message.Clear();
  message.AddVarint(UINT64_MAX);
  EXPECT_EQ(BytesOf(message), std::string(9, '\xff') + '\x01');
}

TEST(ProtoMessageTest, MessagesInMessages) {
  ProtoMessage<64> inner, outer;
  inner.AddNumber(1, 150);
  outer.AddMessage(3, inner);
  EXPECT_EQ(BytesOf(outer), "\x1a\x03\x08\x96\x01");
}

TEST(ProtoMessageTest, Full) {
  ProtoMessage<8> message{};  // Zeros, for a compiler that sees paths here.
  message.AddRaw("12345678", 8);
  EXPECT_TRUE(message.ok());
  EXPECT_EQ(BytesOf(message), "12345678");
  message.AddRaw("", 0);
  EXPECT_TRUE(message.ok());
  message.AddVarint(1);
  EXPECT_FALSE(message.ok());
  EXPECT_EQ(message.size(), 8u);
  ProtoMessage<64> outer;
  outer.AddMessage(1, message);
  EXPECT_FALSE(outer.ok());
  message.Clear();
  EXPECT_TRUE(message.ok());
  message.AddRaw("123456789", 9);
  EXPECT_FALSE(message.ok());
  message.AddRaw("1", 1);  // A message with a gap would say something else.
  EXPECT_EQ(message.size(), 0u);
}

}  // namespace
}  // namespace spanmalloc
