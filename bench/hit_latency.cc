#include "hit_latency.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "fake_manager.h"

namespace mdsa::bench {
namespace {

using test::Gate;

constexpr std::array<double, 5> kQuantiles = {0.5, 0.9, 0.99, 0.999, 1.0};

// While one lives, the thread that made it has a core of its own among the threads that call
// UseOthers: what else the machine runs may still get in its way.
class OwnCore {
 public:
  OwnCore() {
    MDSA_CHECK(sched_getaffinity(0, sizeof(all_), &all_) == 0);
    others_ = all_;
    if (CPU_COUNT(&all_) < 2) return;
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &all_)) --last;
    CPU_CLR(last, &others_);
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(last, &own);
    Use(own);
  }
  ~OwnCore() { Use(all_); }
  OwnCore(const OwnCore&) = delete;
  OwnCore& operator=(const OwnCore&) = delete;

  // For the calling thread, and those that it starts.
  void UseOthers() const { Use(others_); }

 private:
  static void Use(const cpu_set_t& cores) {
    static_cast<void>(pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores));
  }

  cpu_set_t all_;
  cpu_set_t others_;
};

// What happens to other models while B is asked for: from construction to destruction.
class Situation {
 public:
  explicit Situation(const OwnCore& core) : core_(core) {
    ModelSettings pinned;  // or the others would evict it
    pinned.pinned = true;
    MDSA_CHECK(manager_->SetSettings("b", pinned));
    MDSA_CHECK(manager_.Get("b"));
  }
  virtual ~Situation() = default;
  Situation(const Situation&) = delete;
  Situation& operator=(const Situation&) = delete;

  FakeManager& manager() { return manager_; }

 protected:
  template <typename Work>
  std::jthread Elsewhere(Work work) {
    return std::jthread([this, work](std::stop_token stop) {
      core_.UseOthers();
      work(stop);
    });
  }

  const OwnCore& core_;
  FakeManager manager_{2};
};

class ModelALoads final : public Situation {
 public:
  explicit ModelALoads(const OwnCore& core) : Situation(core) {
    manager_.source.before_load = [this](const ModelConfig&, const LoadOptions&) -> Status {
      gate_.Wait();
      return {};
    };
    waiter_ = Elsewhere([this](std::stop_token) { MDSA_CHECK(manager_.Get("a")); });
    gate_.AwaitEntered();
  }
  ~ModelALoads() override {
    MDSA_CHECK(manager_->StateOf("a") == SlotState::kLoading);
    gate_.Open();
    waiter_.join();
  }

 private:
  Gate gate_;
  std::jthread waiter_;
};

class ModelADrains final : public Situation {
 public:
  explicit ModelADrains(const OwnCore& core) : Situation(core) {
    user_ = Elsewhere([this](std::stop_token) {
      const auto lease = manager_.Lease("a");
      MDSA_CHECK(lease);
      gate_.Wait();
    });
    gate_.AwaitEntered();
    waiter_ = Elsewhere([this](std::stop_token) { MDSA_CHECK(manager_.Get("c")); });
    while (manager_->StateOf("a") != SlotState::kDraining) std::this_thread::yield();
  }
  ~ModelADrains() override {
    MDSA_CHECK(manager_->StateOf("a") == SlotState::kDraining);
    gate_.Open();
    user_.join();
    waiter_.join();
  }

 private:
  Gate gate_;
  std::jthread user_;
  std::jthread waiter_;
};

// C and D want the same place: one evicts the other, and C is unloaded by hand, too.
class ModelCComesAndGoes final : public Situation {
 public:
  explicit ModelCComesAndGoes(const OwnCore& core) : Situation(core) {
    threads_.push_back(Elsewhere([this](std::stop_token stop) {
      while (!stop.stop_requested()) {
        static_cast<void>(manager_.Get("c"));
        static_cast<void>(manager_->Unload("c", {}));
      }
    }));
    for (const char* id : {"c", "d"}) {
      threads_.push_back(Elsewhere([this, id](std::stop_token stop) {
        while (!stop.stop_requested()) static_cast<void>(manager_.Get(id));
      }));
    }
    while (manager_.source.loads < 10) std::this_thread::yield();
  }
  ~ModelCComesAndGoes() override {
    for (std::jthread& thread : threads_) thread.request_stop();
    threads_.clear();
  }

 private:
  std::vector<std::jthread> threads_;
};

using Samples = std::vector<std::uint32_t>;

// Each time includes one look at the clock.
template <typename Request>
void Measure(Samples& samples, Request request) {
  using Clock = std::chrono::steady_clock;
  for (std::size_t i = 0; i < samples.size() / 100; ++i) request();
  Clock::time_point before = Clock::now();
  for (std::uint32_t& sample : samples) {
    request();
    const Clock::time_point after = Clock::now();
    sample = static_cast<std::uint32_t>((after - before).count());
    before = after;
  }
}

void MeasureHits(Samples& samples, FakeManager& manager) {
  const std::string id = "b";
  const ModelConfig config = ModelConfig::ForTier3(id);
  Measure(samples, [&] { MDSA_CHECK(manager.Get(id, config)); });
}

struct Row {
  std::string_view name;
  std::function<int(Samples&)> measure;  // returns the loads that ended meanwhile
  std::array<std::vector<std::uint32_t>, kQuantiles.size()> of_rounds;
  std::int64_t loads = 0;
};

template <typename Kind>
Row RowOf(std::string_view name, const OwnCore& core) {
  return {name,
          [&core](Samples& samples) {
            Kind situation(core);
            const int before = situation.manager().source.loads;
            MeasureHits(samples, situation.manager());
            return situation.manager().source.loads - before;
          },
          {},
          0};
}

void AddRound(Row& row, Samples& samples) {
  row.loads += row.measure(samples);
  std::ranges::sort(samples);
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    const auto last = static_cast<double>(samples.size() - 1);
    row.of_rounds[i].push_back(samples[static_cast<std::size_t>(kQuantiles[i] * last)]);
  }
}

std::uint32_t Median(std::vector<std::uint32_t> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

void PrintHitLatency(const HitLatencyOptions& options) {
  const OwnCore core;
  const auto clock_alone = [](Samples& samples) {
    Measure(samples, [] {});
    return 0;
  };
  std::vector<Row> rows;
  rows.push_back({"the clock alone", clock_alone, {}, 0});
  rows.push_back(RowOf<Situation>("(a) nothing else", core));
  rows.push_back(RowOf<ModelALoads>("(b) A loads", core));
  rows.push_back(RowOf<ModelADrains>("(c) A drains, C waits", core));
  rows.push_back(RowOf<ModelCComesAndGoes>("(d) C comes and goes", core));
  Samples samples(static_cast<std::size_t>(options.hits));
  for (int round = 0; round < options.rounds; ++round) {
    for (Row& row : rows) AddRound(row, samples);
  }
  fmt::print("\nOne hit on model B in ns, the clock included: {} rounds of {} hits each\n",
             options.rounds, options.hits);
  fmt::print("{:<24}{:>8}{:>8}{:>8}{:>8}{:>10}{:>8}\n", "", "p50", "p90", "p99", "p99.9", "max",
             "loads");
  for (const Row& row : rows) {
    fmt::print("{:<24}", row.name);
    for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
      fmt::print("{:>{}}", Median(row.of_rounds[i]), kQuantiles[i] < 1.0 ? 8 : 10);
    }
    fmt::print("{:>8}\n", row.loads);
  }
}

}  // namespace mdsa::bench
