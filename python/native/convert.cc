#include "convert.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string_view>
#include <utility>

#include "error.h"

namespace mdsa::python {
namespace {

template <typename T>
void ReadOption(const nb::dict& options, const char* name, std::string_view expected, T& out) {
  if (!options.contains(name)) return;
  const nb::object value = options[name];
  if (value.is_none()) return;
  if (!nb::try_cast(value, out)) {
    const std::string found = nb::cast<std::string>(nb::repr(value));
    ThrowInvalidArgument(std::string(name) + " must be " + std::string(expected) + ", not " +
                         found);
  }
}

}  // namespace

std::string ToUtf8(const nb::str& text) {
  Py_ssize_t size = 0;
  if (const char* const data = PyUnicode_AsUTF8AndSize(text.ptr(), &size)) {
    return {data, static_cast<std::size_t>(size)};
  }
  PyErr_Clear();
  const nb::object bytes =
      nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogatepass"));
  if (!bytes.is_valid()) throw nb::python_error();
  return {PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

std::vector<std::string> ToUtf8(const nb::list& texts) {
  std::vector<std::string> result;
  result.reserve(nb::len(texts));
  for (const nb::handle text : texts) result.push_back(ToUtf8(nb::cast<nb::str>(text)));
  return result;
}

nb::object ToText(std::string_view text) {
  nb::object result =
      nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  if (!result.is_valid()) throw nb::python_error();
  return result;
}

std::optional<std::filesystem::path> ToPath(const std::optional<nb::bytes>& encoded) {
  if (!encoded) return std::nullopt;
  return std::string(encoded->c_str(), encoded->size());
}

nb::object FromPath(const std::filesystem::path& path) {
  const std::string& bytes = path.native();
  nb::object text = nb::steal(
      PyUnicode_DecodeFSDefaultAndSize(bytes.data(), static_cast<Py_ssize_t>(bytes.size())));
  if (!text.is_valid()) throw nb::python_error();
  return text;
}

ModelConfig ToConfig(const std::string& json) {
  ModelConfig config = Unwrap(ModelConfig::FromJson(json));
  Unwrap(config.Validate());
  return config;
}

GenerationOptions ToGenerationOptions(const nb::dict& options) {
  GenerationOptions result;
  ReadOption(options, "max_new_tokens", "an integer", result.max_new_tokens);
  ReadOption(options, "min_new_tokens", "an integer", result.min_new_tokens);
  ReadOption(options, "do_sample", "a bool", result.do_sample);
  ReadOption(options, "temperature", "a number", result.temperature);
  ReadOption(options, "top_k", "an integer", result.top_k);
  ReadOption(options, "top_p", "a number", result.top_p);
  ReadOption(options, "min_p", "a number", result.min_p);
  ReadOption(options, "repetition_penalty", "a number", result.repetition_penalty);
  ReadOption(options, "stop", "a text or a list of texts", result.stop);
  ReadOption(options, "eos_token_ids", "a token id or a list of them", result.eos_token_ids);
  std::uint64_t seed = 0;
  const bool has_seed = options.contains("seed") && !nb::object(options["seed"]).is_none();
  ReadOption(options, "seed", "an integer from 0 to 2^64 - 1", seed);
  if (has_seed) result.seed = seed;
  return result;
}

nb::dict FromGenerationResult(GenerationResult result) {
  nb::dict values;
  const auto count = static_cast<std::int64_t>(result.ids.size());
  values["ids"] = ToNumpy(std::move(result.ids), {count});
  values["text"] = result.text;
  values["finish_reason"] = std::string(FinishReasonName(result.finish_reason));
  values["prompt_tokens"] = result.prompt_tokens;
  values["prefill_seconds"] = result.prefill_seconds;
  values["decode_seconds"] = result.decode_seconds;
  return values;
}

}  // namespace mdsa::python
