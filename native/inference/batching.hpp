#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <new>

#include "errors.hpp"

namespace fsyn::inference {

/// Calls run(begin, size) on consecutive pieces of [0, count) of at most `batch`. When a piece does not fit
/// in memory it is halved and tried again, and later pieces keep the smaller size; `halved(from, to)` hears
/// of it. A single item that does not fit is the caller's error.
inline void for_each_batch(size_t count, size_t batch, const std::function<void(size_t, size_t)>& run,
                           const std::function<void(size_t, size_t)>& halved) {
  for (size_t begin = 0; begin < count;) {
    const size_t size = std::min(batch, count - begin);
    const auto retry_smaller = [&] {
      if (size <= 1) throw;
      batch = size / 2;
      halved(size, batch);
    };
    try {
      run(begin, size);
      begin += size;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory) throw;
      retry_smaller();
    } catch (const std::bad_alloc&) {
      retry_smaller();
    }
  }
}

}  // namespace fsyn::inference
