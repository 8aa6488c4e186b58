#include "inference/sequence_feeds.hpp"

#include <cstring>
#include <numeric>

namespace fsyn::inference {

std::vector<size_t> SequenceFeeds::prefix_tokens() const {
  std::vector<size_t> tokens(program_.prefix_length);
  std::iota(tokens.begin(), tokens.end(), size_t{0});
  return tokens;
}

/// One byte per token of the program: whether a text player that this state lacks stands there.
std::vector<uint8_t> SequenceFeeds::absent_tokens(size_t text) const {
  std::vector<uint8_t> absent(program_.token_ids.size(), 0);
  const auto present = schedule_.text_state(text);
  for (size_t p = 0; p < present.size(); ++p) absent[program_.text_positions[p]] = present[p] == 0 ? 1 : 0;
  return absent;
}

std::vector<size_t> SequenceFeeds::own_tokens(size_t text, size_t length) const {
  const bool drops = program_.compact && program_.remove_absent;
  const std::vector<uint8_t> absent = absent_tokens(text);
  std::vector<size_t> kept;
  kept.reserve(program_.token_ids.size() - program_.prefix_length);
  for (size_t token = program_.prefix_length; token < program_.token_ids.size(); ++token) {
    if (!drops || absent[token] == 0) kept.push_back(token);
  }
  if (kept.size() < length) kept.insert(kept.begin(), length - kept.size(), kPadding);
  return kept;
}

void SequenceFeeds::add_sequences(Feeds& feeds, const std::vector<std::vector<size_t>>& kept,
                                  std::span<const RowTable* const> features,
                                  std::span<const size_t> texts) const {
  const size_t batch = kept.size();
  const size_t length = kept.front().size();
  const size_t row_bytes = embeddings_.row_bytes();
  const size_t past = texts.empty() ? 0 : program_.prefix_length;
  const size_t pad_row = program_.token_ids.size();
  std::vector<size_t> feature_of(program_.token_ids.size(), SIZE_MAX);
  for (size_t i = 0; i < program_.image_positions.size(); ++i) feature_of[program_.image_positions[i]] = i;

  Tensor embeds =
      Tensor::allocate(embeddings_.type, Shape{extent(batch), extent(length), extent(embeddings_.width)});
  std::vector<int64_t> mask(batch * (past + length), 1);
  for (size_t b = 0; b < batch; ++b) {
    const std::vector<uint8_t> absent =
        texts.empty() ? std::vector<uint8_t>(program_.token_ids.size(), 0) : absent_tokens(texts[b]);
    for (size_t i = 0; i < length; ++i) {
      const size_t token = kept[b][i];
      const bool padding = token == kPadding;
      const std::byte* source = padding                         ? embeddings_.row(pad_row)
                                : feature_of[token] != SIZE_MAX ? features[b]->row(feature_of[token])
                                : absent[token] != 0            ? embeddings_.row(pad_row)
                                                                : embeddings_.row(token);
      std::memcpy(embeds.data() + (b * length + i) * row_bytes, source, row_bytes);
      if (padding || (absent[token] != 0 && program_.remove_absent)) {
        mask[b * (past + length) + past + i] = 0;
      }
    }
  }
  feeds.add(program_.embeds_input, std::move(embeds));
  const ElementType type = program_.decoder->inputs()[program_.mask_input].type;
  feeds.add(program_.mask_input, integers(type, {extent(batch), extent(past + length)}, mask));
  add_positions(feeds, kept);
}

void SequenceFeeds::add_positions(Feeds& feeds, const std::vector<std::vector<size_t>>& kept) const {
  if (!program_.position_input) return;
  const size_t axes = program_.position_axes;
  const size_t batch = kept.size();
  const size_t length = kept.front().size();
  std::vector<int64_t> positions(axes * batch * length);
  for (size_t axis = 0; axis < axes; ++axis) {
    const int64_t* of_token = program_.positions.data() + axis * program_.token_ids.size();
    for (size_t b = 0; b < batch; ++b) {
      for (size_t i = 0; i < length; ++i) {
        // Padding is masked: any position that the model knows will do.
        const size_t token = kept[b][i] == kPadding ? program_.prefix_length : kept[b][i];
        positions[(axis * batch + b) * length + i] = of_token[token];
      }
    }
  }
  const TensorSpec& spec = program_.decoder->inputs()[*program_.position_input];
  const Shape shape = spec.shape.size() == 3 ? Shape{extent(axes), extent(batch), extent(length)}
                                             : Shape{extent(batch), extent(length)};
  feeds.add(*program_.position_input, integers(spec.type, shape, positions));
}

void SequenceFeeds::add_controls(Feeds& feeds, bool has_cache, size_t keep) const {
  const auto& inputs = program_.decoder->inputs();
  const auto scalar = [&](size_t input, int64_t value) {
    const TensorSpec& spec = inputs[input];
    feeds.add(input, integers(spec.type, spec.shape.empty() ? Shape{} : Shape{1}, {&value, 1}));
  };
  if (program_.keep_input) scalar(*program_.keep_input, extent(keep));
  if (program_.rows_input) {
    std::vector<int64_t> rows(keep);
    std::iota(rows.begin(), rows.end(), -extent(keep));
    feeds.add(*program_.rows_input, integers(inputs[*program_.rows_input].type, {extent(keep)}, rows));
  }
  if (program_.branch_input) scalar(*program_.branch_input, has_cache ? 1 : 0);
}

void SequenceFeeds::add_empty_caches(Feeds& feeds, size_t batch) const {
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

}  // namespace fsyn::inference
