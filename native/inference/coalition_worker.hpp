#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "inference/coalition_executor.hpp"
#include "inference/image_encoder.hpp"
#include "inference/prefix_cache.hpp"
#include "inference/row_table.hpp"
#include "inference/sequence_feeds.hpp"

namespace fsyn::inference {

/// One thread's part of an evaluation: runs groups of image states one after the other.
class CoalitionWorker {
 public:
  using RowsDone = std::function<void(std::span<const size_t> rows)>;

  /// `embeddings`: those of every token of the program, then of the pad token. Scores are written into
  /// `result`, whose rows no other worker touches; `rows_done` is called with the rows of each batch.
  /// Everything given must outlive this.
  CoalitionWorker(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                  const RowTable& embeddings, CoalitionResult& result, const RowsDone& rows_done,
                  const std::stop_token& stop);

  /// Encodes the group's images, runs their prefixes and scores their cells, unless all are known. Throws
  /// what a run throws; rows done before are in the result.
  void run_group(size_t group);

  CoalitionReport report;

 private:
  void prefill(size_t first_slot, size_t count);
  [[nodiscard]] std::vector<size_t> unknown_rows(size_t first, size_t count) const;
  void score_group(size_t group);
  void score_run(size_t first, size_t count);
  [[nodiscard]] size_t longest(size_t first, size_t count) const;
  void read_scores(const Tensor& logits, std::span<const size_t> scored);
  void score_on_device(const Tensor& logits, std::span<const size_t> scored);
  void note_halving(const char* stage, size_t from, size_t to) {
    report.halvings.push_back({stage, from, to});
  }

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  CoalitionResult& result_;
  const RowsDone& rows_done_;
  std::stop_token stop_;
  ImageEncoder encoder_;
  SequenceFeeds sequences_;

  /// Of the group in work, by slot.
  std::vector<RowTable> features_;
  PrefixCaches caches_;
};

}  // namespace fsyn::inference
