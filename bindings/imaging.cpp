#include "imaging.hpp"

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "calls.hpp"
#include "imaging/baseline.hpp"
#include "imaging/blur.hpp"
#include "imaging/patches.hpp"
#include "imaging/resample.hpp"
#include "job.hpp"

namespace fsyn::bindings {

namespace {

/// An image's values in JavaScript's memory, which the caller keeps alive and leaves alone while a job runs.
std::span<uint8_t> pixels(const Napi::Object& request, const char* key) {
  auto array = request.Get(key).As<Napi::Uint8Array>();
  return {array.Data(), array.ElementLength()};
}

uint32_t number(const Napi::Object& request, const char* key) {
  return request.Get(key).As<Napi::Number>().Uint32Value();
}

std::vector<int32_t> numbers(const Napi::Object& request, const char* key) {
  const auto array = request.Get(key).As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

JobResult nothing() {
  return [](Napi::Env owner) { return owner.Undefined(); };
}

/// blurImage({ source, target, height, width, whole, weight, farWeight, passes, threads }) -> job of
/// undefined
Napi::Value blur_image(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const imaging::BoxFilter filter = {number(request, "whole"), number(request, "weight"),
                                     number(request, "farWeight")};
  return start_job(info.Env(), "fsyn.blurImage",
                   [filter, source = pixels(request, "source"), target = pixels(request, "target"),
                    height = number(request, "height"), width = number(request, "width"),
                    passes = static_cast<int>(number(request, "passes")),
                    threads = static_cast<int>(number(request, "threads"))](const JobContext& job) {
                     imaging::box_blur(source, target, height, width, filter, passes, threads, job.stop());
                     return nothing();
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
  return {numbers(taps, "first"), numbers(taps, "count"), numbers(taps, "weights"), number(taps, "size")};
}

/// resampleImage({ source, target, height, width, columns?, rows?, threads }) -> job of undefined
Napi::Value resample_image(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  return start_job(info.Env(), "fsyn.resampleImage",
                   [columns = read_taps(request.Get("columns")), rows = read_taps(request.Get("rows")),
                    source = pixels(request, "source"), target = pixels(request, "target"),
                    height = number(request, "height"), width = number(request, "width"),
                    threads = static_cast<int>(number(request, "threads"))](const JobContext& job) {
                     imaging::resample(source, target, height, width, columns.view(), rows.view(), threads,
                                       job.stop());
                     return nothing();
                   });
}

/// fillMean({ source, target }) -> job of undefined
Napi::Value fill_mean(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  return start_job(
      info.Env(), "fsyn.fillMean",
      [source = pixels(request, "source"), target = pixels(request, "target")](const JobContext& job) {
        imaging::fill_mean(source, target, job.stop());
        return nothing();
      });
}

/// fillNoise({ state, target }) -> job of undefined
Napi::Value fill_noise(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const auto words = request.Get("state").As<Napi::Uint32Array>();
  const std::array<uint32_t, 4> state = {words[0], words[1], words[2], words[3]};
  return start_job(info.Env(), "fsyn.fillNoise",
                   [state, target = pixels(request, "target")](const JobContext& job) {
                     imaging::fill_noise(state, target, job.stop());
                     return nothing();
                   });
}

/// cutPatches({ source, target, height, width, side, merge, times, table }) -> job of undefined
Napi::Value cut_patches(const Napi::CallbackInfo& info) {
  const auto request = info[0].As<Napi::Object>();
  const auto floats = [&](const char* key) {
    auto array = request.Get(key).As<Napi::Float32Array>();
    return std::span<float>(array.Data(), array.ElementLength());
  };
  const imaging::PatchGrid grid = {number(request, "side"), number(request, "merge"),
                                   number(request, "times")};
  return start_job(
      info.Env(), "fsyn.cutPatches",
      [grid, source = pixels(request, "source"), target = floats("target"), table = floats("table"),
       height = number(request, "height"), width = number(request, "width")](const JobContext& job) {
        imaging::cut_patches(source, target, height, width, grid, table, job.stop());
        return nothing();
      });
}

}  // namespace

void export_imaging(Napi::Object exports) {
  export_function(exports, "blurImage", blur_image);
  export_function(exports, "cutPatches", cut_patches);
  export_function(exports, "fillMean", fill_mean);
  export_function(exports, "fillNoise", fill_noise);
  export_function(exports, "resampleImage", resample_image);
}

}  // namespace fsyn::bindings
