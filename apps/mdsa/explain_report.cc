#include "explain_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text_format.h"

namespace mdsa::cli {
namespace {

using nlohmann::ordered_json;

template <typename T>
ordered_json OrNull(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string BytesText(std::uint64_t bytes, bool approximate) {
  return fmt::format("{}{}", approximate ? "about " : "", HumanBytes(bytes));
}

std::string BudgetTable(const ExplainReport& report) {
  const ResidencyExplanation& explanation = report.explanation;
  const bool guess = explanation.approximate;
  const std::string limits =
      report.config_file.empty() ? "the default" : OneLine(report.config_file);
  return Table(
      {{"resident", BytesText(explanation.resident_bytes, guess), "weights and tokenizer"},
       {"one call", BytesText(explanation.call_bytes, guess), "reserved with the model"},
       {"peak of load", BytesText(explanation.peak_bytes, guess), "reserved while it loads"},
       {"models", std::to_string(explanation.models),
        fmt::format("of at most {} ({})", explanation.max_models, limits)},
       {"reserved", HumanBytes(explanation.reserved_bytes),
        explanation.limit_bytes ? fmt::format("of {}", HumanBytes(*explanation.limit_bytes))
                                : "no limit"},
       {"machine", explanation.machine_bytes ? HumanBytes(*explanation.machine_bytes) : "unknown",
        "left, with none of them loaded"}},
      {false, true, false});
}

std::string ModelTable(const ExplainReport& report) {
  std::vector<std::vector<std::string>> rows = {{"model", "memory", "", "why"}};
  const auto add = [&](const std::string& id, std::uint64_t bytes, const char* what,
                       std::string_view why) {
    rows.push_back(
        {OneLine(id), BytesText(bytes, report.guessed.contains(id)), what, std::string(why)});
  };
  for (const auto& victim : report.explanation.victims) {
    add(victim.model_id, victim.bytes, "goes", EvictionReasonName(victim.reason));
  }
  for (const auto& kept : report.explanation.kept) {
    add(kept.model_id, kept.bytes, "stays", kept.reason);
  }
  return rows.size() == 1 ? "" : fmt::format("\n{}", Table(rows, {false, true, false, false}));
}

}  // namespace

std::string ReportJson(const ExplainReport& report) {
  const ResidencyExplanation& explanation = report.explanation;
  ordered_json victims = ordered_json::array();
  for (const auto& victim : explanation.victims) {
    victims.push_back({{"model_id", victim.model_id},
                       {"bytes", victim.bytes},
                       {"approximate", report.guessed.contains(victim.model_id)},
                       {"reason", EvictionReasonName(victim.reason)}});
  }
  ordered_json kept = ordered_json::array();
  for (const auto& model : explanation.kept) {
    kept.push_back({{"model_id", model.model_id},
                    {"bytes", model.bytes},
                    {"approximate", report.guessed.contains(model.model_id)},
                    {"reason", model.reason}});
  }
  ordered_json file = nullptr;
  if (!report.config_file.empty()) file = report.config_file;
  ordered_json note = nullptr;
  if (!report.note.empty()) note = report.note;
  return DumpJson({{"model_id", explanation.model_id},
                   {"source", report.config.model_name},
                   {"quantization", QuantizationTypeName(report.config.quantization)},
                   {"config", std::move(file)},
                   {"verdict", VerdictName(explanation.verdict)},
                   {"reason", explanation.reason},
                   {"approximate", explanation.approximate},
                   {"resident_bytes", explanation.resident_bytes},
                   {"call_bytes", explanation.call_bytes},
                   {"peak_bytes", explanation.peak_bytes},
                   {"models", explanation.models},
                   {"max_models", explanation.max_models},
                   {"reserved_bytes", explanation.reserved_bytes},
                   {"limit_bytes", OrNull(explanation.limit_bytes)},
                   {"machine_bytes", OrNull(explanation.machine_bytes)},
                   {"victims", std::move(victims)},
                   {"kept", std::move(kept)},
                   {"note", std::move(note)}});
}

std::string ReportText(const ExplainReport& report) {
  const ResidencyExplanation& explanation = report.explanation;
  std::string text =
      fmt::format("{}: {}\n\n", VerdictName(explanation.verdict), OneLine(explanation.reason));
  text += BudgetTable(report);
  text += ModelTable(report);
  if (!report.note.empty()) text += fmt::format("\nnote: {}\n", report.note);
  if (explanation.approximate || !report.guessed.empty()) {
    text += "\nSizes with \"about\" follow from names: no file of these models is at hand.\n";
  }
  return text;
}

}  // namespace mdsa::cli
