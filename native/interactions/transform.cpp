#include "interactions/transform.hpp"

#include <algorithm>
#include <cstddef>

#include "games/memory.hpp"
#include "games/parallel.hpp"
#include "interactions/coalitions.hpp"

namespace fsyn::interactions {
namespace {

/// Bits of a block that one thread transforms alone, 8 MiB: large enough to leave few passes over memory.
/// Smaller only where there would not be a block for every thread.
template <class T>
constexpr int kBlockBits = sizeof(T) == sizeof(double) ? 20 : 21;

/// The passes of a block must not depend on how many threads there are: from these bits on they do not.
constexpr int kLeastBlockBits = 18;

template <class T>
int choose_block_bits(int players, int threads) {
  int bits = std::min(players, kBlockBits<T>);
  while (bits > kLeastBlockBits && (std::size_t{1} << (players - bits)) < static_cast<std::size_t>(threads))
    --bits;
  return bits;
}

/// Columns per task of a pass over the whole table.
constexpr std::size_t kPassColumns = std::size_t{1} << 12;

}  // namespace

template <class T>
void transform(T* x, int players, Transform kind, double p, const Execution& execution) {
  check_players(players, 0);
  const KernelSet& kernels = execution.kernels != nullptr ? *execution.kernels : kernel_set();
  const TransformKernels<T>& kernel = kernels.transform<T>(kind);
  const int threads = games::choose_threads(execution.threads, players);
  const auto& control = execution.control;
  games::prefer_huge_pages(x, sizeof(T) << players);

  const int block_bits = choose_block_bits<T>(players, threads);
  const std::size_t blocks = std::size_t{1} << (players - block_bits);
  const double total = static_cast<double>(players);
  games::parallel_for(blocks, threads, [&](std::size_t block) {
    control.check();
    kernel.block(x + (block << block_bits), block_bits, p);
  });
  control.report(block_bits, total);

  for (int low = block_bits; low < players;) {
    const int left = players - low;
    const int passes = (left + kernel.row_bits - 1) / kernel.row_bits;
    const int bits = (left + passes - 1) / passes;
    const std::size_t stride = std::size_t{1} << low;
    const std::size_t columns = stride / kPassColumns;
    const std::size_t outer = std::size_t{1} << (players - low - bits);
    games::parallel_for(outer * columns, threads, [&](std::size_t task) {
      control.check();
      const std::size_t begin = (task % columns) * kPassColumns;
      kernel.rows(x + ((task / columns) << (low + bits)), stride, bits, begin, begin + kPassColumns, p);
    });
    low += bits;
    control.report(low, total);
  }
}

template void transform<double>(double*, int, Transform, double, const Execution&);
template void transform<float>(float*, int, Transform, double, const Execution&);

}  // namespace fsyn::interactions
