#pragma once

#include "games/control.hpp"
#include "interactions/kernel_set.hpp"

namespace fsyn::interactions {

/// How a computation over a value table runs; never what it returns.
struct Execution {
  const KernelSet* kernels = nullptr;  ///< null: kernel_set()
  int threads = 0;                     ///< 0: all cores for large tables
  games::Control control;
};

/// Applies `kind` in place to x[0 .. 2^players); bit i of an index is player i. `p` is the parameter of the
/// two Banzhaf kinds, else ignored. O(players 2^players), a few sweeps over memory; the result does not
/// depend on the threads. Throws std::invalid_argument for players outside 0..kMaxPlayers, Cancelled when
/// stopped (x is then garbage).
template <class T>
void transform(T* x, int players, Transform kind, double p = 0.5, const Execution& execution = {});

extern template void transform<double>(double*, int, Transform, double, const Execution&);
extern template void transform<float>(float*, int, Transform, double, const Execution&);

}  // namespace fsyn::interactions
