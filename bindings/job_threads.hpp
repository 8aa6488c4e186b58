#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <list>
#include <stop_token>
#include <thread>

namespace fsyn::bindings {

/// The threads on which an environment's jobs run. Used on the environment's thread only.
class JobThreads {
 public:
  JobThreads() = default;
  JobThreads(const JobThreads&) = delete;
  JobThreads& operator=(const JobThreads&) = delete;
  ~JobThreads() { stop_and_join(); }

  /// Runs `work`, which must not throw, on a thread of its own and destroys it there. Throws OUT_OF_MEMORY
  /// when there is no thread to be had, DISPOSED after leave().
  void start(std::stop_source stop, std::function<void()> work);

  /// Asks all work to stop, and returns when the last has.
  void stop_and_join() noexcept;

  /// To be called on the main thread when the process is about to end with `exit_code`: starts no more work,
  /// stops what runs and waits for it, because the destructors of the process pull the runtime from under it.
  /// Work that does not stop for `patience` is left alone, and then the process ends without destructors.
  void leave(int exit_code, std::chrono::milliseconds patience);

 private:
  struct Running {
    std::stop_source stop;
    std::future<void> ended;
    std::thread thread;
  };

  void stop_all() noexcept;
  void join_ended();

  std::list<Running> running_;
  bool leaving_ = false;
};

}  // namespace fsyn::bindings
