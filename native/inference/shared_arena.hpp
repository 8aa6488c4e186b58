#pragma once

namespace fsyn::inference {

/// A share in the one arena of this process that sessions may take the memory of their runs from. The first
/// share makes the arena, the last one frees it; a session that was loaded under a share must not outlive it.
class SharedArena {
 public:
  SharedArena();
  ~SharedArena();
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;
};

}  // namespace fsyn::inference
