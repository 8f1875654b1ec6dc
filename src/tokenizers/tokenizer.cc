#include "mdsa/tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "tokenizers/tokenizer_impl.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// How many tokens of text fit; kNoLimit without a limit.
std::size_t TextLimit(const PostProcessor& post, const EncodeOptions& options, bool is_pair) {
  if (options.max_length <= 0) return kNoLimit;
  const auto limit = static_cast<std::size_t>(options.max_length);
  const std::size_t added = options.add_special_tokens ? post.added_tokens(is_pair) : 0;
  return limit > added ? limit - added : 0;
}

// For a limit that not even the special tokens fit in.
void CutTo(const EncodeOptions& options, Encoding* encoding) {
  const auto limit = static_cast<std::size_t>(options.max_length);
  if (options.max_length <= 0 || encoding->ids.size() <= limit) return;
  encoding->ids.resize(limit);
  encoding->type_ids.resize(limit);
  encoding->special_tokens_mask.resize(limit);
}

// Cuts the ids of one text to `size` at the side that the model loses first.
void CutText(const TokenizerImpl& impl, std::size_t size, std::vector<TokenId>* ids) {
  if (ids->size() <= size) return;
  const auto surplus = static_cast<std::ptrdiff_t>(ids->size() - size);
  if (impl.truncates_left) {
    ids->erase(ids->begin(), ids->begin() + surplus);
  } else {
    ids->resize(size);
  }
}

}  // namespace

std::vector<TokenId> TokenizerImpl::Tokenize(std::string_view text, std::size_t limit) const {
  std::string repaired;
  if (!IsWellFormedUtf8(text)) {
    AppendLossy(text, true, &repaired);
    text = repaired;
  }
  PieceList list;
  added.Extract(text, normalizer.get(), &list);
  if (pre_tokenizer != nullptr) pre_tokenizer->Apply(&list);
  std::vector<TokenId> ids;
  ids.reserve(std::min(limit, list.pieces.size() + list.pieces.size() / 4));
  for (const Piece& piece : list.pieces) {
    if (ids.size() >= limit) break;
    if (piece.id != kNoToken) {
      ids.push_back(piece.id);
    } else if (piece.begin < piece.end) {
      model->Tokenize(list.Text(piece), &ids);
    }
  }
  return ids;
}

std::optional<std::string_view> TokenizerImpl::Spelling(TokenId id,
                                                        bool skip_special_tokens) const {
  auto spelling = added.Token(id);
  if (!spelling) spelling = model->vocabulary().Token(id);
  if (spelling && skip_special_tokens && added.IsSpecial(*spelling)) return std::nullopt;
  return spelling;
}

std::optional<TokenId> TokenizerImpl::Find(std::string_view token) const {
  const auto id = added.Find(token);
  return id ? id : model->vocabulary().Find(token);
}

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerImpl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::FromFiles(const Files& files) {
  if (files.tokenizer_json.empty() && files.vocab_txt.empty()) {
    return Err(ErrorCode::kNotFound,
               "the model has neither tokenizer.json nor vocab.txt; add one of them");
  }
  MDSA_ASSIGN(auto impl, files.tokenizer_json.empty()
                             ? ReadVocabTxt(files.vocab_txt, files.tokenizer_config_json)
                             : ReadTokenizerJson(files.tokenizer_json));
  MDSA_TRY(ReadTokenizerConfig(files, impl.get()));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::FromGguf(const GgufVocabulary& vocabulary) {
  MDSA_ASSIGN(auto impl, ReadGgufVocabulary(vocabulary));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

Encoding Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  const std::size_t limit = TextLimit(impl_->post_processor, options, false);
  std::vector<TokenId> ids = impl_->Tokenize(text, impl_->truncates_left ? kNoLimit : limit);
  CutText(*impl_, limit, &ids);
  Encoding encoding = impl_->post_processor.Process(ids, options.add_special_tokens);
  CutTo(options, &encoding);
  return encoding;
}

Encoding Tokenizer::EncodePair(std::string_view first, std::string_view second,
                               const EncodeOptions& options) const {
  const std::size_t limit = TextLimit(impl_->post_processor, options, true);
  // Which text is cut depends on how long both are as a whole.
  std::vector<TokenId> first_ids = impl_->Tokenize(first, kNoLimit);
  std::vector<TokenId> second_ids = impl_->Tokenize(second, kNoLimit);
  const auto [first_size, second_size] = TruncatePair(first_ids.size(), second_ids.size(), limit);
  CutText(*impl_, first_size, &first_ids);
  CutText(*impl_, second_size, &second_ids);
  Encoding encoding =
      impl_->post_processor.ProcessPair(first_ids, second_ids, options.add_special_tokens);
  CutTo(options, &encoding);
  return encoding;
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  DecoderChain chain(impl_->decoder);
  for (const TokenId id : ids) {
    if (const auto spelling = impl_->Spelling(id, skip_special_tokens)) chain.AddToken(*spelling);
  }
  chain.Finish();
  return chain.TakeText();
}

std::int64_t Tokenizer::vocab_size() const { return impl_->id_limit(); }

std::optional<TokenId> Tokenizer::TokenToId(std::string_view token) const {
  return impl_->Find(token);
}

std::optional<std::string> Tokenizer::IdToToken(TokenId id) const {
  const auto spelling = impl_->Spelling(id, false);
  if (!spelling) return std::nullopt;
  return std::string(*spelling);
}

bool Tokenizer::IsSpecial(TokenId id) const {
  const auto spelling = impl_->Spelling(id, false);
  return spelling && impl_->added.IsSpecial(*spelling);
}

const SpecialTokens& Tokenizer::special_tokens() const { return impl_->special; }
const std::string& Tokenizer::chat_template() const { return impl_->chat_template; }
std::int64_t Tokenizer::model_max_length() const { return impl_->model_max_length; }
bool Tokenizer::pads_left() const { return impl_->pads_left; }

std::size_t Tokenizer::memory_bytes() const {
  // A stage of the decoder is a function with a text or two, a regex in rare cases; the
  // post-processor two lists of a few pieces.
  constexpr std::size_t kStageBytes = 128;
  constexpr std::size_t kPostProcessorBytes = 1024;
  std::size_t bytes = HeapBlockBytes(sizeof(Tokenizer) + 2 * sizeof(void*)) +
                      HeapBlockBytes(sizeof(TokenizerImpl)) + kPostProcessorBytes +
                      HeapBytes(impl_->decoder) + impl_->decoder.size() * kStageBytes +
                      HeapBytes(impl_->chat_template);
  if (impl_->normalizer != nullptr) bytes += impl_->normalizer->memory_bytes();
  if (impl_->pre_tokenizer != nullptr) bytes += impl_->pre_tokenizer->memory_bytes();
  return bytes + impl_->model->memory_bytes() + impl_->added.memory_bytes();
}

DecodeStream::DecodeStream(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)),
      skip_special_tokens_(skip_special_tokens),
      chain_(std::make_unique<DecoderChain>(tokenizer_->impl_->decoder)) {}
DecodeStream::DecodeStream(DecodeStream&&) noexcept = default;
DecodeStream& DecodeStream::operator=(DecodeStream&&) noexcept = default;
DecodeStream::~DecodeStream() = default;

std::string DecodeStream::Push(TokenId id) {
  const auto spelling = tokenizer_->impl_->Spelling(id, skip_special_tokens_);
  if (!spelling) return {};
  chain_->AddToken(*spelling);
  return chain_->TakeText();
}

std::string DecodeStream::Finish() {
  chain_->Finish();
  std::string text = chain_->TakeText();
  chain_ = std::make_unique<DecoderChain>(tokenizer_->impl_->decoder);
  return text;
}

}  // namespace mdsa
