#include "cuda_runtime.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

// The linker's names for the bounds of what __shared__ puts into one section.
extern "C" {
extern char __start_fsyn_shared[];
extern char __stop_fsyn_shared[];
}

namespace {

constexpr unsigned kWarp = 32;
/// Bytes of a thread's stack; the sanitizers' frames are several times as large as others.
constexpr std::size_t kStack = std::size_t{1} << 17;
constexpr std::size_t kMemory = std::size_t{1} << 30;
/// Bytes before and after every allocation that nobody may change.
constexpr std::size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xA5;
/// All bits set is NaN in every float type.
constexpr int kUnset = 0xFF;

[[noreturn]] void die(const char* what, int line) {
  std::fprintf(stderr, "CUDA emulation: %s (line %d, block %u of %u, thread %u)\n", what, line, blockIdx.x,
               gridDim.x, threadIdx.x);
  std::abort();
}

/// What __shared__ variables hold when a block begins.
void forget_shared() {
  std::memset(__start_fsyn_shared, kUnset,
              static_cast<std::size_t>(__stop_fsyn_shared - __start_fsyn_shared));
}

/// Threads that wait for each other: a block, or a warp of it.
struct Group {
  unsigned threads = 0;
  unsigned arrived = 0;
  int line = 0;
};

struct Warp {
  Group group;
  /// Two shuffles' values: a lane may put in its next one while others still read this one.
  std::uint64_t values[2][kWarp] = {};
};

/// Where a stack goes on.
struct Place {
  ucontext_t context{};
  jmp_buf jump{};
  bool entered = false;
};

/// Leaves the running stack for another. swapcontext alone would do, at the price of two calls of the kernel
/// each time; the address sanitizer knows no other.
void transfer(Place& from, Place& to) {
#if defined(__SANITIZE_ADDRESS__)
  swapcontext(&from.context, &to.context);
#else
  if (_setjmp(from.jump) != 0) return;
  if (to.entered) _longjmp(to.jump, 1);
  to.entered = true;
  setcontext(&to.context);
#endif
}

/// A CUDA thread: a stack of its own, on the one thread of the operating system that runs the launch.
struct Fiber {
  enum class State { kReady, kWaiting, kDone };
  Place place;
  std::unique_ptr<char[]> stack;
  State state = State::kReady;
  const Group* waits_for = nullptr;
  unsigned shuffles = 0;
};

/// Runs one block after the other. A warp runs until all its lanes wait for others or have ended, then
/// another that is drawn, so that a missing barrier shows as a wrong value. The order is the same in every
/// process.
class Block {
 public:
  explicit Block(unsigned threads) : fibers_(threads), group_{threads} {
    for (unsigned first = 0; first < threads; first += kWarp) {
      order_.push_back(static_cast<unsigned>(warps_.size()));
      warps_.push_back({.group = {std::min(kWarp, threads - first)}});
    }
    for (Fiber& fiber : fibers_) prepare(fiber);
  }

  void run(const std::function<void()>& body) {
    current = this;
    body_ = &body;
    forget_shared();
    for (Fiber& fiber : fibers_) fiber.state = Fiber::State::kReady;
    while (turn()) {
    }
    for (const Fiber& fiber : fibers_) {
      if (fiber.state != Fiber::State::kDone)
        die("threads wait for others that have left the kernel", fiber.waits_for->line);
    }
  }

  void synchronise(int line) { wait(group_, line); }

  std::uint64_t exchange(std::uint64_t value, unsigned from, int line) {
    Warp& warp = warps_[threadIdx.x / kWarp];
    std::uint64_t* const values = warp.values[fibers_[threadIdx.x].shuffles++ % 2];
    values[threadIdx.x % kWarp] = value;
    wait(warp.group, line);
    // A lane that does not exist leaves the caller its own value.
    return from < kWarp ? values[from] : value;
  }

  static Block* current;

 private:
  // getcontext may return twice, which the optimiser minds around a loop.
  static void prepare(Fiber& fiber) {
    fiber.stack = std::make_unique_for_overwrite<char[]>(kStack);
    ucontext_t& context = fiber.place.context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack.get();
    context.uc_stack.ss_size = kStack;
    makecontext(&context, &Block::main, 0);
  }

  static void main() {
    for (;;) {
      (*current->body_)();
      current->fibers_[threadIdx.x].state = Fiber::State::kDone;
      current->leave();
    }
  }

  /// Lets each warp run as far as it gets, in a drawn order; whether any thread ran.
  bool turn() {
    bool ran = false;
    std::shuffle(order_.begin(), order_.end(), generator_);
    for (const unsigned warp : order_) {
      while (run_lanes(warp)) ran = true;
    }
    return ran;
  }

  bool run_lanes(unsigned warp) {
    bool ran = false;
    backwards_ = !backwards_;
    const unsigned lanes = warps_[warp].group.threads;
    for (unsigned i = 0; i < lanes; ++i) {
      const unsigned thread = warp * kWarp + (backwards_ ? lanes - 1 - i : i);
      if (fibers_[thread].state != Fiber::State::kReady) continue;
      ran = true;
      threadIdx = dim3(thread, 0, 0);
      transfer(scheduler_, fibers_[thread].place);
    }
    return ran;
  }

  void leave() { transfer(fibers_[threadIdx.x].place, scheduler_); }

  void wait(Group& group, int line) {
    if (group.arrived > 0 && line != group.line) die("threads of one group wait at different places", line);
    group.line = line;
    if (++group.arrived < group.threads) {
      fibers_[threadIdx.x].state = Fiber::State::kWaiting;
      fibers_[threadIdx.x].waits_for = &group;
      leave();
      return;
    }
    group.arrived = 0;
    for (Fiber& fiber : fibers_) {
      if (fiber.state == Fiber::State::kWaiting && fiber.waits_for == &group)
        fiber.state = Fiber::State::kReady;
    }
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  Group group_;
  Place scheduler_{.entered = true};
  std::vector<unsigned> order_;
  std::mt19937 generator_{1};
  bool backwards_ = true;
};

Block* Block::current = nullptr;

/// Memory of the device: from its first byte to its size.
class DeviceMemory {
 public:
  ~DeviceMemory() {
    if (!sizes_.empty()) {
      std::fprintf(stderr, "CUDA emulation: %zu allocations were never freed\n", sizes_.size());
      std::abort();
    }
  }

  cudaError_t allocate(void** memory, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    if (bytes > kMemory - used_) return cudaErrorMemoryAllocation;
    auto* const all = static_cast<unsigned char*>(std::aligned_alloc(kGuard, padded(bytes)));
    if (all == nullptr) return cudaErrorMemoryAllocation;
    std::memset(all, kGuardByte, padded(bytes));
    std::memset(all + kGuard, kUnset, bytes);
    used_ += bytes;
    sizes_.emplace(all + kGuard, bytes);
    *memory = all + kGuard;
    return cudaSuccess;
  }

  cudaError_t free(void* memory) {
    if (memory == nullptr) return cudaSuccess;
    const std::scoped_lock lock(mutex_);
    auto* const first = static_cast<unsigned char*>(memory);
    const auto found = sizes_.find(first);
    if (found == sizes_.end()) return cudaErrorInvalidValue;
    const std::size_t bytes = found->second;
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (first[i - kGuard] != kGuardByte) die("memory before an allocation was changed", __LINE__);
    }
    for (std::size_t i = bytes; i < padded(bytes) - kGuard; ++i) {
      if (first[i] != kGuardByte) die("memory behind an allocation was changed", __LINE__);
    }
    used_ -= bytes;
    sizes_.erase(found);
    std::free(first - kGuard);
    return cudaSuccess;
  }

  /// Whether all of the bytes, or any of them, are the device's.
  bool holds(const void* memory, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto* const first = static_cast<const unsigned char*>(memory);
    auto next = sizes_.upper_bound(const_cast<unsigned char*>(first));
    if (next == sizes_.begin()) return false;
    --next;
    return std::less_equal<>{}(first + bytes, next->first + next->second);
  }
  bool touches(const void* memory, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto* const first = static_cast<const unsigned char*>(memory);
    for (const auto& [begin, size] : sizes_) {
      if (std::less<>{}(first, begin + size) && std::less<>{}(begin, first + bytes)) return true;
    }
    return false;
  }

  std::size_t available() {
    const std::scoped_lock lock(mutex_);
    return kMemory - used_;
  }

 private:
  static std::size_t padded(std::size_t bytes) { return (bytes + 3 * kGuard - 1) / kGuard * kGuard; }

  std::mutex mutex_;
  std::map<unsigned char*, std::size_t, std::less<>> sizes_;
  std::size_t used_ = 0;
};

DeviceMemory memory_of_device;
thread_local cudaError_t last = cudaSuccess;

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

}  // namespace

namespace cuda_emulation {

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  // One launch at a time: __shared__ variables are static.
  static std::mutex device;
  const std::scoped_lock lock(device);
  const dim3 grid = config.gridDim;
  const unsigned threads = config.blockDim.x;
  const bool fits = threads > 0 && threads <= 1024 && config.blockDim.y == 1 && config.blockDim.z == 1 &&
                    grid.x > 0 && grid.x <= 0x7FFFFFFFU && grid.y > 0 && grid.y <= 0xFFFFU && grid.z == 1;
  if (!fits) return remember(cudaErrorInvalidConfiguration);
  blockDim = config.blockDim;
  gridDim = grid;
  // Making threads costs more than a small launch.
  static std::map<unsigned, Block> blocks;
  Block& block = blocks.try_emplace(threads, threads).first->second;
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = dim3(x, y, 0);
      block.run(thread);
    }
  }
  return cudaSuccess;
}

void synchronise_block(int line) {
  Block::current->synchronise(line);
}

unsigned lane() {
  return threadIdx.x % kWarp;
}

std::uint64_t exchange(std::uint64_t value, unsigned from, unsigned mask, int line) {
  if (mask != ~0U || blockDim.x % kWarp != 0) die("a shuffle without all lanes of the warp", line);
  return Block::current->exchange(value, from, line);
}

}  // namespace cuda_emulation

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return remember(cudaErrorInvalidDevice);
  std::snprintf(properties->name, sizeof properties->name, "CUDA emulated on the processor");
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
  *available = memory_of_device.available();
  *total = kMemory;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return remember(memory_of_device.allocate(memory, bytes));
}

cudaError_t cudaFree(void* memory) {
  return remember(memory_of_device.free(memory));
}

cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  const auto fits = [bytes](const void* memory, bool of_device) {
    return of_device ? memory_of_device.holds(memory, bytes) : !memory_of_device.touches(memory, bytes);
  };
  if (!fits(target, kind != cudaMemcpyDeviceToHost) || !fits(source, kind != cudaMemcpyHostToDevice)) {
    return remember(cudaErrorInvalidValue);
  }
  std::memcpy(target, source, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  return cudaMemcpy(target, source, bytes, kind);
}

cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  return std::exchange(last, cudaSuccess);
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    default:
      return "invalid device ordinal";
  }
}
