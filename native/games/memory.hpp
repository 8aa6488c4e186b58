#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace fsyn::games {

/// Bytes that can be allocated without swapping: the smaller of what the system and the control group still
/// have. Returns UINT64_MAX where the platform does not tell.
[[nodiscard]] std::uint64_t available_memory() noexcept;

/// Throws Error OUT_OF_MEMORY, which says what was asked and what there is, when `bytes` more for `purpose`
/// would make the machine swap.
void require_memory(std::uint64_t bytes, const char* purpose);

/// Asks for 2 MiB pages for the part of [data, data + bytes) that can have them: a transform of a large table
/// otherwise spends its time in address translation. A hint, so failure is not an error.
void prefer_huge_pages(void* data, std::size_t bytes) noexcept;

/// Owns `count` elements of T aligned to a cache line (to 2 MiB from that size on). The elements are not
/// initialised.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count)
      : size_(count),
        data_(static_cast<T*>(::operator new(bytes(count), alignment(count))), Free{alignment(count)}) {
    prefer_huge_pages(data_.get(), bytes(count));
  }

  [[nodiscard]] T* data() noexcept { return data_.get(); }
  [[nodiscard]] const T* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_.get()[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_.get()[i]; }

 private:
  struct Free {
    std::align_val_t alignment{64};
    void operator()(T* p) const noexcept { ::operator delete(p, alignment); }
  };
  static constexpr std::size_t bytes(std::size_t count) noexcept {
    return (count == 0 ? 1 : count) * sizeof(T);
  }
  static constexpr std::align_val_t alignment(std::size_t count) noexcept {
    return std::align_val_t{bytes(count) >= (std::size_t{1} << 21) ? std::size_t{1} << 21 : std::size_t{64}};
  }

  std::size_t size_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace fsyn::games
