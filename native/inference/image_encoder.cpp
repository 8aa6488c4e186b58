#include "inference/image_encoder.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "errors.hpp"
#include "inference/feeds.hpp"
#include "inference/half.hpp"
#include "inference/stage_timer.hpp"

namespace fsyn::inference {

namespace {

/// The constant `repeats` times along its first axis.
Tensor repeated(const VisionConstant& constant, size_t repeats) {
  Shape shape = constant.shape;
  if (!shape.empty()) shape[0] *= extent(repeats);
  Tensor tensor = Tensor::allocate(constant.type, shape);
  for (size_t at = 0; at < tensor.bytes(); at += constant.bytes.size()) {
    std::memcpy(tensor.data() + at, constant.bytes.data(), constant.bytes.size());
  }
  return tensor;
}

Error wrong_features(const RowTable& all, size_t states, size_t places, size_t width) {
  return {ErrorCode::model_contract,
          "The vision model gave " + std::to_string(all.rows()) + " features of width " +
              std::to_string(all.width) + " for " + std::to_string(states) + " image states with " +
              std::to_string(places) + " places of width " + std::to_string(width) + " each."};
}

}  // namespace

Tensor ImageEncoder::masked_pixels(std::span<const size_t> states) {
  const StageTimer timer(report_.mask_seconds);
  if (!program_.masks_on_device()) return masked_on_host(states);
  throw_if_stopped(stop_);
  if (!device_pixels_) device_pixels_.emplace(program_);
  ++report_.device_masks;
  return device_pixels_->masked(schedule_, states);
}

Tensor ImageEncoder::masked_on_host(std::span<const size_t> states) const {
  Shape shape = program_.pixel_shape;
  shape[0] *= extent(states.size());
  const size_t size = program_.pixels.size();
  const ElementType type = program_.vision->inputs()[program_.pixel_input].type;
  Tensor tensor = Tensor::allocate(type, shape);
  std::vector<float> scratch(type == ElementType::float16 ? size : 0);
  for (size_t i = 0; i < states.size(); ++i) {
    throw_if_stopped(stop_);
    const bool direct = type == ElementType::float32;
    const std::span<float> out =
        direct ? tensor.as<float>().subspan(i * size, size) : std::span<float>(scratch);
    program_.pixel_mask.apply(schedule_.image_state(states[i]), program_.pixels, program_.baseline, out);
    if (!direct) {
      std::transform(out.begin(), out.end(),
                     tensor.as<uint16_t>().begin() + static_cast<std::ptrdiff_t>(i * size), float_to_half);
    }
  }
  return tensor;
}

std::vector<RowTable> ImageEncoder::encode(std::span<const size_t> states) {
  Feeds feeds;
  feeds.add(program_.pixel_input, masked_pixels(states));
  for (const VisionConstant& constant : program_.vision_constants) {
    feeds.add(constant.input, repeated(constant, states.size()));
  }
  const size_t outputs[] = {program_.feature_output};
  std::vector<Tensor> results;
  {
    const StageTimer timer(report_.vision_seconds);
    results = program_.vision->run(feeds.list(), outputs, stop_);
    ++report_.vision_runs;
  }
  const RowTable all = to_rows(results[0], type_, "image features");
  const size_t places = program_.image_positions.size();
  if (all.rows() != places * states.size() || all.width != width_) {
    throw wrong_features(all, states.size(), places, width_);
  }
  std::vector<RowTable> features;
  const auto stride = static_cast<std::ptrdiff_t>(places * all.row_bytes());
  for (size_t i = 0; i < states.size(); ++i) {
    const auto begin = all.bytes.begin() + static_cast<std::ptrdiff_t>(i) * stride;
    features.push_back({all.type, all.width, {begin, begin + stride}});
  }
  return features;
}

}  // namespace fsyn::inference
