// The function table of ONNX Runtime (every slot that fsyn uses is called on the real library), batches that
// are halved when memory runs out, pixel masks, log-probabilities and half precision against plain
// definitions.
//
// usage: inference_test <onnxruntime library> <its version> <folder of tests/fixtures/inference>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "errors.hpp"
#include "inference/batching.hpp"
#include "inference/half.hpp"
#include "inference/runtime.hpp"
#include "inference/session.hpp"
#include "masking/pixel_mask.hpp"
#include "scoring/log_probability.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::inference;

int failures = 0;
int checks = 0;

void check(bool ok, const std::string& what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

template <class Call>
void check_code(const Call& call, const char* code, const std::string& what) {
  try {
    call();
    check(false, what + ": nothing was thrown");
  } catch (const Error& error) {
    check(std::strcmp(error.code(), code) == 0, what + ": " + error.code() + " " + error.what());
  }
}

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
  CALL(ReleaseSessionOptions, options);

#define CHECK_CALLED(slot, name, ret, args) \
  check(called.count(#name) == 1, "slot " #slot " " #name " is never called");
  FSYN_ORT_FUNCTIONS(CHECK_CALLED)
#undef CHECK_CALLED
}

void test_sessions(const std::string& folder) {
  SessionOptions options;
  options.label = "affine";
  std::stop_source source;
  source.request_stop();
  bool cancelled = false;
  try {
    const Session session(folder + "/affine.onnx", options, source.get_token());
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "loading can be cancelled");
  const Session session(folder + "/affine.onnx", options, {});
  const Tensor x = Tensor::allocate(ElementType::float32, Shape{1, 4});
  const Session::Feed feeds[] = {{0, &x}};
  const size_t outputs[] = {0};
  cancelled = false;
  try {
    (void)session.run(feeds, outputs, source.get_token());
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "a run can be cancelled");
  check(session.run(feeds, outputs, {})[0].shape() == Shape{1, 3}, "a session runs");
  check_code([] { (void)Runtime::load("elsewhere", "0.0.0"); }, "RUNTIME_NOT_FOUND",
             "another version is refused");
  check_code([] { (void)Tensor::allocate(ElementType::float32, Shape{-1}); }, "INVALID_ARGUMENT",
             "negative extent");
#ifndef __SANITIZE_ADDRESS__  // ends the process instead of throwing std::bad_alloc
  check_code([] { (void)Tensor::allocate(ElementType::float32, Shape{int64_t{1} << 45}); }, "OUT_OF_MEMORY",
             "a tensor of 128 TiB");
#endif
}

void test_batching() {
  std::vector<size_t> done;
  std::vector<std::pair<size_t, size_t>> halvings;
  const auto run = [&](size_t begin, size_t size) {
    if (size > 3) throw Error("OUT_OF_MEMORY", "too large");
    if (begin == 7 && size > 1) throw std::bad_alloc();
    for (size_t i = begin; i < begin + size; ++i) done.push_back(i);
  };
  for_each_batch(10, 8, run, [&](size_t from, size_t to) { halvings.emplace_back(from, to); });
  check(done == std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "every item runs once, in order");
  check(halvings == std::vector<std::pair<size_t, size_t>>{{8, 4}, {4, 2}} ||
            halvings == std::vector<std::pair<size_t, size_t>>{{8, 4}, {4, 2}, {2, 1}},
        "batches are halved and the caller hears of it");
  check_code(
      [] {
        for_each_batch(
            2, 1, [](size_t, size_t) { throw Error("OUT_OF_MEMORY", "no"); }, [](size_t, size_t) {});
      },
      "OUT_OF_MEMORY", "an item that does not fit alone is an error");
  check_code(
      [] {
        for_each_batch(
            2, 2, [](size_t, size_t) { throw Error("INFERENCE", "no"); }, [](size_t, size_t) {});
      },
      "INFERENCE", "other errors are not retried");
}

void test_masking() {
  std::mt19937 generator(7);
  for (const size_t size : {0, 1, 15, 16, 17, 1000}) {
    const int players = 5;
    std::vector<int32_t> owner(size);
    std::vector<float> image(size);
    std::vector<float> baseline(size);
    for (size_t i = 0; i < size; ++i) {
      owner[i] = static_cast<int32_t>(generator() % (players + 1)) - 1;
      image[i] = static_cast<float>(i);
      baseline[i] = -static_cast<float>(i) - 1;
    }
    const masking::PixelMask mask(owner);
    for (unsigned state = 0; state < 1U << players; ++state) {
      std::vector<uint8_t> present(players);
      for (int p = 0; p < players; ++p) present[static_cast<size_t>(p)] = (state >> p) & 1U;
      std::vector<float> out(size);
      mask.apply(present, image, baseline, out);
      bool equal = true;
      for (size_t i = 0; i < size; ++i) {
        const bool shown = owner[i] < 0 || present[static_cast<size_t>(owner[i])] != 0;
        equal = equal && out[i] == (shown ? image[i] : baseline[i]);
      }
      check(equal, "mask of " + std::to_string(size) + " elements, state " + std::to_string(state));
    }
  }
  const std::vector<int32_t> two = {0, 1};
  check_code(
      [&] {
        std::vector<float> out(1);
        masking::PixelMask(two).apply(std::vector<uint8_t>(2), std::vector<float>(2), std::vector<float>(2),
                                      out);
      },
      "INVALID_ARGUMENT", "a mask of another size");
}

void test_scoring() {
  std::mt19937 generator(11);
  for (const size_t size : {1, 2, 15, 16, 17, 511, 512, 513, 32000, 151936}) {
    for (const float spread : {0.1F, 5.0F, 60.0F}) {
      std::normal_distribution<float> normal(3.0F, spread);
      std::vector<float> logits(size);
      for (float& value : logits) value = normal(generator);
      long double sum = 0;
      const float largest = *std::max_element(logits.begin(), logits.end());
      for (const float value : logits) sum += std::exp(static_cast<long double>(value) - largest);
      for (const size_t target : {size_t{0}, size / 2, size - 1}) {
        const long double expected = static_cast<long double>(logits[target]) - largest - std::log(sum);
        const float got = scoring::log_probability(logits, target);
        // The result is rounded to float32 (6e-8 relative); the sum's own error stays below 1e-6.
        const long double allowed = 1e-6L + 6e-8L * std::abs(expected);
        check(std::abs(got - expected) <= allowed, "log-probability of " + std::to_string(size) + " logits");
      }
    }
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> masked = {0, -kInfinity, 0};
  check(scoring::log_probability(masked, 1) == -kInfinity,
        "an impossible token has log-probability -infinity");
  check(std::abs(scoring::log_probability(masked, 0) + std::log(2.0F)) < 1e-6F, "-infinity takes no mass");
  for (const float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    const std::vector<float> logits = {0, bad, 1};
    check_code([&] { (void)scoring::log_probability(logits, 0); }, "INFERENCE", "logits that are no numbers");
  }
  check_code([&] { (void)scoring::log_probability(masked, 3); }, "INVALID_ARGUMENT",
             "a target outside the row");
}

void test_half() {
  bool exact = true;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = half_to_float(half);
    const bool is_nan = (bits & 0x7C00U) == 0x7C00U && (bits & 0x3FFU) != 0;
    exact = exact && (is_nan ? std::isnan(value) : float_to_half(value) == half);
  }
  check(exact, "every half survives the way through float");
  check(float_to_half(65520.0F) == 0x7C00 && float_to_half(65519.0F) == 0x7BFF,
        "overflow rounds to infinity");
  check(float_to_half(1.0F + 0x1p-11F) == 0x3C00 && float_to_half(1.0F + 0x1.8p-10F) == 0x3C02,
        "ties go to even");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: inference_test <onnxruntime library> <its version> <fixtures>\n");
    return 2;
  }
  try {
    test_batching();
    test_masking();
    test_scoring();
    test_half();
    Runtime::load(argv[1], argv[2]);
    test_table(argv[3]);
    test_sessions(argv[3]);
  } catch (const std::exception& error) {
    check(false, error.what());
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
