#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <stop_token>

namespace fsyn::bindings {

struct JobShared;

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
  friend struct JobShared;
  explicit JobContext(JobShared& shared) : shared_(&shared) {}
  JobShared* shared_;
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
/// - Resolves with the JobResult's value. Rejects with an FsynError made from the exception (see
/// translate_error), or
///   with an FsynError-less Error of code `CANCELLED` when the job was cancelled.
/// - `on_progress(done, total)` may be empty; when it throws, the job is cancelled and rejects with what it
/// threw.
/// - The event loop stays alive while the job runs. When the environment is torn down (worker.terminate(),
/// end of a
///   worker) every job of it is cancelled and joined; process.exit() does not wait.
[[nodiscard]] Napi::Object start_job(Napi::Env env, const char* name, JobBody body,
                                     Napi::Function on_progress, OnCancel on_cancel = OnCancel::reject);

/// Runs `work` on the JavaScript thread and translates its C++ exceptions like a job's.
template <typename Work>
auto guarded(Napi::Env env, Work&& work) -> decltype(work());

/// The JavaScript error for a C++ exception: fsyn::Error keeps its code, std::bad_alloc is OUT_OF_MEMORY,
/// std::invalid_argument is INVALID_ARGUMENT, fsyn::Cancelled is CANCELLED, anything else INFERENCE.
[[nodiscard]] Napi::Error translate_error(Napi::Env env, const std::exception_ptr& exception);

/// Must be called once when the addon is initialised in an environment; registers the teardown hook.
void install_jobs(Napi::Env env);

/// The FsynError class of lib/errors.ts, so that native errors are real FsynErrors.
void set_error_class(Napi::Env env, Napi::Function error_class);

template <typename Work>
auto guarded(Napi::Env env, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw translate_error(env, std::current_exception());
  }
}

}  // namespace fsyn::bindings
