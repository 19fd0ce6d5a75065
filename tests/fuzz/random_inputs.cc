// Runs the fuzzer that it is linked with on pseudo-random inputs: what a
// compiler without libFuzzer can do, and a test that always does the same.
//
// SPANMALLOC_TEST_SCALE=N in the environment makes it N times as long.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

TEST(Fuzz, RandomInputs) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr unsigned kInputs = 60;
#else
  constexpr unsigned kInputs = 300;
#endif
  const char* const scale = getenv("SPANMALLOC_TEST_SCALE");
  const unsigned inputs =
      kInputs *
      static_cast<unsigned>(scale == nullptr ? 1 : std::max(1, atoi(scale)));
  for (unsigned seed = 0; seed < inputs; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint8_t> input(random() % 400);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    ASSERT_EQ(LLVMFuzzerTestOneInput(input.data(), input.size()), 0);
  }
}

}  // namespace
