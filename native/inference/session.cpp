#include "inference/session.hpp"

#include <algorithm>
#include <functional>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "errors.hpp"
#include "inference/device_turn.hpp"

namespace fsyn::inference {

namespace {

const ort::Api& api() {
  return Runtime::instance().api();
}
void check(ort::Status* status) {
  Runtime::instance().check(status);
}

/// The C library keeps freed blocks below 32 MiB for the next allocation, which here is another session's.
void return_freed_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

bool is_out_of_memory(const std::string& message) {
  return contains(message, "bad_alloc") || contains(message, "bad allocation") ||
         contains(message, "Failed to allocate memory") || contains(message, "out of memory") ||
         contains(message, "CUBLAS_STATUS_ALLOC_FAILED");
}

/// The runtime's spelling of a provider that has no function of its own in the table.
std::string runtime_name(const std::string& name) {
  static const std::map<std::string, std::string> names = {
      {"webgpu", "WebGPU"}, {"coreml", "CoreML"}, {"dml", "DML"},          {"xnnpack", "XNNPACK"},
      {"qnn", "QNN"},       {"webnn", "WEBNN"},   {"openvino", "OpenVINO"}};
  const auto known = names.find(name);
  return known != names.end() ? known->second : name;
}

void append_cuda(ort::SessionOptions* options) {
  ort::CudaOptions* raw = nullptr;
  check(api().CreateCUDAProviderOptions(&raw));
  const CudaOptionsHandle cuda(raw);
  // TF32 would cost the float32 agreement between providers that every score relies on.
  const char* keys[] = {"use_tf32"};
  const char* values[] = {"0"};
  check(api().UpdateCUDAProviderOptions(raw, keys, values, 1));
  check(api().SessionOptionsAppendExecutionProvider_CUDA_V2(options, raw));
}

void append_provider(ort::SessionOptions* options, const std::string& name) {
  if (name == "cpu") return;
  if (name == "cuda") {
    append_cuda(options);
    return;
  }
  check(
      api().SessionOptionsAppendExecutionProvider(options, runtime_name(name).c_str(), nullptr, nullptr, 0));
}

bool shares_device(const SessionOptions& options) {
  return std::find(options.providers.begin(), options.providers.end(), "webgpu") != options.providers.end();
}

SessionOptionsHandle make_options(const SessionOptions& wanted) {
  ort::SessionOptions* raw = nullptr;
  check(api().CreateSessionOptions(&raw));
  SessionOptionsHandle options(raw);
  check(api().SetIntraOpNumThreads(raw, wanted.threads));
  check(api().SetInterOpNumThreads(raw, 1));
  check(api().SetSessionGraphOptimizationLevel(raw, wanted.optimization));
  // Failures come back as errors with the file's name; the runtime's own log lines would only repeat them.
  check(api().SetSessionLogSeverityLevel(raw, ort::kLogFatal));
  // Several sessions live side by side; idle pools that spin would take the cores from the one that works.
  check(api().AddSessionConfigEntry(raw, "session.intra_op.allow_spinning", "0"));
  // A product with weights that the file dequantizes is one of floats; by default the runtime would round its
  // other operand to 8 bits.
  check(api().AddSessionConfigEntry(raw, "session.qdq_matmulnbits_accuracy_level", "0"));
  if (wanted.low_memory) {
    // An arena keeps the largest run's memory for as long as the session lives.
    check(api().DisableCpuMemArena(raw));
    check(api().AddSessionConfigEntry(raw, "session.disable_prepacking", "1"));
  }
  if (wanted.shared_arena) {
    check(api().AddSessionConfigEntry(raw, "session.use_env_allocators", "1"));
    // Weights stay as long as the session, and would keep the arena's blocks from being whole.
    check(api().AddSessionConfigEntry(raw, "session.use_device_allocator_for_initializers", "1"));
  }
  if (!wanted.external_data_folder.empty()) {
    check(api().AddSessionConfigEntry(raw, "session.model_external_initializers_file_folder_path",
                                      wanted.external_data_folder.c_str()));
  }
  if (!wanted.optimized_model_path.empty()) {
    const std::filesystem::path path(reinterpret_cast<const char8_t*>(wanted.optimized_model_path.c_str()));
    check(api().SetOptimizedModelFilePath(raw, path.c_str()));
  }
  for (const std::string& provider : wanted.providers) {
    try {
      append_provider(raw, provider);
    } catch (const OrtError& error) {
      throw Error(ErrorCode::provider_unavailable,
                  "The execution provider \"" + provider + "\" cannot be used here: " + error.what());
    }
  }
  return options;
}

[[noreturn]] void rethrow_load_error(const OrtError& error, const std::string& label) {
  const std::string message = "Cannot load the model " + label + ": " + error.what();
  if (is_out_of_memory(message)) throw Error(ErrorCode::out_of_memory, message);
  if (error.code() == ort::ErrorCode::provider_failure) throw Error(ErrorCode::provider_unavailable, message);
  if (error.code() == ort::ErrorCode::not_implemented ||
      contains(message, "is not a registered function/op")) {
    throw Error(ErrorCode::unsupported_operator, message);
  }
  throw Error(ErrorCode::model_file, message);
}

SessionHandle create_session(
    const SessionOptions& wanted, const std::stop_token& stop,
    const std::function<ort::Status*(const ort::SessionOptions*, ort::Session**)>& make) {
  const SessionOptionsHandle options = make_options(wanted);
  const std::stop_callback cancel(stop, [&options] {
    // A stop callback must not throw, and a status that is not released leaks.
    if (auto* status = api().SessionOptionsSetLoadCancellationFlag(options.get(), true)) {
      api().ReleaseStatus(status);
    }
  });
  ort::Session* session = nullptr;
  try {
    check(make(options.get(), &session));
  } catch (const OrtError& error) {
    if (stop.stop_requested()) throw Cancelled();
    rethrow_load_error(error, wanted.label);
  }
  return SessionHandle(session);
}

TensorSpec describe_tensor(std::string name, const ort::TypeInfo* type) {
  TensorSpec spec;
  spec.name = std::move(name);
  int32_t kind = 0;
  check(api().GetOnnxTypeFromTypeInfo(type, &kind));
  if (kind != ort::kTypeIsTensor) return spec;
  const ort::TensorInfo* info = nullptr;
  check(api().CastTypeInfoToTensorInfo(type, &info));
  int32_t element = 0;
  size_t rank = 0;
  check(api().GetTensorElementType(info, &element));
  check(api().GetDimensionsCount(info, &rank));
  spec.type = static_cast<ElementType>(element);
  spec.shape.resize(rank);
  std::vector<const char*> symbols(rank, nullptr);
  check(api().GetDimensions(info, spec.shape.data(), rank));
  check(api().GetSymbolicDimensions(info, symbols.data(), rank));
  for (const char* symbol : symbols) spec.symbols.emplace_back(symbol != nullptr ? symbol : "");
  return spec;
}

ModelMetadata read_metadata(const ort::Session* session) {
  const Runtime& runtime = Runtime::instance();
  ort::ModelMetadata* raw = nullptr;
  check(api().SessionGetModelMetadata(session, &raw));
  const ModelMetadataHandle handle(raw);
  ModelMetadata metadata;
  const auto read = [&](auto function) {
    char* text = nullptr;
    check(function(raw, runtime.allocator(), &text));
    return runtime.take_string(text);
  };
  metadata.producer = read(api().ModelMetadataGetProducerName);
  metadata.graph = read(api().ModelMetadataGetGraphName);
  metadata.domain = read(api().ModelMetadataGetDomain);
  metadata.description = read(api().ModelMetadataGetDescription);
  check(api().ModelMetadataGetVersion(raw, &metadata.version));
  char** keys = nullptr;
  int64_t count = 0;
  check(api().ModelMetadataGetCustomMetadataMapKeys(raw, runtime.allocator(), &keys, &count));
  for (int64_t i = 0; i < count; ++i) {
    const std::string key = runtime.take_string(keys[i]);
    char* value = nullptr;
    check(api().ModelMetadataLookupCustomMetadataMap(raw, runtime.allocator(), key.c_str(), &value));
    metadata.custom[key] = runtime.take_string(value);
  }
  if (keys != nullptr) check(api().AllocatorFree(runtime.allocator(), keys));
  return metadata;
}

}  // namespace

std::string provider_problem(const std::string& name) {
  try {
    SessionOptions options;
    options.providers = {name};
    (void)make_options(options);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

Session::Session(const std::string& path, const SessionOptions& options, const std::stop_token& stop)
    : label_(options.label), low_memory_(options.low_memory), shares_device_(shares_device(options)) {
  const auto held = turn();
  if (options.shared_arena) arena_.emplace();
  const std::filesystem::path file(reinterpret_cast<const char8_t*>(path.c_str()));
  session_ = create_session(options, stop, [&](const ort::SessionOptions* raw, ort::Session** out) {
    return api().CreateSession(Runtime::instance().env(), file.c_str(), raw, out);
  });
  describe();
}

Session::Session(std::span<const std::byte> bytes, const SessionOptions& options, const std::stop_token& stop)
    : label_(options.label), low_memory_(options.low_memory), shares_device_(shares_device(options)) {
  const auto held = turn();
  if (options.shared_arena) arena_.emplace();
  session_ = create_session(options, stop, [&](const ort::SessionOptions* raw, ort::Session** out) {
    return api().CreateSessionFromArray(Runtime::instance().env(), bytes.data(), bytes.size(), raw, out);
  });
  describe();
}

Session::~Session() {
  const auto held = turn();
  session_.reset();
}

std::unique_lock<std::recursive_mutex> Session::turn() const {
  return shares_device_ ? device_turn() : std::unique_lock<std::recursive_mutex>();
}

void Session::describe() {
  const Runtime& runtime = Runtime::instance();
  const ort::Session* session = session_.get();
  size_t count = 0;
  char* name = nullptr;
  check(api().SessionGetInputCount(session, &count));
  for (size_t i = 0; i < count; ++i) {
    check(api().SessionGetInputName(session, i, runtime.allocator(), &name));
    ort::TypeInfo* type = nullptr;
    check(api().SessionGetInputTypeInfo(session, i, &type));
    const TypeInfoHandle handle(type);
    inputs_.push_back(describe_tensor(runtime.take_string(name), type));
  }
  check(api().SessionGetOutputCount(session, &count));
  for (size_t i = 0; i < count; ++i) {
    check(api().SessionGetOutputName(session, i, runtime.allocator(), &name));
    ort::TypeInfo* type = nullptr;
    check(api().SessionGetOutputTypeInfo(session, i, &type));
    const TypeInfoHandle handle(type);
    outputs_.push_back(describe_tensor(runtime.take_string(name), type));
  }
  metadata_ = read_metadata(session);
}

DeviceMemory::DeviceMemory(const std::string& name) {
  ort::MemoryInfo* info = nullptr;
  try {
    check(api().CreateMemoryInfo(name.c_str(), ort::kDeviceAllocator, 0, ort::kDefaultMemory, &info));
  } catch (const OrtError& error) {
    throw Error(ErrorCode::provider_unavailable,
                "The runtime has no memory \"" + name + "\": " + error.what());
  }
  info_.reset(info);
}

void Session::compute(const std::function<ort::Status*(const ort::RunOptions*)>& call,
                      const std::stop_token& stop) const {
  const auto held = turn();
  if (stop.stop_requested()) throw Cancelled();
  ort::RunOptions* raw = nullptr;
  check(api().CreateRunOptions(&raw));
  const RunOptionsHandle options(raw);
  // A terminated run would otherwise print an error line.
  check(api().RunOptionsSetRunLogSeverityLevel(raw, ort::kLogFatal));
  ort::Status* status = nullptr;
  {
    const std::stop_callback terminate(stop, [raw] {
      if (auto* failed = api().RunOptionsSetTerminate(raw)) api().ReleaseStatus(failed);
    });
    status = call(raw);
  }
  if (low_memory_) return_freed_memory();
  try {
    check(status);
  } catch (const OrtError& error) {
    if (stop.stop_requested()) throw Cancelled();
    const std::string message = "The model " + label_ + " failed: " + error.what();
    throw Error(is_out_of_memory(message) ? ErrorCode::out_of_memory : ErrorCode::inference, message);
  }
}

std::vector<Tensor> Session::run(std::span<const Feed> feeds, std::span<const size_t> outputs,
                                 const std::stop_token& stop) const {
  std::vector<const char*> input_names;
  std::vector<const ort::Value*> values;
  for (const Feed& feed : feeds) {
    input_names.push_back(inputs_.at(feed.input).name.c_str());
    values.push_back(feed.tensor->value());
  }
  std::vector<const char*> output_names;
  for (const size_t output : outputs) output_names.push_back(outputs_.at(output).name.c_str());
  std::vector<ort::Value*> results(outputs.size(), nullptr);
  std::vector<ValueHandle> owned;
  owned.reserve(results.size());
  compute(
      [&](const ort::RunOptions* options) {
        ort::Status* status =
            api().Run(session_.get(), options, input_names.data(), values.data(), values.size(),
                      output_names.data(), output_names.size(), results.data());
        for (ort::Value* value : results) owned.emplace_back(value);
        return status;
      },
      stop);
  std::vector<Tensor> tensors;
  tensors.reserve(owned.size());
  for (ValueHandle& value : owned) tensors.push_back(Tensor::adopt(std::move(value)));
  return tensors;
}

std::vector<Tensor> Session::run_on(std::span<const Feed> feeds, std::span<const size_t> outputs,
                                    const DeviceMemory& memory, const std::stop_token& stop) const {
  const auto held = turn();
  ort::IoBinding* raw = nullptr;
  check(api().CreateIoBinding(session_.get(), &raw));
  const IoBindingHandle binding(raw);
  for (const Feed& feed : feeds) {
    check(api().BindInput(raw, inputs_.at(feed.input).name.c_str(), feed.tensor->value()));
  }
  for (const size_t output : outputs) {
    check(api().BindOutputToDevice(raw, outputs_.at(output).name.c_str(), memory.info()));
  }
  compute([&](const ort::RunOptions* options) { return api().RunWithBinding(session_.get(), options, raw); },
          stop);
  ort::Allocator* allocator = Runtime::instance().allocator();
  ort::Value** values = nullptr;
  size_t count = 0;
  check(api().GetBoundOutputValues(raw, allocator, &values, &count));
  std::vector<ValueHandle> owned(values, values + count);
  if (values != nullptr) check(api().AllocatorFree(allocator, values));
  std::vector<Tensor> tensors;
  tensors.reserve(owned.size());
  for (ValueHandle& value : owned) tensors.push_back(Tensor::adopt(std::move(value), false));
  return tensors;
}

}  // namespace fsyn::inference
