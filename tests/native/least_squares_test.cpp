// Blocked least squares against plain ones in long double, for every kernel set of this machine.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "check.hpp"
#include "errors.hpp"
#include "interactions/least_squares.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::interactions;
using tests::check;

/// The code of the error that `call` throws; none when it throws none.
template <class Call>
std::optional<ErrorCode> code_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  } catch (const std::invalid_argument&) {
    return ErrorCode::invalid_argument;
  } catch (const Cancelled&) {
    return ErrorCode::cancelled;
  }
  return std::nullopt;
}

struct Problem {
  TallMatrix matrix;
  std::vector<double> right;
};

Problem random_problem(std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  Problem problem{TallMatrix(rows, columns), std::vector<double>(rows)};
  for (std::size_t c = 0; c < columns; ++c) {
    for (std::size_t i = 0; i < rows; ++i) problem.matrix.column(c)[i] = c == 0 ? 1.0 : normal(generator);
  }
  for (auto& value : problem.right) value = normal(generator);
  return problem;
}

TallMatrix copy_of(const TallMatrix& matrix) {
  TallMatrix copy(matrix.rows(), matrix.columns());
  for (std::size_t c = 0; c < matrix.columns(); ++c)
    std::copy_n(matrix.column(c), matrix.rows(), copy.column(c));
  return copy;
}

using Wide = std::vector<long double>;

/// Inverse of a symmetric positive definite matrix by Gauss and Jordan, in long double.
Wide inverse_of(Wide a, std::size_t n) {
  Wide inverse(n * n, 0.0L);
  for (std::size_t i = 0; i < n; ++i) inverse[i * n + i] = 1;
  for (std::size_t p = 0; p < n; ++p) {
    const long double pivot = 1 / a[p * n + p];
    for (std::size_t j = 0; j < n; ++j) {
      a[p * n + j] *= pivot;
      inverse[p * n + j] *= pivot;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const long double factor = a[i * n + p];
      if (i == p || factor == 0) continue;
      for (std::size_t j = 0; j < n; ++j) {
        a[i * n + j] -= factor * a[p * n + j];
        inverse[i * n + j] -= factor * inverse[p * n + j];
      }
    }
  }
  return inverse;
}

/// Normal equations, leverage and HC3 from their definitions. `first` is eliminated when there is a
/// constraint.
LinearFit reference(const Problem& problem, const std::vector<double>& constraint, double total,
                    const std::vector<double>& random) {
  const std::size_t first = constraint.empty() ? 0 : 1;
  const std::size_t rows = problem.matrix.rows();
  const std::size_t n = problem.matrix.columns() - first;
  Wide a(rows * n);
  Wide b(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    b[i] = problem.right[i];
    if (first == 1) b[i] -= static_cast<long double>(total) * problem.matrix.column(0)[i];
    for (std::size_t c = 0; c < n; ++c) {
      a[i * n + c] = problem.matrix.column(c + first)[i];
      if (first == 1)
        a[i * n + c] -= static_cast<long double>(constraint[c + 1]) * problem.matrix.column(0)[i];
    }
  }
  Wide gram(n * n, 0.0L);
  Wide moment(n, 0.0L);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t c = 0; c < n; ++c) {
      moment[c] += a[i * n + c] * b[i];
      for (std::size_t d = 0; d < n; ++d) gram[c * n + d] += a[i * n + c] * a[i * n + d];
    }
  }
  const Wide inverse = inverse_of(gram, n);
  Wide x(n, 0.0L);
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t d = 0; d < n; ++d) x[c] += inverse[c * n + d] * moment[d];
  }
  LinearFit fit;
  Wide variances(n, 0.0L);
  long double eliminated_variance = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    Wide influence(n, 0.0L);
    for (std::size_t c = 0; c < n; ++c) {
      for (std::size_t d = 0; d < n; ++d) influence[c] += inverse[c * n + d] * a[i * n + d];
    }
    long double residual = b[i];
    long double leverage = 0;
    for (std::size_t c = 0; c < n; ++c) {
      residual -= a[i * n + c] * x[c];
      leverage += a[i * n + c] * influence[c];
    }
    fit.residuals.push_back(static_cast<double>(residual));
    if (!random.empty() && random[i] == 0) continue;
    const long double scaled = residual / (1 - leverage);
    long double eliminated = 0;
    for (std::size_t c = 0; c < n; ++c) {
      variances[c] += influence[c] * scaled * influence[c] * scaled;
      if (first == 1) eliminated -= constraint[c + 1] * influence[c];
    }
    eliminated_variance += eliminated * scaled * eliminated * scaled;
  }
  if (first == 1) {
    long double value = total;
    for (std::size_t c = 0; c < n; ++c) value -= constraint[c + 1] * x[c];
    fit.solution.push_back(static_cast<double>(value));
    fit.standard_errors.push_back(static_cast<double>(std::sqrt(eliminated_variance)));
  }
  for (std::size_t c = 0; c < n; ++c) {
    fit.solution.push_back(static_cast<double>(x[c]));
    fit.standard_errors.push_back(static_cast<double>(std::sqrt(variances[c])));
  }
  return fit;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, std::fabs(a[i] - b[i]));
  return worst;
}

void test_fits(const KernelSet& kernels) {
  // Sizes around a block of 32 columns, the padding of 8 rows and the chunk of 512.
  const std::size_t sizes[][2] = {{5, 1},   {9, 3},    {40, 31},  {70, 32},   {71, 33},
                                  {90, 65}, {600, 40}, {1030, 7}, {523, 100}, {64, 64}};
  for (const auto& [rows, columns] : sizes) {
    for (const bool constrained : {false, true}) {
      const auto problem = random_problem(rows, columns, static_cast<unsigned>(rows + columns));
      std::vector<double> constraint;
      if (constrained) {
        for (std::size_t c = 0; c < columns; ++c)
          constraint.push_back(c == 0 ? 1.0 : 0.5 + static_cast<double>(c % 3));
      }
      std::vector<double> random(rows, 1.0);
      random[rows / 2] = 0;
      const bool square = rows == columns && !constrained;
      const auto expected = reference(problem, constraint, 0.7, random);
      std::vector<std::vector<double>> solutions;
      for (const int threads : {1, 3}) {
        const Execution execution{&kernels, threads, {}};
        const auto fit =
            least_squares(copy_of(problem.matrix), problem.right, constraint, 0.7, random, execution);
        const auto name = std::string(kernels.name) + ", " + std::to_string(rows) + " x " +
                          std::to_string(columns) + (constrained ? " constrained" : "");
        // Random matrices with up to 0.97 columns per row have condition numbers of a few hundred, square
        // ones of 1e4.
        const double tolerance = rows < columns + 10 ? 1e-8 : 1e-11;
        check(largest_difference(fit.solution, expected.solution) < tolerance, name + ": solution");
        check(largest_difference(fit.residuals, expected.residuals) < tolerance, name + ": residuals");
        if (square) {
          check(std::all_of(fit.standard_errors.begin(), fit.standard_errors.end(),
                            [](double error) { return std::isinf(error); }),
                name + ": a saturated fit knows no errors");
        } else if (rows >= columns + 10) {
          check(largest_difference(fit.standard_errors, expected.standard_errors) < 1e-8, name + ": errors");
        }
        if (constrained) {
          double total = 0;
          for (std::size_t c = 0; c < columns; ++c) total += constraint[c] * fit.solution[c];
          check(std::fabs(total - 0.7) < 1e-11, name + ": the constraint holds");
        }
        solutions.push_back(fit.solution);
        solutions.push_back(fit.standard_errors);
      }
      check(solutions[0] == solutions[2] && solutions[1] == solutions[3], "the same bytes on threads");
    }
  }
}

/// Large enough for threads to start.
void test_threads(const KernelSet& kernels) {
  const auto problem = random_problem(9000, 130, 3);
  std::vector<LinearFit> fits;
  for (const int threads : {1, 2, 5}) {
    fits.push_back(least_squares(copy_of(problem.matrix), problem.right, {}, 0, {}, {&kernels, threads, {}}));
  }
  for (const auto& fit : fits) {
    check(fit.solution == fits[0].solution && fit.standard_errors == fits[0].standard_errors &&
              fit.residuals == fits[0].residuals,
          std::string(kernels.name) + ": the same bytes on threads, large");
  }
  double worst = 0;
  for (std::size_t c = 0; c < problem.matrix.columns(); ++c) {
    double product = 0;
    for (std::size_t i = 0; i < problem.right.size(); ++i)
      product += problem.matrix.column(c)[i] * fits[0].residuals[i];
    worst = std::max(worst, std::fabs(product));
  }
  check(worst < 1e-9, std::string(kernels.name) + ": residuals are orthogonal to the columns");
}

void test_refusals() {
  auto problem = random_problem(20, 4, 1);
  for (std::size_t i = 0; i < 20; ++i)
    problem.matrix.column(3)[i] = problem.matrix.column(1)[i] - problem.matrix.column(2)[i];
  const auto fit = [&](const std::vector<double>& constraint, const std::vector<double>& random) {
    (void)least_squares(copy_of(problem.matrix), problem.right, constraint, 0, random);
  };
  check(code_of([&] { fit({}, {}); }) == ErrorCode::rank_deficient, "a dependent column");
  check(code_of([&] { fit({1, 0}, {}); }) == ErrorCode::invalid_argument, "a constraint of another size");
  check(code_of([&] { fit({}, {1, 0}); }) == ErrorCode::invalid_argument, "flags of another size");
  check(code_of([&] { (void)least_squares(TallMatrix(3, 4), std::vector<double>(3), {}, 0); }) ==
            ErrorCode::budget,
        "fewer rows than columns");
  check(code_of([&] { (void)least_squares(TallMatrix(4, 4), std::vector<double>(3), {}, 0); }) ==
            ErrorCode::invalid_argument,
        "another number of values");
  std::stop_source source;
  source.request_stop();
  Execution stopped;
  stopped.control.stop = source.get_token();
  const auto sound = random_problem(20, 4, 2);
  check(code_of([&] { (void)least_squares(copy_of(sound.matrix), sound.right, {}, 0, {}, stopped); }) ==
            ErrorCode::cancelled,
        "a stop request");
  const std::vector<double> one_constraint{1.0};
  const auto single = random_problem(3, 1, 1);
  const auto determined = least_squares(copy_of(single.matrix), single.right, one_constraint, 2.5);
  check(determined.solution == std::vector<double>{2.5} &&
            determined.standard_errors == std::vector<double>{0.0},
        "a constraint alone determines one column");
}

void test_design() {
  // 34 players in two words; rows: {}, {0, 33}, {33}, everyone.
  const std::vector<std::uint32_t> words{0, 0, 1, 2, 0, 2, 0xFFFFFFFF, 3};
  const std::vector<double> scale{1, 2, 3, 4};
  const std::vector<std::int32_t> members{0, 33, 0, 33};
  const std::vector<std::int32_t> offsets{0, 0, 1, 2, 4};
  const std::vector<double> shares{1, 0, 0, 10, 11, 0, 20, 21, 22};
  const InteractionDesign design{members, offsets, shares, 3};
  const auto matrix = design_matrix(words, scale, design, 34);
  const double expected[4][4] = {{1, 2, 3, 4}, {10, 22, 30, 44}, {10, 22, 33, 44}, {20, 44, 63, 88}};
  for (std::size_t c = 0; c < 4; ++c) {
    check(std::equal(expected[c], expected[c] + 4, matrix.column(c)), "design column " + std::to_string(c));
  }
  const std::vector<std::int32_t> outside{0, 34, 0, 33};
  check(code_of([&] {
          (void)design_matrix(words, scale, {outside, offsets, shares, 3}, 34);
        }) == ErrorCode::invalid_argument,
        "a member that is no player");
  check(code_of([&] {
          (void)design_matrix(words, scale, {members, offsets, shares, 2}, 34);
        }) == ErrorCode::invalid_argument,
        "shares of another size");
  check(code_of([&] {
          (void)design_matrix(words, {scale.data(), 3}, design, 34);
        }) == ErrorCode::invalid_argument,
        "words of another number of rows");
}

}  // namespace

int main() {
  return tests::run([] {
    for (const KernelSet* kernels : kernel_sets()) {
      std::printf("kernels: %s\n", std::string(kernels->name).c_str());
      test_fits(*kernels);
      test_threads(*kernels);
    }
    test_refusals();
    test_design();
  });
}
