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

void require(bool condition, ErrorCode code, const std::string& message) {
  if (!condition) throw Error(code, message);
}

void require_positions(const std::vector<size_t>& positions, size_t tokens, const char* what) {
  for (const size_t position : positions) {
    require(position < tokens, ErrorCode::invalid_argument,
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
          ErrorCode::invalid_argument, "Pixels, baseline and player map differ in size.");
  require(tokens > 0 && !targets.empty() && targets.size() <= tokens, ErrorCode::invalid_argument,
          "A program needs tokens and scored tokens.");
  require(prefix_length < tokens && prefix_length + targets.size() <= tokens, ErrorCode::invalid_argument,
          "The shared prefix must end before the first scored row.");
  require(prefix_length == 0 || !caches.empty(), ErrorCode::invalid_argument,
          "A shared prefix needs a decoder with a cache.");
  require_positions(image_positions, tokens, "the image");
  require_positions(text_positions, tokens, "a text player");
  for (const size_t position : text_positions) {
    require(position >= prefix_length, ErrorCode::invalid_argument,
            "A text player lies in the shared prefix.");
    require(position + targets.size() < tokens + 1, ErrorCode::invalid_argument,
            "A text player lies behind the prompt.");
  }
  require(positions.size() == position_axes * tokens, ErrorCode::invalid_argument,
          "There must be one position per token.");
  require(is_float(vision->inputs().at(pixel_input).type), ErrorCode::model_contract,
          "Pixels must be float32 or float16.");
  require(is_float(decoder->inputs().at(embeds_input).type), ErrorCode::model_contract,
          "Embeddings must be float32 or float16.");
  const ElementType mask = decoder->inputs().at(mask_input).type;
  require(is_index(mask) || mask == ElementType::boolean, ErrorCode::model_contract,
          "The attention mask must be int64, int32 or bool.");
  require(!position_input || is_index(decoder->inputs().at(*position_input).type), ErrorCode::model_contract,
          "Positions must be int64 or int32.");
  require(embed->inputs().size() == 1 && is_index(embed->inputs()[0].type), ErrorCode::model_contract,
          "The embedding graph must take token ids alone.");
  require(!device_caches ||
              (device_caches->join->inputs().size() == 4 && device_caches->join->outputs().size() == 1),
          ErrorCode::invalid_argument, "A graph that joins caches has four inputs and one output.");
  require(compact || !padded, ErrorCode::invalid_argument,
          "Only sequences that differ in length can be padded.");
  require(!compact || position_input.has_value(), ErrorCode::unsupported_model,
          "Leaving tokens out needs a decoder with position_ids.");
}

}  // namespace fsyn::inference
