#include "interactions/householder.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "errors.hpp"
#include "games/parallel.hpp"

namespace fsyn::interactions {
namespace {

constexpr std::size_t kPad = 8;
/// Columns that are reflected together.
constexpr std::size_t kBlock = 32;
/// Rows of a panel that stay in the second-level cache while other columns pass: 32 columns of them are 128
/// KiB.
constexpr std::size_t kRowChunk = 512;
/// Columns per task of a thread.
constexpr std::size_t kTaskColumns = 16;
/// From this many multiplications on, threads are worth starting.
constexpr double kWorthThreads = 2e7;

std::size_t padded(std::size_t rows) {
  return (rows + kPad - 1) / kPad * kPad;
}

}  // namespace

TallMatrix::TallMatrix(std::size_t rows, std::size_t columns)
    : rows_(rows), columns_(columns), stride_(padded(rows)), values_(stride_ * columns) {
  std::fill_n(values_.data(), values_.size(), 0.0);
}

std::size_t TallMatrix::bytes(std::size_t rows, std::size_t columns) noexcept {
  return sizeof(double) * padded(rows) * columns;
}

/// The reflectors of columns [begin, end) and the triangle T of their product I - V T V'.
struct Factorisation::Panel {
  std::size_t begin;
  std::size_t end;
  std::size_t top;        ///< first row that any reflector touches, down to a multiple of the padding
  std::vector<double> t;  ///< [width][width], column after column, upper triangle

  [[nodiscard]] std::size_t width() const noexcept { return end - begin; }
};

Factorisation::Factorisation(TallMatrix matrix, std::size_t first_column, const Execution& execution)
    : kernels_(execution.kernels != nullptr ? execution.kernels : &kernel_set()),
      threads_(games::choose_threads(execution.threads, kMaxPlayers)),
      control_(execution.control),
      q_(std::move(matrix)),
      r_(q_.columns() * q_.columns(), 0.0),
      scale_(q_.columns(), 0.0) {
  reflect(first_column);
  form_q();
}

std::vector<double> Factorisation::project(std::span<const double> right) const {
  std::vector<double> padded_right(q_.stride(), 0.0);
  std::copy(right.begin(), right.end(), padded_right.begin());
  std::vector<double> b(q_.columns(), 0.0);
  kernels_->matrix.dots(q_.column(0), q_.columns(), padded_right.data(), 1, q_.stride(), q_.stride(),
                        b.data());
  return b;
}

std::vector<double> Factorisation::solve(std::vector<double> b) const {
  for (std::size_t c = b.size(); c-- > 0;) {
    b[c] /= r(c, c);
    for (std::size_t above = 0; above < c; ++above) b[above] -= r(above, c) * b[c];
  }
  return b;
}

std::vector<double> Factorisation::residuals(std::span<const double> right, std::span<const double> b) const {
  std::vector<double> rest(q_.stride(), 0.0);
  std::copy(right.begin(), right.end(), rest.begin());
  kernels_->matrix.subtract(q_.column(0), q_.columns(), rest.data(), 1, q_.stride(), q_.stride(), b.data());
  rest.resize(right.size());
  return rest;
}

void Factorisation::to_influence() {
  const std::size_t columns = q_.columns();
  for (std::size_t end = columns; end > 0;) {
    control_.check();
    const std::size_t begin = (end - 1) / kBlock * kBlock;
    for (std::size_t c = end; c-- > begin;) {
      double* const own = q_.column(c);
      if (c + 1 < end) {
        std::vector<double> factors(end - c - 1);
        for (std::size_t k = 0; k < factors.size(); ++k) factors[k] = r(c, c + 1 + k);
        kernels_->matrix.subtract(q_.column(c + 1), factors.size(), own, 1, q_.stride(), q_.stride(),
                                  factors.data());
      }
      const double inverse = 1 / r(c, c);
      for (std::size_t i = 0; i < q_.rows(); ++i) own[i] *= inverse;
    }
    for_columns(0, begin, 0, end - begin, [&](std::size_t first, std::size_t count) {
      std::vector<double> factors(count * (end - begin));
      for (std::size_t j = 0; j < count; ++j) {
        for (std::size_t k = begin; k < end; ++k) factors[j * (end - begin) + k - begin] = r(first + j, k);
      }
      subtract_block(begin, end, first, count, 0, factors);
    });
    end = begin;
  }
}

template <class Work>
void Factorisation::for_columns(std::size_t begin, std::size_t end, std::size_t top, std::size_t width,
                                const Work& work) const {
  if (begin >= end) return;
  const std::size_t tasks = (end - begin + kTaskColumns - 1) / kTaskColumns;
  const double products = static_cast<double>(q_.stride() - top) * static_cast<double>(width * (end - begin));
  games::parallel_for(tasks, products > kWorthThreads ? threads_ : 1, [&](std::size_t task) {
    const std::size_t first = begin + task * kTaskColumns;
    work(first, std::min(kTaskColumns, end - first));
  });
}

void Factorisation::subtract_block(std::size_t begin, std::size_t end, std::size_t first, std::size_t count,
                                   std::size_t top, std::span<const double> factors) {
  for (std::size_t row = top; row < q_.stride(); row += kRowChunk) {
    const std::size_t rows = std::min(kRowChunk, q_.stride() - row);
    kernels_->matrix.subtract(q_.column(begin) + row, end - begin, q_.column(first) + row, count, q_.stride(),
                              rows, factors.data());
  }
}

void Factorisation::reflect(std::size_t first_column) {
  const std::size_t columns = q_.columns();
  norms_.assign(columns, 0.0);
  for (std::size_t c = 0; c < columns; ++c) {
    kernels_->matrix.dots(q_.column(c), 1, q_.column(c), 1, q_.stride(), q_.stride(), &norms_[c]);
    norms_[c] = std::sqrt(norms_[c]);
  }
  for (std::size_t begin = 0; begin < columns; begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, columns);
    for (std::size_t c = begin; c < end; ++c) {
      control_.check();
      reflect_column(c, begin, first_column);
    }
    apply(make_panel(begin, end), end, columns, true);
  }
}

void Factorisation::reflect_column(std::size_t c, std::size_t panel, std::size_t first_column) {
  // A dependent column keeps only the rounding of the steps before it, far below this.
  constexpr double kDependent = 1e-9;
  double* const own = q_.column(c);
  const std::size_t top = panel / kPad * kPad;
  const std::size_t rows = q_.stride() - top;
  for (std::size_t before = panel; before < c; ++before) {
    double factor = 0;
    kernels_->matrix.dots(q_.column(before) + top, 1, own + top, 1, q_.stride(), rows, &factor);
    factor *= scale_[before];
    kernels_->matrix.subtract(q_.column(before) + top, 1, own + top, 1, q_.stride(), rows, &factor);
  }
  // Entries above the reflector are R's; in place of them the reflector has zeros.
  for (std::size_t row = 0; row < c; ++row) r(row, c) = own[row];
  std::fill(own, own + c, 0.0);
  double squared = 0;
  kernels_->matrix.dots(own + top, 1, own + top, 1, q_.stride(), rows, &squared);
  const double rest = std::sqrt(squared);
  if (!(rest > kDependent * norms_[c])) {
    throw Error(ErrorCode::rank_deficient,
                "The sampled coalitions do not determine all interactions: column " +
                    std::to_string(c + first_column) + " of " + std::to_string(q_.columns() + first_column) +
                    " depends on the others. Raise the budget or lower the order.");
  }
  const double pivot = own[c] > 0 ? -rest : rest;
  r(c, c) = pivot;
  own[c] -= pivot;
  double length = 0;
  kernels_->matrix.dots(own + top, 1, own + top, 1, q_.stride(), rows, &length);
  scale_[c] = 2 / length;
}

Factorisation::Panel Factorisation::make_panel(std::size_t begin, std::size_t end) {
  Panel panel{begin, end, begin / kPad * kPad, std::vector<double>((end - begin) * (end - begin), 0.0)};
  const std::size_t width = panel.width();
  std::vector<double> products(width * width, 0.0);
  const double* const v = q_.column(begin) + panel.top;
  kernels_->matrix.dots(v, width, v, width, q_.stride(), q_.stride() - panel.top, products.data());
  for (std::size_t i = 0; i < width; ++i) {
    const double scale = scale_[begin + i];
    panel.t[i * width + i] = scale;
    for (std::size_t row = 0; row < i; ++row) {
      double sum = 0;
      for (std::size_t k = row; k < i; ++k) sum += panel.t[k * width + row] * products[i * width + k];
      panel.t[i * width + row] = -scale * sum;
    }
  }
  return panel;
}

void Factorisation::apply(const Panel& panel, std::size_t begin, std::size_t end, bool transposed) {
  const std::size_t width = panel.width();
  for_columns(begin, end, panel.top, width, [&](std::size_t first, std::size_t count) {
    std::vector<double> products(count * width, 0.0);
    for (std::size_t row = panel.top; row < q_.stride(); row += kRowChunk) {
      const std::size_t rows = std::min(kRowChunk, q_.stride() - row);
      kernels_->matrix.dots(q_.column(panel.begin) + row, width, q_.column(first) + row, count, q_.stride(),
                            rows, products.data());
    }
    std::vector<double> factors(count * width, 0.0);
    for (std::size_t j = 0; j < count; ++j) {
      for (std::size_t i = 0; i < width; ++i) {
        double sum = 0;
        if (transposed) {
          for (std::size_t k = 0; k <= i; ++k) sum += panel.t[i * width + k] * products[j * width + k];
        } else {
          for (std::size_t k = i; k < width; ++k) sum += panel.t[k * width + i] * products[j * width + k];
        }
        factors[j * width + i] = sum;
      }
    }
    subtract_block(panel.begin, panel.end, first, count, panel.top, factors);
  });
}

void Factorisation::form_q() {
  const std::size_t columns = q_.columns();
  for (std::size_t begin = (columns - 1) / kBlock * kBlock;; begin -= kBlock) {
    control_.check();
    const std::size_t end = std::min(begin + kBlock, columns);
    const Panel panel = make_panel(begin, end);
    apply(panel, end, columns, false);
    // The panel's own columns are those of I - V T V': minus V times T's products with V's upper rows, plus
    // one.
    const std::size_t width = panel.width();
    std::vector<double> factors(width * width, 0.0);
    for (std::size_t j = 0; j < width; ++j) {
      for (std::size_t i = 0; i < width; ++i) {
        double sum = 0;
        for (std::size_t k = i; k < width; ++k)
          sum += panel.t[k * width + i] * q_.column(begin + k)[begin + j];
        factors[j * width + i] = sum;
      }
    }
    TallMatrix own(q_.rows(), width);
    kernels_->matrix.subtract(q_.column(begin), width, own.column(0), width, q_.stride(), q_.stride(),
                              factors.data());
    for (std::size_t j = 0; j < width; ++j) {
      own.column(j)[begin + j] += 1;
      std::copy_n(own.column(j), q_.stride(), q_.column(begin + j));
    }
    if (begin == 0) return;
  }
}

}  // namespace fsyn::interactions
