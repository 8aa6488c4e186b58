#include "interactions.hpp"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "cuda/device_indices.hpp"
#include "cuda/plugin_library.hpp"
#include "errors.hpp"
#include "games/memory.hpp"
#include "interactions/least_squares.hpp"
#include "interactions/pair_index.hpp"
#include "interactions/size_index.hpp"
#include "interactions/transform.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace fsyn::bindings {

namespace {

using interactions::Execution;

/// How a call uses the memory of its arrays.
enum class Use {
  /// At once, where it is.
  here,
  /// On a job's thread: see Memory.
  job,
  /// To change a copy.
  copy,
};

/// A value table.
struct Table {
  Memory memory;
  bool wide = true;  ///< double, else float

  [[nodiscard]] std::size_t count() const noexcept {
    return memory.bytes() / (wide ? sizeof(double) : sizeof(float));
  }
  [[nodiscard]] int players() const noexcept { return std::countr_zero(count()); }

  /// Calls work(T*) with the element type.
  template <class Work>
  auto visit(const Work& work) const {
    return wide ? work(memory.as<double>().data()) : work(memory.as<float>().data());
  }
};

/// Whether the array is one of doubles; throws unless it is one of doubles or floats.
bool is_wide(const Napi::Value& value) {
  const auto type = value.IsTypedArray() ? value.As<Napi::TypedArray>().TypedArrayType() : napi_uint8_array;
  if (type != napi_float64_array && type != napi_float32_array) {
    throw Error(ErrorCode::invalid_argument, "Expected a Float64Array or Float32Array of values.");
  }
  return type == napi_float64_array;
}

Memory in_place(const Napi::Value& array) {
  const auto bytes = bytes_of(array);
  return {nullptr, bytes.data(), bytes.size()};
}

Table to_table(const Napi::Value& value, Use use) {
  const bool wide = is_wide(value);
  const auto array = value.As<Napi::TypedArray>();
  if (!std::has_single_bit(array.ElementLength())) {
    throw Error(ErrorCode::invalid_argument,
                "Expected 2^players values but received " + std::to_string(array.ElementLength()) + ".");
  }
  switch (use) {
    case Use::here:
      return {in_place(value), wide};
    case Use::job:
      return {hold(value), wide};
    default:
      return {copy(value), wide};
  }
}

std::vector<double> to_doubles(const Napi::Value& value) {
  return vector_of<double>(value);
}

Napi::Value from_doubles(Napi::Env env, const std::vector<double>& values) {
  auto array = Napi::Float64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

int integer(const Napi::Object& request, const char* key) {
  return request.Get(key).As<Napi::Number>().Int32Value();
}

/// The device that a request asks for, or null for the processor. Loaded once per plugin file; a failure is
/// not remembered, so that a plugin built meanwhile is found.
const cuda::Interactions* device_of(const Napi::Object& request) {
  const auto name = request.Get("device").As<Napi::String>().Utf8Value();
  if (name == "cpu") return nullptr;
  static std::mutex mutex;
  static std::map<std::filesystem::path, cuda::Interactions> devices;
  const std::scoped_lock lock(mutex);
  const auto path = cuda::plugin_path();
  return &devices.try_emplace(path, path).first->second;
}

/// Work on native memory only: it can run here or on a job's thread.
using Task = std::function<JobResult(const Execution&)>;

/// request = { kernels, threads, ... }; info = (request) to run here, or (request, onProgress or null) for a
/// job.
Napi::Value run(const Napi::CallbackInfo& info, const char* name,
                const std::function<Task(const Napi::Object&, Use)>& prepare) {
  const Napi::Env env = info.Env();
  const auto request = info[0].As<Napi::Object>();
  Execution execution;
  execution.kernels = &interactions::kernel_set(request.Get("kernels").As<Napi::String>().Utf8Value());
  execution.threads = integer(request, "threads");
  const Use use = info.Length() < 2 ? Use::here : Use::job;
  Task task = prepare(request, use);
  if (use == Use::here) return task(execution)(env);
  const Napi::Function on_progress = info[1].IsFunction() ? info[1].As<Napi::Function>() : Napi::Function();
  return start_job(
      env, name,
      [task = std::move(task), execution](const JobContext& job) -> JobResult {
        Execution watched = execution;
        watched.control.stop = job.stop();
        watched.control.progress = [&job](double done, double total) { job.progress(done, total); };
        return task(watched);
      },
      on_progress);
}

interactions::Transform transform_kind(const Napi::Object& request) {
  const auto name = request.Get("kind").As<Napi::String>().Utf8Value();
  const auto& names = interactions::kTransformNames;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    throw Error(ErrorCode::invalid_argument, "Expected the name of a transform but received " + name + ".");
  }
  return static_cast<interactions::Transform>(found - names.begin());
}

/// transformTable({ table, inPlace, kind, p, device, ... }) -> undefined when the array holds the result,
/// else a new array: a job cannot write into memory that is not ours.
Napi::Value transform_table(const Napi::CallbackInfo& info) {
  return run(info, "fsyn.transformTable", [](const Napi::Object& request, Use use) -> Task {
    const Napi::Value values = request.Get("table");
    const bool wanted = request.Get("inPlace").ToBoolean();
    const Table table = to_table(values, wanted ? use : Use::copy);
    const bool in_place = table.memory.data() == bytes_of(values).data();
    const auto kind = transform_kind(request);
    const double p = request.Get("p").As<Napi::Number>().DoubleValue();
    return [table, in_place, kind, p, device = device_of(request)](const Execution& execution) -> JobResult {
      table.visit([&](auto* values) {
        if (device != nullptr) {
          cuda::transform(*device, values, table.players(), kind, p, execution.control);
        } else {
          interactions::transform(values, table.players(), kind, p, execution);
        }
      });
      return [table, in_place](Napi::Env env) -> Napi::Value {
        if (in_place) return env.Undefined();
        return to_array(env, table.memory, table.wide ? napi_float64_array : napi_float32_array);
      };
    };
  });
}

/// pairIndex({ table, pairWeights, singleWeights, device, ... }) -> { pairs, singles }
Napi::Value pair_index(const Napi::CallbackInfo& info) {
  return run(info, "fsyn.pairIndex", [](const Napi::Object& request, Use use) -> Task {
    const Table table = to_table(request.Get("table"), use);
    return [table, pair = to_doubles(request.Get("pairWeights")),
            single = to_doubles(request.Get("singleWeights")),
            device = device_of(request)](const Execution& execution) -> JobResult {
      games::prefer_huge_pages(table.memory.data(), table.memory.bytes());
      auto index = std::make_shared<interactions::PairIndex>(table.visit([&](const auto* values) {
        return device != nullptr ? cuda::pair_index(*device, values, table.players(), std::span(pair),
                                                    std::span(single), execution.control)
                                 : interactions::pair_index(values, table.players(), std::span(pair),
                                                            std::span(single), execution);
      }));
      return [index](Napi::Env env) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("pairs", from_doubles(env, index->pairs));
        result.Set("singles", from_doubles(env, index->singles));
        return result;
      };
    };
  });
}

/// Both size indices take { table, minSize, maxSize, weights, device, ... } and return their values.
template <class Compute>
Napi::Value size_index(const Napi::CallbackInfo& info, const char* name, const Compute& compute) {
  return run(info, name, [&compute](const Napi::Object& request, Use use) -> Task {
    const Table table = to_table(request.Get("table"), use);
    const int least = integer(request, "minSize");
    const int most = integer(request, "maxSize");
    return [table, least, most, weights = to_doubles(request.Get("weights")), compute,
            device = device_of(request)](const Execution& execution) -> JobResult {
      auto values = std::make_shared<std::vector<double>>(table.visit([&](const auto* data) {
        return compute(device, data, table.players(), least, most, std::span<const double>(weights),
                       execution);
      }));
      return [values](Napi::Env env) { return from_doubles(env, *values); };
    };
  });
}

Napi::Value dividend_index(const Napi::CallbackInfo& info) {
  return size_index(
      info, "fsyn.dividendIndex",
      [](const cuda::Interactions* device, const auto* table, int players, int least, int most,
         std::span<const double> weights, const Execution& execution) {
        return device != nullptr
                   ? cuda::dividend_index(*device, table, players, least, most, weights, execution.control)
                   : interactions::dividend_index(table, players, least, most, weights, execution);
      });
}

Napi::Value block_value_index(const Napi::CallbackInfo& info) {
  return size_index(
      info, "fsyn.blockValueIndex",
      [](const cuda::Interactions* device, const auto* table, int players, int least, int most,
         std::span<const double> weights, const Execution& execution) {
        return device != nullptr
                   ? cuda::block_value_index(*device, table, players, least, most, weights, execution.control)
                   : interactions::block_value_index(table, players, least, most, weights, execution);
      });
}

/// fitInteractions({ players, words, scale, members, offsets, shares, orders, right, constraint,
/// constraintValue, random,
/// ... }) -> { solution, standardErrors, residuals }; see interactions::design_matrix and least_squares
Napi::Value fit_interactions(const Napi::CallbackInfo& info) {
  return run(info, "fsyn.fitInteractions", [](const Napi::Object& request, Use /*use*/) -> Task {
    return [players = static_cast<std::size_t>(integer(request, "players")),
            words = vector_of<uint32_t>(request.Get("words")), scale = to_doubles(request.Get("scale")),
            members = vector_of<int32_t>(request.Get("members")),
            offsets = vector_of<int32_t>(request.Get("offsets")), shares = to_doubles(request.Get("shares")),
            orders = static_cast<std::size_t>(integer(request, "orders")),
            right = to_doubles(request.Get("right")), constraint = to_doubles(request.Get("constraint")),
            random = to_doubles(request.Get("random")),
            value = request.Get("constraintValue").As<Napi::Number>().DoubleValue()](
               const Execution& execution) -> JobResult {
      auto matrix = interactions::design_matrix(words, scale, {members, offsets, shares, orders}, players);
      auto fit = std::make_shared<interactions::LinearFit>(
          interactions::least_squares(std::move(matrix), right, constraint, value, random, execution));
      return [fit](Napi::Env env) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("solution", from_doubles(env, fit->solution));
        result.Set("standardErrors", from_doubles(env, fit->standard_errors));
        result.Set("residuals", from_doubles(env, fit->residuals));
        return result;
      };
    };
  });
}

/// sizeWeightedSum({ table, weights, ... }) -> number
Napi::Value size_weighted_sum(const Napi::CallbackInfo& info) {
  return run(info, "fsyn.sizeWeightedSum", [](const Napi::Object& request, Use use) -> Task {
    const Table table = to_table(request.Get("table"), use);
    const auto weights = to_doubles(request.Get("weights"));
    if (weights.size() != static_cast<std::size_t>(table.players()) + 1) {
      throw Error(ErrorCode::invalid_argument, "Expected players + 1 weights.");
    }
    return [table, weights](const Execution&) -> JobResult {
      const double sum = table.visit([&](const auto* values) {
        return interactions::size_weighted_sum(values, table.players(), std::span(weights));
      });
      return [sum](Napi::Env env) { return Napi::Number::New(env, sum); };
    };
  });
}

/// cudaDevice() -> { name, memory }: bytes that are free; throws PROVIDER_UNAVAILABLE with what is missing
Napi::Value cuda_device(const Napi::CallbackInfo& info) {
  const cuda::Interactions device(cuda::plugin_path());
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("name", device.device_name());
  result.Set("memory", static_cast<double>(device.available_memory()));
  return result;
}

/// firstNotFinite(array) -> index of the first infinite or NaN value, or -1. Any length.
Napi::Value first_not_finite(const Napi::CallbackInfo& info) {
  const Table values{in_place(info[0]), is_wide(info[0])};
  const std::size_t at =
      values.visit([&](const auto* data) { return interactions::first_not_finite(data, values.count()); });
  return Napi::Number::New(info.Env(), at == values.count() ? -1.0 : static_cast<double>(at));
}

/// kernelSets() -> names of the kernel sets of this machine, fastest first
Napi::Value kernel_sets(const Napi::CallbackInfo& info) {
  const auto sets = interactions::kernel_sets();
  Napi::Array names = Napi::Array::New(info.Env(), sets.size());
  for (uint32_t i = 0; i < sets.size(); ++i) names.Set(i, std::string(sets[i]->name));
  return names;
}

/// activeKernelSet() -> the one that is used when a call names none (the environment variable FSYN_KERNELS,
/// or the fastest)
Napi::Value active_kernel_set(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), std::string(interactions::kernel_set().name));
}

/// requireMemory(bytes, purpose): throws OUT_OF_MEMORY when that much would make the machine swap
Napi::Value require_memory(const Napi::CallbackInfo& info) {
  games::require_memory(static_cast<std::uint64_t>(info[0].As<Napi::Number>().DoubleValue()),
                        info[1].As<Napi::String>().Utf8Value().c_str());
  return info.Env().Undefined();
}

}  // namespace

void export_interactions(Napi::Object exports) {
  export_function(exports, "transformTable", transform_table);
  export_function(exports, "pairIndex", pair_index);
  export_function(exports, "dividendIndex", dividend_index);
  export_function(exports, "blockValueIndex", block_value_index);
  export_function(exports, "fitInteractions", fit_interactions);
  export_function(exports, "sizeWeightedSum", size_weighted_sum);
  export_function(exports, "firstNotFinite", first_not_finite);
  export_function(exports, "holdValues", hold_values);
  export_function(exports, "allocateValues", allocate_values);
  export_function(exports, "kernelSets", kernel_sets);
  export_function(exports, "activeKernelSet", active_kernel_set);
  export_function(exports, "requireMemory", require_memory);
  export_function(exports, "cudaDevice", cuda_device);
}

}  // namespace fsyn::bindings
