#include "job_threads.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include "errors.hpp"

namespace fsyn::bindings {

namespace {

bool has_ended(const std::future<void>& work, std::chrono::steady_clock::time_point deadline) {
  return work.wait_until(deadline) == std::future_status::ready;
}

/// Handlers run in the reverse order of their registration: this one, registered last, comes before the
/// destructors of everything that was loaded before.
void skip_destructors(int exit_code) {
  static int code = 0;
  code = exit_code;
  (void)std::atexit([] { std::_Exit(code); });
}

}  // namespace

void JobThreads::start(std::stop_source stop, std::function<void()> work) {
  if (leaving_) throw Error(ErrorCode::disposed, "The process is about to end: nothing is started any more.");
  join_ended();
  std::promise<void> end;
  Running& entry = running_.emplace_back(Running{std::move(stop), end.get_future(), {}});
  try {
    entry.thread = std::thread([work = std::move(work), end = std::move(end)]() mutable {
      work();
      // What it owns is freed here, not on the JavaScript thread when that joins.
      work = nullptr;
      end.set_value();
    });
  } catch (const std::system_error& error) {
    running_.pop_back();
    throw Error(ErrorCode::out_of_memory, std::string("Cannot start a thread: ") + error.what());
  }
}

void JobThreads::stop_all() noexcept {
  for (Running& job : running_) job.stop.request_stop();
}

void JobThreads::join_ended() {
  const auto now = std::chrono::steady_clock::now();
  running_.remove_if([&](Running& job) {
    if (!has_ended(job.ended, now)) return false;
    job.thread.join();
    return true;
  });
}

void JobThreads::stop_and_join() noexcept {
  stop_all();
  for (Running& job : running_) job.thread.join();
  running_.clear();
}

void JobThreads::leave(int exit_code, std::chrono::milliseconds patience) {
  leaving_ = true;
  stop_all();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const bool all = std::all_of(running_.begin(), running_.end(),
                               [&](const Running& job) { return has_ended(job.ended, deadline); });
  join_ended();
  if (!all) skip_destructors(exit_code);
}

}  // namespace fsyn::bindings
