#pragma once

#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "inference/coalition_program.hpp"
#include "inference/coalition_schedule.hpp"
#include "inference/device_pixels.hpp"
#include "inference/row_table.hpp"

namespace fsyn::inference {

/// Masks the pixels of image states and runs them through the vision graph.
class ImageEncoder {
 public:
  /// Everything given must outlive the encoder; `report` receives runs and seconds.
  ImageEncoder(const CoalitionProgram& program, const CoalitionSchedule& schedule, ElementType feature_type,
               size_t width, CoalitionReport& report, std::stop_token stop)
      : program_(program),
        schedule_(schedule),
        type_(feature_type),
        width_(width),
        report_(report),
        stop_(std::move(stop)) {}

  /// One table of image features per state, run as one batch. Throws MODEL_CONTRACT when there are not as
  /// many features as places for them.
  [[nodiscard]] std::vector<RowTable> encode(std::span<const size_t> states);

 private:
  [[nodiscard]] Tensor masked_pixels(std::span<const size_t> states);
  [[nodiscard]] Tensor masked_on_host(std::span<const size_t> states) const;

  const CoalitionProgram& program_;
  const CoalitionSchedule& schedule_;
  ElementType type_;
  size_t width_;
  CoalitionReport& report_;
  std::stop_token stop_;
  /// Uploaded with the first batch.
  std::optional<DevicePixels> device_pixels_;
};

}  // namespace fsyn::inference
