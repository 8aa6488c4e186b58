#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "games/memory.hpp"
#include "interactions/transform.hpp"

namespace fsyn::interactions {

/// A tall matrix by columns, each padded with zero rows to a multiple of 8.
class TallMatrix {
 public:
  /// Zeros.
  TallMatrix(std::size_t rows, std::size_t columns);

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
  [[nodiscard]] std::size_t stride() const noexcept { return stride_; }
  [[nodiscard]] double* column(std::size_t c) noexcept { return values_.data() + c * stride_; }
  [[nodiscard]] const double* column(std::size_t c) const noexcept { return values_.data() + c * stride_; }

  [[nodiscard]] static std::size_t bytes(std::size_t rows, std::size_t columns) noexcept;

 private:
  std::size_t rows_;
  std::size_t columns_;
  std::size_t stride_;
  games::AlignedBuffer<double> values_;
};

/// A = Q R by Householder reflections in blocks of 32 columns (Schreiber and Van Loan 1989, compact WY form),
/// with Q formed in A's place. The result does not depend on the threads.
class Factorisation {
 public:
  /// Throws Error RANK_DEFICIENT when a column depends on the ones before it; `first_column` counts columns
  /// that the caller has eliminated, for the message.
  Factorisation(TallMatrix matrix, std::size_t first_column, const Execution& execution);

  /// Q's column c, rows long.
  [[nodiscard]] const double* q(std::size_t c) const noexcept { return q_.column(c); }

  /// b = Q' right, right [rows].
  [[nodiscard]] std::vector<double> project(std::span<const double> right) const;
  /// x with R x = b.
  [[nodiscard]] std::vector<double> solve(std::vector<double> b) const;
  /// right - Q b.
  [[nodiscard]] std::vector<double> residuals(std::span<const double> right, std::span<const double> b) const;

  /// Turns Q into Q R^-T, whose column c is how every right-hand side entry moves x[c].
  void to_influence();

 private:
  struct Panel;
  void reflect(std::size_t first_column);
  void reflect_column(std::size_t c, std::size_t panel, std::size_t first_column);
  void form_q();
  /// Columns [begin, end) of Q -= V (T or T') V' of them, V the panel's reflectors.
  void apply(const Panel& panel, std::size_t begin, std::size_t end, bool transposed);
  /// work(first, count) for pieces of the columns [begin, end), on threads where rows from `top` on times
  /// `width` are worth it.
  template <class Work>
  void for_columns(std::size_t begin, std::size_t end, std::size_t top, std::size_t width,
                   const Work& work) const;
  /// Columns first .. first + count of Q -= columns [begin, end) times factors [count][end - begin], rows
  /// from `top` on.
  void subtract_block(std::size_t begin, std::size_t end, std::size_t first, std::size_t count,
                      std::size_t top, std::span<const double> factors);
  [[nodiscard]] Panel make_panel(std::size_t begin, std::size_t end);
  [[nodiscard]] double& r(std::size_t row, std::size_t column) { return r_[column * q_.columns() + row]; }
  [[nodiscard]] double r(std::size_t row, std::size_t column) const {
    return r_[column * q_.columns() + row];
  }

  const KernelSet* kernels_;
  int threads_;
  games::Control control_;
  TallMatrix q_;
  std::vector<double> r_;      ///< [columns][columns], upper triangle, column after column
  std::vector<double> scale_;  ///< 2 / |reflector|^2
  std::vector<double> norms_;  ///< of the matrix's columns
};

}  // namespace fsyn::interactions
