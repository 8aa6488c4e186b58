#include "imaging.hpp"

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "imaging/baseline.hpp"
#include "imaging/blur.hpp"
#include "imaging/patches.hpp"
#include "imaging/resample.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace fsyn::bindings {

namespace {

uint32_t number(const Napi::Object& request, const char* key) {
  return request.Get(key).As<Napi::Number>().Uint32Value();
}

/// Bytes of an image [height, width, 3].
std::size_t image_bytes(std::size_t height, std::size_t width) {
  return height * width * 3;
}

JobResult array_of(Memory memory, napi_typedarray_type type) {
  return [memory = std::move(memory), type](Napi::Env env) { return to_array(env, memory, type); };
}

/// blurImage({ source, height, width, whole, weight, farWeight, passes, threads }) -> job of the image
Napi::Value blur_image(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const imaging::BoxFilter filter = {number(request, "whole"), number(request, "weight"),
                                     number(request, "farWeight")};
  return start_job(info.Env(), "fsyn.blurImage",
                   [filter, source = hold(request.Get("source")), height = number(request, "height"),
                    width = number(request, "width"), passes = static_cast<int>(number(request, "passes")),
                    threads = static_cast<int>(number(request, "threads"))](const JobContext& job) {
                     Memory target(source.bytes());
                     imaging::box_blur(source.as<const uint8_t>(), target.as<uint8_t>(), height, width,
                                       filter, passes, threads, job.stop());
                     return array_of(std::move(target), napi_uint8_array);
                   });
}

/// Taps that own their arrays.
struct OwnedTaps {
  std::vector<int32_t> first;
  std::vector<int32_t> count;
  std::vector<int32_t> weights;
  size_t size = 0;

  [[nodiscard]] imaging::Taps view() const { return {size, first, count, weights}; }
};

OwnedTaps read_taps(const Napi::Value& value) {
  if (!value.IsObject()) return {};
  const auto taps = value.As<Napi::Object>();
  return {vector_of<int32_t>(taps.Get("first")), vector_of<int32_t>(taps.Get("count")),
          vector_of<int32_t>(taps.Get("weights")), number(taps, "size")};
}

/// resampleImage({ source, height, width, newHeight, newWidth, columns?, rows?, threads }) -> job of the
/// image
Napi::Value resample_image(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  return start_job(info.Env(), "fsyn.resampleImage",
                   [columns = read_taps(request.Get("columns")), rows = read_taps(request.Get("rows")),
                    source = hold(request.Get("source")), height = number(request, "height"),
                    width = number(request, "width"),
                    bytes = image_bytes(number(request, "newHeight"), number(request, "newWidth")),
                    threads = static_cast<int>(number(request, "threads"))](const JobContext& job) {
                     Memory target(bytes);
                     imaging::resample(source.as<const uint8_t>(), target.as<uint8_t>(), height, width,
                                       columns.view(), rows.view(), threads, job.stop());
                     return array_of(std::move(target), napi_uint8_array);
                   });
}

/// meanImage({ source }) -> job of an image of the same size
Napi::Value mean_image(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  return start_job(info.Env(), "fsyn.meanImage",
                   [source = hold(request.Get("source"))](const JobContext& job) {
                     Memory target(source.bytes());
                     imaging::fill_mean(source.as<const uint8_t>(), target.as<uint8_t>(), job.stop());
                     return array_of(std::move(target), napi_uint8_array);
                   });
}

/// noiseImage({ state, height, width }) -> job of the image
Napi::Value noise_image(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const auto words = vector_of<uint32_t>(request.Get("state"));
  const std::array<uint32_t, 4> state = {words.at(0), words.at(1), words.at(2), words.at(3)};
  return start_job(info.Env(), "fsyn.noiseImage",
                   [state, bytes = image_bytes(number(request, "height"), number(request, "width"))](
                       const JobContext& job) {
                     Memory target(bytes);
                     imaging::fill_noise(state, target.as<uint8_t>(), job.stop());
                     return array_of(std::move(target), napi_uint8_array);
                   });
}

/// cutPatches({ source, height, width, side, merge, times, table }) -> job of a Float32Array
/// [patches, 3, times, side, side]
Napi::Value cut_patches(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const imaging::PatchGrid grid = {number(request, "side"), number(request, "merge"),
                                   number(request, "times")};
  return start_job(
      info.Env(), "fsyn.cutPatches",
      [grid, source = hold(request.Get("source")), table = vector_of<float>(request.Get("table")),
       height = number(request, "height"), width = number(request, "width")](const JobContext& job) {
        Memory target(image_bytes(height, width) * grid.times * sizeof(float));
        imaging::cut_patches(source.as<const uint8_t>(), target.as<float>(), height, width, grid, table,
                             job.stop());
        return array_of(std::move(target), napi_float32_array);
      });
}

}  // namespace

void export_imaging(Napi::Object exports) {
  export_function(exports, "blurImage", blur_image);
  export_function(exports, "cutPatches", cut_patches);
  export_function(exports, "meanImage", mean_image);
  export_function(exports, "noiseImage", noise_image);
  export_function(exports, "resampleImage", resample_image);
}

}  // namespace fsyn::bindings
