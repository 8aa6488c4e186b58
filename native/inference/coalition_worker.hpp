#pragma once

#include <functional>
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
  /// `embeddings`: those of every token of the program, then of the pad token. Scores are written into
  /// `result`, whose rows no other worker touches; `row_done` is called after each. Everything given must
  /// outlive this.
  CoalitionWorker(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                  const RowTable& embeddings, CoalitionResult& result, const std::function<void()>& row_done,
                  const std::stop_token& stop);

  /// Encodes the group's images, runs their prefixes and scores their cells. Throws what a run throws; rows
  /// done before are in the result.
  void run_group(size_t group);

  CoalitionReport report;

 private:
  void prefill(size_t first_slot, size_t count);
  void score_rows(size_t group, size_t first_row, size_t count);
  void read_scores(const Tensor& logits, size_t first_row, size_t count);
  void note_halving(const char* stage, size_t from, size_t to) {
    report.halvings.push_back({stage, from, to});
  }

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  CoalitionResult& result_;
  const std::function<void()>& row_done_;
  std::stop_token stop_;
  ImageEncoder encoder_;
  SequenceFeeds sequences_;

  /// Of the group in work, by slot.
  std::vector<RowTable> features_;
  PrefixCaches caches_;
};

}  // namespace fsyn::inference
