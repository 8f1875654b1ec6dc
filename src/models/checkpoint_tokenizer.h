// The tokenizer of a Hugging Face folder.
#pragma once

#include <filesystem>
#include <memory>

#include "mdsa/result.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

// From tokenizer.json or vocab.txt, with tokenizer_config.json, special_tokens_map.json and
// chat_template.jinja where they are. kNotFound, listing the files looked for, if there is no
// tokenizer; a file that is there and cannot be read is an error. Errors name the folder.
// Thread-safe.
Result<std::shared_ptr<const Tokenizer>> TokenizerFromFolder(const std::filesystem::path& folder);

}  // namespace mdsa
