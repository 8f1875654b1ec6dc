#include "support/fake_tensor_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/float16.h"

namespace mdsa::testing {
namespace {

template <typename T>
void Append(std::vector<std::byte>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

void AppendQ8Block(std::vector<std::byte>& out, std::span<const float> values) {
  float largest = 0.0f;
  for (float x : values) largest = std::max(largest, std::abs(x));
  const float d = largest / 127.0f;
  Append(out, ToFloat16(d));
  for (float x : values) {
    Append(out, static_cast<std::int8_t>(d == 0.0f ? 0.0f : std::round(x / d)));
  }
}

std::vector<std::byte> Encode(std::span<const float> values, DType dtype) {
  std::vector<std::byte> out;
  if (dtype == DType::kQ8_0) {
    for (std::size_t i = 0; i < values.size(); i += 32) AppendQ8Block(out, values.subspan(i, 32));
    return out;
  }
  for (float x : values) {
    if (dtype == DType::kF16) {
      Append(out, ToFloat16(x));
    } else if (dtype == DType::kBF16) {
      Append(out, ToBFloat16(x));
    } else if (dtype == DType::kF64) {
      Append(out, static_cast<double>(x));
    } else {
      Append(out, x);
    }
  }
  return out;
}

}  // namespace

void FakeTensorSource::Add(std::string name, std::vector<std::int64_t> shape,
                           std::span<const float> values, DType dtype, std::size_t misalignment) {
  AddBytes(std::move(name), std::move(shape), dtype, Encode(values, dtype), misalignment);
}

void FakeTensorSource::AddBytes(std::string name, std::vector<std::int64_t> shape, DType dtype,
                                std::span<const std::byte> bytes, std::size_t misalignment) {
  Remove(name);
  constexpr std::size_t kAlignment = 64;
  std::vector<std::byte>& buffer = storage_.emplace_back(bytes.size() + 2 * kAlignment);
  const auto address = reinterpret_cast<std::uintptr_t>(buffer.data());
  std::byte* start = buffer.data() + (kAlignment - address % kAlignment) + misalignment;
  std::ranges::copy(bytes, start);
  TensorInfo info;
  info.name = std::move(name);
  info.dtype = dtype;
  info.shape = std::move(shape);
  info.bytes = {start, bytes.size()};
  tensors_.push_back(std::move(info));
}

void FakeTensorSource::Remove(std::string_view name) {
  std::erase_if(tensors_, [&](const TensorInfo& tensor) { return tensor.name == name; });
}

TensorInfo& FakeTensorSource::Mutable(std::string_view name) {
  return const_cast<TensorInfo&>(*Find(name));
}

const TensorInfo* FakeTensorSource::Find(std::string_view name) const {
  const auto it = std::ranges::find(tensors_, name, &TensorInfo::name);
  return it == tensors_.end() ? nullptr : &*it;
}

void FakeTensorSource::ReleasePages(const TensorInfo& tensor) const {
  const std::scoped_lock lock(mutex_);
  released_.push_back(tensor.name);
}

std::vector<std::string> FakeTensorSource::released() const {
  const std::scoped_lock lock(mutex_);
  return released_;
}

}  // namespace mdsa::testing
