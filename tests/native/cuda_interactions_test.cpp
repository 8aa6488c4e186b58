// The CUDA plugin's interactions against their CPU twins, and their speed against a device copy:
//
//   cuda_interactions_test [plugin library] [--bench]
//
// Needs neither Node nor ONNX Runtime. Without a device it says NOT RUN and exits with 77.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "check.hpp"
#include "cuda/device_indices.hpp"
#include "errors.hpp"
#include "interactions/pair_index.hpp"
#include "interactions/size_index.hpp"
#include "interactions/transform.hpp"
#include "median.hpp"

namespace {

using namespace fsyn;
using interactions::Transform;

using tests::check;
using tests::checks;
using tests::failures;

std::vector<double> random_table(int players) {
  std::mt19937_64 generator(static_cast<unsigned>(players));
  std::normal_distribution<double> normal(1.0, 1.0);
  std::vector<double> table(std::size_t{1} << players);
  for (auto& value : table) value = normal(generator);
  return table;
}

std::vector<double> shapley_weights(int players, int size) {
  std::vector<double> weights;
  double choose = 1;
  for (int t = 0; t <= players - size; ++t) {
    weights.push_back(1 / ((players - size + 1) * choose));
    choose = choose * (players - size - t) / (t + 1);
  }
  return weights;
}

/// Largest difference over the largest expected value: the tolerance of the design is 1e-12.
double relative_error(const std::vector<double>& actual, const std::vector<double>& expected) {
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::fabs(actual[i] - expected[i]));
    largest = std::max(largest, std::fabs(expected[i]));
  }
  return worst / largest;
}

void test_transforms(const cuda::Interactions& device) {
  for (const int players : {0, 1, 3, 4, 7, 11, 12, 13, 15, 16, 19, 20, 21}) {
    const auto table = random_table(players);
    const std::vector<float> narrow(table.begin(), table.end());
    for (std::size_t kind = 0; kind < interactions::kTransformCount; ++kind) {
      const auto name = "transform " + std::to_string(kind) + " of " + std::to_string(players) + " players";
      auto expected = table;
      interactions::transform(expected.data(), players, static_cast<Transform>(kind), 0.3);
      auto actual = table;
      cuda::transform(device, actual.data(), players, static_cast<Transform>(kind), 0.3);
      check(relative_error(actual, expected) < 1e-12, name);
      if (players > 12) continue;
      auto rounded = narrow;
      cuda::transform(device, rounded.data(), players, static_cast<Transform>(kind), 0.3);
      // One rounding of the input and one of the output; both grow like the largest value.
      check(relative_error({rounded.begin(), rounded.end()}, expected) < 1e-5, name + ", float");
    }
  }
}

void test_pairs(const cuda::Interactions& device) {
  for (const int players : {1, 2, 5, 12, 13, 14, 17, 20, 21}) {
    const auto table = random_table(players);
    const auto pair_weights = players > 1 ? shapley_weights(players, 2) : std::vector<double>();
    const auto single_weights = shapley_weights(players, 1);
    const auto expected = interactions::pair_index(table.data(), players, pair_weights, single_weights);
    const auto actual = cuda::pair_index(device, table.data(), players, pair_weights, single_weights);
    check(players == 1 || relative_error(actual.pairs, expected.pairs) < 1e-12,
          "pairs of " + std::to_string(players));
    check(relative_error(actual.singles, expected.singles) < 1e-12, "singles of " + std::to_string(players));
    const auto again = cuda::pair_index(device, table.data(), players, pair_weights, single_weights);
    check(actual.pairs == again.pairs && actual.singles == again.singles, "pairs have the same bytes twice");
  }
}

void test_orders(const cuda::Interactions& device) {
  for (const int players : {3, 9, 16}) {
    const auto table = random_table(players);
    std::vector<double> weights;
    std::vector<double> block_weights;
    for (int s = 1; s <= 3; ++s) {
      // Order 2 keeps the dividends themselves, as the lower orders of Shapley-Taylor do.
      for (int t = 0; t <= players; ++t) {
        weights.push_back(t == s ? 1.0 : t > s && s != 2 ? 1.0 / (t - s + 1) : 0.0);
        block_weights.push_back(t <= players - s ? std::ldexp(1.0, s - players) : 0.0);
      }
    }
    const auto expected = interactions::dividend_index(table.data(), players, 1, 3, weights);
    const auto actual = cuda::dividend_index(device, table.data(), players, 1, 3, weights);
    // Dividends of random values grow like 2^(n/2), so their route loses digits on both sides.
    check(actual.size() == expected.size() && relative_error(actual, expected) < 1e-9,
          "orders 1..3 of " + std::to_string(players) + " players");
    const auto blocks = interactions::block_value_index(table.data(), players, 1, 3, block_weights);
    const auto device_blocks = cuda::block_value_index(device, table.data(), players, 1, 3, block_weights);
    check(device_blocks.size() == blocks.size() && relative_error(device_blocks, blocks) < 1e-11,
          "block values of " + std::to_string(players) + " players");
  }
}

template <class Call>
std::string failure_of(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

void test_failures(const cuda::Interactions& device) {
  std::vector<double> table(8, 1.0);
  check(!failure_of([&] { cuda::transform(device, table.data(), 31, Transform::kMoebius, 0); }).empty(),
        "31 players");
  check(!failure_of([&] { (void)cuda::pair_index(device, table.data(), 3, table, {}); }).empty(),
        "weights of another size");
  check(!failure_of([&] { device.require_memory(30, 1 << 20); }).empty(), "a million large tables");
  std::stop_source source;
  source.request_stop();
  games::Control control;
  control.stop = source.get_token();
  bool cancelled = false;
  try {
    cuda::transform(device, table.data(), 3, Transform::kMoebius, 0, control);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "a stop request is seen");
}

double median_ms(const cuda::Interactions& device, const std::function<void()>& run) {
  return tests::median_ms(run, [&] { device.synchronise(); });
}

void bench(const cuda::Interactions& device) {
  std::printf(
      "\n| n | what | median ms | GB/s read + written | over a device copy |\n|---:|---|---:|---:|---:|\n");
  for (const int players : {20, 24, 28, 30}) {
    const double bytes = std::ldexp(16.0, players);
    double copy = 0;
    const auto report = [&](const char* what, double moved, double ms) {
      std::printf("| %d | %s | %.4f | %.0f | %.2f |\n", players, what, ms, moved / ms / 1e6, ms / copy);
    };
    cuda::Interactions::Table table(device, players);
    {
      cuda::Interactions::Table other(device, players);
      copy = median_ms(device, [&] { other.copy_from(table); });
      report("device copy", bytes, copy);
    }
    // Zeros: repeated transforms must not overflow.
    device.weigh(table, table, std::vector<double>(static_cast<std::size_t>(players) + 1, 0.0));
    report("Moebius", bytes, median_ms(device, [&] { device.transform(table, Transform::kMoebius); }));
    report("Walsh-Hadamard", bytes,
           median_ms(device, [&] { device.transform(table, Transform::kWalshHadamard); }));
    const auto weights =
        interactions::size_weights(players, shapley_weights(players, 2), shapley_weights(players, 1));
    report("all pairs + singles, to the host", bytes / 2,
           median_ms(device, [&] { (void)device.pair_sums(table, 0.0, weights); }));
  }
}

}  // namespace

int main(int count, char** arguments) {
  const bool timed = count > 1 && std::strcmp(arguments[count - 1], "--bench") == 0;
  const std::string path = count > (timed ? 2 : 1) ? arguments[1] : "./libfsyn_cuda.so";
  try {
    const cuda::Interactions device(path);
    std::printf("device: %s\n", device.device_name().c_str());
    test_transforms(device);
    test_pairs(device);
    test_orders(device);
    test_failures(device);
    std::printf("CUDA interactions: %d checks, %d failures\n", checks, failures);
    if (timed && failures == 0) bench(device);
    return failures == 0 ? 0 : 1;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::provider_unavailable) {
      std::fprintf(stderr, "FAILED: %s\n", error.what());
      return 1;
    }
    std::printf("CUDA interactions: NOT RUN. %s\n", error.what());
    return 77;
  }
}
