// A plug-in that needs a kilobyte of initial-exec TLS, as OpenGL and OpenMP
// libraries do. See static_tls.cc.

namespace {
__attribute__((tls_model("initial-exec"))) thread_local char block[1024] = {1};
}

extern "C" char* PluginBlock() { return block; }
