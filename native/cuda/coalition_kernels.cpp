#include "cuda/coalition_kernels.hpp"

#include <string>

#include "cuda/plugin_library.hpp"
#include "errors.hpp"

namespace fsyn::cuda {
namespace {

class CoalitionKernels final : public inference::DeviceKernels {
 public:
  explicit CoalitionKernels(const fsyn_cuda_plugin& plugin) : plugin_(plugin) {}

  [[nodiscard]] std::shared_ptr<void> allocate(size_t bytes) const override {
    void* memory = nullptr;
    require(plugin_.allocate(&memory, bytes));
    return {memory, [&plugin = plugin_](void* owned) { (void)plugin.release(owned); }};
  }

  void upload(void* device_to, const void* from, size_t bytes) const override {
    require(plugin_.to_device(device_to, from, bytes, nullptr));
    require(plugin_.synchronise_stream(nullptr));
  }

  void mask(const Mask& mask, const uint8_t* device_present, size_t states, size_t players,
            float* device_out) const override {
    require(plugin_.mask_pixels(mask.device_players, device_present, mask.device_image, mask.device_baseline,
                                device_out, states, players, mask.elements, nullptr));
    require(plugin_.synchronise_stream(nullptr));
  }

  void score(const float* device_logits, std::span<const int64_t> targets, size_t vocabulary,
             std::span<float> scores) const override {
    const auto device_targets = allocate(targets.size_bytes());
    const auto device_scores = allocate(scores.size_bytes());
    upload(device_targets.get(), targets.data(), targets.size_bytes());
    require(plugin_.log_probabilities(device_logits, static_cast<const int64_t*>(device_targets.get()),
                                      static_cast<float*>(device_scores.get()), targets.size(), vocabulary,
                                      nullptr));
    require(plugin_.to_host(scores.data(), device_scores.get(), scores.size_bytes(), nullptr));
    require(plugin_.synchronise_stream(nullptr));
  }

 private:
  void require(int status) const {
    if (status == FSYN_CUDA_OK) return;
    throw Error(status == FSYN_CUDA_OUT_OF_MEMORY ? ErrorCode::out_of_memory : ErrorCode::inference,
                std::string("CUDA: ") + plugin_.last_error());
  }

  const fsyn_cuda_plugin& plugin_;
};

}  // namespace

std::shared_ptr<const inference::DeviceKernels> coalition_kernels(const std::filesystem::path& plugin) {
  return std::make_shared<const CoalitionKernels>(load_plugin(plugin));
}

}  // namespace fsyn::cuda
