#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace fsyn::inference {

/// Masking and scoring in a provider's memory, so that pixels and logits need not pass through the host's.
/// Pointers named device_* are addresses there. Calls return when the device is done; one thread at a time.
/// Throws OUT_OF_MEMORY or INFERENCE.
class DeviceKernels {
 public:
  DeviceKernels() = default;
  virtual ~DeviceKernels() = default;
  DeviceKernels(const DeviceKernels&) = delete;
  DeviceKernels& operator=(const DeviceKernels&) = delete;

  /// Memory that is not initialised, freed with its last owner.
  [[nodiscard]] virtual std::shared_ptr<void> allocate(size_t bytes) const = 0;
  virtual void upload(void* device_to, const void* from, size_t bytes) const = 0;

  struct Mask {
    /// [elements]: image player of every element, -1 for none.
    const int32_t* device_players;
    const float* device_image;
    const float* device_baseline;
    size_t elements;
  };
  /// masking::PixelMask::apply for many states. device_present: [states, players] bytes; device_out: [states,
  /// elements].
  virtual void mask(const Mask& mask, const uint8_t* device_present, size_t states, size_t players,
                    float* device_out) const = 0;

  /// scoring::log_probability of rows that follow each other: device_logits [targets, vocabulary] to scores
  /// [targets]; NaN where that would throw.
  virtual void score(const float* device_logits, std::span<const int64_t> targets, size_t vocabulary,
                     std::span<float> scores) const = 0;
};

}  // namespace fsyn::inference
