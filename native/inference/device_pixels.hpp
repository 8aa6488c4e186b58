#pragma once

#include <memory>
#include <span>

#include "inference/coalition_program.hpp"
#include "inference/coalition_schedule.hpp"

namespace fsyn::inference {

/// A program's picture in a provider's memory, masked there for batches of image states.
class DevicePixels {
 public:
  /// Uploads the picture, its baseline and its players. The program must outlive this and have device
  /// kernels.
  explicit DevicePixels(const CoalitionProgram& program);

  /// [states of the batch, ...] in the provider's memory.
  [[nodiscard]] Tensor masked(const CoalitionSchedule& schedule, std::span<const size_t> states) const;

 private:
  const CoalitionProgram& program_;
  std::shared_ptr<void> players_;
  std::shared_ptr<void> image_;
  std::shared_ptr<void> baseline_;
};

}  // namespace fsyn::inference
