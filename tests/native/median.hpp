#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace fsyn::tests {

/// Milliseconds of one call of device work: median of 15 times ten calls, between two waits for the device.
inline double median_ms(const std::function<void()>& run, const std::function<void()>& synchronise) {
  constexpr int kCalls = 10;
  std::vector<double> times;
  run();
  for (int repetition = 0; repetition < 15; ++repetition) {
    synchronise();
    const auto begin = std::chrono::steady_clock::now();
    for (int call = 0; call < kCalls; ++call) run();
    synchronise();
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
    times.push_back(taken.count() / kCalls);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace fsyn::tests
