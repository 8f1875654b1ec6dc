#include "text_stream.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <string_view>
#include <utility>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "gil.h"

namespace mdsa::python {

TextStream::TextStream(PyModel model, std::string prompt, GenerationOptions options,
                       bool add_special_tokens)
    : model_(std::move(model)),
      prompt_(std::move(prompt)),
      options_(std::move(options)),
      add_special_tokens_(add_special_tokens),
      thread_([this](std::stop_token stop) { Run(std::move(stop)); }) {}

TextStream::~TextStream() {
  if (!HoldsLiveGil()) {
    StopAndJoin();
    return;
  }
  const GilRelease release;
  StopAndJoin();
}

void TextStream::Run(std::stop_token stop) {
  const TextSink on_text = [this](std::string_view piece) {
    const std::lock_guard lock(mutex_);
    pieces_.emplace_back(piece);
    changed_.notify_all();
    return true;
  };
  std::optional<FinishReason> reason;
  std::exception_ptr error;
  try {
    reason = Unwrap(model_.With([&](const auto& model) {
               return model.GenerateText(prompt_, options_, on_text, add_special_tokens_, stop);
             })).finish_reason;
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  finish_reason_ = reason;
  error_ = std::move(error);
  ended_ = true;
  changed_.notify_all();
}

std::optional<std::string> TextStream::Next() {
  while (true) {
    {
      const GilRelease release;
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kSignalInterval, [this] { return ended_ || !pieces_.empty(); });
      if (!pieces_.empty()) {
        std::string piece = std::move(pieces_.front());
        pieces_.pop_front();
        return piece;
      }
      if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
      if (ended_) return std::nullopt;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
}

void TextStream::Close() {
  const GilRelease release;
  StopAndJoin();
  const std::lock_guard lock(mutex_);
  pieces_.clear();
  error_ = nullptr;
}

std::optional<FinishReason> TextStream::finish_reason() const {
  const std::lock_guard lock(mutex_);
  return pieces_.empty() ? finish_reason_ : std::nullopt;
}

void TextStream::StopAndJoin() {
  thread_.request_stop();
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void BindTextStream(nb::module_& module) {
  nb::class_<TextStream>(module, "TextStream")
      .def("next", &TextStream::Next)
      .def("close", &TextStream::Close)
      .def("finish_reason", [](const TextStream& self) -> std::optional<std::string> {
        const std::optional<FinishReason> reason = self.finish_reason();
        if (!reason) return std::nullopt;
        return std::string(FinishReasonName(*reason));
      });
  module.def(
      "stream_text",
      [](const PyModel& model, const nb::str& prompt, const nb::dict& options,
         bool add_special_tokens) {
        return std::make_unique<TextStream>(model, ToUtf8(prompt), ToGenerationOptions(options),
                                            add_special_tokens);
      },
      nb::arg("model"), nb::arg("prompt"), nb::arg("options"), nb::arg("add_special_tokens"));
}

}  // namespace mdsa::python
