#include "interactions/least_squares.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "errors.hpp"

namespace fsyn::interactions {
namespace {

void check(const TallMatrix& matrix, std::span<const double> right, std::span<const double> constraint,
           std::span<const double> random) {
  const std::size_t rows = matrix.rows();
  const std::size_t columns = matrix.columns();
  if (columns == 0 || right.size() != rows || (!constraint.empty() && constraint.size() != columns)) {
    throw std::invalid_argument("Expected a matrix of " + std::to_string(right.size()) + " rows and " +
                                std::to_string(constraint.size()) + " columns.");
  }
  if (!random.empty() && random.size() != rows)
    throw std::invalid_argument("Expected one random flag per row.");
  const std::size_t free = columns - (constraint.empty() ? 0 : 1);
  if (rows < free) {
    throw Error(ErrorCode::budget, "A budget of " + std::to_string(rows) + " coalitions cannot determine " +
                                       std::to_string(free) + " interactions.");
  }
}

/// With x[0] = value - sum of constraint[c] x[c], column 0 moves to the right-hand side.
TallMatrix eliminate_first(const TallMatrix& matrix, std::span<const double> constraint) {
  TallMatrix reduced(matrix.rows(), matrix.columns() - 1);
  for (std::size_t c = 0; c < reduced.columns(); ++c) {
    const double factor = constraint[c + 1];
    const double* const first = matrix.column(0);
    const double* const own = matrix.column(c + 1);
    double* const to = reduced.column(c);
    for (std::size_t i = 0; i < matrix.rows(); ++i) to[i] = own[i] - factor * first[i];
  }
  return reduced;
}

/// Residuals divided by one minus their leverage, 0 for rows that are the same in every sample.
std::vector<double> scaled_residuals(const Factorisation& factors, std::size_t columns,
                                     std::span<const double> residuals, std::span<const double> random) {
  // A row that the fit must pass through says nothing about its own error.
  constexpr double kSaturated = 1e-9;
  const std::size_t rows = residuals.size();
  std::vector<double> leverage(rows, 0.0);
  for (std::size_t c = 0; c < columns; ++c) {
    const double* const q = factors.q(c);
    for (std::size_t i = 0; i < rows; ++i) leverage[i] += q[i] * q[i];
  }
  std::vector<double> scaled(rows, 0.0);
  for (std::size_t i = 0; i < rows; ++i) {
    if (!random.empty() && random[i] == 0) continue;
    const double spare = 1 - leverage[i];
    scaled[i] = spare > kSaturated ? residuals[i] / spare : std::numeric_limits<double>::infinity();
  }
  return scaled;
}

double error_of(const double* influence, std::span<const double> scaled) {
  double sum = 0;
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    if (std::fabs(influence[i]) > 1e-12) sum += (influence[i] * scaled[i]) * (influence[i] * scaled[i]);
  }
  return std::sqrt(sum);
}

LinearFit fit_free(TallMatrix matrix, std::span<const double> right, std::span<const double> constraint,
                   double constraint_value, std::span<const double> random, const Execution& execution) {
  const std::size_t first = constraint.empty() ? 0 : 1;
  const std::size_t free = matrix.columns();
  const std::size_t rows = matrix.rows();
  Factorisation factors(std::move(matrix), first, execution);
  const auto projected = factors.project(right);
  LinearFit fit;
  fit.residuals = factors.residuals(right, projected);
  fit.solution = factors.solve(projected);
  const auto scaled = scaled_residuals(factors, free, fit.residuals, random);
  factors.to_influence();
  fit.standard_errors.resize(first + free);
  std::vector<double> eliminated(first * rows, 0.0);
  for (std::size_t c = 0; c < free; ++c) {
    const double* const influence = factors.q(c);
    fit.standard_errors[first + c] = error_of(influence, scaled);
    for (std::size_t i = 0; i < eliminated.size(); ++i) eliminated[i] -= constraint[c + 1] * influence[i];
  }
  if (first == 1) {
    fit.standard_errors[0] = error_of(eliminated.data(), scaled);
    double value = constraint_value;
    for (std::size_t c = 0; c < free; ++c) value -= constraint[c + 1] * fit.solution[c];
    fit.solution.insert(fit.solution.begin(), value);
  }
  return fit;
}

}  // namespace

LinearFit least_squares(TallMatrix matrix, std::span<const double> right, std::span<const double> constraint,
                        double constraint_value, std::span<const double> random, const Execution& execution) {
  check(matrix, right, constraint, random);
  if (constraint.empty()) return fit_free(std::move(matrix), right, constraint, 0, random, execution);
  std::vector<double> target(right.begin(), right.end());
  for (std::size_t i = 0; i < target.size(); ++i) target[i] -= constraint_value * matrix.column(0)[i];
  // The constraint alone determines a single column.
  if (matrix.columns() == 1) return {{constraint_value}, {0.0}, std::move(target)};
  auto reduced = eliminate_first(matrix, constraint);
  matrix = TallMatrix(0, 0);
  return fit_free(std::move(reduced), target, constraint, constraint_value, random, execution);
}

TallMatrix design_matrix(std::span<const std::uint32_t> words, std::span<const double> scale,
                         const InteractionDesign& design, std::size_t players) {
  const std::size_t rows = scale.size();
  const std::size_t word_count = (players + 31) / 32;
  if (design.offsets.empty() || words.size() != rows * word_count ||
      design.shares.size() != design.orders * design.orders) {
    throw std::invalid_argument("Expected words of every row and shares of every order.");
  }
  const std::size_t columns = design.offsets.size() - 1;
  // Twice: a constraint is eliminated into a second matrix before the first is freed.
  games::require_memory(2 * TallMatrix::bytes(rows, columns) + sizeof(double) * columns * columns,
                        "A regression on this budget");
  TallMatrix matrix(rows, columns);
  std::vector<std::uint8_t> inside(rows);
  for (std::size_t c = 0; c < columns; ++c) {
    const auto begin = static_cast<std::size_t>(design.offsets[c]);
    const auto end = static_cast<std::size_t>(design.offsets[c + 1]);
    if (end < begin || end > design.members.size() || end - begin >= design.orders) {
      throw std::invalid_argument("Expected interactions of fewer than " + std::to_string(design.orders) +
                                  " players.");
    }
    std::fill(inside.begin(), inside.end(), std::uint8_t{0});
    for (std::size_t m = begin; m < end; ++m) {
      const auto player = static_cast<std::size_t>(design.members[m]);
      if (player >= players)
        throw std::invalid_argument("Expected members below " + std::to_string(players) + ".");
      const std::uint32_t* const word = words.data() + player / 32;
      for (std::size_t i = 0; i < rows; ++i) {
        inside[i] = static_cast<std::uint8_t>(inside[i] + ((word[i * word_count] >> (player % 32)) & 1));
      }
    }
    const double* const shares = design.shares.data() + (end - begin) * design.orders;
    double* const column = matrix.column(c);
    for (std::size_t i = 0; i < rows; ++i) column[i] = scale[i] * shares[inside[i]];
  }
  return matrix;
}

}  // namespace fsyn::interactions
