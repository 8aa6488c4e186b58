#include "inference/device_pixels.hpp"

#include <vector>

#include "inference/feeds.hpp"

namespace fsyn::inference {

namespace {

template <class T>
std::shared_ptr<void> uploaded(const DeviceKernels& kernels, const std::vector<T>& values) {
  auto memory = kernels.allocate(values.size() * sizeof(T));
  kernels.upload(memory.get(), values.data(), values.size() * sizeof(T));
  return memory;
}

}  // namespace

DevicePixels::DevicePixels(const CoalitionProgram& program)
    : program_(program),
      players_(uploaded(*program.device_caches->kernels, program.pixel_mask.players_of_elements())),
      image_(uploaded(*program.device_caches->kernels, program.pixels)),
      baseline_(uploaded(*program.device_caches->kernels, program.baseline)) {}

Tensor DevicePixels::masked(const CoalitionSchedule& schedule, std::span<const size_t> states) const {
  const DeviceKernels& kernels = *program_.device_caches->kernels;
  std::vector<uint8_t> present;
  for (const size_t state : states) {
    const auto row = schedule.image_state(state);
    present.insert(present.end(), row.begin(), row.end());
  }
  const auto device_present = uploaded(kernels, present);
  const size_t elements = program_.pixels.size();
  auto out = kernels.allocate(states.size() * elements * sizeof(float));
  kernels.mask({static_cast<const int32_t*>(players_.get()), static_cast<const float*>(image_.get()),
                static_cast<const float*>(baseline_.get()), elements},
               static_cast<const uint8_t*>(device_present.get()), states.size(), schedule.image_players,
               static_cast<float*>(out.get()));
  Shape shape = program_.pixel_shape;
  shape[0] *= extent(states.size());
  return Tensor::on_device(ElementType::float32, shape, std::move(out),
                           program_.device_caches->memory.info());
}

}  // namespace fsyn::inference
