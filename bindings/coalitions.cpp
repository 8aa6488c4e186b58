#include "coalitions.hpp"

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "cuda/coalition_kernels.hpp"
#include "cuda/plugin_library.hpp"
#include "handles.hpp"
#include "inference/coalition_executor.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace fsyn::bindings {

namespace {

using inference::CoalitionProgram;
using inference::CoalitionReport;
using inference::CoalitionResult;
using inference::CoalitionSchedule;
using inference::ElementType;

template <typename To, typename From>
std::vector<To> copied(const Napi::Object& object, const char* key) {
  return vector_of<To, From>(object.Get(key));
}

size_t index(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Uint32Value();
}

std::optional<size_t> optional_index(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (!value.IsNumber() || value.As<Napi::Number>().Int32Value() < 0) return std::nullopt;
  return value.As<Napi::Number>().Uint32Value();
}

bool flag(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Boolean>().Value();
}

void read_vision(CoalitionProgram& program, const Napi::Object& source) {
  program.vision = session_of(source.Get("vision"));
  program.pixel_input = index(source, "pixelInput");
  program.feature_output = index(source, "featureOutput");
  program.pixel_shape = copied<int64_t, int32_t>(source, "pixelShape");
  program.pixels = copied<float, float>(source, "pixels");
  program.baseline = copied<float, float>(source, "baselinePixels");
  program.pixel_mask = masking::PixelMask(copied<int32_t, int32_t>(source, "pixelPlayers"));
  const auto constants = source.Get("visionConstants").As<Napi::Array>();
  for (uint32_t i = 0; i < constants.Length(); ++i) {
    const auto item = constants.Get(i).As<Napi::Object>();
    const auto bytes = bytes_of(item.Get("data"));
    program.vision_constants.push_back({index(item, "input"),
                                        static_cast<ElementType>(index(item, "type")),
                                        copied<int64_t, int32_t>(item, "shape"),
                                        {bytes.begin(), bytes.end()}});
  }
}

void read_sequence(CoalitionProgram& program, const Napi::Object& source) {
  program.embed = session_of(source.Get("embed"));
  program.token_ids = copied<int64_t, int32_t>(source, "tokenIds");
  program.image_positions = copied<size_t, int32_t>(source, "imagePositions");
  program.text_positions = copied<size_t, int32_t>(source, "textPositions");
  program.pad_token = source.Get("padTokenId").As<Napi::Number>().Int64Value();
  program.remove_absent = flag(source, "removeAbsent");
  program.position_axes = index(source, "positionAxes");
  program.positions = copied<int64_t, int32_t>(source, "positions");
  program.targets = copied<int64_t, int32_t>(source, "targets");
}

void read_decoder(CoalitionProgram& program, const Napi::Object& source) {
  program.decoder = session_of(source.Get("decoder"));
  program.embeds_input = index(source, "embedsInput");
  program.mask_input = index(source, "maskInput");
  program.position_input = optional_index(source, "positionInput");
  program.keep_input = optional_index(source, "keepInput");
  program.rows_input = optional_index(source, "rowsInput");
  program.branch_input = optional_index(source, "branchInput");
  program.logits_output = index(source, "logitsOutput");
  const auto inputs = copied<size_t, int32_t>(source, "cacheInputs");
  const auto outputs = copied<size_t, int32_t>(source, "cacheOutputs");
  for (size_t i = 0; i < inputs.size(); ++i) {
    program.caches.push_back({static_cast<size_t>(inputs[i]), static_cast<size_t>(outputs[i])});
  }
  if (source.Get("deviceCaches").IsObject()) {
    const auto device = source.Get("deviceCaches").As<Napi::Object>();
    program.device_caches = std::make_shared<const inference::DeviceCaches>(inference::DeviceCaches{
        session_of(device.Get("join")),
        inference::DeviceMemory(device.Get("memory").As<Napi::String>().Utf8Value()),
        flag(device, "kernels") ? cuda::coalition_kernels(cuda::plugin_path()) : nullptr});
  }
  program.prefix_length = index(source, "prefixLength");
  program.compact = flag(source, "compact");
  program.padded = flag(source, "padded");
}

/// createProgram(description) -> handle; everything is copied.
Napi::Value create_program(const Napi::CallbackInfo& info) {
  const auto source = info[0].As<Napi::Object>();
  auto program = std::make_shared<CoalitionProgram>();
  read_vision(*program, source);
  read_sequence(*program, source);
  read_decoder(*program, source);
  program->validate();
  const auto bytes = static_cast<int64_t>(2 * sizeof(float) * program->pixels.size());
  return wrap_handle<const CoalitionProgram>(info.Env(), std::move(program), bytes, kProgramTag);
}

CoalitionSchedule read_schedule(const Napi::Object& source) {
  CoalitionSchedule schedule;
  schedule.image_players = index(source, "imagePlayers");
  schedule.text_players = index(source, "textPlayers");
  schedule.image_states = copied<uint8_t, uint8_t>(source, "imageStates");
  schedule.text_states = copied<uint8_t, uint8_t>(source, "textStates");
  schedule.group_offsets = copied<size_t, int32_t>(source, "groupOffsets");
  schedule.group_states = copied<size_t, int32_t>(source, "groupStates");
  schedule.row_offsets = copied<size_t, int32_t>(source, "rowOffsets");
  schedule.row_slots = copied<size_t, int32_t>(source, "rowSlots");
  schedule.row_texts = copied<size_t, int32_t>(source, "rowTexts");
  if (source.Get("rowKnown").IsTypedArray()) {
    schedule.row_known = copied<uint8_t, uint8_t>(source, "rowKnown");
  }
  schedule.run_offsets = copied<size_t, int32_t>(source, "runOffsets");
  schedule.vision_batch = index(source, "visionBatch");
  schedule.prefix_batch = index(source, "prefixBatch");
  schedule.workers = index(source, "workers");
  return schedule;
}

Napi::Object describe(Napi::Env env, const CoalitionReport& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("visionRuns", static_cast<double>(report.vision_runs));
  object.Set("prefixRuns", static_cast<double>(report.prefix_runs));
  object.Set("suffixRuns", static_cast<double>(report.suffix_runs));
  object.Set("cacheCopies", static_cast<double>(report.cache_copies));
  object.Set("deviceMasks", static_cast<double>(report.device_masks));
  object.Set("deviceScores", static_cast<double>(report.device_scores));
  Napi::Object seconds = Napi::Object::New(env);
  seconds.Set("mask", report.mask_seconds);
  seconds.Set("vision", report.vision_seconds);
  seconds.Set("prefix", report.prefix_seconds);
  seconds.Set("expand", report.expand_seconds);
  seconds.Set("suffix", report.suffix_seconds);
  seconds.Set("score", report.score_seconds);
  object.Set("seconds", seconds);
  Napi::Array halvings = Napi::Array::New(env, report.halvings.size());
  for (uint32_t i = 0; i < report.halvings.size(); ++i) {
    Napi::Object halving = Napi::Object::New(env);
    halving.Set("stage", report.halvings[i].stage);
    halving.Set("from", static_cast<double>(report.halvings[i].from));
    halving.Set("to", static_cast<double>(report.halvings[i].to));
    halvings.Set(i, halving);
  }
  object.Set("halvings", halvings);
  return object;
}

Napi::Value describe(Napi::Env env, const CoalitionResult& result) {
  Napi::Object object = Napi::Object::New(env);
  auto scores = Napi::Float64Array::New(env, result.log_probabilities.size());
  std::copy(result.log_probabilities.begin(), result.log_probabilities.end(), scores.Data());
  auto done = Napi::Uint8Array::New(env, result.done.size());
  std::copy(result.done.begin(), result.done.end(), done.Data());
  object.Set("logProbabilities", scores);
  object.Set("done", done);
  object.Set("report", describe(env, result.report));
  if (result.failure) object.Set("failure", translate_error(env, result.failure).Value());
  return object;
}

/// Rows that were scored and not fetched yet: filled by workers, emptied by JavaScript.
class ScoredRows {
 public:
  void add(std::span<const size_t> rows, std::span<const double> scores) {
    const std::lock_guard lock(mutex_);
    for (const size_t row : rows) rows_.push_back(static_cast<int32_t>(row));
    scores_.insert(scores_.end(), scores.begin(), scores.end());
  }

  [[nodiscard]] std::pair<std::vector<int32_t>, std::vector<double>> take() {
    const std::lock_guard lock(mutex_);
    return {std::exchange(rows_, {}), std::exchange(scores_, {})};
  }

 private:
  std::mutex mutex_;
  std::vector<int32_t> rows_;
  std::vector<double> scores_;
};

/// take() of an evaluation's job -> { rows, logProbabilities }, those scored since the last call.
Napi::Function taker(Napi::Env env, std::shared_ptr<ScoredRows> scored) {
  return make_function(env, "take",
                       [scored = std::move(scored)](const Napi::CallbackInfo& info) -> Napi::Value {
                         const auto [rows, scores] = scored->take();
                         auto row_array = Napi::Int32Array::New(info.Env(), rows.size());
                         std::copy(rows.begin(), rows.end(), row_array.Data());
                         auto score_array = Napi::Float64Array::New(info.Env(), scores.size());
                         std::copy(scores.begin(), scores.end(), score_array.Data());
                         Napi::Object object = Napi::Object::New(info.Env());
                         object.Set("rows", row_array);
                         object.Set("logProbabilities", score_array);
                         return object;
                       });
}

/// evaluateCoalitions(program, schedule, onProgress) -> job of { logProbabilities, done, report, failure? }
/// with take(); a cancelled one resolves as well, with the rows that were done.
Napi::Value evaluate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto program = program_of(info[0]);
  auto schedule = std::make_shared<const CoalitionSchedule>(read_schedule(info[1].As<Napi::Object>()));
  const auto on_progress = info[2].IsFunction() ? info[2].As<Napi::Function>() : Napi::Function();
  auto scored = std::make_shared<ScoredRows>();
  Napi::Object started = start_job(
      env, "fsyn.evaluateCoalitions",
      [program = std::move(program), schedule, scored](const JobContext& job) -> JobResult {
        const auto total = static_cast<double>(schedule->row_slots.size());
        auto result = std::make_shared<const CoalitionResult>(inference::evaluate_coalitions(
            *program, *schedule, [&](size_t done) { job.progress(static_cast<double>(done), total); },
            job.stop(),
            [&](std::span<const size_t> rows, std::span<const double> scores) {
              scored->add(rows, scores);
            }));
        return [result](Napi::Env owner) { return describe(owner, *result); };
      },
      on_progress, OnCancel::keep_result);
  started.Set("take", taker(env, std::move(scored)));
  return started;
}

}  // namespace

void export_coalitions(Napi::Object exports) {
  export_function(exports, "createProgram", create_program);
  export_function(exports, "evaluateCoalitions", evaluate);
}

}  // namespace fsyn::bindings
