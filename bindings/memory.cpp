#include "memory.hpp"

#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "errors.hpp"
#include "games/memory.hpp"

namespace fsyn::bindings {

namespace {

/// Below this much it is not worth asking the system what there is.
constexpr std::size_t kLarge = std::size_t{1} << 24;

struct View {
  napi_typedarray_type type = napi_uint8_array;
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::size_t offset = 0;
};

View view_of(const Napi::Value& array) {
  if (!array.IsTypedArray()) throw Error(ErrorCode::invalid_argument, "Expected a typed array.");
  View view;
  void* data = nullptr;
  const napi_status status =
      napi_get_typedarray_info(array.Env(), array, &view.type, nullptr, &data, nullptr, &view.offset);
  if (status != napi_ok) throw Napi::Error::New(array.Env());
  view.data = static_cast<std::byte*>(data);
  view.bytes = array.As<Napi::TypedArray>().ByteLength();
  return view;
}

/// Whose memory begins at an address: what arrays of to_array() have, in all environments.
class Owners {
 public:
  void add(const void* data, const std::shared_ptr<void>& owner) {
    const std::lock_guard lock(mutex_);
    owners_[data] = owner;
  }
  void remove(const void* data) {
    const std::lock_guard lock(mutex_);
    owners_.erase(data);
  }
  [[nodiscard]] std::shared_ptr<void> find(const void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = owners_.find(data);
    return found == owners_.end() ? nullptr : found->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<const void*, std::weak_ptr<void>> owners_;
};

/// Leaked on purpose: arrays are finalised until the very end of a process.
Owners& owners() {
  static auto* all = new Owners;  // NOLINT(cppcoreguidelines-owning-memory)
  return *all;
}

void release(napi_env /*env*/, void* data, void* owner) noexcept {
  owners().remove(data);
  const std::unique_ptr<std::shared_ptr<void>> owned(static_cast<std::shared_ptr<void>*>(owner));
}

Napi::ArrayBuffer to_buffer(Napi::Env env, const Memory& memory) {
  // Next to a finaliser, copying this little costs nothing.
  constexpr std::size_t kCopyBelow = 4096;
  if (memory.bytes() >= kCopyBelow) {
    auto owner = std::make_unique<std::shared_ptr<void>>(memory.owner());
    napi_value buffer = nullptr;
    const napi_status status =
        napi_create_external_arraybuffer(env, memory.data(), memory.bytes(), release, owner.get(), &buffer);
    if (status == napi_ok) {
      (void)owner.release();
      owners().add(memory.data(), memory.owner());
      return {env, buffer};
    }
    // Electron's memory cage refuses external buffers.
  }
  auto buffer = Napi::ArrayBuffer::New(env, memory.bytes());
  if (memory.bytes() > 0) std::memcpy(buffer.Data(), memory.data(), memory.bytes());
  return buffer;
}

std::size_t element_size(napi_typedarray_type type) {
  switch (type) {
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array:
      return 8;
    case napi_float32_array:
    case napi_int32_array:
    case napi_uint32_array:
      return 4;
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    default:
      return 1;
  }
}

Memory copy(const View& view) {
  Memory memory(view.bytes);
  if (view.bytes > 0) std::memcpy(memory.data(), view.data, view.bytes);
  return memory;
}

Memory hold(const View& view) {
  auto owner = view.bytes > 0 ? owners().find(view.data - view.offset) : nullptr;
  return owner ? Memory(std::move(owner), view.data, view.bytes) : copy(view);
}

}  // namespace

Memory::Memory(std::size_t bytes) : bytes_(bytes) {
  if (bytes >= kLarge) games::require_memory(bytes, "What a job works on");
  auto buffer = std::make_shared<games::AlignedBuffer<std::byte>>(bytes);
  data_ = buffer->data();
  owner_ = std::move(buffer);
}

std::span<std::byte> bytes_of(const Napi::Value& array) {
  const View view = view_of(array);
  return {view.data, view.bytes};
}

Memory hold(const Napi::Value& array) {
  return hold(view_of(array));
}

Memory copy(const Napi::Value& array) {
  return copy(view_of(array));
}

Napi::Value to_array(Napi::Env env, const Memory& memory, napi_typedarray_type type) {
  const Napi::ArrayBuffer buffer = to_buffer(env, memory);
  napi_value array = nullptr;
  const std::size_t length = memory.bytes() / element_size(type);
  if (napi_create_typedarray(env, type, length, buffer, 0, &array) != napi_ok) throw Napi::Error::New(env);
  return {env, array};
}

Napi::Value hold_values(const Napi::CallbackInfo& info) {
  const View view = view_of(info[0]);
  const Memory memory = hold(view);
  return memory.data() == view.data ? info[0] : to_array(info.Env(), memory, view.type);
}

Napi::Value allocate_values(const Napi::CallbackInfo& info) {
  const bool wide = info[1].ToBoolean();
  const auto length = static_cast<std::size_t>(info[0].As<Napi::Number>().Int64Value());
  const Memory memory(length * (wide ? sizeof(double) : sizeof(float)));
  std::memset(memory.data(), 0, memory.bytes());
  return to_array(info.Env(), memory, wide ? napi_float64_array : napi_float32_array);
}

}  // namespace fsyn::bindings
