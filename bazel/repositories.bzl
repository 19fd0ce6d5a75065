"""Every outside repository that the build needs.

Nothing is fetched where Debian's packages bazel-bootstrap and libgtest-dev are
installed: the rules are Bazel's own under the names that it looks for, and
GoogleTest is the system's. Elsewhere GoogleTest is downloaded.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "objc_library",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_lite_proto_library",
    "java_package_configuration",
    "java_plugin",
    "java_proto_library",
    "java_runtime",
    "java_test",
    "java_toolchain",
]

_GOOGLETEST_BUILD = """\
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "gtest",
    linkopts = ["-lgtest", "-lpthread"],
)

cc_library(
    name = "gtest_main",
    linkopts = ["-lgtest_main"],
    deps = [":gtest"],
)
"""

_COVERAGE_BUILD = """\
package(default_visibility = ["//visibility:public"])

sh_binary(
    name = "coverage_report_generator",
    srcs = ["none.sh"],
)

sh_binary(
    name = "lcov_merger",
    srcs = ["none.sh"],
)
"""

def _write_files(rctx):
    rctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % rctx.name)
    for path, text in rctx.attr.files.items():
        rctx.file(path, text)

_written_repository = repository_rule(
    implementation = _write_files,
    attrs = {"files": attr.string_dict(mandatory = True)},
    doc = "A repository whose files are given here.",
)

def _googletest(rctx):
    if rctx.path("/usr/include/gtest/gtest.h").exists:
        rctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % rctx.name)
        rctx.file("BUILD.bazel", _GOOGLETEST_BUILD)
        return
    version = "release-1.12.1"
    rctx.download_and_extract(
        url = "https://github.com/google/googletest/archive/%s.tar.gz" % version,
        sha256 = "81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2",
        stripPrefix = "googletest-" + version,
    )

_googletest_repository = repository_rule(
    implementation = _googletest,
    doc = "GoogleTest: the system's where it is installed.",
)

def _native(rules):
    return "".join(["%s = native.%s\n" % (rule, rule) for rule in rules])

def spanmalloc_repositories():
    """Declares rules_cc, rules_java, the coverage tools and GoogleTest."""
    rules_cc = {
        "cc/%s.bzl" % rule: "%s = native.%s\n" % (rule, rule)
        for rule in ["cc_binary", "cc_library", "cc_test"]
    }
    rules_cc["cc/BUILD.bazel"] = ""
    rules_cc["cc/defs.bzl"] = _native(_CC_RULES)
    _written_repository(name = "rules_cc", files = rules_cc)
    _written_repository(
        name = "rules_java",
        files = {
            "java/BUILD.bazel": "",
            "java/defs.bzl": _native(_JAVA_RULES),
        },
    )
    _written_repository(
        name = "remote_coverage_tools",
        files = {
            "BUILD.bazel": _COVERAGE_BUILD,
            "none.sh": "#!/bin/sh\n",
        },
    )
    _googletest_repository(name = "com_google_googletest")
