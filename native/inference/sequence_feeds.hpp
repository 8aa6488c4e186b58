#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inference/coalition_program.hpp"
#include "inference/coalition_schedule.hpp"
#include "inference/feeds.hpp"
#include "inference/row_table.hpp"

namespace fsyn::inference {

/// Writes what the decoder is fed with for a batch of token sequences.
class SequenceFeeds {
 public:
  /// `embeddings`: those of every token of the program, then of the pad token, [tokens + 1, width].
  /// Everything given must outlive this.
  SequenceFeeds(const CoalitionProgram& program, const CoalitionSchedule& schedule,
                const RowTable& embeddings)
      : program_(program), schedule_(schedule), embeddings_(embeddings) {}

  /// Tokens of the shared prefix.
  [[nodiscard]] std::vector<size_t> prefix_tokens() const;
  /// Stands for a token that is there only to make sequences equally long.
  static constexpr size_t kPadding = SIZE_MAX;

  /// Tokens of a text state after the shared prefix; without the absent ones where the program leaves them
  /// out. Fewer than `length` are preceded by padding, so that the scored rows stay the last ones.
  [[nodiscard]] std::vector<size_t> own_tokens(size_t text, size_t length = 0) const;

  /// Embeddings, attention mask and positions. `kept`: the tokens of each sequence, all of one length;
  /// `features`: the image features of each sequence; `texts`: the text state of each, empty for prefixes,
  /// where no text player occurs.
  void add_sequences(Feeds& feeds, const std::vector<std::vector<size_t>>& kept,
                     std::span<const RowTable* const> features, std::span<const size_t> texts) const;
  /// The inputs that choose rows of logits (the last `keep`) and the branch with a cache, where there are
  /// any.
  void add_controls(Feeds& feeds, bool has_cache, size_t keep) const;
  /// Caches of no tokens.
  void add_empty_caches(Feeds& feeds, size_t batch) const;

 private:
  [[nodiscard]] std::vector<uint8_t> absent_tokens(size_t text) const;
  void add_positions(Feeds& feeds, const std::vector<std::vector<size_t>>& kept) const;

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  const RowTable& embeddings_;
};

}  // namespace fsyn::inference
