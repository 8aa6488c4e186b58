#include "interactions/least_squares.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "errors.hpp"

namespace fsyn::interactions {
namespace {

double dot(const double* a, const double* b, std::size_t count) {
  // Eight partial sums: a fixed order that still fills vector registers.
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  double sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(double* to, const double* from, double factor, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

/// A = Q R of a tall matrix [columns][rows], with Q formed.
class Factorisation {
 public:
  Factorisation(std::vector<double> matrix, std::size_t rows, std::size_t columns, std::size_t first_column,
                const games::Control& control)
      : rows_(rows),
        columns_(columns),
        q_(std::move(matrix)),
        r_(columns * columns, 0.0),
        scale_(columns, 0.0) {
    reflect(first_column, control);
    form_q(control);
  }

  [[nodiscard]] const double* q(std::size_t c) const { return q_.data() + c * rows_; }

  /// x with R x = b, b = Q' right.
  [[nodiscard]] std::vector<double> solve(std::span<const double> right) const {
    std::vector<double> x(columns_);
    for (std::size_t c = 0; c < columns_; ++c) x[c] = dot(q(c), right.data(), rows_);
    for (std::size_t c = columns_; c-- > 0;) {
      x[c] /= r_[c * columns_ + c];
      for (std::size_t above = 0; above < c; ++above) x[above] -= r_[c * columns_ + above] * x[c];
    }
    return x;
  }

  /// Turns Q into Q R^-T, whose column c is how every right-hand side entry moves x[c].
  void to_influence() {
    for (std::size_t c = columns_; c-- > 0;) {
      double* const own = q_.data() + c * rows_;
      for (std::size_t later = c + 1; later < columns_; ++later) {
        add_scaled(own, q(later), -r_[later * columns_ + c], rows_);
      }
      const double inverse = 1 / r_[c * columns_ + c];
      for (std::size_t i = 0; i < rows_; ++i) own[i] *= inverse;
    }
  }

 private:
  void reflect(std::size_t first_column, const games::Control& control) {
    // A dependent column keeps only the rounding of the steps before it, far below this.
    constexpr double kDependent = 1e-9;
    for (std::size_t c = 0; c < columns_; ++c) {
      control.check();
      double* const own = q_.data() + c * rows_;
      const double whole = std::sqrt(dot(own, own, rows_));
      for (std::size_t before = 0; before < c; ++before) {
        const double* const reflector = q_.data() + before * rows_;
        const double factor = scale_[before] * dot(reflector + before, own + before, rows_ - before);
        add_scaled(own + before, reflector + before, -factor, rows_ - before);
        r_[c * columns_ + before] = own[before];
      }
      const double rest = std::sqrt(dot(own + c, own + c, rows_ - c));
      if (!(rest > kDependent * whole)) {
        throw Error("RANK_DEFICIENT", "The sampled coalitions do not determine all interactions: column " +
                                          std::to_string(c + first_column) + " of " +
                                          std::to_string(columns_ + first_column) +
                                          " depends on the others. Raise the budget or lower the order.");
      }
      const double pivot = own[c] > 0 ? -rest : rest;
      r_[c * columns_ + c] = pivot;
      own[c] -= pivot;
      scale_[c] = 2 / dot(own + c, own + c, rows_ - c);
      // Entries above the reflector are R's and live there; the storage is Q's.
      std::fill(own, own + c, 0.0);
    }
  }

  void form_q(const games::Control& control) {
    for (std::size_t c = columns_; c-- > 0;) {
      control.check();
      std::vector<double> reflector(q_.begin() + static_cast<std::ptrdiff_t>(c * rows_),
                                    q_.begin() + static_cast<std::ptrdiff_t>((c + 1) * rows_));
      double* const own = q_.data() + c * rows_;
      std::fill(own, own + rows_, 0.0);
      own[c] = 1;
      for (std::size_t column = c; column < columns_; ++column) {
        double* const target = q_.data() + column * rows_;
        const double factor = scale_[c] * dot(reflector.data() + c, target + c, rows_ - c);
        add_scaled(target + c, reflector.data() + c, -factor, rows_ - c);
      }
    }
  }

  std::size_t rows_;
  std::size_t columns_;
  std::vector<double> q_;      ///< [columns][rows]
  std::vector<double> r_;      ///< [columns][columns], upper triangle, column after column
  std::vector<double> scale_;  ///< 2 / |reflector|^2
};

void check(std::span<const double> matrix, std::size_t rows, std::size_t columns,
           std::span<const double> constraint) {
  if (columns == 0 || matrix.size() != rows * columns ||
      (!constraint.empty() && constraint.size() != columns)) {
    throw std::invalid_argument("Expected a matrix of " + std::to_string(rows) + " rows and " +
                                std::to_string(columns) + " columns.");
  }
  const std::size_t free = columns - (constraint.empty() ? 0 : 1);
  if (rows < free) {
    throw Error("BUDGET", "A budget of " + std::to_string(rows) + " coalitions cannot determine " +
                              std::to_string(free) + " interactions.");
  }
}

}  // namespace

LinearFit least_squares(std::span<const double> matrix, std::span<const double> right, std::size_t columns,
                        std::span<const double> constraint, double constraint_value,
                        std::span<const double> random, const games::Control& control) {
  const std::size_t rows = right.size();
  check(matrix, rows, columns, constraint);
  if (!random.empty() && random.size() != rows)
    throw std::invalid_argument("Expected one random flag per row.");
  // With x[0] = value - sum of constraint[c] x[c], column 0 moves to the right-hand side.
  const std::size_t first = constraint.empty() ? 0 : 1;
  const std::size_t free = columns - first;
  const double* const eliminated = matrix.data();
  std::vector<double> reduced(matrix.begin() + static_cast<std::ptrdiff_t>(first * rows), matrix.end());
  std::vector<double> target(right.begin(), right.end());
  if (first == 1) {
    for (std::size_t c = 0; c < free; ++c)
      add_scaled(&reduced[c * rows], eliminated, -constraint[c + 1], rows);
    add_scaled(target.data(), eliminated, -constraint_value, rows);
  }

  LinearFit fit;
  fit.residuals.assign(right.begin(), right.end());
  std::vector<double> scaled(rows);
  std::vector<double> free_influence(first == 1 ? rows : 0, 0.0);
  if (free > 0) {
    Factorisation factors(std::move(reduced), rows, free, first, control);
    fit.solution = factors.solve(target);
    std::vector<double> leverage(rows, 0.0);
    for (std::size_t c = 0; c < free; ++c) {
      for (std::size_t i = 0; i < rows; ++i) leverage[i] += factors.q(c)[i] * factors.q(c)[i];
    }
    if (first == 1) {
      double eliminated_value = constraint_value;
      for (std::size_t c = 0; c < free; ++c) eliminated_value -= constraint[c + 1] * fit.solution[c];
      fit.solution.insert(fit.solution.begin(), eliminated_value);
    }
    for (std::size_t c = 0; c < columns; ++c) {
      add_scaled(fit.residuals.data(), matrix.data() + c * rows, -fit.solution[c], rows);
    }
    for (std::size_t i = 0; i < rows; ++i) {
      if (!random.empty() && random[i] == 0) continue;
      // A row that the fit must pass through says nothing about its own error.
      constexpr double kSaturated = 1e-9;
      const double spare = 1 - leverage[i];
      scaled[i] = spare > kSaturated ? fit.residuals[i] / spare : std::numeric_limits<double>::infinity();
    }
    factors.to_influence();
    fit.standard_errors.resize(columns);
    const auto error_of = [&](const double* influence) {
      double sum = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        if (std::fabs(influence[i]) > 1e-12) sum += (influence[i] * scaled[i]) * (influence[i] * scaled[i]);
      }
      return std::sqrt(sum);
    };
    for (std::size_t c = 0; c < free; ++c) {
      fit.standard_errors[c + first] = error_of(factors.q(c));
      if (first == 1) add_scaled(free_influence.data(), factors.q(c), -constraint[c + 1], rows);
    }
    if (first == 1) fit.standard_errors[0] = error_of(free_influence.data());
    return fit;
  }
  fit.solution = {constraint_value};
  fit.standard_errors = {0.0};
  add_scaled(fit.residuals.data(), eliminated, -constraint_value, rows);
  return fit;
}

}  // namespace fsyn::interactions
