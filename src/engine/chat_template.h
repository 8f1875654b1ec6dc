// The built-in chat forms, as a function of plain strings.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "mdsa/model.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// What a chat form needs to know of a tokenizer.
struct ChatTemplateSource {
  std::string_view jinja;  // the template's source; read for landmarks, never executed
  std::string_view bos;    // text of the tokens, empty if there is none
  std::string_view eos;
};

// ChatML (with the default system message that the template spells out, if it does), Llama 2 or
// Llama 3 (3.1 and later with their dated system header; the date is the template's fallback,
// 26 Jul 2024, so that equal input gives equal text). kUnsupported for a template of another form,
// kInvalidArgument for no messages, an unknown role or an order that the form forbids.
Result<std::string> FormatChat(const ChatTemplateSource& source,
                               std::span<const ChatMessage> messages, bool add_generation_prompt);

}  // namespace mdsa::engine
