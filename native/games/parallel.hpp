#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace fsyn::games {

/// Threads to use for a table over `players` players: `requested`, or for 0 all cores once the table is worth
/// it.
[[nodiscard]] inline int choose_threads(int requested, int players) noexcept {
  if (requested > 0) return requested;
  constexpr int kWorthThreads = 19;
  if (players < kWorthThreads) return 1;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Calls body(task) once for every task in [0, tasks), on `threads` threads including the caller's.
/// Which thread runs a task never changes a result: tasks must be independent. The first exception is
/// rethrown here.
template <class Body>
void parallel_for(std::size_t tasks, int threads, const Body& body) {
  const std::size_t workers = std::min<std::size_t>(tasks, static_cast<std::size_t>(std::max(threads, 1)));
  if (workers <= 1) {
    for (std::size_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  std::vector<std::exception_ptr> errors(workers);
  const auto run = [&](std::size_t worker) noexcept {
    try {
      for (std::size_t task = tasks * worker / workers; task < tasks * (worker + 1) / workers; ++task)
        body(task);
    } catch (...) {
      errors[worker] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    others.reserve(workers - 1);
    for (std::size_t worker = 1; worker < workers; ++worker) others.emplace_back(run, worker);
    run(0);
  }
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace fsyn::games
