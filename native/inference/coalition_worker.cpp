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
                                 const std::function<void()>& row_done, const std::stop_token& stop)
    : program_(program),
      schedule_(schedule),
      result_(result),
      row_done_(row_done),
      stop_(stop),
      encoder_(program, schedule, embeddings.type, embeddings.width, report, stop),
      sequences_(program, schedule, embeddings),
      caches_(program) {}

void CoalitionWorker::run_group(size_t group) {
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
  for_each_batch(
      schedule_.row_offsets[group + 1] - schedule_.row_offsets[group], schedule_.suffix_batch,
      [&](size_t at, size_t size) { score_rows(group, at, size); },
      [&](size_t from, size_t to) { note_halving("suffix", from, to); });
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

void CoalitionWorker::score_rows(size_t group, size_t first_row, size_t count) {
  const size_t row = schedule_.row_offsets[group] + first_row;
  const std::span<const size_t> slots(schedule_.row_slots.data() + row, count);
  const std::span<const size_t> texts(schedule_.row_texts.data() + row, count);
  std::vector<std::vector<size_t>> kept;
  std::vector<const RowTable*> features;
  const bool shares = program_.prefix_length > 0;
  for (size_t i = 0; i < count; ++i) {
    kept.push_back(sequences_.own_tokens(texts[i]));
    if (kept.back().size() != kept.front().size()) {
      throw Error("INVALID_ARGUMENT", "Sequences without their absent tokens cannot share a batch.");
    }
    features.push_back(&features_[slots[i]]);
  }
  Feeds feeds;
  sequences_.add_sequences(feeds, kept, features, texts);
  sequences_.add_controls(feeds, shares, program_.targets.size());
  if (!shares) {
    sequences_.add_empty_caches(feeds, count);
  } else {
    const StageTimer timer(report.expand_seconds);
    caches_.feed(feeds, slots, stop_);
    report.cache_copies = caches_.copies();
  }
  const size_t outputs[] = {program_.logits_output};
  std::vector<Tensor> results;
  {
    const StageTimer timer(report.suffix_seconds);
    results = program_.decoder->run(feeds.list(), outputs, stop_);
    ++report.suffix_runs;
  }
  read_scores(results[0], row, count);
  for (size_t i = 0; i < count; ++i) row_done_();
}

/// `logits`: [rows, at least targets, vocabulary]; the last rows of each sequence predict the targets.
void CoalitionWorker::read_scores(const Tensor& logits, size_t first_row, size_t count) {
  const StageTimer timer(report.score_seconds);
  const Shape& shape = logits.shape();
  const size_t targets = program_.targets.size();
  if (shape.size() != 3 || shape[0] != extent(count) || shape[1] < extent(targets)) {
    throw Error("MODEL_CONTRACT", "The decoder's logits do not have the shape [batch, rows, vocabulary].");
  }
  const auto rows = static_cast<size_t>(shape[1]);
  const auto vocabulary = static_cast<size_t>(shape[2]);
  std::vector<float> wide(logits.type() == ElementType::float16 ? vocabulary : 0);
  for (size_t b = 0; b < count; ++b) {
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
      result_.log_probabilities[(first_row + b) * targets + t] =
          static_cast<double>(scoring::log_probability(row, static_cast<size_t>(program_.targets[t])));
    }
    result_.done[first_row + b] = 1;
  }
}

}  // namespace fsyn::inference
