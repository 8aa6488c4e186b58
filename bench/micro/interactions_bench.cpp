// Times the transforms and the all-pairs kernel against sweeps over the same table in the same run.
//
//   interactions_bench [--least 8] [--most 26] [--seconds 2] [--json file] [--kernels name]
//
// Every repetition times every kernel once, one after the other, so that a busy machine disturbs all alike; a
// ratio is the median of the repetitions' own ratios.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "games/memory.hpp"
#include "games/parallel.hpp"
#include "interactions/pair_index.hpp"
#include "interactions/size_index.hpp"
#include "interactions/target.hpp"
#include "interactions/transform.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::interactions;

/// The peer's own time for Shapley interactions of order 2 at n = 18 (shapiq 1.6, one core, measured by hand
/// on the same kind of machine; it evaluates Python loops over interactions and coalitions).
constexpr double kPeerSeconds = 43;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

volatile double sink = 0;

#if FSYN_HAS_TARGETS
// As fast as one core gets over a table: 512-bit operations where there are any.
#define FSYN_SWEEP __attribute__((target_clones("avx512f", "avx2", "default"), noinline, optimize("O3")))
#if defined(__clang__)
#undef FSYN_SWEEP
// Clang refuses noinline beside target_clones; clones are called through a resolver and so never inlined
// anyway.
#define FSYN_SWEEP __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define FSYN_SWEEP
#endif

/// x += x in place: one read and one write per value.
template <class T>
FSYN_INLINE void double_values(T* x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] += x[i];
}
FSYN_SWEEP void sweep(double* x, std::size_t count) {
  double_values(x, count);
}
FSYN_SWEEP void sweep(float* x, std::size_t count) {
  double_values(x, count);
}

/// Sum with 64 accumulators: one read per value.
FSYN_SWEEP double read_sum(const double* x, std::size_t count) {
  double sums[64] = {};
  for (std::size_t i = 0; i < count; i += 64) {
    for (std::size_t lane = 0; lane < 64; ++lane) sums[lane] += x[i + lane];
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

/// Moebius transform as the textbook writes it, one pass per player.
void plain_moebius(double* x, int players) {
  for (int bit = 0; bit < players; ++bit) {
    const std::size_t half = std::size_t{1} << bit;
    for (std::size_t at = 0; at < (std::size_t{1} << players); at += 2 * half) {
      for (std::size_t i = at; i < at + half; ++i) x[i + half] -= x[i];
    }
  }
}

/// Shapley interaction index of all pairs from its definition, one loop over the coalitions per pair.
double plain_pairs(const double* v, int players, const std::vector<double>& weights) {
  double checksum = 0;
  for (int i = 0; i < players; ++i) {
    for (int j = i + 1; j < players; ++j) {
      const std::size_t bi = std::size_t{1} << i;
      const std::size_t bj = std::size_t{1} << j;
      double index = 0;
      for (std::size_t s = 0; s < (std::size_t{1} << players); ++s) {
        if ((s & (bi | bj)) != 0) continue;
        index += weights[static_cast<std::size_t>(std::popcount(s))] *
                 (v[s | bi | bj] - v[s | bi] - v[s | bj] + v[s]);
      }
      checksum += index;
    }
  }
  return checksum;
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

struct Subject {
  std::string name;
  std::string base;  ///< subject whose time is the unit of the ratio; empty for a base
  double bytes;      ///< read and written per run, for GB/s
  std::function<void()> run;
  std::vector<double> times = {};
};

struct Row {
  int players;
  std::string name;
  double median_ms;
  double least_ms;
  double gigabytes_per_second;
  double ratio;
  double least_ratio;
  std::string base;
};

std::vector<Row> measure(int players, std::vector<Subject> subjects, double seconds) {
  // Enough calls per timing that the clock's own cost does not count.
  std::vector<int> calls;
  for (auto& subject : subjects) {
    subject.run();
    const double begin = now();
    subject.run();
    calls.push_back(static_cast<int>(std::clamp(5e-5 / std::max(now() - begin, 1e-9), 1.0, 10000.0)));
  }
  const double end = now() + seconds;
  for (int repetition = 0; repetition < 5 || (now() < end && repetition < 1000); ++repetition) {
    for (std::size_t k = 0; k < subjects.size(); ++k) {
      const double begin = now();
      for (int call = 0; call < calls[k]; ++call) subjects[k].run();
      subjects[k].times.push_back((now() - begin) / calls[k]);
    }
  }
  std::vector<Row> rows;
  for (const auto& subject : subjects) {
    const double least = *std::min_element(subject.times.begin(), subject.times.end());
    Row row{players,
            subject.name,
            1e3 * median(subject.times),
            1e3 * least,
            subject.bytes / median(subject.times) / 1e9,
            std::nan(""),
            std::nan(""),
            subject.base};
    for (const auto& base : subjects) {
      if (subject.base.empty() || base.name != subject.base) continue;
      std::vector<double> ratios;
      for (std::size_t r = 0; r < subject.times.size(); ++r)
        ratios.push_back(subject.times[r] / base.times[r]);
      row.ratio = median(ratios);
      row.least_ratio = least / *std::min_element(base.times.begin(), base.times.end());
    }
    rows.push_back(row);
  }
  return rows;
}

std::vector<Row> bench(int players, double seconds, const std::string& kernels) {
  const std::size_t count = std::size_t{1} << players;
  const double f64 = 8.0 * static_cast<double>(count);
  const double f32 = 4.0 * static_cast<double>(count);
  games::require_memory(static_cast<std::uint64_t>(f64 + f32), "The tables of the benchmark");
  games::AlignedBuffer<double> wide(count);
  games::AlignedBuffer<float> narrow(count);
  // Zeros: repeated transforms in place must not overflow, and no kernel looks at the values.
  std::fill_n(wide.data(), count, 0.0);
  std::fill_n(narrow.data(), count, 0.0F);
  const auto pair_weights = shapley_weights(players, 2);
  const auto single_weights = shapley_weights(players, 1);
  Execution one{&kernel_set(kernels), 1, {}};
  Execution two = one;
  two.threads = 2;
  const auto pairs = [&](const Execution& execution, bool singles) {
    const auto index =
        pair_index(wide.data(), players, pair_weights,
                   singles ? std::span<const double>(single_weights) : std::span<const double>(), execution);
    sink = sink + index.pairs[1];
  };
  std::vector<Subject> subjects;
  subjects.push_back({"in-place sweep f64", "", 2 * f64, [&] { sweep(wide.data(), count); }});
  subjects.push_back({"read sweep f64", "", f64, [&] { sink = sink + read_sum(wide.data(), count); }});
  subjects.push_back({"in-place sweep f32", "", 2 * f32, [&] { sweep(narrow.data(), count); }});
  subjects.push_back({"Moebius f64", "in-place sweep f64", 2 * f64,
                      [&] { transform(wide.data(), players, Transform::kMoebius, 0, one); }});
  subjects.push_back({"Moebius f32", "in-place sweep f32", 2 * f32,
                      [&] { transform(narrow.data(), players, Transform::kMoebius, 0, one); }});
  subjects.push_back({"Walsh-Hadamard f64", "in-place sweep f64", 2 * f64,
                      [&] { transform(wide.data(), players, Transform::kWalshHadamard, 0, one); }});
  subjects.push_back({"all pairs f64", "read sweep f64", f64, [&] { pairs(one, false); }});
  subjects.push_back({"all pairs + singles f64", "read sweep f64", f64, [&] { pairs(one, true); }});
  if (players >= 22 && std::thread::hardware_concurrency() > 1) {
    // What two threads can gain at all: where one core saturates the memory, nothing does.
    const auto halves = [count](const auto& work) {
      games::parallel_for(2, 2, [&](std::size_t half) { work(half * (count / 2), count / 2); });
    };
    subjects.push_back({"in-place sweep f64, 2 threads", "in-place sweep f64", 2 * f64, [&, halves] {
                          halves([&](std::size_t at, std::size_t size) { sweep(wide.data() + at, size); });
                        }});
    subjects.push_back({"read sweep f64, 2 threads", "read sweep f64", f64, [&, halves] {
                          double sums[2] = {};
                          halves([&](std::size_t at, std::size_t size) {
                            sums[at == 0 ? 0 : 1] = read_sum(wide.data() + at, size);
                          });
                          sink = sink + sums[0] + sums[1];
                        }});
    subjects.push_back({"Moebius f64, 2 threads", "Moebius f64", 2 * f64,
                        [&] { transform(wide.data(), players, Transform::kMoebius, 0, two); }});
    subjects.push_back(
        {"all pairs + singles f64, 2 threads", "all pairs + singles f64", f64, [&] { pairs(two, true); }});
  }
  auto rows = measure(players, std::move(subjects), seconds);
  if (players <= 22) {
    std::vector<Subject> plain;
    plain.push_back({"all pairs + singles f64 ", "", f64, [&] { pairs(one, true); }});
    plain.push_back({"plain Moebius loop f64", "", 2 * f64, [&] { plain_moebius(wide.data(), players); }});
    if (players <= 18) {
      plain.push_back({"plain loop per pair f64", "all pairs + singles f64 ", f64,
                       [&] { sink = sink + plain_pairs(wide.data(), players, pair_weights); }});
    }
    for (auto& row : measure(players, std::move(plain), seconds / 4)) {
      if (row.name.back() != ' ') rows.push_back(row);
    }
  }
  return rows;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string today() {
  const std::time_t time = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof(text), "%Y-%m-%d", std::gmtime(&time));
  return text;
}

void print(const Row& row) {
  std::printf("| %2d | %-36s | %11.4f | %11.4f | %7.1f | ", row.players, row.name.c_str(), row.median_ms,
              row.least_ms, row.gigabytes_per_second);
  if (row.base.empty()) {
    std::printf("%8s | %8s |\n", "", "");
  } else {
    std::printf("%8.3f | %8.3f |\n", row.ratio, row.least_ratio);
  }
  std::fflush(stdout);
}

/// How much faster two threads are than one: the sweeps say what the machine allows, for both are bound by
/// memory where a kernel is.
void print_two_threads(const std::vector<Row>& rows, int players) {
  std::string line;
  for (const Row& row : rows) {
    const auto at = row.name.find(", 2 threads");
    if (row.players != players || at == std::string::npos) continue;
    char text[80];
    std::snprintf(text, sizeof(text), "%s%s %.2fx", line.empty() ? "" : ", ", row.name.substr(0, at).c_str(),
                  1 / row.ratio);
    line += text;
  }
  if (!line.empty()) std::printf("n = %d, two threads against one: %s\n", players, line.c_str());
}

void write_json(const std::string& path, const std::vector<Row>& rows, const std::string& kernels) {
  std::ofstream file(path);
  const auto number = [](double x) { return std::isfinite(x) ? std::to_string(x) : std::string("null"); };
  file << "{\n  \"date\": \"" << today() << "\",\n  \"processor\": \"" << processor()
       << "\",\n  \"cores\": " << std::thread::hardware_concurrency() << ",\n  \"kernels\": \"" << kernels
       << "\",\n  \"peerSecondsAt18\": " << kPeerSeconds << ",\n  \"rows\": [\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    file << "    {\"players\": " << row.players << ", \"name\": \"" << row.name
         << "\", \"medianMs\": " << number(row.median_ms) << ", \"leastMs\": " << number(row.least_ms)
         << ", \"gigabytesPerSecond\": " << number(row.gigabytes_per_second) << ", \"base\": \"" << row.base
         << "\", \"medianRatio\": " << number(row.ratio) << ", \"leastRatio\": " << number(row.least_ratio)
         << "}" << (i + 1 < rows.size() ? "," : "") << "\n";
  }
  file << "  ]\n}\n";
}

}  // namespace

int main(int count, char** arguments) {
  int least = 8;
  int most = 26;
  double seconds = 2;
  std::string json;
  std::string kernels;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string key = arguments[i];
    const std::string value = arguments[i + 1];
    if (key == "--least") least = std::atoi(value.c_str());
    if (key == "--most") most = std::atoi(value.c_str());
    if (key == "--seconds") seconds = std::atof(value.c_str());
    if (key == "--json") json = value;
    if (key == "--kernels") kernels = value;
  }
  const std::string name(kernel_set(kernels).name);
  std::printf("%s, %u cores, %s kernels, %s\n\n", processor().c_str(), std::thread::hardware_concurrency(),
              name.c_str(), today().c_str());
  std::printf(
      "|  n | what                                 |   median ms |    least ms |    GB/s |  ratio to its "
      "base: "
      "median, of the least |\n|---:|---|---:|---:|---:|---:|---:|\n");
  std::vector<Row> all;
  for (int players = least; players <= most; players += 2) {
    try {
      for (const auto& row : bench(players, seconds, kernels)) {
        print(row);
        all.push_back(row);
      }
    } catch (const std::exception& error) {
      std::printf("n = %d was not run: %s\n", players, error.what());
    }
  }
  std::printf("\n");
  for (int players = least; players <= most; players += 2) print_two_threads(all, players);
  for (const auto& row : all) {
    if (row.players == 18 && row.name == "all pairs + singles f64") {
      std::printf("\nn = 18, all pairs and singles: %.0f times the peer's %.0f s (shapiq 1.6).\n",
                  kPeerSeconds / (row.median_ms / 1e3), kPeerSeconds);
    }
  }
  if (!json.empty()) write_json(json, all, name);
  return 0;
}
