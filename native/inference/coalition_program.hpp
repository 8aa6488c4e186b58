#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "inference/device_kernels.hpp"
#include "inference/session.hpp"
#include "masking/pixel_mask.hpp"

namespace fsyn::inference {

/// A vision input that does not depend on the coalition; repeated along its first axis for a batch of image
/// states.
struct VisionConstant {
  size_t input;
  ElementType type;
  Shape shape;
  std::vector<std::byte> bytes;
};

/// A cache input of the decoder and the output that continues it.
struct CacheLink {
  size_t input;
  size_t output;
};

/// Keeps prefixes' caches in a provider's memory. `join` has the inputs first, second (caches), first_rows
/// and second_rows (int64) and one output: those rows of the first cache, then those of the second.
struct DeviceCaches {
  std::shared_ptr<const Session> join;
  DeviceMemory memory;
  /// Mask pixels and score logits there too; null where the host does.
  std::shared_ptr<const DeviceKernels> kernels = nullptr;
};

/// All that is needed to score any cell of one prepared sample; handed over once, never changed afterwards.
struct CoalitionProgram {
  std::shared_ptr<const Session> vision;
  std::shared_ptr<const Session> embed;
  std::shared_ptr<const Session> decoder;

  size_t pixel_input = 0;
  size_t feature_output = 0;
  Shape pixel_shape;
  std::vector<float> pixels;
  std::vector<float> baseline;
  masking::PixelMask pixel_mask{{}};
  std::vector<VisionConstant> vision_constants;

  /// The prompt with one placeholder per image feature, then the answer tokens before the last scored one.
  std::vector<int64_t> token_ids;
  std::vector<size_t> image_positions;
  std::vector<size_t> text_positions;
  int64_t pad_token = 0;
  /// Whether an absent text player leaves the attention; otherwise its pad token stays attended.
  bool remove_absent = true;
  /// position_ids of every token, [axes, tokens]; axes 0 where the decoder takes none.
  size_t position_axes = 0;
  std::vector<int64_t> positions;
  /// The tokens whose log-probabilities are wanted, predicted by the last rows of the logits.
  std::vector<int64_t> targets;

  size_t embeds_input = 0;
  size_t mask_input = 0;
  std::optional<size_t> position_input;
  /// num_logits_to_keep
  std::optional<size_t> keep_input;
  /// The wanted rows of logits, counted from the end.
  std::optional<size_t> rows_input;
  /// use_cache_branch
  std::optional<size_t> branch_input;
  size_t logits_output = 0;
  std::vector<CacheLink> caches;
  /// Where caches stay; null for the host.
  std::shared_ptr<const DeviceCaches> device_caches;

  /// Tokens that no cell of this sample changes except through the image; 0 when they are not shared.
  size_t prefix_length = 0;
  /// Leave removed tokens out of the sequence instead of masking them: they change nothing and cost as much
  /// as others, and attention that ignores holes in its mask must not be given them.
  bool compact = false;
  /// Whether sequences of different lengths share a run, the shorter ones behind masked padding.
  bool padded = false;

  /// Whether this session's float32 input or output stays on the device for the kernels there.
  [[nodiscard]] bool masks_on_device() const;
  [[nodiscard]] bool scores_on_device() const;

  /// Throws MODEL_CONTRACT or INVALID_ARGUMENT for pieces that do not fit together.
  void validate() const;
};

}  // namespace fsyn::inference
