// A million random steps over the decisions, with a loader and a clock that are numbers: after each
// of them the ledger equals a recount from scratch, and nothing is in use that is not in memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "models/residency.h"

namespace mdsa {
namespace {

using enum SlotState;
using Step = Residency::Step;

constexpr int kModels = 6;
constexpr int kMaxModels = 3;
constexpr std::uint64_t kLimit = 100;

// What a thread would be in the middle of: a load that waits for room, or runs.
struct Flight {
  RecordPtr record;
  Residency::Ticket ticket = 0;
  bool loading = false;
  bool abandoned = false;
  std::uint64_t size = 0;
};

class Simulation {
 public:
  explicit Simulation(unsigned seed) : random_(seed) {
    ResidencyOptions options;
    options.max_models = kMaxModels;
    options.max_queue_wait = std::chrono::nanoseconds(200);
    options.min_residency = std::chrono::nanoseconds(20);
    options.retry_delay = std::chrono::nanoseconds(50);
    residency_ = std::make_unique<Residency>(options, kLimit, std::make_shared<const LruPolicy>());
  }

  void RandomStep() {
    now_ += std::chrono::nanoseconds(1 + Below(10));
    switch (Below(14)) {
      case 0:
      case 1:
      case 2:
        return Request(Below(kModels));
      case 3:
      case 4:
      case 5:
        return Advance();
      case 6:
      case 7:
        return ReturnLease();
      case 8:
      case 9:
        return FreeOne();
      case 10:
        return Rarely(8) ? Unload(Below(kModels)) : Request(Below(kModels));
      case 11:
        return Rarely(8) ? ChangeSettings(Below(kModels)) : Advance();
      case 12:
        return Rarely(4) ? EvictByHand(Below(kModels)) : Expire();
      default:
        return ChargeOrRelease();
    }
  }

  void Check() {
    const auto broken = residency_->Validate(call_bytes_);
    ASSERT_EQ(broken, std::nullopt);
    for (const RecordPtr& record : leases_) {
      const SlotState state = record->slot->state();
      ASSERT_TRUE(state == kReady || state == kDraining) << "a model in use was taken away";
    }
    std::map<std::string, int> running;
    for (const Flight& flight : flights_) {
      if (flight.loading && !flight.abandoned) {
        ASSERT_EQ(++running[flight.record->id()], 1) << "loaded twice at once";
      }
    }
    for (const Residency::Victim& victim : unloading_) {
      ASSERT_EQ(victim.record->slot->state(), kUnloading);
    }
  }

  // No new requests, calls end, loads go on: everybody who waits gets an answer.
  void Settle() {
    for (int i = 0; i < kModels; ++i) residency_->SetSettings(Name(i), {});
    call_reservations_.clear();
    call_bytes_ = 0;
    for (int round = 0; round < 10'000 && !flights_.empty(); ++round) {
      now_ += std::chrono::nanoseconds(50);
      ReturnLease();
      FreeOne();
      for (std::size_t i = flights_.size(); i-- > 0;) AdvanceFlight(i);
    }
    ASSERT_TRUE(flights_.empty()) << "a request is never served";
    while (!leases_.empty()) ReturnLease();
    while (!unloading_.empty()) FreeOne();
    Check();
  }

  std::uint64_t loads = 0;
  std::uint64_t evictions = 0;
  std::uint64_t drains = 0;

 private:
  std::uint32_t Below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool Rarely(std::uint32_t n) { return Below(n) == 0; }
  static std::string Name(std::size_t i) { return std::string(1, static_cast<char>('a' + i)); }

  void Take(std::vector<Residency::Victim> victims) {
    evictions += victims.size();
    unloading_.insert(unloading_.end(), victims.begin(), victims.end());
  }

  void Request(std::size_t model) {
    RecordPtr record = residency_->Find(Name(model));
    if (record != nullptr && record->slot->TryLease()) {
      record->slot->NoteUse(now_.time_since_epoch().count());
      leases_.push_back(record);
      return;
    }
    if (record != nullptr && HoldsMemory(record->slot->state())) return;  // joins or waits
    const bool flies = std::ranges::any_of(flights_, [&](const Flight& flight) {
      return !flight.abandoned && flight.record->id() == Name(model);
    });
    if (flies) return;
    if (record != nullptr && record->failure && record->failure->retry_at > now_) return;
    if (record == nullptr) record = residency_->Insert(Name(model));
    record->config = ModelConfig();
    const std::uint64_t size = 10 + 12 * model;  // the largest just fits
    flights_.push_back(
        {record, residency_->Join(record, {size, size, 1}, now_), false, false, size});
  }

  void Advance() {
    if (!flights_.empty()) AdvanceFlight(Below(static_cast<std::uint32_t>(flights_.size())));
  }

  void AdvanceFlight(std::size_t index) {
    Flight& flight = flights_[index];
    if (flight.loading) {
      FinishLoad(flight);
      if (!flight.loading) flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(index));
      return;
    }
    bool ended = false;
    if (flight.abandoned || Rarely(50)) {
      residency_->Leave(flight.ticket);
      ended = true;
    } else {
      Step step = residency_->Try(flight.ticket, now_, std::nullopt);
      Take(std::move(step.victims));
      if (step.kind == Step::Kind::kGranted) {
        if (Rarely(20)) {
          residency_->CancelReserved(flight.record);
          ended = true;
        } else {
          residency_->StartLoading(*flight.record);
          flight.loading = true;
        }
      }
      ended |= step.kind == Step::Kind::kRefused;
    }
    if (ended) flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void FinishLoad(Flight& flight) {
    const RecordPtr record = flight.record;
    const std::uint32_t luck = Below(10);
    if (luck == 0 || (flight.abandoned && luck < 5)) {
      const auto error = luck == 0 ? std::optional(Error(ErrorCode::kIo, "broken")) : std::nullopt;
      residency_->FailLoading(record, error, now_);
    } else if (flight.abandoned) {
      residency_->DropLoaded(*record, now_);
      unloading_.push_back({record, std::nullopt, {}});
    } else {
      // Sometimes more than was estimated.
      const std::uint64_t measured = flight.size - 3 + Below(6);
      const std::uint64_t missing = residency_->Settle(*record, {measured, 0, 2});
      if (missing > 0) {
        Step step =
            residency_->TryAtOnce(record, {missing, 0, 0}, now_, EvictionReason::kUnderestimate);
        const bool waits = !step.victims.empty() || step.kind == Step::Kind::kGranted;
        Take(std::move(step.victims));
        if (waits) return;  // again at the next step
        residency_->FailLoading(record, Error(ErrorCode::kResourceExhausted, "no room"), now_);
      } else {
        const auto waiters = static_cast<std::int64_t>(Below(3));
        residency_->PublishReady(*record, {}, waiters, now_);
        record->slot->NoteUse(now_.time_since_epoch().count());
        for (std::int64_t i = 0; i < waiters; ++i) leases_.push_back(record);
        ++loads;
      }
    }
    flight.loading = false;
  }

  void ReturnLease() {
    if (leases_.empty()) return;
    const std::size_t index = Below(static_cast<std::uint32_t>(leases_.size()));
    const RecordPtr record = leases_[index];
    leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(index));
    drains += record->slot->state() == kDraining ? 1 : 0;
    record->slot->ReleaseLease();
    Take(residency_->Sweep(now_));
  }

  void FreeOne() {
    if (unloading_.empty()) return;
    const std::size_t index = Below(static_cast<std::uint32_t>(unloading_.size()));
    residency_->Freed(unloading_[index].record);
    unloading_.erase(unloading_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void Unload(std::size_t model) {
    const RecordPtr record = residency_->Find(Name(model));
    if (record == nullptr) return;
    for (Flight& flight : flights_) flight.abandoned |= flight.record == record;
    residency_->Close(record);
    Take(residency_->Sweep(now_));
  }

  void EvictByHand(std::size_t model) {
    const RecordPtr record = residency_->Find(Name(model));
    if (record != nullptr && record->slot->state() == kReady) Take(residency_->Evict(record, now_));
  }

  void ChangeSettings(std::size_t model) {
    ModelSettings settings;
    settings.pinned = Rarely(4);
    if (Rarely(2)) settings.time_to_live = std::chrono::nanoseconds(300);
    residency_->SetSettings(Name(model), settings);
  }

  void Expire() {
    Clock::TimePoint next;
    Take(residency_->Expire(now_, &next));
  }

  // Calls take bytes of the ledger without asking anybody.
  void ChargeOrRelease() {
    if (Rarely(2) && !call_reservations_.empty()) {
      call_bytes_ -= call_reservations_.back().bytes();
      call_reservations_.pop_back();
    } else if (auto more = residency_->ledger("cpu")->TryReserve(Below(8))) {
      call_bytes_ += more->bytes();
      call_reservations_.push_back(*std::move(more));
    }
    if (call_reservations_.size() > 4) {
      call_reservations_.clear();
      call_bytes_ = 0;
    }
  }

  std::minstd_rand random_;
  Clock::TimePoint now_ = Clock::TimePoint(std::chrono::seconds(1));
  std::unique_ptr<Residency> residency_;
  std::vector<Flight> flights_;
  std::vector<RecordPtr> leases_;
  std::vector<Residency::Victim> unloading_;
  std::vector<Reservation> call_reservations_;
  std::uint64_t call_bytes_ = 0;
};

TEST(ResidencyStepsTest, AMillionRandomStepsKeepEveryInvariant) {
  constexpr int kRuns = 20;
  constexpr int kSteps = 50'000;
  std::uint64_t loads = 0;
  std::uint64_t evictions = 0;
  std::uint64_t drains = 0;
  for (unsigned seed = 1; seed <= kRuns; ++seed) {
    SCOPED_TRACE(seed);
    Simulation simulation(seed);
    for (int step = 0; step < kSteps; ++step) {
      simulation.RandomStep();
      simulation.Check();
      if (::testing::Test::HasFatalFailure()) FAIL() << "at step " << step;
    }
    simulation.Settle();
    if (::testing::Test::HasFatalFailure()) FAIL() << "at the end";
    loads += simulation.loads;
    evictions += simulation.evictions;
    drains += simulation.drains;
  }
  // The steps really went everywhere.
  EXPECT_GT(loads, 10'000u);
  EXPECT_GT(evictions, 10'000u);
  EXPECT_GT(drains, 1'000u);
}

}  // namespace
}  // namespace mdsa
