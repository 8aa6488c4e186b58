#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <stop_token>

namespace fsyn::bindings {

class Job;

/// What a job sees of the outside, on its own thread.
class JobContext {
 public:
  /// Asks long work to stop: native code takes it and throws fsyn::Cancelled, or simply returns early.
  [[nodiscard]] std::stop_token stop() const;
  [[nodiscard]] bool cancelled() const { return stop().stop_requested(); }

  /// Reports progress; cheap, callable from any thread of the job. Reports that JavaScript has not seen yet
  /// are replaced by newer ones, so a fast job cannot flood the event loop.
  void progress(double done, double total) const;

 private:
  friend class Job;
  explicit JobContext(Job& job) : job_(&job) {}
  Job* job_;
};

/// Builds the JavaScript result, on the JavaScript thread.
using JobResult = std::function<Napi::Value(Napi::Env)>;

/// The work, on a thread of its own: no Napi call is allowed inside. It owns (by value or shared_ptr) all it
/// needs.
using JobBody = std::function<JobResult(const JobContext&)>;

/// What a cancelled job that returned all the same settles with.
enum class OnCancel {
  /// It rejects.
  reject,
  /// It resolves with its result, which holds what was done before.
  keep_result,
};

/// Starts `body` on its own thread and returns `{ promise, cancel() }` to JavaScript (lib/addon/job.ts
/// turns that into a promise with an AbortSignal).
///
/// - Resolves with the JobResult's value. Rejects with the translated exception (see translate_error), or
/// with
///   an error of code `CANCELLED` when the job was cancelled.
/// - `on_progress(done, total)` may be empty; when it throws, the job is cancelled and rejects with what it
///   threw.
/// - The event loop stays alive while the job runs. When the environment goes down the job is cancelled and
///   joined, and its promise stays as it is; see JobThreads::leave for process.exit().
[[nodiscard]] Napi::Object start_job(Napi::Env env, const char* name, JobBody body,
                                     Napi::Function on_progress = {}, OnCancel on_cancel = OnCancel::reject);

}  // namespace fsyn::bindings
