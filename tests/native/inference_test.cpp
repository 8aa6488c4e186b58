// Sessions, batches that are halved when memory runs out, and half precision.
//
// usage: inference_test <onnxruntime library> <its version> <folder of tests/fixtures/inference>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "inference/batching.hpp"
#include "inference/half.hpp"
#include "inference/runtime.hpp"
#include "inference/session.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::inference;
using tests::check;
using tests::check_code;

void test_sessions(const std::string& folder) {
  SessionOptions options;
  options.label = "affine";
  std::stop_source source;
  source.request_stop();
  bool cancelled = false;
  try {
    const Session session(folder + "/affine.onnx", options, source.get_token());
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "loading can be cancelled");
  const Session session(folder + "/affine.onnx", options, {});
  const Tensor x = Tensor::allocate(ElementType::float32, Shape{1, 4});
  const Session::Feed feeds[] = {{0, &x}};
  const size_t outputs[] = {0};
  cancelled = false;
  try {
    (void)session.run(feeds, outputs, source.get_token());
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "a run can be cancelled");
  check(session.run(feeds, outputs, {})[0].shape() == Shape{1, 3}, "a session runs");
  check_code([] { (void)Runtime::load("elsewhere", "0.0.0"); }, ErrorCode::runtime_not_found,
             "another version is refused");
  check_code([] { (void)Tensor::allocate(ElementType::float32, Shape{-1}); }, ErrorCode::invalid_argument,
             "negative extent");
// Sanitizers end the process instead of throwing std::bad_alloc.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  check_code([] { (void)Tensor::allocate(ElementType::float32, Shape{int64_t{1} << 45}); },
             ErrorCode::out_of_memory, "a tensor of 128 TiB");
#endif
}

void test_batching() {
  std::vector<size_t> done;
  std::vector<std::pair<size_t, size_t>> halvings;
  const auto run = [&](size_t begin, size_t size) {
    if (size > 3) throw Error(ErrorCode::out_of_memory, "too large");
    if (begin == 7 && size > 1) throw std::bad_alloc();
    for (size_t i = begin; i < begin + size; ++i) done.push_back(i);
  };
  for_each_batch(10, 8, run, [&](size_t from, size_t to) { halvings.emplace_back(from, to); });
  check(done == std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "every item runs once, in order");
  check(halvings == std::vector<std::pair<size_t, size_t>>{{8, 4}, {4, 2}} ||
            halvings == std::vector<std::pair<size_t, size_t>>{{8, 4}, {4, 2}, {2, 1}},
        "batches are halved and the caller hears of it");
  check_code(
      [] {
        for_each_batch(
            2, 1, [](size_t, size_t) { throw Error(ErrorCode::out_of_memory, "no"); }, [](size_t, size_t) {});
      },
      ErrorCode::out_of_memory, "an item that does not fit alone is an error");
  check_code(
      [] {
        for_each_batch(
            2, 2, [](size_t, size_t) { throw Error(ErrorCode::inference, "no"); }, [](size_t, size_t) {});
      },
      ErrorCode::inference, "other errors are not retried");
}

void test_half() {
  bool exact = true;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = half_to_float(half);
    const bool is_nan = (bits & 0x7C00U) == 0x7C00U && (bits & 0x3FFU) != 0;
    exact = exact && (is_nan ? std::isnan(value) : float_to_half(value) == half);
  }
  check(exact, "every half survives the way through float");
  check(float_to_half(65520.0F) == 0x7C00 && float_to_half(65519.0F) == 0x7BFF,
        "overflow rounds to infinity");
  check(float_to_half(1.0F + 0x1p-11F) == 0x3C00 && float_to_half(1.0F + 0x1.8p-10F) == 0x3C02,
        "ties go to even");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: inference_test <onnxruntime library> <its version> <fixtures>\n");
    return 2;
  }
  return tests::run([&] {
    test_batching();
    test_half();
    Runtime::load(argv[1], argv[2]);
    test_sessions(argv[3]);
  });
}
