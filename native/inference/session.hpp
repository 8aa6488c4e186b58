#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/shared_arena.hpp"
#include "inference/tensor.hpp"

namespace fsyn::inference {

/// One input or output as the model declares it.
struct TensorSpec {
  std::string name;
  ElementType type = ElementType::undefined;
  /// -1 where the extent is not fixed.
  Shape shape;
  /// One entry per dimension: the name of a symbolic extent, empty where it is fixed or unnamed.
  std::vector<std::string> symbols;
};

struct ModelMetadata {
  std::string producer;
  std::string graph;
  std::string domain;
  std::string description;
  int64_t version = 0;
  std::map<std::string, std::string> custom;
};

struct SessionOptions {
  /// Lower-case names in order of preference; `cpu` is always the last resort of the runtime itself.
  std::vector<std::string> providers;
  /// Threads inside one operator, >= 1.
  int threads = 1;
  /// 0 (disable), 1 (basic), 2 (extended) or 99 (all).
  int32_t optimization = 99;
  /// Give memory back after every run, and read weights from their files instead of repacked copies of them.
  bool low_memory = false;
  /// Take the memory of runs from the arena that all such sessions share.
  bool shared_arena = false;
  /// Where external weights lie when the model comes as bytes; empty when it has none.
  std::string external_data_folder;
  /// Where to write the optimised model; empty for nowhere.
  std::string optimized_model_path;
  /// What error messages call the model.
  std::string label;
};

/// Appends a provider to throw-away options: an empty string when it can be used here, else the runtime's
/// reason.
[[nodiscard]] std::string provider_problem(const std::string& name);

/// Memory of an execution provider, by the runtime's name of it (`Cuda`, `WebGPU_Buffer`, `Cpu`), where
/// outputs can stay.
class DeviceMemory {
 public:
  /// Throws PROVIDER_UNAVAILABLE for names that the runtime does not know.
  explicit DeviceMemory(const std::string& name);

  [[nodiscard]] const ort::MemoryInfo* info() const noexcept { return info_.get(); }

 private:
  MemoryInfoHandle info_;
};

/// A loaded model. Runs may overlap; all members are safe to call from several threads.
class Session {
 public:
  /// Loads from a file. Throws MODEL_FILE, PROVIDER_UNAVAILABLE, UNSUPPORTED_OPERATOR, OUT_OF_MEMORY or
  /// Cancelled.
  Session(const std::string& path, const SessionOptions& options, const std::stop_token& stop);
  /// Loads from memory, which may be freed afterwards.
  Session(std::span<const std::byte> bytes, const SessionOptions& options, const std::stop_token& stop);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] const std::vector<TensorSpec>& inputs() const noexcept { return inputs_; }
  [[nodiscard]] const std::vector<TensorSpec>& outputs() const noexcept { return outputs_; }
  [[nodiscard]] const ModelMetadata& metadata() const noexcept { return metadata_; }

  struct Feed {
    size_t input;
    const Tensor* tensor;
  };

  /// Computes the wanted outputs, in the order asked for. The fed tensors are only read; an output may share
  /// the memory of a fed tensor when the model passes an input through. Throws INFERENCE, OUT_OF_MEMORY or
  /// Cancelled.
  [[nodiscard]] std::vector<Tensor> run(std::span<const Feed> feeds, std::span<const size_t> outputs,
                                        const std::stop_token& stop) const;

  /// The same with outputs that stay in a provider's memory: they have no data on the host, and feeding them
  /// copies nothing.
  [[nodiscard]] std::vector<Tensor> run_on(std::span<const Feed> feeds, std::span<const size_t> outputs,
                                           const DeviceMemory& memory, const std::stop_token& stop) const;

 private:
  void describe();
  /// Held while the session uses its device; nothing to hold where sessions do not share one.
  [[nodiscard]] std::unique_lock<std::recursive_mutex> turn() const;
  /// Calls a function of the runtime that computes, under run options that the stop token ends.
  void compute(const std::function<ort::Status*(const ort::RunOptions*)>& call,
               const std::stop_token& stop) const;

  /// Before the session, which it must outlive.
  std::optional<SharedArena> arena_;
  SessionHandle session_;
  std::string label_;
  bool low_memory_ = false;
  bool shares_device_ = false;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  ModelMetadata metadata_;
};

}  // namespace fsyn::inference
