#include "engine/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mdsa::engine {
namespace {

using Type = RopeScaling::Type;
constexpr double kTwoPi = 2.0 * std::numbers::pi;

// Powers are taken in double and rounded once; transformers computes the same values in fp32.
std::vector<float> PlainFrequencies(double theta, std::int64_t dim) {
  std::vector<float> inverse(static_cast<std::size_t>(dim / 2));
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    inverse[i] = static_cast<float>(
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim)));
  }
  return inverse;
}

double DynamicTheta(const ArchitectureConfig& config, std::int64_t length) {
  const auto trained = static_cast<double>(config.max_position_embeddings);
  const double used = std::max(static_cast<double>(length), trained);
  const auto dim = static_cast<double>(config.rotary_dim);
  const double factor = config.rope_scaling.factor;
  return config.rope_theta * std::pow(factor * used / trained - (factor - 1.0), dim / (dim - 2.0));
}

void ScaleLlama3(const RopeScaling& scaling, std::vector<float>& inverse) {
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  const double longest = original / scaling.low_freq_factor;
  const double shortest = original / scaling.high_freq_factor;
  for (float& f : inverse) {
    const double wavelength = kTwoPi / f;
    if (wavelength < shortest) continue;
    if (wavelength > longest) {
      f = static_cast<float>(f / scaling.factor);
      continue;
    }
    const double smooth = (original / wavelength - scaling.low_freq_factor) /
                          (scaling.high_freq_factor - scaling.low_freq_factor);
    f = static_cast<float>((1.0 - smooth) * f / scaling.factor + smooth * f);
  }
}

void ScaleYarn(const ArchitectureConfig& config, std::vector<float>& inverse) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto dim = static_cast<double>(config.rotary_dim);
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(original / (rotations * kTwoPi)) / (2.0 * std::log(config.rope_theta));
  };
  double low = dimension_of(scaling.beta_fast);
  double high = dimension_of(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inverse[i] = static_cast<float>(ramp * inverse[i] / scaling.factor + (1.0 - ramp) * inverse[i]);
  }
}

double YarnScale(const RopeScaling& scaling) {
  if (scaling.attention_factor) return *scaling.attention_factor;
  const auto magnitude = [&](double mscale) {
    return scaling.factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(scaling.factor) + 1.0;
  };
  // Zero counts as absent, as in the reference.
  if (scaling.mscale.value_or(0.0) != 0.0 && scaling.mscale_all_dim.value_or(0.0) != 0.0) {
    return magnitude(*scaling.mscale) / magnitude(*scaling.mscale_all_dim);
  }
  return magnitude(1.0);
}

}  // namespace

RopeFrequencies ComputeRopeFrequencies(const ArchitectureConfig& config, std::int64_t length) {
  RopeFrequencies frequencies;
  const bool dynamic = config.rope_scaling.type == Type::kDynamic && config.rotary_dim > 2;
  const double theta = dynamic ? DynamicTheta(config, length) : config.rope_theta;
  frequencies.inverse = PlainFrequencies(theta, config.rotary_dim);
  switch (config.rope_scaling.type) {
    case Type::kNone:
    case Type::kDynamic:
      break;
    case Type::kLinear:
      for (float& f : frequencies.inverse) f = static_cast<float>(f / config.rope_scaling.factor);
      break;
    case Type::kLlama3:
      ScaleLlama3(config.rope_scaling, frequencies.inverse);
      break;
    case Type::kYarn:
      ScaleYarn(config, frequencies.inverse);
      frequencies.scale = static_cast<float>(YarnScale(config.rope_scaling));
      break;
  }
  return frequencies;
}

std::int64_t ContextLength(const ArchitectureConfig& config) {
  const Type type = config.rope_scaling.type;
  if (config.family == ModelFamily::kBert || (type != Type::kLinear && type != Type::kDynamic)) {
    return config.max_position_embeddings;
  }
  constexpr double kMost = 2147483647.0;
  const double stretched = static_cast<double>(config.max_position_embeddings) *
                           std::max(1.0, config.rope_scaling.factor);
  return static_cast<std::int64_t>(std::min(stretched, kMost));
}

}  // namespace mdsa::engine
