#pragma once

#include <exception>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "inference/coalition_program.hpp"
#include "inference/coalition_schedule.hpp"

namespace fsyn::inference {

struct CoalitionResult {
  /// [rows, targets] in schedule order.
  std::vector<double> log_probabilities;
  /// One byte per row: whether it was computed.
  std::vector<uint8_t> done;
  CoalitionReport report;
  /// What ended the evaluation early, with the rows done so far kept; null when nothing did or when it was
  /// stopped.
  std::exception_ptr failure;
};

/// Hears of every batch of rows as soon as it is scored: the rows and their scores, [rows, targets].
using RowsScored = std::function<void(std::span<const size_t> rows, std::span<const double> scores)>;

/// Scores the cells of a schedule that are not known. Thread-safe. Never throws what a run throws: a stop
/// leaves rows that are not done, everything else is `failure` of the result. `progress(rows done)` and
/// `scored`, before it, are called from worker threads.
[[nodiscard]] CoalitionResult evaluate_coalitions(const CoalitionProgram& program,
                                                  const CoalitionSchedule& schedule,
                                                  const std::function<void(size_t)>& progress,
                                                  const std::stop_token& stop, const RowsScored& scored = {});

}  // namespace fsyn::inference
