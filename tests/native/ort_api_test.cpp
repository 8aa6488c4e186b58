// The function table of ONNX Runtime: every slot that fsyn uses is called on the real library, because a
// wrong signature would be silent undefined behaviour.
//
// usage: ort_api_test <onnxruntime library> <its version> <folder of tests/fixtures/inference>
#include <cstdio>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "check.hpp"
#include "inference/runtime.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::inference;
using tests::check;

std::set<std::string> called;

// Notes the name, so that a slot without a call below is a failure.
#define CALL(name, ...) (called.insert(#name), Runtime::instance().api().name(__VA_ARGS__))
#define OK(name, ...)                                                                              \
  do {                                                                                             \
    ort::Status* status = CALL(name, __VA_ARGS__);                                                 \
    if (status != nullptr) {                                                                       \
      check(false, std::string(#name) + ": " + Runtime::instance().api().GetErrorMessage(status)); \
      Runtime::instance().api().ReleaseStatus(status);                                             \
    } else {                                                                                       \
      check(true, #name);                                                                          \
    }                                                                                              \
  } while (false)

std::string take(char* text) {
  std::string copy = text != nullptr ? text : "";
  OK(AllocatorFree, Runtime::instance().allocator(), text);
  return copy;
}

void test_environment() {
  ort::Env* env = nullptr;
  OK(CreateEnv, ort::kLogFatal, "second", &env);
  check(env == Runtime::instance().env(), "one environment per process");
  OK(DisableTelemetryEvents, env);
  ort::Allocator* allocator = nullptr;
  OK(GetAllocatorWithDefaultOptions, &allocator);
  check(allocator == Runtime::instance().allocator(), "one default allocator");
  char** names = nullptr;
  int count = 0;
  OK(GetAvailableProviders, &names, &count);
  bool cpu = false;
  for (int i = 0; i < count; ++i) cpu = cpu || std::string(names[i]) == "CPUExecutionProvider";
  check(cpu, "the CPU provider is compiled in");
  OK(ReleaseAvailableProviders, names, count);
  check(std::string(CALL(GetBuildInfoString)).find("ORT Build Info") != std::string::npos, "build info");
}

ort::SessionOptions* make_options(const std::string& folder) {
  ort::SessionOptions* options = nullptr;
  OK(CreateSessionOptions, &options);
  OK(SetIntraOpNumThreads, options, 1);
  OK(SetInterOpNumThreads, options, 1);
  OK(SetSessionGraphOptimizationLevel, options, 99);
  OK(SetSessionLogSeverityLevel, options, ort::kLogFatal);
  OK(AddSessionConfigEntry, options, "session.model_external_initializers_file_folder_path", folder.c_str());
  OK(SessionOptionsSetLoadCancellationFlag, options, false);
  return options;
}

/// A registered allocator is gone when it is taken back.
void test_shared_allocator() {
  const Runtime& runtime = Runtime::instance();
  OK(CreateAndRegisterAllocator, runtime.env(), runtime.cpu_memory(), nullptr);
  OK(UnregisterAllocator, runtime.env(), runtime.cpu_memory());
  ort::Status* again = runtime.api().UnregisterAllocator(runtime.env(), runtime.cpu_memory());
  check(again != nullptr, "an allocator that is gone cannot be taken back");
  runtime.api().ReleaseStatus(again);
}

void test_arena() {
  // Options of their own: a run below shrinks the arena.
  ort::SessionOptions* options = nullptr;
  OK(CreateSessionOptions, &options);
  OK(DisableCpuMemArena, options);
  CALL(ReleaseSessionOptions, options);
}

void test_providers(ort::SessionOptions* options) {
  ort::CudaOptions* cuda = nullptr;
  OK(CreateCUDAProviderOptions, &cuda);
  // Without the provider's files these fail cleanly; with them they succeed. Both show the right signature.
  const auto tolerate = [](ort::Status* status) {
    if (status == nullptr) return;
    check(CALL(GetErrorCode, status) > 0, "an error has a code");
    check(CALL(GetErrorMessage, status)[0] != '\0', "an error has a message");
    CALL(ReleaseStatus, status);
  };
  const char* keys[] = {"use_tf32"};
  const char* values[] = {"0"};
  tolerate(CALL(UpdateCUDAProviderOptions, cuda, keys, values, 1));
  tolerate(CALL(SessionOptionsAppendExecutionProvider_CUDA_V2, options, cuda));
  CALL(ReleaseCUDAProviderOptions, cuda);
  tolerate(CALL(SessionOptionsAppendExecutionProvider, options, "NoSuchProvider", nullptr, nullptr, 0));
}

void test_description(const ort::Session* session) {
  ort::Allocator* allocator = Runtime::instance().allocator();
  size_t count = 0;
  OK(SessionGetInputCount, session, &count);
  check(count == 1, "one input");
  OK(SessionGetOutputCount, session, &count);
  check(count == 1, "one output");
  char* text = nullptr;
  OK(SessionGetInputName, session, 0, allocator, &text);
  check(take(text) == "x", "input name");
  OK(SessionGetOutputName, session, 0, allocator, &text);
  check(take(text) == "y", "output name");

  ort::TypeInfo* type = nullptr;
  OK(SessionGetOutputTypeInfo, session, 0, &type);
  CALL(ReleaseTypeInfo, type);
  OK(SessionGetInputTypeInfo, session, 0, &type);
  int32_t kind = 0;
  OK(GetOnnxTypeFromTypeInfo, type, &kind);
  check(kind == ort::kTypeIsTensor, "the input is a tensor");
  const ort::TensorInfo* info = nullptr;
  OK(CastTypeInfoToTensorInfo, type, &info);
  int32_t element = 0;
  OK(GetTensorElementType, info, &element);
  check(element == 1, "the input is float32");
  size_t rank = 0;
  OK(GetDimensionsCount, info, &rank);
  int64_t shape[2] = {};
  OK(GetDimensions, info, shape, 2);
  check(rank == 2 && shape[0] == -1 && shape[1] == 4, "the input's shape");
  const char* symbols[2] = {};
  OK(GetSymbolicDimensions, info, symbols, 2);
  check(std::string(symbols[0]) == "batch", "the input's symbolic extent");
  CALL(ReleaseTypeInfo, type);
}

void test_metadata(const ort::Session* session) {
  ort::Allocator* allocator = Runtime::instance().allocator();
  ort::ModelMetadata* metadata = nullptr;
  OK(SessionGetModelMetadata, session, &metadata);
  char* text = nullptr;
  OK(ModelMetadataGetProducerName, metadata, allocator, &text);
  check(take(text) == "fsyn-tests", "producer");
  OK(ModelMetadataGetGraphName, metadata, allocator, &text);
  check(take(text) == "affine", "graph name");
  OK(ModelMetadataGetDomain, metadata, allocator, &text);
  check(take(text) == "fsyn.test", "domain");
  OK(ModelMetadataGetDescription, metadata, allocator, &text);
  check(take(text) == "affine test graph", "description");
  int64_t version = 0;
  OK(ModelMetadataGetVersion, metadata, &version);
  check(version == 7, "version");
  char** keys = nullptr;
  int64_t count = 0;
  OK(ModelMetadataGetCustomMetadataMapKeys, metadata, allocator, &keys, &count);
  check(count == 2, "custom entries");
  for (int64_t i = 0; i < count; ++i) (void)take(keys[i]);
  OK(AllocatorFree, allocator, keys);
  OK(ModelMetadataLookupCustomMetadataMap, metadata, allocator, "colour", &text);
  check(take(text) == "blue", "custom value");
  CALL(ReleaseModelMetadata, metadata);
}

void test_run(ort::Session* session) {
  float values[8] = {1, 0, 0, 0, 0, 0, 0, 8};
  const int64_t shape[2] = {2, 4};
  ort::MemoryInfo* memory = nullptr;
  OK(CreateCpuMemoryInfo, ort::kArenaAllocator, ort::kDefaultMemory, &memory);
  ort::Value* x = nullptr;
  OK(CreateTensorWithDataAsOrtValue, memory, values, sizeof values, shape, 2, 1, &x);
  CALL(ReleaseMemoryInfo, memory);
  int is_tensor = 0;
  OK(IsTensor, x, &is_tensor);
  check(is_tensor == 1, "a tensor is a tensor");
  size_t bytes = 0;
  OK(GetTensorSizeInBytes, x, &bytes);
  check(bytes == sizeof values, "size in bytes");

  ort::RunOptions* options = nullptr;
  OK(CreateRunOptions, &options);
  OK(RunOptionsSetRunLogSeverityLevel, options, ort::kLogFatal);
  OK(AddRunConfigEntry, options, "memory.enable_memory_arena_shrinkage", "cpu:0");
  const char* inputs[] = {"x"};
  const char* outputs[] = {"y"};
  const ort::Value* feeds[] = {x};
  ort::Value* y = nullptr;
  OK(Run, session, options, inputs, feeds, 1, outputs, 1, &y);
  ort::TensorInfo* info = nullptr;
  OK(GetTensorTypeAndShape, y, &info);
  CALL(ReleaseTensorTypeAndShapeInfo, info);
  void* data = nullptr;
  OK(GetTensorMutableData, y, &data);
  const auto* result = static_cast<const float*>(data);
  check(result[0] == 1.0F && result[1] == 2.125F && result[5] == 3.0F + 8.0F * 11 / 8, "values");
  CALL(ReleaseValue, y);

  OK(RunOptionsSetTerminate, options);
  y = nullptr;
  ort::Status* status = CALL(Run, session, options, inputs, feeds, 1, outputs, 1, &y);
  check(status != nullptr && y == nullptr, "a terminated run fails");
  CALL(ReleaseStatus, status);
  CALL(ReleaseRunOptions, options);
  CALL(ReleaseValue, x);

  ort::Value* owned = nullptr;
  OK(CreateTensorAsOrtValue, Runtime::instance().allocator(), shape, 2, 1, &owned);
  CALL(ReleaseValue, owned);
}

void test_binding(ort::Session* session) {
  ort::MemoryInfo* memory = nullptr;
  OK(CreateMemoryInfo, "Cpu", ort::kDeviceAllocator, 0, ort::kDefaultMemory, &memory);
  float values[4] = {1, 0, 0, 0};
  const int64_t shape[2] = {1, 4};
  ort::Value* x = nullptr;
  OK(CreateTensorWithDataAsOrtValue, memory, values, sizeof values, shape, 2, 1, &x);
  ort::IoBinding* binding = nullptr;
  OK(CreateIoBinding, session, &binding);
  OK(BindInput, binding, "x", x);
  OK(BindOutputToDevice, binding, "y", memory);
  ort::RunOptions* options = nullptr;
  OK(CreateRunOptions, &options);
  OK(RunWithBinding, session, options, binding);
  ort::Value** outputs = nullptr;
  size_t count = 0;
  OK(GetBoundOutputValues, binding, Runtime::instance().allocator(), &outputs, &count);
  check(count == 1, "one bound output");
  void* data = nullptr;
  OK(GetTensorMutableData, outputs[0], &data);
  const auto* result = static_cast<const float*>(data);
  check(result[0] == 1.0F && result[1] == 2.125F, "values of a bound run");
  CALL(ReleaseValue, outputs[0]);
  OK(AllocatorFree, Runtime::instance().allocator(), outputs);
  CALL(ReleaseIoBinding, binding);
  CALL(ReleaseRunOptions, options);
  CALL(ReleaseValue, x);
  CALL(ReleaseMemoryInfo, memory);
}

void test_table(const std::string& folder) {
  test_environment();
  ort::SessionOptions* options = make_options(folder);
  const std::string name = "fsyn-optimized-" + std::to_string(std::random_device{}()) + ".onnx";
  const std::string optimized = (std::filesystem::temp_directory_path() / name).string();
  OK(SetOptimizedModelFilePath, options, std::filesystem::path(optimized).c_str());
  ort::Session* session = nullptr;
  OK(CreateSession, Runtime::instance().env(), std::filesystem::path(folder + "/affine.onnx").c_str(),
     options, &session);
  test_description(session);
  test_metadata(session);
  test_run(session);
  test_binding(session);
  CALL(ReleaseSession, session);
  std::vector<char> bytes(std::filesystem::file_size(optimized));
  if (std::FILE* file = std::fopen(optimized.c_str(), "rb")) {
    check(std::fread(bytes.data(), 1, bytes.size(), file) == bytes.size(), "the optimised model is readable");
    std::fclose(file);
  }
  std::filesystem::remove(optimized);
  session = nullptr;
  OK(CreateSessionFromArray, Runtime::instance().env(), bytes.data(), bytes.size(), options, &session);
  CALL(ReleaseSession, session);
  test_providers(options);
  test_arena();
  test_shared_allocator();
  CALL(ReleaseSessionOptions, options);

#define CHECK_CALLED(slot, name, ret, args) \
  check(called.count(#name) == 1, "slot " #slot " " #name " is never called");
  FSYN_ORT_FUNCTIONS(CHECK_CALLED)
#undef CHECK_CALLED
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: ort_api_test <onnxruntime library> <its version> <fixtures>\n");
    return 2;
  }
  return tests::run([&] {
    Runtime::load(argv[1], argv[2]);
    test_table(argv[3]);
  });
}
