#include "model.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "gil.h"

namespace mdsa::python {
namespace {

using IdRows = ArrayIn<TokenId, 2>;
using MaskRows = ArrayIn<std::uint8_t, 2>;

template <typename T>
std::vector<T> CopyOf(const ArrayIn<T, 2>& array) {
  const std::span<const T> values = SpanOf(array);
  return {values.begin(), values.end()};
}

// Calls of so many weights times tokens take tens of milliseconds: longer than a signal should
// wait, and so long that running them on another thread is nothing beside it.
constexpr double kLongCall = 4e9;

bool TakesLong(const PyModel& self, std::int64_t tokens) {
  const auto weights =
      self.WithFacts([](const auto& model) { return model.description().parameters; });
  return static_cast<double>(weights) * static_cast<double>(tokens) >= kLongCall;
}

std::int64_t RoughTokens(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  return static_cast<std::int64_t>(bytes / 4);
}

nb::dict Describe(const PyModel& self) {
  return self.WithFacts([](const auto& model) {
    const ModelDescription& facts = model.description();
    nb::dict values;
    values["family"] = facts.family;
    values["architecture"] = facts.architecture;
    values["parameters"] = facts.parameters;
    values["hidden_size"] = facts.hidden_size;
    values["vocab_size"] = facts.vocab_size;
    values["num_layers"] = facts.num_layers;
    values["context_length"] = facts.context_length;
    values["quantization"] = facts.quantization;
    values["labels"] = facts.labels;
    values["weight_bytes"] = facts.weight_bytes;
    values["can_generate"] = facts.can_generate;
    return values;
  });
}

std::shared_ptr<Tokenizer> GetTokenizer(const PyModel& self) {
  // Python knows no const; the bound functions of Tokenizer are all const.
  return self.WithFacts(
      [](const auto& model) { return std::const_pointer_cast<Tokenizer>(model.tokenizer()); });
}

// {"last_hidden_state", "pooler_output", "logits"}, only those that exist.
nb::dict Forward(const PyModel& self, const IdRows& ids, const std::optional<MaskRows>& mask,
                 const std::optional<IdRows>& types) {
  ForwardInput input;
  input.batch = static_cast<std::int64_t>(ids.shape(0));
  input.tokens = static_cast<std::int64_t>(ids.shape(1));
  // Copies: the arrays may change while the GIL is released, after the ids were checked.
  const std::vector<TokenId> own_ids = CopyOf(ids);
  const std::vector<std::uint8_t> own_mask = mask ? CopyOf(*mask) : std::vector<std::uint8_t>();
  const std::vector<TokenId> own_types = types ? CopyOf(*types) : std::vector<TokenId>();
  input.input_ids = own_ids;
  input.attention_mask = own_mask;
  input.token_type_ids = own_types;
  ForwardOutput output;
  RunCall(TakesLong(self, input.batch * input.tokens), [&](const std::stop_token& stop) {
    output = Unwrap(self.With([&](const auto& model) { return model.Forward(input, stop); }));
  });
  nb::dict values;
  if (output.last_hidden_state) {
    values["last_hidden_state"] = ToNumpy(*std::move(output.last_hidden_state));
  }
  if (output.pooler_output) values["pooler_output"] = ToNumpy(*std::move(output.pooler_output));
  if (output.logits) values["logits"] = ToNumpy(*std::move(output.logits));
  return values;
}

nb::object Embed(const PyModel& self, const nb::list& texts) {
  const std::vector<std::string> utf8 = ToUtf8(texts);
  Tensor result;
  RunCall(TakesLong(self, RoughTokens(utf8)), [&](const std::stop_token& stop) {
    result = Unwrap(self.With([&](const auto& model) { return model.Embed(utf8, stop); }));
  });
  return ToNumpy(std::move(result));
}

nb::object Classify(const PyModel& self, const nb::list& texts) {
  const std::vector<std::string> utf8 = ToUtf8(texts);
  Tensor result;
  RunCall(TakesLong(self, RoughTokens(utf8)), [&](const std::stop_token& stop) {
    result = Unwrap(self.With([&](const auto& model) { return model.Classify(utf8, stop); }));
  });
  return ToNumpy(std::move(result));
}

// One result a prompt; `on_token` hears the ids of all of them.
nb::list Generate(const PyModel& self, const nb::list& prompts, const nb::dict& options,
                  nb::object on_token) {
  const GenerationOptions native = ToGenerationOptions(options);
  std::vector<std::vector<TokenId>> ids;  // copies: the arrays may change while the GIL is released
  for (const nb::handle prompt : prompts) {
    const auto array = nb::cast<ArrayIn<TokenId, 1>>(prompt);
    const std::span<const TokenId> values = SpanOf(array);
    ids.emplace_back(values.begin(), values.end());
  }
  TokenCallback callback(std::move(on_token));
  const TokenSink sink = callback.sink();
  std::optional<Result<std::vector<GenerationResult>>> results;
  std::stop_source stop;  // a callback that has raised or seen a signal ends all answers
  const std::stop_callback at_exit(ActiveCall::stop(), [&stop] { stop.request_stop(); });
  {
    const GilRelease release;
    results = self.With([&](const auto& model) {
      const auto on_id = [&](std::size_t, TokenId id) {
        const bool more = !sink || sink(id);
        if (!more) stop.request_stop();
        return more;
      };
      return model.GenerateBatch(ids, native, on_id, stop.get_token());
    });
  }
  callback.Rethrow();
  nb::list values;
  for (GenerationResult& result : Unwrap(*std::move(results))) {
    values.append(FromGenerationResult(std::move(result)));
  }
  return values;
}

nb::dict GenerateText(const PyModel& self, const nb::str& prompt, const nb::dict& options,
                      bool add_special_tokens) {
  const GenerationOptions native = ToGenerationOptions(options);
  const std::string utf8 = ToUtf8(prompt);
  std::optional<Result<GenerationResult>> result;
  RunInterruptibly(nb::none(), [&](const LoadOptions& call) {
    result = self.With([&](const auto& model) {
      return model.GenerateText(utf8, native, {}, add_special_tokens, call.stop);
    });
  });
  return FromGenerationResult(Unwrap(*std::move(result)));
}

}  // namespace

PyModel::~PyModel() { DropWithoutGil(model_); }

void BindModel(nb::module_& module) {
  nb::class_<PyModel>(module, "Model")
      .def("description", &Describe)
      .def("tokenizer", &GetTokenizer)
      .def("entry", &PyModel::entry)
      .def("memory_bytes",
           [](const PyModel& self) {  // of a handle as measured, in memory or not
             return self.WithFacts([](const auto& model) { return model.memory_bytes(); });
           })
      .def("forward", &Forward, nb::arg("input_ids"), nb::arg("attention_mask").none(),
           nb::arg("token_type_ids").none())
      .def("embed", &Embed, nb::arg("texts"))
      .def("classify", &Classify, nb::arg("texts"))
      .def("generate", &Generate, nb::arg("prompts"), nb::arg("options"),
           nb::arg("on_token").none() = nb::none())
      .def("generate_text", &GenerateText, nb::arg("prompt"), nb::arg("options"),
           nb::arg("add_special_tokens"));
}

}  // namespace mdsa::python
