// The coalition executor on the tiny LLaVA of tests/golden/vlm-llava: sharing changes no value, threads
// change no byte, and a stop or a failure leaves what was done.
//
// usage: coalition_test <onnxruntime library> <its version> <folder of the tests>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "check.hpp"
#include "inference/coalition_executor.hpp"
#include "inference/runtime.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::inference;
using tests::check;
using tests::check_code;

constexpr size_t kImagePlayers = 16;
constexpr size_t kTextPlayers = 9;
constexpr size_t kPromptBegin = 3;
/// float32 log-probabilities of order 10 whose sums run in another order.
constexpr double kTolerance = 1e-5;

size_t find(const std::vector<TensorSpec>& specs, const std::string& name) {
  const auto found =
      std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& spec) { return spec.name == name; });
  if (found == specs.end()) throw Error(ErrorCode::model_contract, "There is no tensor " + name + ".");
  return static_cast<size_t>(found - specs.begin());
}

std::shared_ptr<const Session> load(const std::string& folder, const std::string& name) {
  SessionOptions options;
  options.label = name;
  return std::make_shared<const Session>(folder + "/" + name + ".onnx", options, std::stop_token{});
}

void add_pixels(CoalitionProgram& program) {
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  program.pixel_shape = {1, 3, 28, 28};
  std::vector<int32_t> players;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 28; ++y) {
      for (int x = 0; x < 28; ++x) {
        players.push_back(y / 7 * 4 + x / 7);
        program.pixels.push_back(normal(generator));
        program.baseline.push_back(0.1F * normal(generator));
      }
    }
  }
  program.pixel_mask = masking::PixelMask(players);
}

/// A prompt of 3 tokens, 16 image features, 9 text players and 2 tokens; the answer has 2 scored tokens.
CoalitionProgram make_program(const std::string& folder, size_t prefix_length, bool compact) {
  CoalitionProgram program;
  const std::string models = folder + "/golden/vlm-llava/onnx";
  program.vision = load(models, "vision_encoder");
  program.embed = load(models, "embed_tokens");
  program.decoder = load(models, "decoder_model_merged");
  add_pixels(program);
  const size_t tokens = kPromptBegin + kImagePlayers + kTextPlayers + 3;
  for (size_t i = 0; i < tokens; ++i) {
    program.token_ids.push_back(static_cast<int64_t>(10 + 7 * i));
    program.positions.push_back(static_cast<int64_t>(i));
  }
  for (size_t i = 0; i < kImagePlayers; ++i) program.image_positions.push_back(kPromptBegin + i);
  for (size_t i = 0; i < kTextPlayers; ++i)
    program.text_positions.push_back(kPromptBegin + kImagePlayers + i);
  program.position_axes = 1;
  program.targets = {381, 384};
  const auto& inputs = program.decoder->inputs();
  program.embeds_input = find(inputs, "inputs_embeds");
  program.mask_input = find(inputs, "attention_mask");
  program.position_input = find(inputs, "position_ids");
  program.logits_output = find(program.decoder->outputs(), "logits");
  for (const char* layer : {"0.key", "0.value", "1.key", "1.value"}) {
    program.caches.push_back({find(inputs, std::string("past_key_values.") + layer),
                              find(program.decoder->outputs(), std::string("present.") + layer)});
  }
  program.prefix_length = prefix_length;
  program.compact = compact;
  program.validate();
  return program;
}

/// Runs of `batch` rows, the last of each group shorter.
void set_runs(CoalitionSchedule& schedule, size_t batch) {
  schedule.run_offsets = {0};
  for (size_t group = 1; group < schedule.row_offsets.size(); ++group) {
    while (schedule.run_offsets.back() < schedule.row_offsets[group]) {
      schedule.run_offsets.push_back(
          std::min(schedule.run_offsets.back() + batch, schedule.row_offsets[group]));
    }
  }
}

/// Four image states in groups of two, five text states, every combination.
CoalitionSchedule make_schedule(size_t batch, size_t workers) {
  std::mt19937 generator(17);
  CoalitionSchedule schedule;
  schedule.image_players = kImagePlayers;
  schedule.text_players = kTextPlayers;
  for (size_t i = 0; i < 4 * kImagePlayers; ++i) {
    schedule.image_states.push_back(static_cast<uint8_t>(generator() % 2));
  }
  for (size_t i = 0; i < 5 * kTextPlayers; ++i) {
    schedule.text_states.push_back(static_cast<uint8_t>(generator() % 2));
  }
  schedule.group_offsets = {0, 2, 4};
  schedule.group_states = {0, 1, 2, 3};
  schedule.row_offsets = {0, 10, 20};
  for (size_t row = 0; row < 20; ++row) {
    schedule.row_slots.push_back(row % 10 / 5);
    schedule.row_texts.push_back(row % 5);
  }
  schedule.vision_batch = std::min<size_t>(batch, 2);
  schedule.prefix_batch = std::min<size_t>(batch, 2);
  set_runs(schedule, batch);
  schedule.workers = workers;
  return schedule;
}

CoalitionResult evaluate(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                         const std::stop_token& stop = {}) {
  return evaluate_coalitions(
      program, schedule, [](size_t) {}, stop);
}

double distance(const CoalitionResult& a, const CoalitionResult& b) {
  double worst = 0;
  for (size_t i = 0; i < a.log_probabilities.size(); ++i) {
    worst = std::max(worst, std::abs(a.log_probabilities[i] - b.log_probabilities[i]));
  }
  return worst;
}

bool complete(const CoalitionResult& result) {
  return !result.failure && std::all_of(result.done.begin(), result.done.end(), [](uint8_t d) { return d; });
}

void test_sharing(const std::string& folder) {
  const CoalitionResult full = evaluate(make_program(folder, 0, false), make_schedule(1, 1));
  check(complete(full) && full.report.suffix_runs == 20 && full.report.prefix_runs == 0, "full passes");
  const size_t prefix = kPromptBegin + kImagePlayers;
  for (const size_t batch : {size_t{1}, size_t{2}, size_t{3}, size_t{64}}) {
    const CoalitionResult shared = evaluate(make_program(folder, prefix, false), make_schedule(batch, 1));
    check(complete(shared) && distance(full, shared) < kTolerance,
          "cells on a shared prefix in batches of " + std::to_string(batch));
    const CoalitionResult threaded = evaluate(make_program(folder, prefix, false), make_schedule(batch, 3));
    check(threaded.log_probabilities == shared.log_probabilities, "threads change no byte");
  }
  const CoalitionResult left_out = evaluate(make_program(folder, prefix, true), make_schedule(1, 2));
  check(complete(left_out) && distance(full, left_out) < kTolerance, "absent tokens left out");
}

/// Removed tokens left out: sequences of a run then differ in length, and the shorter ones are padded.
void test_padding(const std::string& folder) {
  const size_t prefix = kPromptBegin + kImagePlayers;
  const CoalitionResult full = evaluate(make_program(folder, 0, false), make_schedule(1, 1));
  CoalitionProgram program = make_program(folder, prefix, true);
  CoalitionSchedule schedule = make_schedule(10, 1);
  const CoalitionResult refused = evaluate(program, schedule);
  check_code([&] { std::rethrow_exception(refused.failure); }, ErrorCode::invalid_argument,
             "different lengths without padding");
  program.padded = true;
  program.validate();
  for (const size_t batch : {size_t{1}, size_t{2}, size_t{3}, size_t{10}}) {
    schedule = make_schedule(batch, 1);
    const CoalitionResult padded = evaluate(program, schedule);
    check(complete(padded) && distance(full, padded) < kTolerance,
          "shorter sequences padded in runs of " + std::to_string(batch));
    schedule.workers = 3;
    check(evaluate(program, schedule).log_probabilities == padded.log_probabilities,
          "threads change no byte of padded runs");
  }
  schedule.run_offsets = {0, 1, 8, 10, 14, 20};
  const CoalitionResult uneven = evaluate(program, schedule);
  check(complete(uneven) && distance(full, uneven) < kTolerance && uneven.report.suffix_runs == 5,
        "runs of different sizes");
  // What stands in for padding and removed tokens cannot matter.
  program.pad_token = 77;
  check(evaluate(program, schedule).log_probabilities == uneven.log_probabilities, "padding is masked");
  program.compact = false;
  check_code([&] { program.validate(); }, ErrorCode::invalid_argument, "padding without leaving out");
}

/// The way of providers with a memory of their own, on the host's: tensors that stay there have no data here,
/// so that any look at them would crash.
void test_device_caches(const std::string& folder) {
  CoalitionProgram program = make_program(folder, kPromptBegin + kImagePlayers, false);
  for (const size_t batch : {size_t{1}, size_t{2}, size_t{3}, size_t{7}}) {
    CoalitionSchedule schedule = make_schedule(batch, 2);
    // Prefixes one by one: the copies then join the caches of several runs.
    for (const size_t prefixes : {size_t{1}, size_t{2}}) {
      schedule.prefix_batch = prefixes;
      program.device_caches = nullptr;
      const CoalitionResult host = evaluate(program, schedule);
      program.device_caches = std::make_shared<const DeviceCaches>(
          DeviceCaches{load(folder + "/fixtures/evaluator", "join_caches"), DeviceMemory("Cpu")});
      const CoalitionResult device = evaluate(program, schedule);
      check(complete(device) && device.log_probabilities == host.log_probabilities,
            "caches in a provider's memory give the same bytes, batches of " + std::to_string(batch));
      check(device.report.cache_copies == host.report.cache_copies, "and as many copies");
    }
  }
  // Two groups of two states with five texts each, one cell a batch: one copy per state.
  CoalitionSchedule schedule = make_schedule(1, 1);
  schedule.prefix_batch = 2;
  check(evaluate(program, schedule).report.cache_copies == 4, "batches on the same prefix share a copy");
  check_code([] { (void)DeviceMemory("NoSuchMemory"); }, ErrorCode::provider_unavailable,
             "an unknown memory");
}

void test_stopping(const std::string& folder) {
  const CoalitionProgram program = make_program(folder, kPromptBegin + kImagePlayers, false);
  const CoalitionSchedule schedule = make_schedule(2, 1);
  const CoalitionResult whole = evaluate(program, schedule);
  for (const size_t after : {size_t{1}, size_t{7}, size_t{20}}) {
    std::stop_source source;
    const CoalitionResult result = evaluate_coalitions(
        program, schedule,
        [&](size_t done) {
          if (done == after) source.request_stop();
        },
        source.get_token());
    size_t done = 0;
    bool equal = true;
    for (size_t row = 0; row < result.done.size(); ++row) {
      if (result.done[row] == 0) continue;
      ++done;
      for (size_t t = 0; t < 2; ++t) {
        equal = equal && result.log_probabilities[row * 2 + t] == whole.log_probabilities[row * 2 + t];
      }
    }
    check(equal && !result.failure, "a stopped evaluation keeps right values and is no failure");
    check(done >= after && done <= after + 1, "a stop after " + std::to_string(after) + " cells keeps them");
  }
  std::stop_source before;
  before.request_stop();
  const CoalitionResult none = evaluate(program, schedule, before.get_token());
  check(!none.failure && std::count(none.done.begin(), none.done.end(), 1) == 0, "stopped before the start");
}

/// Known rows keep their places in the batches, so that the others get the bytes that they would have got.
void test_known_rows(const std::string& folder) {
  const CoalitionProgram program = make_program(folder, kPromptBegin + kImagePlayers, false);
  CoalitionSchedule schedule = make_schedule(3, 1);
  std::vector<size_t> order;
  std::vector<double> scores;
  const CoalitionResult whole = evaluate_coalitions(
      program, schedule, [](size_t) {}, {},
      [&](std::span<const size_t> rows, std::span<const double> values) {
        order.insert(order.end(), rows.begin(), rows.end());
        scores.insert(scores.end(), values.begin(), values.end());
      });
  bool equal = order.size() == whole.done.size();
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t t = 0; t < 2; ++t)
      equal = equal && scores[2 * i + t] == whole.log_probabilities[2 * order[i] + t];
  }
  check(equal, "every row is reported once, with its scores");
  // The first group of ten rows is known, and the first batch of the second.
  schedule.row_known.assign(20, 0);
  std::fill_n(schedule.row_known.begin(), 13, uint8_t{1});
  size_t progress = 0;
  const CoalitionResult rest =
      evaluate_coalitions(program, schedule, [&](size_t done) { progress = done; }, {});
  check(progress == 7 && rest.report.suffix_runs == 3, "known rows are not run");
  check(rest.report.vision_runs < whole.report.vision_runs, "nor are the images of known groups");
  equal = true;
  for (size_t row = 0; row < 20; ++row) {
    equal = equal && rest.done[row] == (row < 13 ? 0 : 1);
    for (size_t t = 0; row >= 13 && t < 2; ++t)
      equal = equal && rest.log_probabilities[2 * row + t] == whole.log_probabilities[2 * row + t];
  }
  check(equal, "the others have the same bytes");
}

void test_failure(const std::string& folder) {
  CoalitionProgram program = make_program(folder, kPromptBegin + kImagePlayers, false);
  CoalitionSchedule schedule = make_schedule(3, 2);
  // The first group shows every player, the second needs the baseline.
  std::fill_n(schedule.image_states.begin(), 2 * kImagePlayers, uint8_t{1});
  std::fill(program.baseline.begin(), program.baseline.end(), std::numeric_limits<float>::quiet_NaN());
  schedule.workers = 1;
  const CoalitionResult result = evaluate(program, schedule);
  check(result.failure != nullptr, "logits that are no numbers are a failure");
  check_code([&] { std::rethrow_exception(result.failure); }, ErrorCode::inference, "its code");
  check(std::count(result.done.begin(), result.done.end(), 1) == 10, "the first group's cells are kept");
  CoalitionProgram misplaced = make_program(folder, kPromptBegin + kImagePlayers, false);
  misplaced.image_positions.pop_back();
  const CoalitionResult mismatch = evaluate(misplaced, make_schedule(3, 2));
  check_code([&] { std::rethrow_exception(mismatch.failure); }, ErrorCode::model_contract,
             "more features than places");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: coalition_test <onnxruntime library> <its version> <tests>\n");
    return 2;
  }
  return tests::run([&] {
    Runtime::load(argv[1], argv[2]);
    test_sharing(argv[3]);
    test_padding(argv[3]);
    test_device_caches(argv[3]);
    test_stopping(argv[3]);
    test_known_rows(argv[3]);
    test_failure(argv[3]);
  });
}
