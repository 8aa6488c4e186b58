#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fsyn::inference {

/// The schedule of one evaluation (made by lib/inference/plan.ts). Image and text states are rows of presence
/// bytes.
struct CoalitionSchedule {
  size_t image_players = 0;
  size_t text_players = 0;
  std::vector<uint8_t> image_states;
  std::vector<uint8_t> text_states;
  /// Image states that are encoded together: group g has group_states[group_offsets[g] .. group_offsets[g +
  /// 1]).
  std::vector<size_t> group_offsets;
  std::vector<size_t> group_states;
  /// Cells of group g: [row_offsets[g], row_offsets[g + 1]) of the two arrays below.
  std::vector<size_t> row_offsets;
  /// Index into the group's states, and the text state.
  std::vector<size_t> row_slots;
  std::vector<size_t> row_texts;
  /// One byte per row: whether its score is known already. Such a row keeps its place, so that the others are
  /// batched and padded as if it were not known, but it is not run. Empty where none is.
  std::vector<uint8_t> row_known;
  /// Rows that are run together: [run_offsets[r], run_offsets[r + 1]). No run crosses the end of a group.
  std::vector<size_t> run_offsets;
  size_t vision_batch = 1;
  size_t prefix_batch = 1;
  /// Worker threads; which of them does what never changes a result.
  size_t workers = 1;

  [[nodiscard]] bool known(size_t row) const { return !row_known.empty() && row_known[row] != 0; }

  /// The runs of a group: the first, and the one after the last.
  [[nodiscard]] std::pair<size_t, size_t> runs_of(size_t group) const {
    const auto at = [&](size_t row) {
      return static_cast<size_t>(std::lower_bound(run_offsets.begin(), run_offsets.end(), row) -
                                 run_offsets.begin());
    };
    return {at(row_offsets[group]), at(row_offsets[group + 1])};
  }

  /// Presence of every player of a state, one byte each.
  [[nodiscard]] std::span<const uint8_t> image_state(size_t state) const {
    return {image_states.data() + state * image_players, image_players};
  }
  [[nodiscard]] std::span<const uint8_t> text_state(size_t state) const {
    return {text_states.data() + state * text_players, text_players};
  }
};

/// A batch that did not fit in memory and was halved.
struct Halving {
  std::string stage;
  size_t from;
  size_t to;
};

/// What an evaluation did and where the time went (seconds summed over workers).
struct CoalitionReport {
  size_t vision_runs = 0;
  size_t prefix_runs = 0;
  size_t suffix_runs = 0;
  /// Copies of prefixes' caches for batches of suffixes.
  size_t cache_copies = 0;
  /// Batches masked and launches of scoring on the device.
  size_t device_masks = 0;
  size_t device_scores = 0;
  double mask_seconds = 0;
  double vision_seconds = 0;
  double prefix_seconds = 0;
  double expand_seconds = 0;
  double suffix_seconds = 0;
  double score_seconds = 0;
  std::vector<Halving> halvings;
};

}  // namespace fsyn::inference
