// The fixture of clauses about C entries, which run under their standard names
// and again under the prefixed ones. A suite derives from FaceTest and is
// instantiated with SPANMALLOC_BOTH_FACES.
//
// Not here: clauses that hold for every entry alike (entries.h).

#ifndef SPANMALLOC_TESTS_CONFORMANCE_FACE_TEST_H_
#define SPANMALLOC_TESTS_CONFORMANCE_FACE_TEST_H_

#include <gtest/gtest.h>

#include "tests/conformance/api.h"

namespace conformance {

class FaceTest : public testing::TestWithParam<const Face*> {
 protected:
  void SetUp() override {
    if (face().malloc_ == nullptr) {
      GTEST_SKIP() << "no such names in this allocator";
    }
  }
  static const Face& face() { return *GetParam(); }
};

// Names the instances.
struct FaceName {
  template <typename Info>
  std::string operator()(const Info& instance) const {
    return instance.param == &StandardFace() ? "standard" : "prefixed";
  }
};

}  // namespace conformance

#define SPANMALLOC_BOTH_FACES(suite)                                          \
  INSTANTIATE_TEST_SUITE_P(Names, suite,                                      \
                           testing::Values(&StandardFace(), &PrefixedFace()), \
                           FaceName())

#endif  // SPANMALLOC_TESTS_CONFORMANCE_FACE_TEST_H_
