#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "interactions/householder.hpp"

namespace fsyn::interactions {

/// A fitted linear model.
struct LinearFit {
  std::vector<double> solution;  ///< [columns]
  std::vector<double>
      standard_errors;  ///< [columns], heteroscedasticity-consistent (HC3); infinite where saturated
  std::vector<double> residuals;  ///< [rows], right - matrix * solution
};

/// Least squares by Householder reflections, optionally under one linear equality constraint.
///
/// matrix: rows already scaled by the square roots of their weights, as is `right`. constraint: empty, or
/// [columns] with constraint[0] = 1, for sum of constraint[c] x[c] = constraint_value, which is eliminated
/// rather than weighted, so it holds to rounding. O(rows columns^2).
///
/// Throws Error BUDGET when there are fewer rows than free columns, RANK_DEFICIENT when a column depends on
/// the ones before it: an arbitrary solution is never returned. Cancelled when stopped.
///
/// random: [rows], zero for rows that would be the same in every sample, whose residuals are then no error;
/// empty if none.
///
/// Standard errors: MacKinnon and White 1985, estimator HC3, residuals divided by one minus their leverage.
[[nodiscard]] LinearFit least_squares(TallMatrix matrix, std::span<const double> right,
                                      std::span<const double> constraint, double constraint_value,
                                      std::span<const double> random = {}, const Execution& execution = {});

/// Which columns a regression on coalitions has.
struct InteractionDesign {
  std::span<const std::int32_t> members;  ///< of all interactions, one after the other
  std::span<const std::int32_t> offsets;  ///< interaction c has members[offsets[c] .. offsets[c + 1])
  /// [orders][orders]: shares[s * orders + r] is what an interaction of s players gives a coalition with r of
  /// them.
  std::span<const double> shares;
  std::size_t orders = 0;
};

/// The design matrix of coalitions: words [rows][word_count], player p is bit p % 32 of word p / 32; row i is
/// scaled by scale[i]. Throws std::invalid_argument for sizes that do not fit, Error OUT_OF_MEMORY.
[[nodiscard]] TallMatrix design_matrix(std::span<const std::uint32_t> words, std::span<const double> scale,
                                       const InteractionDesign& design, std::size_t players);

}  // namespace fsyn::interactions
