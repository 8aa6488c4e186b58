#include "inference/coalition_executor.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>

#include "errors.hpp"
#include "inference/coalition_worker.hpp"
#include "inference/feeds.hpp"
#include "inference/row_table.hpp"

namespace fsyn::inference {

namespace {

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
    throw Error(ErrorCode::model_contract, "The embedding graph must give one row per token.");
  return table;
}

void add(CoalitionReport& total, const CoalitionReport& part) {
  total.vision_runs += part.vision_runs;
  total.prefix_runs += part.prefix_runs;
  total.suffix_runs += part.suffix_runs;
  total.cache_copies += part.cache_copies;
  total.device_masks += part.device_masks;
  total.device_scores += part.device_scores;
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
             const std::function<void(size_t)>& progress, const RowsScored& scored,
             const std::stop_token& stop)
      : program_(program), schedule_(schedule), progress_(progress), scored_(scored), outer_(stop) {}

  CoalitionResult run();

 private:
  void work(const RowTable& embeddings);
  void report(std::span<const size_t> rows);
  void fail(std::exception_ptr failure);

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  const std::function<void(size_t)>& progress_;
  const RowsScored& scored_;
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

void Evaluation::report(std::span<const size_t> rows) {
  if (scored_) {
    const size_t targets = program_.targets.size();
    std::vector<double> scores;
    scores.reserve(rows.size() * targets);
    for (const size_t row : rows) {
      const auto first = result_.log_probabilities.begin() + static_cast<std::ptrdiff_t>(row * targets);
      scores.insert(scores.end(), first, first + static_cast<std::ptrdiff_t>(targets));
    }
    scored_(rows, scores);
  }
  for (size_t i = 0; i < rows.size(); ++i) progress_(++rows_done_);
}

void Evaluation::work(const RowTable& embeddings) {
  const CoalitionWorker::RowsDone rows_done = [this](std::span<const size_t> rows) { report(rows); };
  CoalitionWorker worker(program_, schedule_, embeddings, result_, rows_done, inner_.get_token());
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
  return std::move(result_);
}

}  // namespace

CoalitionResult evaluate_coalitions(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                                    const std::function<void(size_t)>& progress, const std::stop_token& stop,
                                    const RowsScored& scored) {
  return Evaluation(program, schedule, progress, scored, stop).run();
}

}  // namespace fsyn::inference
