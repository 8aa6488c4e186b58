#include "inference/coalition_executor.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "errors.hpp"
#include "inference/batching.hpp"
#include "inference/half.hpp"
#include "scoring/log_probability.hpp"

namespace fsyn::inference {

namespace {

using Clock = std::chrono::steady_clock;

/// Adds the life time of a scope to a sum of seconds.
class Timer {
 public:
  explicit Timer(double& seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~Timer() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  double& seconds_;
  Clock::time_point start_;
};

/// Rows of `width` values in the element type of the decoder's embeddings.
struct RowTable {
  ElementType type = ElementType::float32;
  size_t width = 0;
  std::vector<std::byte> bytes;

  [[nodiscard]] size_t row_bytes() const { return width * element_size(type); }
  [[nodiscard]] size_t rows() const { return row_bytes() == 0 ? 0 : bytes.size() / row_bytes(); }
  [[nodiscard]] const std::byte* row(size_t index) const { return bytes.data() + index * row_bytes(); }
};

/// The tensor's rows (last axis = width) in another float type when it differs.
RowTable to_rows(const Tensor& tensor, ElementType type, const char* what) {
  if (tensor.shape().empty() ||
      (tensor.type() != ElementType::float32 && tensor.type() != ElementType::float16)) {
    throw Error("MODEL_CONTRACT", std::string("The ") + what + " must be float32 or float16 vectors.");
  }
  RowTable table;
  table.type = type;
  table.width = static_cast<size_t>(tensor.shape().back());
  const size_t count = tensor.bytes() / element_size(tensor.type());
  table.bytes.resize(count * element_size(type));
  if (tensor.type() == type) {
    std::memcpy(table.bytes.data(), tensor.data(), tensor.bytes());
  } else if (type == ElementType::float32) {
    auto* out = reinterpret_cast<float*>(table.bytes.data());
    std::transform(tensor.as<uint16_t>().begin(), tensor.as<uint16_t>().end(), out, half_to_float);
  } else {
    auto* out = reinterpret_cast<uint16_t*>(table.bytes.data());
    std::transform(tensor.as<float>().begin(), tensor.as<float>().end(), out, float_to_half);
  }
  return table;
}

/// An integer tensor in the type that an input wants.
Tensor integers(ElementType type, const Shape& shape, std::span<const int64_t> values) {
  Tensor tensor = Tensor::allocate(type, shape);
  if (type == ElementType::int64) {
    std::copy(values.begin(), values.end(), tensor.as<int64_t>().begin());
  } else if (type == ElementType::int32) {
    std::transform(values.begin(), values.end(), tensor.as<int32_t>().begin(),
                   [](int64_t value) { return static_cast<int32_t>(value); });
  } else {
    std::transform(values.begin(), values.end(), tensor.as<uint8_t>().begin(),
                   [](int64_t value) { return static_cast<uint8_t>(value != 0 ? 1 : 0); });
  }
  return tensor;
}

int64_t extent(size_t value) {
  return static_cast<int64_t>(value);
}

/// The cache of one image state: a row of the tensors that one prefix run gave.
struct PrefixCache {
  std::shared_ptr<const std::vector<Tensor>> tensors;
  size_t row = 0;
  size_t batch = 1;
};

/// The feeds of one run; owns its tensors.
class Feeds {
 public:
  void add(size_t input, Tensor tensor) { owned_.emplace_back(input, std::move(tensor)); }
  void refer(size_t input, const Tensor& tensor) { borrowed_.push_back({input, &tensor}); }

  [[nodiscard]] std::vector<Session::Feed> list() const {
    std::vector<Session::Feed> feeds = borrowed_;
    for (const auto& [input, tensor] : owned_) feeds.push_back({input, &tensor});
    return feeds;
  }

 private:
  std::vector<std::pair<size_t, Tensor>> owned_;
  std::vector<Session::Feed> borrowed_;
};

/// One worker's view of an evaluation: runs groups one after the other.
class Worker {
 public:
  Worker(const CoalitionProgram& program, const CoalitionSchedule& schedule, const RowTable& embeddings,
         CoalitionResult& result, const std::function<void()>& row_done, std::stop_token stop)
      : program_(program),
        schedule_(schedule),
        embeddings_(embeddings),
        result_(result),
        row_done_(row_done),
        stop_(std::move(stop)) {}

  void run_group(size_t group);

  CoalitionReport report;

 private:
  using States = std::span<const size_t>;

  [[nodiscard]] std::span<const uint8_t> image_state(size_t state) const {
    return {schedule_.image_states.data() + state * schedule_.image_players, schedule_.image_players};
  }
  [[nodiscard]] std::span<const uint8_t> text_state(size_t state) const {
    return {schedule_.text_states.data() + state * schedule_.text_players, schedule_.text_players};
  }

  void encode(States states);
  [[nodiscard]] Tensor masked_pixels(States states);
  void prefill(size_t first_slot, size_t count);
  void score_rows(size_t group, size_t first_row, size_t count);
  void add_sequence_feeds(Feeds& feeds, const std::vector<std::vector<size_t>>& kept,
                          std::span<const size_t> slots, std::span<const size_t> texts);
  void add_control_feeds(Feeds& feeds, bool has_cache, size_t keep) const;
  void add_empty_caches(Feeds& feeds, size_t batch) const;
  void add_expanded_caches(Feeds& feeds, std::span<const size_t> slots);
  void read_scores(const Tensor& logits, size_t first_row, size_t count);
  [[nodiscard]] std::vector<size_t> kept_tokens(size_t begin, std::optional<size_t> text) const;
  void note_halving(const char* stage, size_t from, size_t to) {
    report.halvings.push_back({stage, from, to});
  }

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  const RowTable& embeddings_;
  CoalitionResult& result_;
  const std::function<void()>& row_done_;
  std::stop_token stop_;

  /// Of the group in work, by slot.
  std::vector<RowTable> features_;
  std::vector<PrefixCache> caches_;
};

Tensor Worker::masked_pixels(States states) {
  const Timer timer(report.mask_seconds);
  Shape shape = program_.pixel_shape;
  shape[0] *= extent(states.size());
  const size_t size = program_.pixels.size();
  const ElementType type = program_.vision->inputs()[program_.pixel_input].type;
  Tensor tensor = Tensor::allocate(type, shape);
  std::vector<float> scratch(type == ElementType::float16 ? size : 0);
  for (size_t i = 0; i < states.size(); ++i) {
    const bool direct = type == ElementType::float32;
    const std::span<float> out =
        direct ? tensor.as<float>().subspan(i * size, size) : std::span<float>(scratch);
    program_.pixel_mask.apply(image_state(states[i]), program_.pixels, program_.baseline, out);
    if (!direct) {
      std::transform(out.begin(), out.end(),
                     tensor.as<uint16_t>().begin() + static_cast<std::ptrdiff_t>(i * size), float_to_half);
    }
  }
  return tensor;
}

void Worker::encode(States states) {
  Feeds feeds;
  feeds.add(program_.pixel_input, masked_pixels(states));
  for (const VisionConstant& constant : program_.vision_constants) {
    Shape shape = constant.shape;
    if (!shape.empty()) shape[0] *= extent(states.size());
    Tensor tensor = Tensor::allocate(constant.type, shape);
    for (size_t at = 0; at < tensor.bytes(); at += constant.bytes.size()) {
      std::memcpy(tensor.data() + at, constant.bytes.data(), constant.bytes.size());
    }
    feeds.add(constant.input, std::move(tensor));
  }
  const size_t outputs[] = {program_.feature_output};
  std::vector<Tensor> results;
  {
    const Timer timer(report.vision_seconds);
    results = program_.vision->run(feeds.list(), outputs, stop_);
    ++report.vision_runs;
  }
  const RowTable all = to_rows(results[0], embeddings_.type, "image features");
  const size_t wanted = program_.image_positions.size();
  if (all.rows() != wanted * states.size() || all.width != embeddings_.width) {
    throw Error("MODEL_CONTRACT", "The vision model gave " + std::to_string(all.rows()) +
                                      " features of width " + std::to_string(all.width) + " for " +
                                      std::to_string(states.size()) + " image states with " +
                                      std::to_string(wanted) + " places of width " +
                                      std::to_string(embeddings_.width) + " each.");
  }
  const auto stride = static_cast<std::ptrdiff_t>(wanted * all.row_bytes());
  for (size_t i = 0; i < states.size(); ++i) {
    const auto begin = all.bytes.begin() + static_cast<std::ptrdiff_t>(i) * stride;
    features_.push_back({all.type, all.width, {begin, begin + stride}});
  }
}

std::vector<size_t> Worker::kept_tokens(size_t begin, std::optional<size_t> text) const {
  std::vector<uint8_t> dropped(program_.token_ids.size(), 0);
  if (program_.compact && program_.remove_absent && text) {
    const auto present = text_state(*text);
    for (size_t p = 0; p < present.size(); ++p) dropped[program_.text_positions[p]] = present[p] == 0 ? 1 : 0;
  }
  std::vector<size_t> kept;
  kept.reserve(program_.token_ids.size() - begin);
  const size_t end = text ? program_.token_ids.size() : program_.prefix_length;
  for (size_t token = begin; token < end; ++token) {
    if (dropped[token] == 0) kept.push_back(token);
  }
  return kept;
}

/// Embeddings, attention mask and positions of a batch. `kept`: tokens of each sequence, all of one length;
/// `texts` is empty for prefixes, where no text player occurs.
void Worker::add_sequence_feeds(Feeds& feeds, const std::vector<std::vector<size_t>>& kept,
                                std::span<const size_t> slots, std::span<const size_t> texts) {
  const size_t batch = slots.size();
  const size_t length = kept.front().size();
  const size_t row_bytes = embeddings_.row_bytes();
  const size_t past = texts.empty() ? 0 : program_.prefix_length;
  const size_t pad_row = program_.token_ids.size();
  std::vector<size_t> feature_of(program_.token_ids.size(), SIZE_MAX);
  for (size_t i = 0; i < program_.image_positions.size(); ++i) feature_of[program_.image_positions[i]] = i;

  Tensor embeds =
      Tensor::allocate(embeddings_.type, Shape{extent(batch), extent(length), extent(embeddings_.width)});
  std::vector<int64_t> mask(batch * (past + length), 1);
  std::vector<int64_t> positions(program_.position_axes * batch * length);
  for (size_t b = 0; b < batch; ++b) {
    std::vector<uint8_t> absent(program_.token_ids.size(), 0);
    if (!texts.empty()) {
      const auto present = text_state(texts[b]);
      for (size_t p = 0; p < present.size(); ++p)
        absent[program_.text_positions[p]] = present[p] == 0 ? 1 : 0;
    }
    for (size_t i = 0; i < length; ++i) {
      const size_t token = kept[b][i];
      const std::byte* source = feature_of[token] != SIZE_MAX ? features_[slots[b]].row(feature_of[token])
                                : absent[token] != 0          ? embeddings_.row(pad_row)
                                                              : embeddings_.row(token);
      std::memcpy(embeds.data() + (b * length + i) * row_bytes, source, row_bytes);
      if (absent[token] != 0 && program_.remove_absent) mask[b * (past + length) + past + i] = 0;
      for (size_t axis = 0; axis < program_.position_axes; ++axis) {
        positions[(axis * batch + b) * length + i] =
            program_.positions[axis * program_.token_ids.size() + token];
      }
    }
  }
  feeds.add(program_.embeds_input, std::move(embeds));
  const auto& inputs = program_.decoder->inputs();
  feeds.add(program_.mask_input,
            integers(inputs[program_.mask_input].type, {extent(batch), extent(past + length)}, mask));
  if (program_.position_input) {
    const TensorSpec& spec = inputs[*program_.position_input];
    const Shape shape = spec.shape.size() == 3
                            ? Shape{extent(program_.position_axes), extent(batch), extent(length)}
                            : Shape{extent(batch), extent(length)};
    feeds.add(*program_.position_input, integers(spec.type, shape, positions));
  }
}

void Worker::add_control_feeds(Feeds& feeds, bool has_cache, size_t keep) const {
  const auto& inputs = program_.decoder->inputs();
  if (program_.keep_input) {
    const TensorSpec& spec = inputs[*program_.keep_input];
    const int64_t value = extent(keep);
    feeds.add(*program_.keep_input,
              integers(spec.type, spec.shape.empty() ? Shape{} : Shape{1}, {&value, 1}));
  }
  if (program_.rows_input) {
    std::vector<int64_t> rows(keep);
    std::iota(rows.begin(), rows.end(), -extent(keep));
    feeds.add(*program_.rows_input, integers(inputs[*program_.rows_input].type, {extent(keep)}, rows));
  }
  if (program_.branch_input) {
    const TensorSpec& spec = inputs[*program_.branch_input];
    const int64_t value = has_cache ? 1 : 0;
    feeds.add(*program_.branch_input,
              integers(spec.type, spec.shape.empty() ? Shape{} : Shape{1}, {&value, 1}));
  }
}

void Worker::add_empty_caches(Feeds& feeds, size_t batch) const {
  for (const CacheLink& link : program_.caches) {
    const TensorSpec& spec = program_.decoder->inputs()[link.input];
    Shape shape = spec.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (axis == 0) shape[axis] = extent(batch);
      if (axis != 0 && shape[axis] < 0) shape[axis] = 0;
    }
    feeds.add(link.input, Tensor::allocate(spec.type, shape));
  }
}

/// Repeats the caches of the rows' image states along the batch axis; a batch that is one whole run needs no
/// copy.
void Worker::add_expanded_caches(Feeds& feeds, std::span<const size_t> slots) {
  const Timer timer(report.expand_seconds);
  for (size_t c = 0; c < program_.caches.size(); ++c) {
    const PrefixCache& first = caches_[slots.front()];
    const Tensor& model = (*first.tensors)[c];
    if (slots.size() == 1 && first.batch == 1) {
      feeds.refer(program_.caches[c].input, model);
      continue;
    }
    Shape shape = model.shape();
    shape[0] = extent(slots.size());
    Tensor expanded = Tensor::allocate(model.type(), shape);
    const size_t row_bytes = model.bytes() / first.batch;
    for (size_t b = 0; b < slots.size(); ++b) {
      const PrefixCache& cache = caches_[slots[b]];
      std::memcpy(expanded.data() + b * row_bytes, (*cache.tensors)[c].data() + cache.row * row_bytes,
                  row_bytes);
    }
    feeds.add(program_.caches[c].input, std::move(expanded));
  }
}

void Worker::prefill(size_t first_slot, size_t count) {
  Feeds feeds;
  std::vector<size_t> slots(count);
  std::iota(slots.begin(), slots.end(), first_slot);
  add_sequence_feeds(feeds, std::vector(count, kept_tokens(0, std::nullopt)), slots, {});
  add_control_feeds(feeds, false, 1);
  add_empty_caches(feeds, count);
  std::vector<size_t> outputs;
  for (const CacheLink& link : program_.caches) outputs.push_back(link.output);
  const Timer timer(report.prefix_seconds);
  auto tensors =
      std::make_shared<const std::vector<Tensor>>(program_.decoder->run(feeds.list(), outputs, stop_));
  ++report.prefix_runs;
  for (size_t i = 0; i < count; ++i) caches_.push_back({tensors, i, count});
}

/// `logits`: [rows, at least targets, vocabulary]; the last rows of each sequence predict the targets.
void Worker::read_scores(const Tensor& logits, size_t first_row, size_t count) {
  const Timer timer(report.score_seconds);
  const Shape& shape = logits.shape();
  const size_t targets = program_.targets.size();
  if (shape.size() != 3 || shape[0] != extent(count) || shape[1] < extent(targets)) {
    throw Error("MODEL_CONTRACT", "The decoder's logits do not have the shape [batch, rows, vocabulary].");
  }
  const auto rows = static_cast<size_t>(shape[1]);
  const auto vocabulary = static_cast<size_t>(shape[2]);
  std::vector<float> wide(logits.type() == ElementType::float16 ? vocabulary : 0);
  for (size_t b = 0; b < count; ++b) {
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

void Worker::score_rows(size_t group, size_t first_row, size_t count) {
  const size_t row = schedule_.row_offsets[group] + first_row;
  const std::span<const size_t> slots(schedule_.row_slots.data() + row, count);
  const std::span<const size_t> texts(schedule_.row_texts.data() + row, count);
  Feeds feeds;
  std::vector<std::vector<size_t>> kept;
  kept.reserve(count);
  for (const size_t text : texts) {
    kept.push_back(kept_tokens(program_.prefix_length, text));
    if (kept.back().size() != kept.front().size()) {
      throw Error("INVALID_ARGUMENT", "Sequences without their absent tokens cannot share a batch.");
    }
  }
  add_sequence_feeds(feeds, kept, slots, texts);
  const bool has_prefix = program_.prefix_length > 0;
  add_control_feeds(feeds, has_prefix, program_.targets.size());
  if (has_prefix) {
    add_expanded_caches(feeds, slots);
  } else {
    add_empty_caches(feeds, count);
  }
  const size_t outputs[] = {program_.logits_output};
  std::vector<Tensor> results;
  {
    const Timer timer(report.suffix_seconds);
    results = program_.decoder->run(feeds.list(), outputs, stop_);
    ++report.suffix_runs;
  }
  read_scores(results[0], row, count);
  for (size_t i = 0; i < count; ++i) row_done_();
}

void Worker::run_group(size_t group) {
  features_.clear();
  caches_.clear();
  const size_t begin = schedule_.group_offsets[group];
  const size_t states = schedule_.group_offsets[group + 1] - begin;
  const States all(schedule_.group_states.data() + begin, states);
  for_each_batch(
      states, schedule_.vision_batch, [&](size_t at, size_t size) { encode(all.subspan(at, size)); },
      [&](size_t from, size_t to) { note_halving("vision", from, to); });
  if (program_.prefix_length > 0) {
    for_each_batch(
        states, schedule_.prefix_batch, [&](size_t at, size_t size) { prefill(at, size); },
        [&](size_t from, size_t to) { note_halving("prefix", from, to); });
  }
  for_each_batch(
      schedule_.row_offsets[group + 1] - schedule_.row_offsets[group], schedule_.suffix_batch,
      [&](size_t at, size_t size) { score_rows(group, at, size); },
      [&](size_t from, size_t to) { note_halving("suffix", from, to); });
}

/// Embeddings of every token of the program, then of the pad token: [tokens + 1, width].
RowTable embed_tokens(const CoalitionProgram& program, const std::stop_token& stop) {
  std::vector<int64_t> ids = program.token_ids;
  ids.push_back(program.pad_token);
  Feeds feeds;
  feeds.add(0, integers(program.embed->inputs()[0].type, {1, extent(ids.size())}, ids));
  const size_t outputs[] = {0};
  const auto results = program.embed->run(feeds.list(), outputs, stop);
  RowTable table =
      to_rows(results[0], program.decoder->inputs()[program.embeds_input].type, "token embeddings");
  if (table.rows() != ids.size())
    throw Error("MODEL_CONTRACT", "The embedding graph must give one row per token.");
  return table;
}

void add(CoalitionReport& total, const CoalitionReport& part) {
  total.vision_runs += part.vision_runs;
  total.prefix_runs += part.prefix_runs;
  total.suffix_runs += part.suffix_runs;
  total.mask_seconds += part.mask_seconds;
  total.vision_seconds += part.vision_seconds;
  total.prefix_seconds += part.prefix_seconds;
  total.expand_seconds += part.expand_seconds;
  total.suffix_seconds += part.suffix_seconds;
  total.score_seconds += part.score_seconds;
  total.halvings.insert(total.halvings.end(), part.halvings.begin(), part.halvings.end());
}

/// Shared by the workers of one evaluation.
class Evaluation {
 public:
  Evaluation(const CoalitionProgram& program, const CoalitionSchedule& schedule,
             const std::function<void(size_t)>& progress, const std::stop_token& stop)
      : program_(program), schedule_(schedule), progress_(progress), outer_(stop) {}

  CoalitionResult run();

 private:
  void work(const RowTable& embeddings);
  void fail(std::exception_ptr failure);

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  const std::function<void(size_t)>& progress_;
  std::stop_token outer_;
  /// Stops the other workers after a failure as well as on the caller's request.
  std::stop_source inner_;
  std::atomic<size_t> next_group_{0};
  std::atomic<size_t> rows_done_{0};
  std::mutex mutex_;
  CoalitionResult result_;
};

void Evaluation::fail(std::exception_ptr failure) {
  const std::lock_guard lock(mutex_);
  if (!result_.failure) result_.failure = std::move(failure);
  inner_.request_stop();
}

void Evaluation::work(const RowTable& embeddings) {
  const std::function<void()> row_done = [this] { progress_(++rows_done_); };
  Worker worker(program_, schedule_, embeddings, result_, row_done, inner_.get_token());
  const size_t groups = schedule_.group_offsets.size() - 1;
  try {
    for (size_t group = next_group_++; group < groups && !inner_.stop_requested(); group = next_group_++) {
      worker.run_group(group);
    }
  } catch (const Cancelled&) {
    // Either the caller's wish or the echo of another worker's failure; both are told elsewhere.
    inner_.request_stop();
  } catch (...) {
    fail(std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  add(result_.report, worker.report);
}

CoalitionResult Evaluation::run() {
  const std::stop_callback forward(outer_, [this] { inner_.request_stop(); });
  const size_t rows = schedule_.row_slots.size();
  result_.log_probabilities.assign(rows * program_.targets.size(), 0);
  result_.done.assign(rows, 0);
  try {
    const RowTable embeddings = embed_tokens(program_, inner_.get_token());
    std::vector<std::jthread> helpers;
    const size_t groups = schedule_.group_offsets.size() - 1;
    for (size_t i = 1; i < std::min(schedule_.workers, groups); ++i) {
      helpers.emplace_back([this, &embeddings] { work(embeddings); });
    }
    work(embeddings);
  } catch (const Cancelled&) {
    inner_.request_stop();
  } catch (...) {
    fail(std::current_exception());
  }
  if (outer_.stop_requested()) throw Cancelled();
  return std::move(result_);
}

}  // namespace

CoalitionResult evaluate_coalitions(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                                    const std::function<void(size_t)>& progress,
                                    const std::stop_token& stop) {
  return Evaluation(program, schedule, progress, stop).run();
}

}  // namespace fsyn::inference
