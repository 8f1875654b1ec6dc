#include "mdsa/model_manager.h"

#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/free_memory.h"
#include "hardware/host.h"
#include "models/load_model.h"
#include "models/manager_state.h"

namespace mdsa {
namespace {

ModelFacts Describe(const Model& model) {
  return {model.memory_bytes(), model.mapped_bytes(), model.call_bytes(), model.tokenizer(),
          std::make_shared<const ModelDescription>(model.description())};
}

ModelSource SourceOf(const std::shared_ptr<const ModelLoader>& loader) {
  ModelSource source;
  source.needs = [loader](const ModelConfig& config, int threads) -> Result<ModelNeeds> {
    MDSA_ASSIGN(const LoadNeeds needs, DescribeLoad(config, loader->cache_dir(), threads));
    const MemoryEstimate& estimate = needs.estimate;
    return ModelNeeds{estimate.weights_bytes + estimate.tokenizer_bytes,
                      estimate.peak_load_bytes,
                      needs.load_bytes,
                      needs.call_bytes,
                      needs.device,
                      estimate.approximate};
  };
  source.load = [loader](const ModelConfig& config, const LoadOptions& options,
                         std::shared_ptr<MemoryAccount> account) {
    // The manager has looked at the machine's memory already, with what other loads were promised.
    return LoadModel(
        config, options, loader->cache_dir(), [] { return std::nullopt; }, std::move(account));
  };
  source.describe = Describe;
  source.machine_bytes = AvailableMemory;
  source.trim = ReturnFreeMemory;
  return source;
}

Result<std::optional<std::uint64_t>> HostLimit(const ResidencyOptions& options) {
  if (!options.max_memory) return std::nullopt;
  // Asking for devices takes time, so only who needs it waits.
  const std::uint64_t total =
      options.max_memory->is_share() ? DescribeHost("/", 1).total_memory_bytes : std::uint64_t{0};
  MDSA_ASSIGN(const std::uint64_t limit, options.max_memory->Resolve(total));
  return limit;
}

Status WarmUp(const ModelHandle& model, const std::string& text, const std::stop_token& stop) {
  if (text.empty()) return {};
  if (model.description().can_generate) {
    GenerationOptions options;
    options.max_new_tokens = 1;
    auto answer = model.GenerateText(text, options, {}, true, stop);
    return answer ? Status() : std::unexpected(std::move(answer).error());
  }
  const bool classifies = !model.description().labels.empty();
  auto result = classifies ? model.Classify({&text, 1}, stop) : model.Embed({&text, 1}, stop);
  return result ? Status() : std::unexpected(std::move(result).error());
}

}  // namespace

EventSubscription::EventSubscription(EventSubscription&& other) noexcept
    : manager_(std::move(other.manager_)), id_(std::exchange(other.id_, 0)) {}

EventSubscription& EventSubscription::operator=(EventSubscription&& other) noexcept {
  const EventSubscription old(std::move(*this));
  manager_ = std::move(other.manager_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

EventSubscription::~EventSubscription() {
  if (id_ == 0) return;
  if (const auto manager = manager_.lock()) manager->events().Unsubscribe(id_);
}

Result<std::unique_ptr<ModelManager>> ModelManager::Create(const Options& options) {
  MDSA_TRY(options.residency.Validate());
  auto loader = std::make_shared<const ModelLoader>(options.cache_dir);
  ManagerState::Setup setup;
  setup.options = options.residency;
  MDSA_ASSIGN(setup.host_limit_bytes, HostLimit(options.residency));
  setup.policy = options.policy;
  setup.source = SourceOf(loader);
  MDSA_ASSIGN(auto state, ManagerState::Create(std::move(setup)));
  return std::unique_ptr<ModelManager>(
      new ModelManager(std::move(loader), std::move(state), options.residency));
}

Result<std::unique_ptr<ModelManager>> ModelManager::Create(std::int64_t max_models) {
  Options options;
  options.residency.max_models = max_models;
  return Create(options);
}

Result<std::unique_ptr<ModelManager>> ModelManager::Create(const ConfigFile& file) {
  MDSA_ASSIGN(auto manager, Create(Options{file.residency, file.cache_dir, nullptr}));
  for (const DeclaredModel& model : file.models) MDSA_TRY(manager->Declare(model));
  return manager;
}

ModelManager::ModelManager(std::shared_ptr<const ModelLoader> loader,
                           std::shared_ptr<ManagerState> state, const ResidencyOptions& options)
    : loader_(std::move(loader)),
      state_(std::move(state)),
      options_(options),
      registry_(new ModelRegistry(state_, false)) {}

ModelManager::~ModelManager() { state_->Close(); }

Result<ModelHandle> ModelManager::GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                            const RequestOptions& options) {
  return state_->GetOrLoad(model_id, &config, options);
}

Result<ModelHandle> ModelManager::GetOrLoad(const std::string& model_id,
                                            const RequestOptions& options) {
  return state_->GetOrLoad(model_id, nullptr, options);
}

Result<ModelLease> ModelManager::Lease(const std::string& model_id, const ModelConfig& config,
                                       const RequestOptions& options) {
  return state_->Lease(model_id, &config, options);
}

Result<ModelLease> ModelManager::Lease(const std::string& model_id, const RequestOptions& options) {
  return state_->Lease(model_id, nullptr, options);
}

Result<UnloadResult> ModelManager::Unload(std::string_view model_id, const UnloadOptions& options) {
  return state_->Unload(model_id, options);
}

void ModelManager::ClearAll() { state_->ClearAll(); }

ModelSettings ModelManager::settings(std::string_view model_id) const {
  return state_->settings(model_id);
}

Status ModelManager::SetSettings(const std::string& model_id, const ModelSettings& settings) {
  return state_->SetSettings(model_id, settings);
}

Status ModelManager::SetPinned(const std::string& model_id, bool pinned) {
  return state_->UpdateSettings(model_id,
                                [&](ModelSettings& settings) { settings.pinned = pinned; });
}

Status ModelManager::SetTimeToLive(const std::string& model_id,
                                   std::optional<std::chrono::nanoseconds> time_to_live) {
  return state_->UpdateSettings(
      model_id, [&](ModelSettings& settings) { settings.time_to_live = time_to_live; });
}

Status ModelManager::Declare(const DeclaredModel& model) { return state_->Declare(model); }

std::optional<ModelConfig> ModelManager::ConfigOf(const std::string& model_id) const {
  return state_->ConfigOf(model_id);
}

std::vector<ModelManager::PreloadResult> ModelManager::Preload(const RequestOptions& options) {
  std::vector<DeclaredModel> models = state_->declared();
  std::erase_if(models, [](const DeclaredModel& model) { return !model.preload; });
  std::vector<PreloadResult> results(models.size());
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < models.size(); ++i) {
    results[i] = {models[i].id, models[i].required, {}};
    const auto load = [&, i] {
      auto model = GetOrLoad(models[i].id, models[i].config, options);
      results[i].status = model ? WarmUp(*model, models[i].warm_up, options.stop)
                                : std::unexpected(std::move(model).error());
    };
    try {
      threads.emplace_back(load);
    } catch (const std::system_error&) {
      load();  // no thread to be had: one after the other
    }
  }
  threads.clear();  // joins
  return results;
}

Result<ResidencyExplanation> ModelManager::Explain(const std::string& model_id,
                                                   const ModelConfig& config) const {
  return state_->Explain(model_id, &config);
}

Result<ResidencyExplanation> ModelManager::Explain(const std::string& model_id) const {
  return state_->Explain(model_id, nullptr);
}

ResidencyMetrics ModelManager::Metrics() const { return state_->Metrics(); }

EventSubscription ModelManager::Subscribe(ModelEventSink sink) {
  return {state_, state_->events().Subscribe(std::move(sink))};
}

bool ModelManager::IsLoaded(std::string_view model_id) const { return state_->IsLoaded(model_id); }

std::optional<ModelInfo> ModelManager::GetInfo(std::string_view model_id) const {
  return state_->Peek(model_id);
}

RegistryStats ModelManager::GetStats() const { return state_->GetStats(); }
std::vector<std::string> ModelManager::ListModels() const { return state_->ListModels(); }
const ResidencyOptions& ModelManager::residency_options() const { return options_; }
const ModelLoader& ModelManager::loader() const { return *loader_; }
ModelRegistry& ModelManager::registry() { return *registry_; }

}  // namespace mdsa
