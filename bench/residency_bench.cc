// What the manager costs where models take no time: requests that hit, leases, decisions. Then the
// latency of single hits while other models load, drain and come and go.
//
// Beside the options of Google Benchmark:
//   --hits=N --rounds=N  of the latency table (1000000, 7); no table if --hits=0
//   --max_hit_ns=X       exit status 1 if no repetition of BM_Hit with one thread stays below it
#include <benchmark/benchmark.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "fake_manager.h"
#include "hit_latency.h"
#include "models/residency.h"

namespace mdsa::bench {
namespace {

// --- requests ---

// Threads of one run share a manager; the first one makes it, before the others begin.
template <int kIds>
class Shared : public benchmark::Fixture {
 public:
  void SetUp(const benchmark::State& state) override {
    if (state.thread_index() != 0) return;
    manager_ = std::make_unique<FakeManager>(10);
    for (int i = 0; i < kIds; ++i) {
      ids_.push_back("organisation/model-" + std::to_string(i));
      configs_.push_back(ModelConfig::ForTier3(ids_.back()));
      handles_.push_back(manager_->Get(ids_[i]).value());
    }
  }
  void TearDown(const benchmark::State& state) override {
    if (state.thread_index() != 0) return;
    handles_.clear();
    configs_.clear();
    ids_.clear();
    manager_.reset();
  }

 protected:
  void RunHits(benchmark::State& state) {
    std::size_t i = static_cast<std::size_t>(state.thread_index()) % kIds;
    for (auto _ : state) {
      benchmark::DoNotOptimize(manager_->Get(ids_[i], configs_[i]));
      i = i + 1 == kIds ? 0 : i + 1;
    }
    state.SetItemsProcessed(state.iterations());
  }
  void RunLeases(benchmark::State& state) {
    const ModelHandle& handle = handles_[static_cast<std::size_t>(state.thread_index()) % kIds];
    for (auto _ : state) benchmark::DoNotOptimize(handle.Lease());
    state.SetItemsProcessed(state.iterations());
  }

 private:
  std::unique_ptr<FakeManager> manager_;
  std::vector<std::string> ids_;
  std::vector<ModelConfig> configs_;
  std::vector<ModelHandle> handles_;
};

void Threads(benchmark::internal::Benchmark* bench) {
  for (const int threads : {1, 2, 4, 8}) bench->Threads(threads);
  bench->UseRealTime();
}

// A request that hits, and the end of its handle. With several threads: time over all of them.
BENCHMARK_TEMPLATE_DEFINE_F(Shared, OneId, 1)(benchmark::State& state) { RunHits(state); }
BENCHMARK_REGISTER_F(Shared, OneId)->Name("BM_Hit")->Apply(Threads);
BENCHMARK_TEMPLATE_DEFINE_F(Shared, ThreeIds, 3)(benchmark::State& state) { RunHits(state); }
BENCHMARK_REGISTER_F(Shared, ThreeIds)->Name("BM_HitThreeIds")->Apply(Threads);

// What each call through a handle adds: a lease taken and returned.
BENCHMARK_TEMPLATE_DEFINE_F(Shared, LeaseOneId, 1)(benchmark::State& state) { RunLeases(state); }
BENCHMARK_REGISTER_F(Shared, LeaseOneId)->Name("BM_Lease")->Apply(Threads);
BENCHMARK_TEMPLATE_DEFINE_F(Shared, LeaseThreeIds, 3)(benchmark::State& state) { RunLeases(state); }
BENCHMARK_REGISTER_F(Shared, LeaseThreeIds)->Name("BM_LeaseThreeIds")->Apply(Threads);

void BM_Metrics(benchmark::State& state) {
  const std::int64_t models = state.range(0);
  FakeManager manager(models);
  for (std::int64_t i = 0; i < models; ++i) MDSA_CHECK(manager.Get(std::to_string(i)));
  for (auto _ : state) benchmark::DoNotOptimize(manager->Metrics());
}
BENCHMARK(BM_Metrics)->Arg(10);

// --- decisions, which are taken under the manager's lock ---

constexpr std::uint64_t kModelBytes = 1'000'000'000;

// Ready models of equal size, the last one of the table used the longest ago.
std::vector<SlotSnapshot> ReadySlots(std::int64_t n, const std::vector<std::string>& ids,
                                     ResidencyTime now) {
  std::vector<SlotSnapshot> slots(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i].id = ids[i];
    slots[i].state = SlotState::kReady;
    slots[i].bytes = slots[i].allocated_bytes = kModelBytes;
    slots[i].last_use = now - std::chrono::seconds(i + 1);
    slots[i].ready_since = now - std::chrono::hours(1);
  }
  return slots;
}

std::vector<std::string> Ids(std::int64_t n) {
  std::vector<std::string> ids;
  for (std::int64_t i = 0; i < n; ++i) ids.push_back("model-" + std::to_string(i));
  return ids;
}

void RunDecide(benchmark::State& state, ResidencyDecision::Kind expected) {
  using enum ResidencyDecision::Kind;
  const std::int64_t n = state.range(0);
  const std::vector<std::string> ids = Ids(n);
  const ResidencyTime now{std::chrono::hours(2)};
  std::vector<SlotSnapshot> slots = ReadySlots(n, ids, now);
  ResidencyBudget budget;
  budget.max_models = 2 * n;
  budget.reserved_bytes = static_cast<std::uint64_t>(n) * kModelBytes;
  budget.limit_bytes = budget.reserved_bytes + (expected == kGrant ? kModelBytes : 0);
  if (expected == kWait) {
    for (SlotSnapshot& slot : slots) slot.leases = 1;
    budget.max_queue_wait = std::chrono::seconds(2);
  }
  const ResidencyDemand demand{"wanted", "cpu", kModelBytes, kModelBytes, 1, {}};
  const LruPolicy policy;
  MDSA_CHECK(policy.Decide(slots, demand, budget, now).kind == expected);
  for (auto _ : state) benchmark::DoNotOptimize(policy.Decide(slots, demand, budget, now));
}
BENCHMARK_CAPTURE(RunDecide, grant, ResidencyDecision::Kind::kGrant)
    ->Name("BM_DecideToGrant")
    ->Arg(10)
    ->Arg(100);
BENCHMARK_CAPTURE(RunDecide, evict, ResidencyDecision::Kind::kEvict)
    ->Name("BM_DecideToEvict")
    ->Arg(10)
    ->Arg(100);
BENCHMARK_CAPTURE(RunDecide, wait, ResidencyDecision::Kind::kWait)
    ->Name("BM_DecideToWait")
    ->Arg(10)
    ->Arg(100);

// Residency with models that are ready, as many as may be.
class FullResidency {
 public:
  using Kind = Residency::Step::Kind;

  explicit FullResidency(std::int64_t n) : residency_(Options(n), {}, Policy()) {
    for (const std::string& id : Ids(n)) Load(residency_.Insert(id));
  }

  Residency& operator*() { return residency_; }
  Residency* operator->() { return &residency_; }
  Residency::Ticket Join(const RecordPtr& record) {
    return residency_.Join(record, {kModelBytes, kModelBytes, 1}, now_);
  }
  Residency::Step Try(Residency::Ticket ticket) { return residency_.Try(ticket, now_, {}); }
  void Load(const RecordPtr& record) {
    MDSA_CHECK(Try(Join(record)).kind == Kind::kGranted);
    residency_.StartLoading(*record);
    record->slot->NoteUse(++last_use_);
    residency_.PublishReady(*record, {}, 0, now_);
  }

 private:
  static ResidencyOptions Options(std::int64_t n) {
    ResidencyOptions options;
    options.max_models = n;
    return options;
  }
  static std::shared_ptr<const ResidencyPolicy> Policy() {
    return std::make_shared<const LruPolicy>();
  }

  Residency residency_;
  const ResidencyTime now_{std::chrono::hours(1)};
  std::int64_t last_use_ = 0;
};

// A place is free.
void BM_TryToGrant(benchmark::State& state) {
  FullResidency full(state.range(0));
  full->SetMaxModels(state.range(0) + 1);
  const RecordPtr wanted = full->Insert("wanted");
  for (auto _ : state) {
    MDSA_CHECK(full.Try(full.Join(wanted)).kind == FullResidency::Kind::kGranted);
    full->CancelReserved(wanted);
  }
}
BENCHMARK(BM_TryToGrant)->Arg(10)->Arg(100);

// One of the others has to go; timed alone, without the free and the load that follow.
void BM_TryToEvict(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  FullResidency full(state.range(0));
  const RecordPtr wanted = full->Insert("wanted");
  for (auto _ : state) {
    const Residency::Ticket ticket = full.Join(wanted);
    const Clock::time_point before = Clock::now();
    const Residency::Step step = full.Try(ticket);
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - before).count());
    MDSA_CHECK(step.kind == FullResidency::Kind::kFree);
    full->Leave(ticket);
    full->Freed(step.victims.front().record);
    full.Load(step.victims.front().record);
  }
}
BENCHMARK(BM_TryToEvict)->Arg(10)->Arg(100)->UseManualTime();

// All of the others are in use.
void BM_TryToWait(benchmark::State& state) {
  FullResidency full(state.range(0));
  for (const RecordPtr& record : full->All()) MDSA_CHECK(record->slot->TryLease());
  const Residency::Ticket ticket = full.Join(full->Insert("wanted"));
  for (auto _ : state) {
    MDSA_CHECK(full.Try(ticket).kind == FullResidency::Kind::kWait);
  }
}
BENCHMARK(BM_TryToWait)->Arg(10)->Arg(100);

// --- the program ---

// Prints as usual, and keeps the shortest time of a hit with one thread.
class Reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration && run.benchmark_name().starts_with(kHit)) {
        hit_ns = std::min(hit_ns, run.GetAdjustedRealTime());
      }
    }
    ConsoleReporter::ReportRuns(runs);
  }

  double hit_ns = std::numeric_limits<double>::infinity();

 private:
  static constexpr std::string_view kHit = "BM_Hit/real_time/threads:1";
};

// Whether `argument` was "--name=value".
template <typename T>
bool Parse(std::string_view argument, std::string_view name, T& value) {
  if (!argument.starts_with(name)) return false;
  const char* end = argument.data() + argument.size();
  const auto [stop, error] = std::from_chars(argument.data() + name.size(), end, value);
  return error == std::errc() && stop == end && value >= 0;
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  HitLatencyOptions latency;
  double max_hit_ns = std::numeric_limits<double>::infinity();
  const auto is_own = [&](std::string_view argument) {
    return Parse(argument, "--hits=", latency.hits) ||
           Parse(argument, "--rounds=", latency.rounds) ||
           Parse(argument, "--max_hit_ns=", max_hit_ns);
  };
  argc = static_cast<int>(std::remove_if(argv + 1, argv + argc, is_own) - argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  if (latency.hits > 0 && latency.rounds > 0) PrintHitLatency(latency);
  if (max_hit_ns < std::numeric_limits<double>::infinity() && !(reporter.hit_ns < max_hit_ns)) {
    std::fprintf(stderr, "residency_bench: a hit takes %.0f ns, and may take %.0f\n",
                 reporter.hit_ns, max_hit_ns);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace mdsa::bench

int main(int argc, char** argv) { return mdsa::bench::Main(argc, argv); }
