#include "engine/chat_template.h"

#include <optional>

#include "base/error.h"

namespace mdsa {
namespace engine {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool Trims(std::string_view jinja) {
  return Contains(jinja, "| trim") || Contains(jinja, "|trim") || Contains(jinja, ".strip()");
}

// Text of a jinja string literal from `begin` up to `end_mark`, escapes resolved; nullopt if the
// literal (or, outside a literal, the plain text) ends first.
std::optional<std::string> LiteralUntil(std::string_view jinja, std::size_t begin, char closing,
                                        std::string_view end_mark) {
  std::string text;
  for (std::size_t i = begin; i < jinja.size(); ++i) {
    if (jinja.substr(i).starts_with(end_mark)) return text;
    if (jinja[i] == closing) return std::nullopt;
    if (jinja[i] == '\\' && i + 1 < jinja.size()) {
      ++i;
      text += jinja[i] == 'n' ? '\n' : jinja[i] == 't' ? '\t' : jinja[i];
    } else {
      text += jinja[i];
    }
  }
  return std::nullopt;
}

// The system message that a ChatML template inserts when a conversation has none.
std::string DefaultSystemMessage(std::string_view jinja) {
  constexpr std::string_view kOpen = "<|im_start|>system";
  for (std::size_t at = jinja.find(kOpen); at != std::string_view::npos;
       at = jinja.find(kOpen, at + 1)) {
    std::size_t begin = at + kOpen.size();
    if (jinja.substr(begin).starts_with("\\n")) {
      begin += 2;
    } else if (jinja.substr(begin).starts_with("\n")) {
      begin += 1;
    } else {
      continue;
    }
    const char before = at > 0 ? jinja[at - 1] : '\0';
    const char closing = before == '\'' || before == '"' ? before : '{';
    const auto text = LiteralUntil(jinja, begin, closing, "<|im_end|>");
    if (text && !text->empty()) return *text;
  }
  return {};
}

Status CheckRoles(std::span<const ChatMessage> messages) {
  if (messages.empty()) return Err(ErrorCode::kInvalidArgument, "the conversation has no message");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      return Err(ErrorCode::kInvalidArgument,
                 "messages[{}]: unknown role '{}'; known are system, user and assistant", i, role);
    }
  }
  return {};
}

std::string FormatChatMl(const ChatTemplateSource& source, std::span<const ChatMessage> messages,
                         bool add_generation_prompt) {
  std::string out;
  const auto add = [&](std::string_view role, std::string_view content) {
    out.append("<|im_start|>").append(role).append("\n").append(content).append("<|im_end|>\n");
  };
  if (Contains(source.jinja, "bos_token")) out += source.bos;
  if (messages.front().role != "system") {
    const std::string system = DefaultSystemMessage(source.jinja);
    if (!system.empty()) add("system", system);
  }
  const bool trims = Trims(source.jinja);
  for (const ChatMessage& message : messages) {
    add(message.role, trims ? Trimmed(message.content) : std::string_view(message.content));
  }
  if (add_generation_prompt) out += "<|im_start|>assistant\n";
  return out;
}

Result<std::string> FormatLlama2(const ChatTemplateSource& source,
                                 std::span<const ChatMessage> messages) {
  std::string out;
  std::string system;
  if (messages.front().role == "system") {
    system = "<<SYS>>\n" + messages.front().content + "\n<</SYS>>\n\n";
    messages = messages.subspan(1);
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role != (i % 2 == 0 ? "user" : "assistant")) {
      return Err(ErrorCode::kInvalidArgument,
                 "the Llama 2 chat form needs user and assistant in turns, user first, after an "
                 "optional system message; message {} of the turns is '{}'",
                 i, message.role);
    }
    if (message.role == "assistant") {
      out.append(" ").append(Trimmed(message.content)).append(" ").append(source.eos);
      continue;
    }
    const std::string content = (i == 0 ? system : std::string()) + message.content;
    out.append(source.bos).append("[INST] ").append(Trimmed(content)).append(" [/INST]");
  }
  return out;
}

std::string FormatLlama3(const ChatTemplateSource& source, std::span<const ChatMessage> messages,
                         bool add_generation_prompt) {
  std::string out(source.bos);
  const auto add = [&](std::string_view role, std::string_view content) {
    out.append("<|start_header_id|>").append(role).append("<|end_header_id|>\n\n");
    out.append(content).append("<|eot_id|>");
  };
  if (Contains(source.jinja, "Cutting Knowledge Date")) {
    std::string system = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
    if (messages.front().role == "system") {
      system += Trimmed(messages.front().content);
      messages = messages.subspan(1);
    }
    add("system", system);
  }
  for (const ChatMessage& message : messages) add(message.role, Trimmed(message.content));
  if (add_generation_prompt) out += "<|start_header_id|>assistant<|end_header_id|>\n\n";
  return out;
}

}  // namespace

Result<std::string> FormatChat(const ChatTemplateSource& source,
                               std::span<const ChatMessage> messages, bool add_generation_prompt) {
  MDSA_TRY(CheckRoles(messages));
  const std::string_view jinja = source.jinja;
  if (Contains(jinja, "<|im_start|>") && Contains(jinja, "<|im_end|>")) {
    return FormatChatMl(source, messages, add_generation_prompt);
  }
  if (Contains(jinja, "<|start_header_id|>") && Contains(jinja, "<|eot_id|>")) {
    return FormatLlama3(source, messages, add_generation_prompt);
  }
  if (Contains(jinja, "[INST]") && Contains(jinja, "<<SYS>>")) {
    return FormatLlama2(source, messages);
  }
  return Err(ErrorCode::kUnsupported,
             "the model's chat template is of no built-in form (ChatML, Llama 2, Llama 3); format "
             "the conversation with its own template and generate from the text");
}

}  // namespace engine

Result<std::string> ApplyChatTemplate(const Tokenizer& tokenizer,
                                      std::span<const ChatMessage> messages,
                                      bool add_generation_prompt) {
  if (tokenizer.chat_template().empty()) {
    return Err(ErrorCode::kFailedPrecondition,
               "the model has no chat template; generate from plain text instead");
  }
  const auto text_of = [&](std::optional<TokenId> id) {
    return id ? tokenizer.IdToToken(*id).value_or("") : std::string();
  };
  const std::string bos = text_of(tokenizer.special_tokens().bos);
  const std::string eos = text_of(tokenizer.special_tokens().eos);
  return engine::FormatChat({tokenizer.chat_template(), bos, eos}, messages, add_generation_prompt);
}

}  // namespace mdsa
