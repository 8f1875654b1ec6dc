#include "text_batches.h"

#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "line_reader.h"
#include "options.h"

namespace mdsa::cli {
namespace {

bool ReadsStandardInput(const std::vector<std::string>& texts) {
  return texts.empty() || (texts.size() == 1 && texts.front() == "-");
}

}  // namespace

Status TextBatches::ForEach(std::size_t batch_size,
                            const std::function<Result<bool>(std::span<const std::string>)>& work) {
  const bool from_stdin = ReadsStandardInput(texts_);
  LineReader reader(STDIN_FILENO, interrupt_.fd());
  std::size_t next = 0;
  for (;;) {
    if (interrupt_.requested()) return Err(ErrorCode::kCancelled, "cancelled");
    std::vector<std::string> lines;
    std::span<const std::string> batch;
    if (from_stdin) {
      MDSA_ASSIGN(lines, reader.Next(batch_size));
      batch = lines;
    } else {
      batch = std::span(texts_).subspan(next, std::min(batch_size, texts_.size() - next));
      next += batch.size();
    }
    if (batch.empty()) return {};
    MDSA_ASSIGN(const bool more, work(batch));
    if (!more) return {};
  }
}

Status CheckHasInput(const std::vector<std::string>& texts, const Console& console) {
  if (!texts.empty() || !console.stdin_is_terminal()) return {};
  return Err(ErrorCode::kInvalidArgument,
             "no text: give texts as arguments, or one a line on standard input");
}

void AddTextsArgument(CLI::App& command, std::vector<std::string>& texts) {
  AsWritten(command.add_option("TEXT", texts, "Texts; \"-\" or none: standard input, one a line"));
}

void AddBatchSizeOption(CLI::App& command, ModelOptions& options) {
  command.add_option("--batch-size", options.batch_size, "Texts per forward pass (default: 32)")
      ->check(Whole(1, 65536))
      ->option_text("N");
}

}  // namespace mdsa::cli
