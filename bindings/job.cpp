#include "job.hpp"

#include <exception>
#include <mutex>
#include <utility>

#include "calls.hpp"
#include "environment.hpp"
#include "errors.hpp"

namespace fsyn::bindings {

namespace {

/// What a job holds of JavaScript: lives, on the JavaScript thread, until the finaliser of its thread-safe
/// function.
struct JobCallbacks {
  std::shared_ptr<Job> job;
  Napi::Promise::Deferred deferred;
  Napi::FunctionReference on_progress;
  /// What the progress callback threw; the promise rejects with it.
  Napi::ObjectReference thrown;
};

}  // namespace

class Job {
 public:
  Job(JobBody body, OnCancel on_cancel) : body_(std::move(body)), on_cancel_(on_cancel) {}

  [[nodiscard]] const std::stop_source& stop() const noexcept { return stop_; }
  void open(Napi::Env env, const char* name, std::unique_ptr<JobCallbacks> callbacks);
  void close() { napi_release_threadsafe_function(function_, napi_tsfn_release); }

  /// On the job's thread.
  void run() noexcept;
  void report(double done, double total);

 private:
  /// What the job's thread asks of the JavaScript thread. Sending one allocates nothing that could fail.
  using Message = void (Job::*)(Napi::Env, JobCallbacks&);

  bool send(const Message& message) noexcept;
  static void receive(napi_env env, napi_value callback, void* context, void* message) noexcept;
  static void release(napi_env env, void* callbacks, void* hint) noexcept;
  void deliver_progress(Napi::Env env, JobCallbacks& callbacks);
  void settle(Napi::Env env, JobCallbacks& callbacks);
  static constexpr Message kProgress = &Job::deliver_progress;
  static constexpr Message kSettle = &Job::settle;

  JobBody body_;
  OnCancel on_cancel_;
  std::stop_source stop_;
  napi_threadsafe_function function_ = nullptr;

  /// The outcome: written by the job's thread before it sends kSettle, read by the JavaScript thread after.
  JobResult result_;
  std::exception_ptr failure_;

  std::mutex progress_mutex_;
  std::pair<double, double> progress_{0, 0};
  bool progress_pending_ = false;
};

std::stop_token JobContext::stop() const {
  return job_->stop().get_token();
}

void JobContext::progress(double done, double total) const {
  job_->report(done, total);
}

void Job::open(Napi::Env env, const char* name, std::unique_ptr<JobCallbacks> callbacks) {
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, name), 0, 1,
                                      callbacks.get(), release, callbacks.get(), receive, &function_);
  if (status != napi_ok) throw Napi::Error::New(env);
  (void)callbacks.release();
}

void Job::release(napi_env /*env*/, void* callbacks, void* /*hint*/) noexcept {
  const std::unique_ptr<JobCallbacks> owned(static_cast<JobCallbacks*>(callbacks));
}

/// `env` is null for what was still to be delivered when the environment went down; the context is gone then.
void Job::receive(napi_env env, napi_value /*callback*/, void* context, void* message) noexcept {
  if (env == nullptr) return;
  contain([&] {
    const Napi::HandleScope scope(env);
    auto& callbacks = *static_cast<JobCallbacks*>(context);
    (callbacks.job.get()->**static_cast<const Message*>(message))(env, callbacks);
  });
}

/// False when the environment is going down: the function must not be used again then.
bool Job::send(const Message& message) noexcept {
  return napi_call_threadsafe_function(function_, const_cast<Message*>(&message), napi_tsfn_nonblocking) ==
         napi_ok;
}

void Job::report(double done, double total) {
  const std::lock_guard lock(progress_mutex_);
  progress_ = {done, total};
  if (!std::exchange(progress_pending_, true)) (void)send(kProgress);
}

void Job::deliver_progress(Napi::Env env, JobCallbacks& callbacks) {
  std::pair<double, double> now;
  {
    const std::lock_guard lock(progress_mutex_);
    now = progress_;
    progress_pending_ = false;
  }
  if (callbacks.on_progress.IsEmpty() || !callbacks.thrown.IsEmpty()) return;
  try {
    callbacks.on_progress.Call({Napi::Number::New(env, now.first), Napi::Number::New(env, now.second)});
  } catch (const Napi::Error& error) {
    callbacks.thrown = Napi::Persistent(error.Value());
    stop_.request_stop();
  }
}

void Job::run() noexcept {
  try {
    result_ = body_(JobContext(*this));
    if (stop_.stop_requested() && on_cancel_ == OnCancel::reject) throw Cancelled();
  } catch (...) {
    // A half-done result may hold large buffers; nobody will read it.
    result_ = nullptr;
    failure_ = stop_.stop_requested() ? std::make_exception_ptr(Cancelled()) : std::current_exception();
  }
  // What the body owns is freed on this thread, not on the JavaScript thread.
  body_ = nullptr;
  if (send(kSettle)) close();
}

void Job::settle(Napi::Env env, JobCallbacks& callbacks) {
  const JobResult result = std::exchange(result_, nullptr);
  try {
    if (!callbacks.thrown.IsEmpty()) {
      callbacks.deferred.Reject(callbacks.thrown.Value());
    } else if (failure_) {
      std::rethrow_exception(failure_);
    } else {
      callbacks.deferred.Resolve(result(env));
    }
  } catch (...) {
    callbacks.deferred.Reject(translate_error(env, std::current_exception()).Value());
  }
}

Napi::Object start_job(Napi::Env env, const char* name, JobBody body, Napi::Function on_progress,
                       OnCancel on_cancel) {
  const auto job = std::make_shared<Job>(std::move(body), on_cancel);
  auto callbacks =
      std::make_unique<JobCallbacks>(JobCallbacks{job, Napi::Promise::Deferred::New(env), {}, {}});
  if (!on_progress.IsEmpty()) callbacks->on_progress = Napi::Persistent(on_progress);

  Napi::Object handle = Napi::Object::New(env);
  handle.Set("promise", callbacks->deferred.Promise());
  handle.Set("cancel", make_function(env, "cancel", [job](const Napi::CallbackInfo& info) -> Napi::Value {
               job->stop().request_stop();
               return info.Env().Undefined();
             }));
  job->open(env, name, std::move(callbacks));
  try {
    Environment::of(env).jobs.start(job->stop(), [job] { job->run(); });
  } catch (...) {
    job->close();
    throw;
  }
  return handle;
}

}  // namespace fsyn::bindings
