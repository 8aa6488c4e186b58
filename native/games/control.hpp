#pragma once

#include <functional>
#include <stop_token>

#include "errors.hpp"

namespace fsyn::games {

/// What long work sees of the outside: a stop request in, progress out. The default is neither.
struct Control {
  std::stop_token stop;
  std::function<void(double done, double total)> progress;

  /// Throws Cancelled when a stop was requested.
  void check() const {
    if (stop.stop_requested()) throw Cancelled();
  }
  void report(double done, double total) const {
    if (progress) progress(done, total);
  }
};

}  // namespace fsyn::games
