#include "inference.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "calls.hpp"
#include "handles.hpp"
#include "inference/runtime.hpp"
#include "inference/session.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace fsyn::bindings {

namespace {

using inference::ElementType;
using inference::Runtime;
using inference::Session;
using inference::Tensor;
using inference::TensorSpec;

std::string text(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

Napi::Array to_array(Napi::Env env, const std::vector<int64_t>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, static_cast<double>(values[i]));
  return array;
}

Napi::Array to_array(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, values[i]);
  return array;
}

std::vector<int64_t> to_shape(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<int64_t> shape(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) shape[i] = array.Get(i).As<Napi::Number>().Int64Value();
  return shape;
}

Napi::Array describe_specs(Napi::Env env, const std::vector<TensorSpec>& specs) {
  Napi::Array array = Napi::Array::New(env, specs.size());
  for (uint32_t i = 0; i < specs.size(); ++i) {
    Napi::Object spec = Napi::Object::New(env);
    spec.Set("name", specs[i].name);
    spec.Set("type", static_cast<int32_t>(specs[i].type));
    spec.Set("shape", to_array(env, specs[i].shape));
    spec.Set("symbols", to_array(env, specs[i].symbols));
    array.Set(i, spec);
  }
  return array;
}

Napi::Object describe_metadata(Napi::Env env, const inference::ModelMetadata& metadata) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("producer", metadata.producer);
  object.Set("graph", metadata.graph);
  object.Set("domain", metadata.domain);
  object.Set("description", metadata.description);
  object.Set("version", static_cast<double>(metadata.version));
  Napi::Object custom = Napi::Object::New(env);
  for (const auto& [key, value] : metadata.custom) custom.Set(key, value);
  object.Set("custom", custom);
  return object;
}

/// loadRuntime(path, version) -> { version, path, buildInfo, compiledProviders }
Napi::Value load_runtime(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Runtime& runtime =
      Runtime::load(info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::String>().Utf8Value());
  Napi::Object result = Napi::Object::New(env);
  result.Set("version", runtime.version());
  result.Set("path", runtime.path());
  result.Set("buildInfo", runtime.build_info());
  result.Set("compiledProviders", to_array(env, runtime.compiled_providers()));
  return result;
}

/// providerProblem(name) -> "" when the provider can be appended here, else why not
Napi::Value provider_problem(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), inference::provider_problem(info[0].As<Napi::String>().Utf8Value()));
}

inference::SessionOptions session_options(const Napi::Object& request) {
  inference::SessionOptions options;
  const auto providers = request.Get("providers").As<Napi::Array>();
  for (uint32_t i = 0; i < providers.Length(); ++i) {
    options.providers.push_back(providers.Get(i).As<Napi::String>().Utf8Value());
  }
  options.threads = request.Get("threads").As<Napi::Number>().Int32Value();
  options.optimization = request.Get("optimization").As<Napi::Number>().Int32Value();
  options.low_memory = request.Get("lowMemory").ToBoolean().Value();
  options.shared_arena = request.Get("sharedArena").ToBoolean().Value();
  options.external_data_folder = text(request, "externalDataFolder");
  options.optimized_model_path = text(request, "optimizedModelPath");
  options.label = text(request, "label");
  return options;
}

Napi::Value session_result(Napi::Env env, const std::shared_ptr<const Session>& session) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", wrap_handle<const Session>(env, session, 0, kSessionTag));
  result.Set("inputs", describe_specs(env, session->inputs()));
  result.Set("outputs", describe_specs(env, session->outputs()));
  result.Set("metadata", describe_metadata(env, session->metadata()));
  return result;
}

/// createSession({ path or bytes, ... }) -> job of { handle, inputs, outputs, metadata }
Napi::Value create_session(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const bool from_memory = request.Get("bytes").IsTypedArray();
  return start_job(
      info.Env(), "fsyn.createSession",
      [options = session_options(request), path = text(request, "path"), from_memory,
       model = from_memory ? hold(request.Get("bytes")) : Memory()](const JobContext& job) -> JobResult {
        auto session = from_memory
                           ? std::make_shared<const Session>(model.as<const std::byte>(), options, job.stop())
                           : std::make_shared<const Session>(path, options, job.stop());
        return [session](Napi::Env owner) { return session_result(owner, session); };
      });
}

Napi::Value dispose_session(const Napi::CallbackInfo& info) {
  unwrap_handle<const Session>(info[0], kSessionTag).dispose(info.Env());
  return info.Env().Undefined();
}

/// Copies a typed array into a tensor; Int32Array values widen when the model wants int64.
Tensor tensor_from_array(const Napi::TypedArray& array, ElementType type, const std::vector<int64_t>& shape) {
  Tensor tensor = Tensor::allocate(type, shape);
  const auto source = bytes_of(array);
  if (type == ElementType::int64 && array.TypedArrayType() == napi_int32_array) {
    const auto values = tensor.as<int64_t>();
    if (array.ElementLength() != values.size())
      throw Error(ErrorCode::invalid_argument, "A fed array has the wrong length.");
    const auto narrow = std::span(reinterpret_cast<const int32_t*>(source.data()), values.size());
    std::copy(narrow.begin(), narrow.end(), values.begin());
    return tensor;
  }
  if (source.size() != tensor.bytes())
    throw Error(ErrorCode::invalid_argument, "A fed array has the wrong length.");
  if (tensor.bytes() > 0) std::memcpy(tensor.data(), source.data(), tensor.bytes());
  return tensor;
}

std::shared_ptr<Tensor> fed_tensor(const Napi::Object& feed) {
  if (feed.Get("handle").IsExternal()) return tensor_of(feed.Get("handle"));
  return std::make_shared<Tensor>(
      tensor_from_array(feed.Get("data").As<Napi::TypedArray>(),
                        static_cast<ElementType>(feed.Get("type").As<Napi::Number>().Int32Value()),
                        to_shape(feed.Get("shape"))));
}

napi_typedarray_type array_type(ElementType type) {
  switch (type) {
    case ElementType::float32:
      return napi_float32_array;
    case ElementType::float64:
      return napi_float64_array;
    case ElementType::int64:
      return napi_bigint64_array;
    case ElementType::uint64:
      return napi_biguint64_array;
    case ElementType::int32:
      return napi_int32_array;
    case ElementType::uint32:
      return napi_uint32_array;
    case ElementType::int16:
      return napi_int16_array;
    case ElementType::int8:
      return napi_int8_array;
    case ElementType::uint16:
    case ElementType::float16:
    case ElementType::bfloat16:
      return napi_uint16_array;
    default:
      return napi_uint8_array;
  }
}

/// Shares the tensor's memory with JavaScript.
Napi::Value values_of(Napi::Env env, const std::shared_ptr<Tensor>& tensor) {
  return to_array(env, Memory(tensor, tensor->data(), tensor->bytes()), array_type(tensor->type()));
}

struct RunRequest {
  std::shared_ptr<const Session> session;
  std::vector<size_t> inputs;
  std::vector<std::shared_ptr<Tensor>> tensors;
  std::vector<size_t> outputs;
  std::vector<bool> keep;
};

RunRequest run_request(const Napi::CallbackInfo& info) {
  RunRequest request;
  request.session = session_of(info[0]);
  const auto feeds = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < feeds.Length(); ++i) {
    const auto feed = feeds.Get(i).As<Napi::Object>();
    request.inputs.push_back(feed.Get("input").As<Napi::Number>().Uint32Value());
    request.tensors.push_back(fed_tensor(feed));
  }
  const auto outputs = info[2].As<Napi::Array>();
  for (uint32_t i = 0; i < outputs.Length(); ++i) {
    const auto output = outputs.Get(i).As<Napi::Object>();
    request.outputs.push_back(output.Get("output").As<Napi::Number>().Uint32Value());
    request.keep.push_back(output.Get("keep").As<Napi::Boolean>().Value());
  }
  return request;
}

Napi::Value run_result(Napi::Env env, const RunRequest& request,
                       const std::vector<std::shared_ptr<Tensor>>& outputs) {
  Napi::Array result = Napi::Array::New(env, outputs.size());
  for (uint32_t i = 0; i < outputs.size(); ++i) {
    Napi::Object output = Napi::Object::New(env);
    output.Set("type", static_cast<int32_t>(outputs[i]->type()));
    output.Set("shape", to_array(env, outputs[i]->shape()));
    if (request.keep[i]) {
      const auto bytes = static_cast<int64_t>(outputs[i]->bytes());
      output.Set("handle", wrap_handle<Tensor>(env, outputs[i], bytes, kTensorTag));
    } else {
      output.Set("data", values_of(env, outputs[i]));
    }
    result.Set(i, output);
  }
  return result;
}

/// runSession(handle, feeds, outputs) -> job of outputs; the fed arrays are copied before this returns.
Napi::Value run_session(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto request = std::make_shared<RunRequest>(run_request(info));
  return start_job(env, "fsyn.runSession", [request](const JobContext& job) -> JobResult {
    std::vector<Session::Feed> feeds;
    for (size_t i = 0; i < request->inputs.size(); ++i) {
      feeds.push_back({request->inputs[i], request->tensors[i].get()});
    }
    std::vector<std::shared_ptr<Tensor>> outputs;
    for (Tensor& output : request->session->run(feeds, request->outputs, job.stop())) {
      outputs.push_back(std::make_shared<Tensor>(std::move(output)));
    }
    return [request, outputs = std::move(outputs)](Napi::Env owner) {
      return run_result(owner, *request, outputs);
    };
  });
}

/// readTensor(handle) -> a copy of the values
Napi::Value read_tensor(const Napi::CallbackInfo& info) {
  const auto tensor = tensor_of(info[0]);
  const Memory values(tensor->bytes());
  if (tensor->bytes() > 0) std::memcpy(values.data(), tensor->data(), tensor->bytes());
  return to_array(info.Env(), values, array_type(tensor->type()));
}

Napi::Value dispose_tensor(const Napi::CallbackInfo& info) {
  unwrap_handle<Tensor>(info[0], kTensorTag).dispose(info.Env());
  return info.Env().Undefined();
}

/// returnFreedMemory(): the C library keeps freed blocks, in one heap per thread, for allocations to come.
/// After sessions were closed these may never come, so it is asked to give them back to the system.
Napi::Value return_freed_memory(const Napi::CallbackInfo& info) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
  return info.Env().Undefined();
}

}  // namespace

void export_inference(Napi::Object exports) {
  export_function(exports, "loadRuntime", load_runtime);
  export_function(exports, "providerProblem", provider_problem);
  export_function(exports, "createSession", create_session);
  export_function(exports, "disposeSession", dispose_session);
  export_function(exports, "runSession", run_session);
  export_function(exports, "readTensor", read_tensor);
  export_function(exports, "returnFreedMemory", return_freed_memory);
  export_function(exports, "disposeTensor", dispose_tensor);
}

}  // namespace fsyn::bindings
