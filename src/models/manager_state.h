// What ModelManager, its handles and its leases share: the threads, locks and waits around the
// decisions of Residency.
//
// Every decision is taken under one lock that is held for microseconds; describing, loading,
// freeing, callbacks and waiting happen outside of it. Each load runs on a thread of its own, so
// that everybody who wants the model, the one who asked first included, only waits and may stop
// waiting at any time. A request for a model that is ready, and a call that takes or returns a
// lease, take no lock of the manager.
//
// Lock order: ManagerState, then HitTable, EventQueue or SlotAccount. None is held while waiting.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/memory_account.h"
#include "base/mutex.h"
#include "mdsa/model_manager.h"
#include "models/event_queue.h"
#include "models/handle_body.h"
#include "models/hit_table.h"
#include "models/load_flight.h"
#include "models/residency.h"

namespace mdsa {

// What a load will take, known before anything is allocated.
struct ModelNeeds {
  std::uint64_t resident_bytes = 0;   // weights and tokenizer
  std::uint64_t peak_bytes = 0;       // of the load
  std::uint64_t allocated_bytes = 0;  // of the peak, what is no map of a file
  std::uint64_t call_bytes = 0;       // of one call
  std::string device = "cpu";
  bool approximate = false;
};

// How models come about: the loader in the library, fakes in tests. All are called from any number
// of threads and without a lock.
struct ModelSource {
  std::function<Result<ModelNeeds>(const ModelConfig&, int threads)> needs;
  std::function<Result<std::shared_ptr<Model>>(const ModelConfig&, const LoadOptions&,
                                               std::shared_ptr<MemoryAccount>)>
      load;
  std::function<ModelFacts(const Model&)> describe;
  // What the machine would still give; empty, or nullopt: not known.
  std::function<std::optional<std::uint64_t>()> machine_bytes;
  // Gives freed memory back to the system; may be empty.
  std::function<void()> trim;
};

// Thread-safe.
class ManagerState : public std::enable_shared_from_this<ManagerState> {
 public:
  struct Setup {
    ResidencyOptions options;
    std::optional<std::uint64_t> host_limit_bytes;  // options.max_memory resolved
    std::shared_ptr<const ResidencyPolicy> policy;  // null: LruPolicy
    ModelSource source;                             // without `load`, nothing can be loaded
    Clock* clock = &Clock::Steady();                // must outlive the state
  };
  static Result<std::shared_ptr<ManagerState>> Create(Setup setup);
  ~ManagerState();

  // --- requests; see ModelManager ---
  // `config` null: the declared one, or that of the last load.
  Result<ModelHandle> GetOrLoad(const std::string& model_id, const ModelConfig* config,
                                const RequestOptions& options) MDSA_EXCLUDES(mutex_);
  Result<ModelLease> Lease(const std::string& model_id, const ModelConfig* config,
                           const RequestOptions& options) MDSA_EXCLUDES(mutex_);
  // For a handle: the model, loaded again if it was evicted.
  static Result<ModelLease> LeaseAgain(std::shared_ptr<ManagerState> manager,
                                       const HandleBodyPtr& body, const RequestOptions& options)
      MDSA_EXCLUDES(manager->mutex_);
  // For who has found the entry before: without a lock, and only while it is ready.
  bool UseAgain(ModelSlot& slot) { return hits_.Use(slot); }
  static std::optional<ModelLease> TryLeaseAgain(std::shared_ptr<ManagerState> manager,
                                                 const HandleBodyPtr& body);
  void ReturnLease(ModelSlot& slot) MDSA_EXCLUDES(mutex_);
  Result<UnloadResult> Unload(std::string_view model_id, const UnloadOptions& options)
      MDSA_EXCLUDES(mutex_);
  void ClearAll() MDSA_EXCLUDES(mutex_);
  // The manager is gone: nothing stays loaded but what is leased, and handles get an error from now
  // on. Cancels the loads in flight and returns when they have ended, so that no thread and no
  // callback outlives it; a load that calls this itself (a freed object may) is not waited for.
  void Close() MDSA_EXCLUDES(mutex_);

  // --- the registry's side; see ModelRegistry ---
  Result<std::vector<std::string>> Register(std::string model_id, ModelRegistry::Entry entry)
      MDSA_EXCLUDES(mutex_);
  Status MakeRoom(const std::string& model_id, const ModelRegistry::Room& room)
      MDSA_EXCLUDES(mutex_);
  std::optional<ModelInfo> Get(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  std::optional<ModelInfo> Peek(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  Result<ModelLease> LeaseRegistered(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  bool IsLoaded(std::string_view model_id) const MDSA_EXCLUDES(mutex_);
  bool Unregister(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  std::vector<std::string> ListModels() const MDSA_EXCLUDES(mutex_);
  RegistryStats GetStats() MDSA_EXCLUDES(mutex_);
  std::int64_t size() const MDSA_EXCLUDES(mutex_);
  std::int64_t max_models() const MDSA_EXCLUDES(mutex_);
  Status SetMaxModels(std::int64_t max_models) MDSA_EXCLUDES(mutex_);

  // --- settings, reports ---
  ModelSettings settings(std::string_view model_id) const MDSA_EXCLUDES(mutex_);
  Status SetSettings(const std::string& model_id, const ModelSettings& settings)
      MDSA_EXCLUDES(mutex_);
  // Changes those of the id in one step.
  Status UpdateSettings(const std::string& model_id, FunctionRef<void(ModelSettings&)> change)
      MDSA_EXCLUDES(mutex_);
  Status Declare(const DeclaredModel& model) MDSA_EXCLUDES(mutex_);
  std::optional<ModelConfig> ConfigOf(const std::string& model_id) const MDSA_EXCLUDES(mutex_);
  std::vector<DeclaredModel> declared() const MDSA_EXCLUDES(mutex_);
  Result<ResidencyExplanation> Explain(const std::string& model_id, const ModelConfig* config)
      MDSA_EXCLUDES(mutex_);
  ResidencyMetrics Metrics() MDSA_EXCLUDES(mutex_);
  EventQueue& events() { return events_; }

  // Returns once `try_charge` gives 0: for calls that need more than their model keeps for them. It
  // gives the bytes that the ledger lacks, and is called under the lock.
  Status MakeRoomForCall(const RecordPtr& record, std::stop_token stop,
                         FunctionRef<std::uint64_t()> try_charge) MDSA_EXCLUDES(mutex_);
  // One gave its bytes back.
  void CallEnded() MDSA_EXCLUDES(mutex_);

  // --- for tests ---
  // Callers that wait for the load in flight of that id; 0 if none is.
  int CallersWaitingFor(std::string_view model_id) const MDSA_EXCLUDES(mutex_);
  SlotState StateOf(std::string_view model_id) const MDSA_EXCLUDES(mutex_);
  // See Residency::Validate.
  std::optional<std::string> Validate(std::uint64_t call_bytes) const MDSA_EXCLUDES(mutex_);

 private:
  using FlightPtr = std::shared_ptr<LoadFlight>;
  using Victims = std::vector<Residency::Victim>;

  // What a request wants.
  struct Wanted {
    const std::string& model_id;
    const ModelConfig* config = nullptr;  // null: the declared or last one
    const ModelSlot* slot = nullptr;      // of the handle that asks; null: any
    bool lease = false;
  };

  // A wait that is reported when it is too old, and again whenever its age has doubled.
  struct WatchedWait {
    Clock::TimePoint since;
    std::chrono::nanoseconds report_after;
    Clock::TimePoint report_at() const { return Later(since, report_after); }
  };

  // Threads that have ended, joined when this goes: declared before a lock is taken, so joined
  // after it. Events are delivered then, too.
  struct Afterwards {
    explicit Afterwards(ManagerState& its_state) : state(its_state) {}
    ~Afterwards() { state.events_.Deliver(); }
    ManagerState& state;
    LoadFlight::Threads ended;
  };

  explicit ManagerState(Setup setup);

  // --- manager_state.cc ---
  Result<HandleBodyPtr> Obtain(const Wanted& wanted, const RequestOptions& options)
      MDSA_EXCLUDES(mutex_);
  Result<const ModelConfig*> ConfigFor(const Wanted& wanted, const ResidencyRecord* record) const
      MDSA_REQUIRES(mutex_);
  // Null if it is not ready.
  Result<HandleBodyPtr> FindReady(const Wanted& wanted, const ModelConfig& config,
                                  const RecordPtr& record) MDSA_REQUIRES(mutex_);
  // Counts a use, and lets the next request of this thread find it without the lock.
  HandleBodyPtr NoteRequest(const HandleBodyPtr& body, const ModelConfig& config)
      MDSA_REQUIRES(mutex_);
  Result<FlightPtr> JoinFlight(const Wanted& wanted, const ModelConfig& config,
                               const RequestOptions& options, RecordPtr record)
      MDSA_REQUIRES(mutex_);
  Result<FlightPtr> StartFlight(const RecordPtr& record, const ModelConfig& config,
                                const LoadOptions& options) MDSA_REQUIRES(mutex_);
  Status CheckKeptFailure(const ResidencyRecord& record, const ModelConfig& config)
      MDSA_REQUIRES(mutex_);
  Result<HandleBodyPtr> Await(const FlightPtr& flight, const Wanted& wanted,
                              const RequestOptions& options) MDSA_EXCLUDES(mutex_);
  Error WhyLeft(const LoadFlight& flight, const RequestOptions& options, Clock::TimePoint deadline)
      MDSA_REQUIRES(mutex_);
  void LeaveFlight(LoadFlight& flight, const Wanted& wanted, const Error& why)
      MDSA_REQUIRES(mutex_);
  ModelLease MakeLease(HandleBodyPtr body) { return {shared_from_this(), std::move(body)}; }
  // Ends a flight before its load has. The caller requests its stop outside the lock.
  void Abandon(LoadFlight& flight, Error error) MDSA_REQUIRES(mutex_);
  void DropAll(Error (*reason)(std::string_view model_id)) MDSA_EXCLUDES(mutex_);
  Status AwaitFree(const RecordPtr& record, const UnloadOptions& options) MDSA_EXCLUDES(mutex_);
  // Closes a record and abandons its flight, which comes back if there is one.
  FlightPtr CloseRecord(const RecordPtr& record, Error why) MDSA_REQUIRES(mutex_);

  // --- manager_flight.cc: on the flight's own thread ---
  void RunFlight(const FlightPtr& flight) noexcept MDSA_EXCLUDES(mutex_);
  void Fly(const FlightPtr& flight) MDSA_EXCLUDES(mutex_);
  // False if the flight is over already: abandoned, or its model was revived.
  bool AwaitUnloaded(const FlightPtr& flight) MDSA_EXCLUDES(mutex_);
  bool AwaitRoom(const FlightPtr& flight, const ModelNeeds& needs) MDSA_EXCLUDES(mutex_);
  void LoadReserved(const FlightPtr& flight) MDSA_EXCLUDES(mutex_);
  void FinishLoad(const FlightPtr& flight, std::shared_ptr<Model> model, ModelFacts facts)
      MDSA_EXCLUDES(mutex_);
  Status SettleLoad(const FlightPtr& flight, const ModelFacts& facts) MDSA_EXCLUDES(mutex_);
  void FailForMemory(const FlightPtr& flight) noexcept MDSA_EXCLUDES(mutex_);
  // The load has ended without a model.
  void FailLoad(const FlightPtr& flight, Error error) MDSA_EXCLUDES(mutex_);
  // Everybody who waits gets the error.
  void FailFlight(const FlightPtr& flight, const Error& error) MDSA_REQUIRES(mutex_);
  void Succeed(const FlightPtr& flight) MDSA_REQUIRES(mutex_);
  void Detach(const LoadFlight& flight) MDSA_REQUIRES(mutex_);
  // Forgets an id of which nothing is known but that it was asked for.
  void ForgetIfUnused(const RecordPtr& record) MDSA_REQUIRES(mutex_);

  // --- manager_calls.cc ---
  // Until something changes, `step` wants to look again, or the wait has to end.
  Status AwaitChange(WatchedWait& wait, const ResidencyRecord& record, const Residency::Step& step,
                     const std::stop_token& stop) MDSA_REQUIRES(mutex_);

  // --- manager_events.cc ---
  ModelEvent EventOf(ModelEvent::Kind kind, const ResidencyRecord& record) const
      MDSA_REQUIRES(mutex_);
  // Tells of the victims and takes them out of the table of hits.
  void AnnounceVictims(const Victims& victims) MDSA_REQUIRES(mutex_);
  // Destroys their objects, then gives their bytes back.
  void Free(Victims victims) MDSA_EXCLUDES(mutex_);
  void Changed() MDSA_REQUIRES(mutex_) {
    ++version_;
    changed_.NotifyAll();
  }
  WatchedWait Watch() MDSA_REQUIRES(mutex_) {
    return {clock_.Now(), residency_.options().report_waits_after};
  }
  void ReportIfOld(WatchedWait& wait, const ResidencyRecord& record, std::string_view what)
      MDSA_REQUIRES(mutex_);
  void Housekeep(std::stop_token stop) MDSA_EXCLUDES(mutex_);
  // Once a model can expire, a thread looks after it. kResourceExhausted if there is none.
  Status StartHousekeeper() MDSA_REQUIRES(mutex_);
  void PublishRegistered(const RecordPtr& record, ModelRegistry::Entry& entry, std::uint64_t bytes)
      MDSA_REQUIRES(mutex_);
  // Waits while something else is being freed; false if nothing is, or this thread frees something.
  bool AwaitFreeing() MDSA_REQUIRES(mutex_);
  ModelInfo InfoOf(const RecordPtr& record, bool with_objects) const MDSA_REQUIRES(mutex_);

  const ModelSource source_;
  Clock& clock_;
  EventQueue events_;
  HitTable hits_;
  // Whoever waits for memory or for a drain; a lease that is returned looks at it.
  std::atomic<int> waiting_for_leases_ = 0;
  // Calls whose memory is charged; shared with the accounts, which may outlive this.
  const std::shared_ptr<std::atomic<int>> charged_calls_ = std::make_shared<std::atomic<int>>(0);

  mutable Mutex mutex_;
  CondVar changed_;
  std::uint64_t version_ MDSA_GUARDED_BY(mutex_) = 0;  // of whatever a waiter may wait for
  bool closed_ MDSA_GUARDED_BY(mutex_) = false;
  Residency residency_ MDSA_GUARDED_BY(mutex_);
  std::map<std::string, FlightPtr, std::less<>> flights_ MDSA_GUARDED_BY(mutex_);
  std::map<std::string, DeclaredModel, std::less<>> declared_ MDSA_GUARDED_BY(mutex_);
  LoadFlight::Threads running_ MDSA_GUARDED_BY(mutex_);
  LoadFlight::Threads ended_ MDSA_GUARDED_BY(mutex_);  // left to be joined
  std::optional<std::jthread> housekeeper_ MDSA_GUARDED_BY(mutex_);
};

}  // namespace mdsa
