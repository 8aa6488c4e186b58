#pragma once

#include <span>
#include <vector>

#include "games/control.hpp"

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
/// matrix: [columns][rows], column after column, rows already scaled by the square roots of their weights, as
/// is `right`. constraint: empty, or [columns] with constraint[0] = 1, for sum of constraint[c] x[c] =
/// constraint_value, which is eliminated rather than weighted, so it holds to rounding. O(rows columns^2).
///
/// Throws Error BUDGET when there are fewer rows than free columns, RANK_DEFICIENT when a column depends on
/// the ones before it: an arbitrary solution is never returned. Cancelled when stopped.
///
/// random: [rows], zero for rows that would be the same in every sample, whose residuals are then no error;
/// empty if none.
///
/// Standard errors: MacKinnon and White 1985, estimator HC3, residuals divided by one minus their leverage.
[[nodiscard]] LinearFit least_squares(std::span<const double> matrix, std::span<const double> right,
                                      std::size_t columns, std::span<const double> constraint,
                                      double constraint_value, std::span<const double> random = {},
                                      const games::Control& control = {});

}  // namespace fsyn::interactions
