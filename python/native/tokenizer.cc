#include "mdsa/tokenizer.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "gil.h"
#include "models/checkpoint_tokenizer.h"

namespace mdsa::python {
namespace {

std::shared_ptr<const Tokenizer> FromDirectory(const std::string& directory) {
  const GilRelease release;
  return Unwrap(TokenizerFromFolder(directory));
}

std::vector<TokenId> Encode(const Tokenizer& self, const nb::str& text, bool add_special_tokens,
                            std::int64_t max_length) {
  const std::string utf8 = ToUtf8(text);
  const GilRelease release;
  return self.Encode(utf8, {add_special_tokens, max_length}).ids;
}

std::vector<TokenId> EncodePair(const Tokenizer& self, const nb::str& first, const nb::str& second,
                                bool add_special_tokens, std::int64_t max_length) {
  const std::string utf8_first = ToUtf8(first);
  const std::string utf8_second = ToUtf8(second);
  const GilRelease release;
  return self.EncodePair(utf8_first, utf8_second, {add_special_tokens, max_length}).ids;
}

// [(ids, type_ids)], one a text. `pairs` is None or as long as `texts`.
nb::list EncodeBatch(const Tokenizer& self, const nb::list& texts, const nb::object& pairs,
                     bool add_special_tokens, std::int64_t max_length) {
  const std::vector<std::string> firsts = ToUtf8(texts);
  std::vector<std::string> seconds;
  if (!pairs.is_none()) {
    seconds = ToUtf8(nb::cast<nb::list>(pairs));
    if (seconds.size() != firsts.size()) ThrowInvalidArgument("texts and pairs differ in length");
  }
  const EncodeOptions options{add_special_tokens, max_length};
  std::vector<Encoding> encodings;
  encodings.reserve(firsts.size());
  {
    const GilRelease release;
    for (std::size_t i = 0; i < firsts.size(); ++i) {
      encodings.push_back(seconds.empty() ? self.Encode(firsts[i], options)
                                          : self.EncodePair(firsts[i], seconds[i], options));
    }
  }
  nb::list result;
  for (const Encoding& encoding : encodings) {
    result.append(nb::make_tuple(nb::cast(encoding.ids), nb::cast(encoding.type_ids)));
  }
  return result;
}

std::string Decode(const Tokenizer& self, const std::vector<TokenId>& ids,
                   bool skip_special_tokens) {
  const GilRelease release;
  return self.Decode(ids, skip_special_tokens);
}

std::vector<std::string> DecodeBatch(const Tokenizer& self,
                                     const std::vector<std::vector<TokenId>>& rows,
                                     bool skip_special_tokens) {
  const GilRelease release;
  std::vector<std::string> texts;
  texts.reserve(rows.size());
  for (const auto& ids : rows) texts.push_back(self.Decode(ids, skip_special_tokens));
  return texts;
}

// {"bos": id, ...}, only the roles that exist.
nb::dict SpecialTokenIds(const Tokenizer& self) {
  const SpecialTokens& special = self.special_tokens();
  const std::pair<const char*, std::optional<TokenId>> roles[] = {
      {"bos", special.bos}, {"eos", special.eos}, {"unk", special.unk},  {"sep", special.sep},
      {"pad", special.pad}, {"cls", special.cls}, {"mask", special.mask}};
  nb::dict result;
  for (const auto& [role, id] : roles) {
    if (id) result[role] = *id;
  }
  return result;
}

}  // namespace

void BindTokenizer(nb::module_& module) {
  nb::class_<Tokenizer>(module, "Tokenizer")
      .def_static("from_directory", &FromDirectory, nb::arg("path"))
      .def("encode", &Encode, nb::arg("text"), nb::arg("add_special_tokens") = true,
           nb::arg("max_length") = 0)
      .def("encode_pair", &EncodePair, nb::arg("first"), nb::arg("second"),
           nb::arg("add_special_tokens") = true, nb::arg("max_length") = 0)
      .def("encode_batch", &EncodeBatch, nb::arg("texts"), nb::arg("pairs").none(),
           nb::arg("add_special_tokens"), nb::arg("max_length"))
      .def("decode", &Decode, nb::arg("ids"), nb::arg("skip_special_tokens") = true)
      .def("decode_batch", &DecodeBatch, nb::arg("rows"), nb::arg("skip_special_tokens"))
      .def("token_to_id", &Tokenizer::TokenToId, nb::arg("token"))
      .def("id_to_token", &Tokenizer::IdToToken, nb::arg("id"))
      .def("is_special", &Tokenizer::IsSpecial, nb::arg("id"))
      .def("special_tokens", &SpecialTokenIds)
      .def_prop_ro("vocab_size", &Tokenizer::vocab_size)
      .def_prop_ro("chat_template", &Tokenizer::chat_template)
      .def_prop_ro("model_max_length", &Tokenizer::model_max_length)
      .def_prop_ro("pads_left", &Tokenizer::pads_left);
}

}  // namespace mdsa::python
