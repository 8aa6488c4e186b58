#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

/// The part of ONNX Runtime's C function table that fsyn uses.
///
/// The table is an append-only ABI: a function keeps its slot for ever. Declaring the few functions that are
/// used here, by slot, means that nothing has to be linked and that any runtime from API version 23 on will
/// do. A wrong signature would be silent undefined behaviour: tests/native/ort_api_test.cpp calls every one
/// of them.
namespace fsyn::inference::ort {

struct Env;
struct ArenaCfg;
struct Status;
struct Session;
struct SessionOptions;
struct RunOptions;
struct Value;
struct MemoryInfo;
struct Allocator;
struct TypeInfo;
struct TensorInfo;
struct ModelMetadata;
struct CudaOptions;
struct IoBinding;

using PathChar = std::filesystem::path::value_type;

enum class ErrorCode : int32_t {
  ok = 0,
  fail = 1,
  invalid_argument = 2,
  no_such_file = 3,
  no_model = 4,
  engine_error = 5,
  runtime_exception = 6,
  invalid_protobuf = 7,
  model_loaded = 8,
  not_implemented = 9,
  invalid_graph = 10,
  provider_failure = 11,
  load_cancelled = 12,
};

inline constexpr int32_t kTypeIsTensor = 1;
inline constexpr int32_t kDeviceAllocator = 0;
inline constexpr int32_t kArenaAllocator = 1;
inline constexpr int32_t kDefaultMemory = 0;
inline constexpr int32_t kLogFatal = 4;

#define FSYN_ORT_FUNCTIONS(X)                                                                                \
  X(1, GetErrorCode, int32_t, (const Status*))                                                               \
  X(2, GetErrorMessage, const char*, (const Status*))                                                        \
  X(3, CreateEnv, Status*, (int32_t, const char*, Env**))                                                    \
  X(6, DisableTelemetryEvents, Status*, (const Env*))                                                        \
  X(7, CreateSession, Status*, (const Env*, const PathChar*, const SessionOptions*, Session**))              \
  X(8, CreateSessionFromArray, Status*, (const Env*, const void*, size_t, const SessionOptions*, Session**)) \
  X(9, Run, Status*,                                                                                         \
    (Session*, const RunOptions*, const char* const*, const Value* const*, size_t, const char* const*,       \
     size_t, Value**))                                                                                       \
  X(10, CreateSessionOptions, Status*, (SessionOptions**))                                                   \
  X(11, SetOptimizedModelFilePath, Status*, (SessionOptions*, const PathChar*))                              \
  X(19, DisableCpuMemArena, Status*, (SessionOptions*))                                                      \
  X(22, SetSessionLogSeverityLevel, Status*, (SessionOptions*, int))                                         \
  X(23, SetSessionGraphOptimizationLevel, Status*, (SessionOptions*, int32_t))                               \
  X(24, SetIntraOpNumThreads, Status*, (SessionOptions*, int))                                               \
  X(25, SetInterOpNumThreads, Status*, (SessionOptions*, int))                                               \
  X(30, SessionGetInputCount, Status*, (const Session*, size_t*))                                            \
  X(31, SessionGetOutputCount, Status*, (const Session*, size_t*))                                           \
  X(33, SessionGetInputTypeInfo, Status*, (const Session*, size_t, TypeInfo**))                              \
  X(34, SessionGetOutputTypeInfo, Status*, (const Session*, size_t, TypeInfo**))                             \
  X(36, SessionGetInputName, Status*, (const Session*, size_t, Allocator*, char**))                          \
  X(37, SessionGetOutputName, Status*, (const Session*, size_t, Allocator*, char**))                         \
  X(39, CreateRunOptions, Status*, (RunOptions**))                                                           \
  X(41, RunOptionsSetRunLogSeverityLevel, Status*, (RunOptions*, int))                                       \
  X(46, RunOptionsSetTerminate, Status*, (RunOptions*))                                                      \
  X(48, CreateTensorAsOrtValue, Status*, (Allocator*, const int64_t*, size_t, int32_t, Value**))             \
  X(49, CreateTensorWithDataAsOrtValue, Status*,                                                             \
    (const MemoryInfo*, void*, size_t, const int64_t*, size_t, int32_t, Value**))                            \
  X(50, IsTensor, Status*, (const Value*, int*))                                                             \
  X(51, GetTensorMutableData, Status*, (Value*, void**))                                                     \
  X(55, CastTypeInfoToTensorInfo, Status*, (const TypeInfo*, const TensorInfo**))                            \
  X(56, GetOnnxTypeFromTypeInfo, Status*, (const TypeInfo*, int32_t*))                                       \
  X(60, GetTensorElementType, Status*, (const TensorInfo*, int32_t*))                                        \
  X(61, GetDimensionsCount, Status*, (const TensorInfo*, size_t*))                                           \
  X(62, GetDimensions, Status*, (const TensorInfo*, int64_t*, size_t))                                       \
  X(63, GetSymbolicDimensions, Status*, (const TensorInfo*, const char**, size_t))                           \
  X(65, GetTensorTypeAndShape, Status*, (const Value*, TensorInfo**))                                        \
  X(68, CreateMemoryInfo, Status*, (const char*, int32_t, int, int32_t, MemoryInfo**))                       \
  X(69, CreateCpuMemoryInfo, Status*, (int32_t, int32_t, MemoryInfo**))                                      \
  X(76, AllocatorFree, Status*, (Allocator*, void*))                                                         \
  X(78, GetAllocatorWithDefaultOptions, Status*, (Allocator**))                                              \
  X(93, ReleaseStatus, void, (Status*))                                                                      \
  X(94, ReleaseMemoryInfo, void, (MemoryInfo*))                                                              \
  X(95, ReleaseSession, void, (Session*))                                                                    \
  X(96, ReleaseValue, void, (Value*))                                                                        \
  X(97, ReleaseRunOptions, void, (RunOptions*))                                                              \
  X(98, ReleaseTypeInfo, void, (TypeInfo*))                                                                  \
  X(99, ReleaseTensorTypeAndShapeInfo, void, (TensorInfo*))                                                  \
  X(100, ReleaseSessionOptions, void, (SessionOptions*))                                                     \
  X(111, SessionGetModelMetadata, Status*, (const Session*, ModelMetadata**))                                \
  X(112, ModelMetadataGetProducerName, Status*, (const ModelMetadata*, Allocator*, char**))                  \
  X(113, ModelMetadataGetGraphName, Status*, (const ModelMetadata*, Allocator*, char**))                     \
  X(114, ModelMetadataGetDomain, Status*, (const ModelMetadata*, Allocator*, char**))                        \
  X(115, ModelMetadataGetDescription, Status*, (const ModelMetadata*, Allocator*, char**))                   \
  X(116, ModelMetadataLookupCustomMetadataMap, Status*,                                                      \
    (const ModelMetadata*, Allocator*, const char*, char**))                                                 \
  X(117, ModelMetadataGetVersion, Status*, (const ModelMetadata*, int64_t*))                                 \
  X(118, ReleaseModelMetadata, void, (ModelMetadata*))                                                       \
  X(123, ModelMetadataGetCustomMetadataMapKeys, Status*,                                                     \
    (const ModelMetadata*, Allocator*, char***, int64_t*))                                                   \
  X(125, GetAvailableProviders, Status*, (char***, int*))                                                    \
  X(126, ReleaseAvailableProviders, Status*, (char**, int))                                                  \
  X(130, AddSessionConfigEntry, Status*, (SessionOptions*, const char*, const char*))                        \
  X(133, RunWithBinding, Status*, (Session*, const RunOptions*, const IoBinding*))                           \
  X(134, CreateIoBinding, Status*, (Session*, IoBinding**))                                                  \
  X(135, ReleaseIoBinding, void, (IoBinding*))                                                               \
  X(136, BindInput, Status*, (IoBinding*, const char*, const Value*))                                        \
  X(138, BindOutputToDevice, Status*, (IoBinding*, const char*, const MemoryInfo*))                          \
  X(140, GetBoundOutputValues, Status*, (const IoBinding*, Allocator*, Value***, size_t*))                   \
  X(144, CreateAndRegisterAllocator, Status*, (Env*, const MemoryInfo*, const ArenaCfg*))                    \
  X(165, AddRunConfigEntry, Status*, (RunOptions*, const char*, const char*))                                \
  X(177, UnregisterAllocator, Status*, (Env*, const MemoryInfo*))                                            \
  X(204, SessionOptionsAppendExecutionProvider_CUDA_V2, Status*, (SessionOptions*, const CudaOptions*))      \
  X(205, CreateCUDAProviderOptions, Status*, (CudaOptions**))                                                \
  X(206, UpdateCUDAProviderOptions, Status*, (CudaOptions*, const char* const*, const char* const*, size_t)) \
  X(208, ReleaseCUDAProviderOptions, void, (CudaOptions*))                                                   \
  X(216, SessionOptionsAppendExecutionProvider, Status*,                                                     \
    (SessionOptions*, const char*, const char* const*, const char* const*, size_t))                          \
  X(254, GetBuildInfoString, const char*, ())                                                                \
  X(293, SessionOptionsSetLoadCancellationFlag, Status*, (SessionOptions*, bool))                            \
  X(318, GetTensorSizeInBytes, Status*, (const Value*, size_t*))

/// What the library exports: the entry point OrtGetApiBase returns a pointer to this.
struct ApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

/// The functions above as typed members.
struct Api {
  /// The version that added the newest slot above; asking for a higher one would refuse usable libraries.
  static constexpr uint32_t kVersion = 23;

// Types and parameter lists cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define FSYN_ORT_MEMBER(slot, name, ret, args) ret(*name) args = nullptr;
  FSYN_ORT_FUNCTIONS(FSYN_ORT_MEMBER)
#undef FSYN_ORT_MEMBER

  /// Fills the members; false when the library is older than kVersion.
  [[nodiscard]] bool load(const ApiBase& base) {
    const auto* table = static_cast<void* const*>(base.GetApi(kVersion));
    if (table == nullptr) return false;
#define FSYN_ORT_LOAD(slot, name, ret, args) name = reinterpret_cast<ret(*) args>(table[slot]);
    FSYN_ORT_FUNCTIONS(FSYN_ORT_LOAD)
#undef FSYN_ORT_LOAD
    return true;
  }
  // NOLINTEND(bugprone-macro-parentheses)
};

}  // namespace fsyn::inference::ort
