#include "inference/shared_arena.hpp"

#include <cstddef>
#include <mutex>

#include "inference/runtime.hpp"

namespace fsyn::inference {
namespace {

std::mutex g_mutex;
size_t g_shares = 0;
/// Whether the registered arena is ours: other code in the process may have registered one before.
bool g_made = false;

}  // namespace

SharedArena::SharedArena() {
  const std::lock_guard lock(g_mutex);
  const Runtime& runtime = Runtime::instance();
  if (g_shares++ > 0) return;
  // Where it cannot be made, sessions share the one that there is, or have arenas of their own.
  auto* status = runtime.api().CreateAndRegisterAllocator(runtime.env(), runtime.cpu_memory(), nullptr);
  g_made = status == nullptr;
  if (status != nullptr) runtime.api().ReleaseStatus(status);
}

SharedArena::~SharedArena() {
  const std::lock_guard lock(g_mutex);
  if (--g_shares > 0 || !g_made) return;
  const Runtime& runtime = Runtime::instance();
  // It is there, so that this cannot fail; and a destructor must not.
  if (auto* status = runtime.api().UnregisterAllocator(runtime.env(), runtime.cpu_memory())) {
    runtime.api().ReleaseStatus(status);
  }
}

}  // namespace fsyn::inference
