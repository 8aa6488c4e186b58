#include "inference/coalition_worker.hpp"

#include <algorithm>

#include "errors.hpp"
#include "inference/batching.hpp"
#include "inference/half.hpp"
#include "inference/stage_timer.hpp"
#include "scoring/log_probability.hpp"

namespace fsyn::inference {

CoalitionWorker::CoalitionWorker(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                                 const RowTable& embeddings, CoalitionResult& result,
                                 const RowsDone& rows_done, const std::stop_token& stop)
    : program_(program),
      schedule_(schedule),
      result_(result),
      rows_done_(rows_done),
      stop_(stop),
      encoder_(program, schedule, embeddings.type, embeddings.width, report, stop),
      sequences_(program, schedule, embeddings),
      caches_(program) {}

void CoalitionWorker::run_group(size_t group) {
  const size_t first_row = schedule_.row_offsets[group];
  const size_t rows = schedule_.row_offsets[group + 1] - first_row;
  if (unknown_rows(first_row, rows).empty()) return;
  features_.clear();
  caches_.clear();
  const size_t begin = schedule_.group_offsets[group];
  const size_t count = schedule_.group_offsets[group + 1] - begin;
  const std::span states(schedule_.group_states.data() + begin, count);
  for_each_batch(
      count, schedule_.vision_batch,
      [&](size_t at, size_t size) {
        for (RowTable& table : encoder_.encode(states.subspan(at, size)))
          features_.push_back(std::move(table));
      },
      [&](size_t from, size_t to) { note_halving("vision", from, to); });
  if (program_.prefix_length > 0) {
    for_each_batch(
        count, schedule_.prefix_batch, [&](size_t at, size_t size) { prefill(at, size); },
        [&](size_t from, size_t to) { note_halving("prefix", from, to); });
  }
  score_group(group);
}

void CoalitionWorker::score_group(size_t group) {
  const auto [first_run, end_run] = schedule_.runs_of(group);
  // What did not fit once is not tried again.
  size_t most = SIZE_MAX;
  for (size_t run = first_run; run < end_run; ++run) {
    const size_t first = schedule_.run_offsets[run];
    for_each_batch(
        schedule_.run_offsets[run + 1] - first, most,
        [&](size_t at, size_t size) { score_run(first + at, size); },
        [&](size_t from, size_t to) {
          note_halving("suffix", from, to);
          most = to;
        });
  }
}

void CoalitionWorker::prefill(size_t first_slot, size_t count) {
  Feeds feeds;
  std::vector<const RowTable*> features;
  for (size_t slot = first_slot; slot < first_slot + count; ++slot) features.push_back(&features_[slot]);
  sequences_.add_sequences(feeds, std::vector(count, sequences_.prefix_tokens()), features, {});
  sequences_.add_controls(feeds, false, 1);
  sequences_.add_empty_caches(feeds, count);
  std::vector<size_t> outputs;
  for (const CacheLink& link : program_.caches) outputs.push_back(link.output);
  const StageTimer timer(report.prefix_seconds);
  const DeviceCaches* device = program_.device_caches.get();
  caches_.add(device != nullptr ? program_.decoder->run_on(feeds.list(), outputs, device->memory, stop_)
                                : program_.decoder->run(feeds.list(), outputs, stop_),
              count);
  ++report.prefix_runs;
}

std::vector<size_t> CoalitionWorker::unknown_rows(size_t first, size_t count) const {
  std::vector<size_t> rows;
  for (size_t row = first; row < first + count; ++row) {
    if (!schedule_.known(row)) rows.push_back(row);
  }
  return rows;
}

/// Own tokens of the longest of these rows, known ones included: padding must not depend on what is known.
size_t CoalitionWorker::longest(size_t first, size_t count) const {
  size_t most = 0;
  for (size_t row = first; row < first + count; ++row) {
    most = std::max(most, sequences_.own_tokens(schedule_.row_texts[row]).size());
  }
  return most;
}

void CoalitionWorker::score_run(size_t first, size_t count) {
  const std::vector<size_t> rows = unknown_rows(first, count);
  if (rows.empty()) return;
  const size_t length = program_.padded ? longest(first, count) : 0;
  std::vector<size_t> slots;
  std::vector<size_t> texts;
  std::vector<std::vector<size_t>> kept;
  std::vector<const RowTable*> features;
  const bool shares = program_.prefix_length > 0;
  for (const size_t row : rows) {
    slots.push_back(schedule_.row_slots[row]);
    texts.push_back(schedule_.row_texts[row]);
    kept.push_back(sequences_.own_tokens(texts.back(), length));
    if (kept.back().size() != kept.front().size()) {
      throw Error(ErrorCode::invalid_argument, "Sequences without their absent tokens cannot share a batch.");
    }
    features.push_back(&features_[slots.back()]);
  }
  Feeds feeds;
  sequences_.add_sequences(feeds, kept, features, texts);
  sequences_.add_controls(feeds, shares, program_.targets.size());
  if (!shares) {
    sequences_.add_empty_caches(feeds, rows.size());
  } else {
    const StageTimer timer(report.expand_seconds);
    caches_.feed(feeds, slots, stop_);
    report.cache_copies = caches_.copies();
  }
  const size_t outputs[] = {program_.logits_output};
  std::vector<Tensor> results;
  {
    const StageTimer timer(report.suffix_seconds);
    results = program_.scores_on_device()
                  ? program_.decoder->run_on(feeds.list(), outputs, program_.device_caches->memory, stop_)
                  : program_.decoder->run(feeds.list(), outputs, stop_);
    ++report.suffix_runs;
  }
  read_scores(results[0], rows);
  rows_done_(rows);
}

/// `logits`: [rows, at least targets, vocabulary]; the last rows of each sequence predict the targets.
void CoalitionWorker::read_scores(const Tensor& logits, std::span<const size_t> scored) {
  const StageTimer timer(report.score_seconds);
  const Shape& shape = logits.shape();
  const size_t targets = program_.targets.size();
  if (shape.size() != 3 || shape[0] != extent(scored.size()) || shape[1] < extent(targets)) {
    throw Error(ErrorCode::model_contract,
                "The decoder's logits do not have the shape [batch, rows, vocabulary].");
  }
  if (program_.scores_on_device()) {
    score_on_device(logits, scored);
    return;
  }
  const auto rows = static_cast<size_t>(shape[1]);
  const auto vocabulary = static_cast<size_t>(shape[2]);
  std::vector<float> wide(logits.type() == ElementType::float16 ? vocabulary : 0);
  for (size_t b = 0; b < scored.size(); ++b) {
    throw_if_stopped(stop_);
    for (size_t t = 0; t < targets; ++t) {
      const size_t offset = (b * rows + rows - targets + t) * vocabulary;
      std::span<const float> row;
      if (logits.type() == ElementType::float16) {
        const auto half = logits.as<uint16_t>().subspan(offset, vocabulary);
        std::transform(half.begin(), half.end(), wide.begin(), half_to_float);
        row = wide;
      } else {
        row = logits.as<float>().subspan(offset, vocabulary);
      }
      result_.log_probabilities[scored[b] * targets + t] =
          static_cast<double>(scoring::log_probability(row, static_cast<size_t>(program_.targets[t])));
    }
    result_.done[scored[b]] = 1;
  }
}

void CoalitionWorker::score_on_device(const Tensor& logits, std::span<const size_t> scored) {
  throw_if_stopped(stop_);
  const DeviceKernels& kernels = *program_.device_caches->kernels;
  const size_t targets = program_.targets.size();
  const auto rows = static_cast<size_t>(logits.shape()[1]);
  const auto vocabulary = static_cast<size_t>(logits.shape()[2]);
  scoring::require_targets(program_.targets, vocabulary);
  const auto* const first = static_cast<const float*>(logits.address());
  std::vector<int64_t> wanted;
  for (size_t b = 0; b < scored.size(); ++b) {
    wanted.insert(wanted.end(), program_.targets.begin(), program_.targets.end());
  }
  std::vector<float> scores(wanted.size());
  // Rows that are not scored lie between the sequences where the decoder gives more than the wanted ones.
  const size_t together = rows == targets ? scored.size() : 1;
  for (size_t b = 0; b < scored.size(); b += together) {
    const std::span part = std::span(scores).subspan(b * targets, together * targets);
    kernels.score(first + (b * rows + rows - targets) * vocabulary,
                  std::span(wanted).subspan(b * targets, part.size()), vocabulary, part);
    ++report.device_scores;
  }
  for (size_t b = 0; b < scored.size(); ++b) {
    for (size_t t = 0; t < targets; ++t) {
      const float score = scores[b * targets + t];
      scoring::require_number(score);
      result_.log_probabilities[scored[b] * targets + t] = static_cast<double>(score);
    }
    result_.done[scored[b]] = 1;
  }
}

}  // namespace fsyn::inference
