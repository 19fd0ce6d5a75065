// One message of protocol buffers, as it is put together.
//
// Place:    profile/, below the encoder of profiles.
// Purpose:  The wire format (protobuf.dev, "Encoding") of numbers, bytes and
//           packed arrays.
// Not here: which fields there are (profile_proto.cc).
//
// Concurrency: one thread.
// Failure:     what does not fit is left out, and ok() is false.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_PROTO_MESSAGE_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_PROTO_MESSAGE_H_

#include <string.h>

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

template <size_t kCapacity>
class ProtoMessage {
 public:
  void Clear() {
    size_ = 0;
    ok_ = true;
  }
  const unsigned char* data() const { return bytes_; }
  size_t size() const { return size_; }
  bool ok() const { return ok_; }

  // A field that is not there is zero.
  void AddNumber(uint32_t field, uint64_t value) {
    if (value == 0) return;
    AddVarint(field << 3 | kVarint);
    AddVarint(value);
  }
  template <size_t kOther>
  void AddMessage(uint32_t field, const ProtoMessage<kOther>& message) {
    ok_ = ok_ && message.ok();
    AddHead(field, message.size());
    AddRaw(message.data(), message.size());
  }
  // The tag and the length of a field, of which the caller adds the bytes.
  void AddHead(uint32_t field, size_t bytes) {
    AddVarint(field << 3 | kBytes);
    AddVarint(bytes);
  }
  void AddVarint(uint64_t value) {
    unsigned char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) {
      bytes[n++] = static_cast<unsigned char>(value | 0x80);
    }
    bytes[n++] = static_cast<unsigned char>(value);
    AddRaw(bytes, n);
  }
  void AddRaw(const void* data, size_t n) {
    ok_ = ok_ && n <= kCapacity - size_;
    if (!ok_) return;
    memcpy(bytes_ + size_, data, n);
    size_ += n;
  }

 private:
  static constexpr uint32_t kVarint = 0;
  static constexpr uint32_t kBytes = 2;

  size_t size_ = 0;
  bool ok_ = true;
  unsigned char bytes_[kCapacity];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_PROTO_MESSAGE_H_
