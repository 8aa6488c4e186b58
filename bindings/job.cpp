#include "job.hpp"

#include <atomic>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "errors.hpp"

namespace fsyn::bindings {

namespace {

struct RunningJob {
  std::shared_ptr<JobShared> shared;
  std::thread thread;
};

/// All jobs of one JavaScript environment. Touched on its thread only, except for the flags inside JobShared.
struct EnvironmentData {
  std::list<RunningJob> jobs;
  Napi::FunctionReference error_class;

  void join_finished();
  void cancel_and_join();
};

EnvironmentData& environment_data(Napi::Env env) {
  return *env.GetInstanceData<EnvironmentData>();
}

/// Lives from start_job to the finaliser of the thread-safe function; JavaScript thread only.
struct JobCallbacks {
  Napi::Promise::Deferred deferred;
  Napi::FunctionReference on_progress;
  /// What the progress callback threw; the promise rejects with it.
  Napi::ObjectReference thrown;
};

}  // namespace

struct JobShared : std::enable_shared_from_this<JobShared> {
  std::stop_source stop;
  OnCancel on_cancel = OnCancel::reject;
  std::atomic<bool> finished{false};
  napi_threadsafe_function function = nullptr;
  JobCallbacks* callbacks = nullptr;

  std::mutex progress_mutex;
  std::pair<double, double> progress{0, 0};
  bool progress_pending = false;

  void run(const JobBody& body);
  bool post(std::function<void(Napi::Env)> task);
  void report(double done, double total);
  void deliver_progress(Napi::Env env);
  void settle(Napi::Env env, const JobResult& result, const std::exception_ptr& failure);
};

namespace {

using Task = std::function<void(Napi::Env)>;

/// The thread-safe function's JavaScript side: runs one posted task. `env` is null while the environment goes
/// away.
void run_task(napi_env env, napi_value /*callback*/, void* /*context*/, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  if (env == nullptr) return;
  const Napi::HandleScope scope(env);
  (*task)(Napi::Env(env));
}

void release_callbacks(napi_env /*env*/, void* data, void* /*hint*/) {
  const std::unique_ptr<JobCallbacks> callbacks(static_cast<JobCallbacks*>(data));
}

}  // namespace

std::stop_token JobContext::stop() const {
  return shared_->stop.get_token();
}

void JobContext::progress(double done, double total) const {
  shared_->report(done, total);
}

/// Hands a task to the JavaScript thread; false when the environment is going away.
bool JobShared::post(Task task) {
  auto owned = std::make_unique<Task>(std::move(task));
  if (napi_call_threadsafe_function(function, owned.get(), napi_tsfn_nonblocking) != napi_ok) return false;
  (void)owned.release();
  return true;
}

void JobShared::report(double done, double total) {
  {
    const std::lock_guard lock(progress_mutex);
    progress = {done, total};
    if (std::exchange(progress_pending, true)) return;
  }
  (void)post([self = shared_from_this()](Napi::Env env) { self->deliver_progress(env); });
}

void JobShared::deliver_progress(Napi::Env env) {
  std::pair<double, double> now;
  {
    const std::lock_guard lock(progress_mutex);
    now = progress;
    progress_pending = false;
  }
  if (callbacks->on_progress.IsEmpty() || !callbacks->thrown.IsEmpty()) return;
  try {
    callbacks->on_progress.Call({Napi::Number::New(env, now.first), Napi::Number::New(env, now.second)});
  } catch (const Napi::Error& error) {
    callbacks->thrown = Napi::Persistent(error.Value());
    stop.request_stop();
  }
}

void JobShared::run(const JobBody& body) {
  JobResult result;
  std::exception_ptr failure;
  try {
    result = body(JobContext(*this));
    if (stop.stop_requested() && on_cancel == OnCancel::reject) throw Cancelled();
  } catch (...) {
    failure = std::current_exception();
    // A half-done result may hold large buffers; nobody will read it.
    result = nullptr;
  }
  if (stop.stop_requested() && failure) failure = std::make_exception_ptr(Cancelled());
  const bool alive = post([self = shared_from_this(), result = std::move(result), failure](Napi::Env env) {
    self->settle(env, result, failure);
  });
  // After a refused call the environment is going away and the function must not be touched again.
  if (alive) napi_release_threadsafe_function(function, napi_tsfn_release);
  finished.store(true, std::memory_order_release);
}

void JobShared::settle(Napi::Env env, const JobResult& result, const std::exception_ptr& failure) {
  try {
    if (!callbacks->thrown.IsEmpty()) {
      callbacks->deferred.Reject(callbacks->thrown.Value());
    } else if (failure) {
      callbacks->deferred.Reject(translate_error(env, failure).Value());
    } else {
      callbacks->deferred.Resolve(result ? result(env) : env.Undefined());
    }
  } catch (const Napi::Error& error) {
    callbacks->deferred.Reject(error.Value());
  } catch (...) {
    callbacks->deferred.Reject(translate_error(env, std::current_exception()).Value());
  }
}

namespace {

void EnvironmentData::join_finished() {
  for (auto job = jobs.begin(); job != jobs.end();) {
    if (job->shared->finished.load(std::memory_order_acquire)) {
      job->thread.join();
      job = jobs.erase(job);
    } else {
      ++job;
    }
  }
}

void EnvironmentData::cancel_and_join() {
  for (RunningJob& job : jobs) job.shared->stop.request_stop();
  for (RunningJob& job : jobs) job.thread.join();
  jobs.clear();
}

struct Description {
  const char* code;
  std::string message;
};

Description describe(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const Cancelled& error) {
    return {"CANCELLED", error.what()};
  } catch (const std::bad_alloc&) {
    return {"OUT_OF_MEMORY", "Not enough memory."};
  } catch (const std::invalid_argument& error) {
    return {"INVALID_ARGUMENT", error.what()};
  } catch (const std::exception& error) {
    return {"INFERENCE", error.what()};
  } catch (...) {
    return {"INFERENCE", "An unknown native error."};
  }
}

}  // namespace

Napi::Error translate_error(Napi::Env env, const std::exception_ptr& exception) {
  const Description description = describe(exception);
  const Napi::FunctionReference& error_class = environment_data(env).error_class;
  if (!error_class.IsEmpty()) {
    const Napi::Value error = error_class.New(
        {Napi::String::New(env, description.code), Napi::String::New(env, description.message)});
    return {env, error};
  }
  Napi::Error error = Napi::Error::New(env, description.message);
  error.Set("code", Napi::String::New(env, description.code));
  return error;
}

void install_jobs(Napi::Env env) {
  auto data = std::make_unique<EnvironmentData>();
  env.AddCleanupHook([](EnvironmentData* owned) { owned->cancel_and_join(); }, data.get());
  env.SetInstanceData(data.release());
}

void set_error_class(Napi::Env env, Napi::Function error_class) {
  environment_data(env).error_class = Napi::Persistent(error_class);
}

Napi::Object start_job(Napi::Env env, const char* name, JobBody body, Napi::Function on_progress,
                       OnCancel on_cancel) {
  auto callbacks = std::make_unique<JobCallbacks>(JobCallbacks{Napi::Promise::Deferred::New(env), {}, {}});
  if (!on_progress.IsEmpty() && on_progress.IsFunction())
    callbacks->on_progress = Napi::Persistent(on_progress);

  auto shared = std::make_shared<JobShared>();
  shared->callbacks = callbacks.get();
  shared->on_cancel = on_cancel;
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, name), 0, 1, callbacks.get(), release_callbacks, nullptr,
      run_task, &shared->function);
  if (status != napi_ok) throw Napi::Error::New(env, "Cannot create a thread-safe function.");
  const Napi::Promise promise = callbacks.release()->deferred.Promise();

  EnvironmentData& data = environment_data(env);
  data.join_finished();
  try {
    data.jobs.push_back({shared, std::thread([shared, body = std::move(body)]() mutable {
                           shared->run(body);
                           // Frees what the work owned on this thread, not on the JavaScript thread at
                           // joining time.
                           body = nullptr;
                         })});
  } catch (const std::system_error& error) {
    napi_release_threadsafe_function(shared->function, napi_tsfn_release);
    throw Napi::Error::New(env, std::string("Cannot start a thread: ") + error.what());
  }

  Napi::Object job = Napi::Object::New(env);
  job.Set("promise", promise);
  job.Set("cancel", Napi::Function::New(
                        env,
                        [shared](const Napi::CallbackInfo& info) {
                          shared->stop.request_stop();
                          return info.Env().Undefined();
                        },
                        "cancel"));
  return job;
}

}  // namespace fsyn::bindings
