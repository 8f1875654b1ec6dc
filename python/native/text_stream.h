// An answer that is generated on a thread of its own and taken piece by piece.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "mdsa/model.h"
#include "mdsa/result.h"
#include "model.h"

namespace mdsa::python {

// Thread-safe. The generating thread never touches Python.
class TextStream {
 public:
  TextStream(PyModel model, std::string prompt, GenerationOptions options, bool add_special_tokens);
  // Stops the work and waits for its end.
  ~TextStream();
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  // The next piece; nullopt at the end. Throws once what made the generation fail. Called
  // with the GIL, which it gives up while it waits; notices signals.
  std::optional<std::string> Next();
  // Stops the work, waits for its end and drops the pieces not yet taken.
  void Close();
  // Once the work has ended and was not an error.
  std::optional<FinishReason> finish_reason() const;

 private:
  void Run(std::stop_token stop);
  void StopAndJoin();

  const PyModel model_;
  const std::string prompt_;
  const GenerationOptions options_;
  const bool add_special_tokens_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_;
  bool ended_ = false;
  std::exception_ptr error_;  // until Next has thrown it
  std::optional<FinishReason> finish_reason_;

  std::mutex join_mutex_;
  std::jthread thread_;  // last: uses everything above
};

}  // namespace mdsa::python
