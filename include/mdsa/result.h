// Error values. No function of this library throws, aborts, prints or exits because of its input:
// it returns a Result<T> whose Error says what was wrong, where (file, tensor or key, byte offset)
// and what to do next.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mdsa {

// A closed set: Python maps each code to one exception class, the command line to one exit code.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,     // The caller passed a value that no state of the system could accept.
  kNotFound,            // A file, model, tensor or id does not exist.
  kAlreadyExists,       // An id is taken.
  kInvalidFormat,       // A file is damaged, truncated, contradictory or hostile.
  kUnsupported,         // Well-formed, but this build or machine cannot do it.
  kResourceExhausted,   // Memory, context length or another limit does not suffice.
  kFailedPrecondition,  // Right call, wrong moment, e.g. a handle of an unloaded model.
  kCancelled,           // The caller asked to stop.
  kDeadlineExceeded,    // A wait took longer than its bound.
  kIo,                  // The operating system refused a read or write.
  kInternal,            // A defect of this library.
};

// Stable lower-case name, e.g. "invalid_format".
std::string_view ErrorCodeName(ErrorCode code);

// Value type: code, message and a chain of contexts. Thread-compatible.
class Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  // The innermost message alone.
  const std::string& message() const { return message_; }
  // Innermost first, as added.
  const std::vector<std::string>& context() const { return context_; }

  // Adds where it happened ("model.safetensors", "tensor 'lm_head.weight'"); the last added is
  // printed first.
  Error& AddContext(std::string where) & {
    context_.push_back(std::move(where));
    return *this;
  }
  Error&& AddContext(std::string where) && {
    context_.push_back(std::move(where));
    return std::move(*this);
  }

  // "outer: inner: message".
  std::string ToString() const;

 private:
  ErrorCode code_;
  std::string message_;
  std::vector<std::string> context_;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

}  // namespace mdsa
