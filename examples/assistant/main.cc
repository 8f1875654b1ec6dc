// Two models under one manager: an encoder finds the known question nearest to the user's, and a
// language model answers.
#include <mdsa/mdsa.h>

#include <iostream>
#include <string>
#include <vector>

namespace {

mdsa::Status Answer(const std::string& encoder, const std::string& language_model,
                    const std::string& question) {
  auto manager = mdsa::ModelManager::Create(2);
  if (!manager) return std::unexpected(manager.error());

  // The user's question first, then what is known.
  const std::vector<std::string> texts = {question, "How is the weather today?",
                                          "What is the capital of a country?",
                                          "How do I cook a dish?"};
  auto embedder = (*manager)->GetOrLoad("embedder", mdsa::ModelConfig::ForTier1(encoder));
  if (!embedder) return std::unexpected(embedder.error());
  auto vectors = embedder->Embed(texts);
  if (!vectors) return std::unexpected(vectors.error());

  const auto dim = static_cast<std::size_t>(vectors->shape[1]);
  std::size_t nearest = 1;
  float best = -1.0f;
  for (std::size_t i = 1; i < texts.size(); ++i) {
    float dot = 0.0f;  // of vectors of length 1
    for (std::size_t d = 0; d < dim; ++d) dot += vectors->values[d] * vectors->values[i * dim + d];
    if (dot > best) best = dot, nearest = i;
  }
  std::cout << "like: " << texts[nearest] << " (" << best << ")\n";

  auto writer = (*manager)->GetOrLoad("writer", mdsa::ModelConfig::ForTier3(language_model));
  if (!writer) return std::unexpected(writer.error());
  const std::vector<mdsa::ChatMessage> chat = {{"user", question}};
  auto answer = writer->Chat(chat, {.max_new_tokens = 48}, [](std::string_view piece) {
    std::cout << piece << std::flush;
    return true;
  });
  if (!answer) return std::unexpected(answer.error());
  std::cout << "\nmemory: " << (*manager)->GetStats().total_memory_mb << " MB\n";
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cout << "mdsa " << mdsa::Version()
              << "\nusage: assistant ENCODER LANGUAGE_MODEL QUESTION\n";
    return 0;
  }
  if (auto status = Answer(argv[1], argv[2], argv[3]); !status) {
    std::cerr << "assistant: " << status.error().ToString() << "\n";
    return 1;
  }
}
