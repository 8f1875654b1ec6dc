// Expected texts: jinja2 rendering of the same templates.
#include "engine/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mdsa::engine {
namespace {

using Messages = std::vector<ChatMessage>;

constexpr std::string_view kSmolLm2 =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
    "Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view kPlainChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view kLlama2 =
    "{% set system_message = '<<SYS>>\\n' %}{{ bos_token + '[INST] ' + content.strip() }}";
constexpr std::string_view kLlama3 =
    "{% set content = '<|start_header_id|>' + message['role'] + message['content'] | trim + "
    "'<|eot_id|>' %}{{ bos_token }}";

const Messages kTurn = {{"user", " Hello "}};
const Messages kLong = {
    {"system", "Be brief."}, {"user", "Hi"}, {"assistant", " Hello! "}, {"user", "Bye"}};

std::string Format(std::string_view jinja, const Messages& messages, bool prompt = true) {
  const auto text = FormatChat({jinja, "<s>", "</s>"}, messages, prompt);
  return text ? *text : "error: " + text.error().message();
}

TEST(ChatTemplateTest, ChatMl) {
  EXPECT_EQ(Format(kPlainChatMl, kTurn),
            "<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Format(kPlainChatMl, kLong, false),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n Hello! <|im_end|>\n<|im_start|>user\nBye<|im_end|>\n");
}

TEST(ChatTemplateTest, ChatMlInsertsTheDefaultSystemMessageOfTheTemplate) {
  EXPECT_EQ(Format(kSmolLm2, kTurn),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Format(kSmolLm2, kLong), Format(kPlainChatMl, kLong));
}

TEST(ChatTemplateTest, DefaultSystemMessageInOtherSpellings) {
  const std::string use = "{{'<|im_start|>' + role + '<|im_end|>'}}";
  // An opening without a literal comes first; the literal has an escaped quote.
  EXPECT_THAT(Format(use + R"({{- '<|im_start|>system\n' + x }}{{- '<|im_start|>system\nIt\'s)"
                           R"( me.<|im_end|>\n' }})",
                     kTurn),
              ::testing::StartsWith("<|im_start|>system\nIt's me.<|im_end|>\n<|im_start|>user"));
  // As plain template text with a real line feed.
  EXPECT_THAT(Format(use + "{% if x %}<|im_start|>system\nPlain.<|im_end|>\n{% endif %}", kTurn),
              ::testing::StartsWith("<|im_start|>system\nPlain.<|im_end|>\n<|im_start|>user"));
  EXPECT_THAT(Format(use + "<|im_start|>system\n{{ system }}<|im_end|>", kTurn),
              ::testing::StartsWith("<|im_start|>user"));
  EXPECT_THAT(Format(use + "'<|im_start|>system\\nunfinished", kTurn),
              ::testing::StartsWith("<|im_start|>user"));
}

TEST(ChatTemplateTest, Llama2) {
  EXPECT_EQ(Format(kLlama2, kTurn), "<s>[INST] Hello [/INST]");
  EXPECT_EQ(Format(kLlama2, kLong),
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Bye "
            "[/INST]");
  EXPECT_THAT(Format(kLlama2, {{"user", "a"}, {"user", "b"}}), ::testing::HasSubstr("in turns"));
}

TEST(ChatTemplateTest, Llama3) {
  EXPECT_EQ(Format(kLlama3, kTurn),
            "<s><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  const std::string dated = std::string(kLlama3) + "Cutting Knowledge Date: December 2023";
  EXPECT_EQ(Format(dated, {{"system", "Be brief."}, {"user", "Hi"}}, false),
            "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December "
            "2023\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user"
            "<|end_header_id|>\n\nHi<|eot_id|>");
}

TEST(ChatTemplateTest, WhatCannotBeFormattedIsAnError) {
  const auto code = [](std::string_view jinja, const Messages& messages) {
    return FormatChat({jinja, "", ""}, messages, true).error().code();
  };
  EXPECT_EQ(code("{{ messages }}", kTurn), ErrorCode::kUnsupported);
  EXPECT_EQ(code(kPlainChatMl, {}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(kPlainChatMl, {{"tool", "x"}}), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace mdsa::engine
