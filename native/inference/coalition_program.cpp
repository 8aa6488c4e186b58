#include "inference/coalition_program.hpp"

#include "errors.hpp"

namespace fsyn::inference {

namespace {

bool is_float(ElementType type) {
  return type == ElementType::float32 || type == ElementType::float16;
}

bool is_index(ElementType type) {
  return type == ElementType::int64 || type == ElementType::int32;
}

void require(bool condition, const char* code, const std::string& message) {
  if (!condition) throw Error(code, message);
}

void require_positions(const std::vector<size_t>& positions, size_t tokens, const char* what) {
  for (const size_t position : positions) {
    require(position < tokens, "INVALID_ARGUMENT",
            std::string("A position of ") + what + " lies behind the prompt.");
  }
}

}  // namespace

bool CoalitionProgram::masks_on_device() const {
  return device_caches && device_caches->kernels &&
         vision->inputs()[pixel_input].type == ElementType::float32;
}

bool CoalitionProgram::scores_on_device() const {
  return device_caches && device_caches->kernels &&
         decoder->outputs()[logits_output].type == ElementType::float32;
}

void CoalitionProgram::validate() const {
  const size_t tokens = token_ids.size();
  require(pixels.size() == element_count(pixel_shape) && baseline.size() == pixels.size() &&
              pixel_mask.size() == pixels.size(),
          "INVALID_ARGUMENT", "Pixels, baseline and player map differ in size.");
  require(tokens > 0 && !targets.empty() && targets.size() <= tokens, "INVALID_ARGUMENT",
          "A program needs tokens and scored tokens.");
  require(prefix_length < tokens && prefix_length + targets.size() <= tokens, "INVALID_ARGUMENT",
          "The shared prefix must end before the first scored row.");
  require(prefix_length == 0 || !caches.empty(), "INVALID_ARGUMENT",
          "A shared prefix needs a decoder with a cache.");
  require_positions(image_positions, tokens, "the image");
  require_positions(text_positions, tokens, "a text player");
  for (const size_t position : text_positions) {
    require(position >= prefix_length, "INVALID_ARGUMENT", "A text player lies in the shared prefix.");
    require(position + targets.size() < tokens + 1, "INVALID_ARGUMENT",
            "A text player lies behind the prompt.");
  }
  require(positions.size() == position_axes * tokens, "INVALID_ARGUMENT",
          "There must be one position per token.");
  require(is_float(vision->inputs().at(pixel_input).type), "MODEL_CONTRACT",
          "Pixels must be float32 or float16.");
  require(is_float(decoder->inputs().at(embeds_input).type), "MODEL_CONTRACT",
          "Embeddings must be float32 or float16.");
  const ElementType mask = decoder->inputs().at(mask_input).type;
  require(is_index(mask) || mask == ElementType::boolean, "MODEL_CONTRACT",
          "The attention mask must be int64, int32 or bool.");
  require(!position_input || is_index(decoder->inputs().at(*position_input).type), "MODEL_CONTRACT",
          "Positions must be int64 or int32.");
  require(embed->inputs().size() == 1 && is_index(embed->inputs()[0].type), "MODEL_CONTRACT",
          "The embedding graph must take token ids alone.");
  require(!device_caches ||
              (device_caches->join->inputs().size() == 4 && device_caches->join->outputs().size() == 1),
          "INVALID_ARGUMENT", "A graph that joins caches has four inputs and one output.");
  require(compact || !padded, "INVALID_ARGUMENT", "Only sequences that differ in length can be padded.");
  require(!compact || position_input.has_value(), "UNSUPPORTED_MODEL",
          "Leaving tokens out needs a decoder with position_ids.");
}

}  // namespace fsyn::inference
