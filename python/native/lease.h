// Leases as Python holds them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "mdsa/model_lease.h"

namespace mdsa::python {

// A lease that can be given back while calls on it run in other threads: it ends with the last of
// them. Thread-safe.
class HeldLease {
 public:
  explicit HeldLease(ModelLease lease)
      : model_id_(lease.model_id()),
        cancelled_(lease.cancelled()),
        lease_(std::make_shared<const ModelLease>(std::move(lease))) {}

  const std::string& model_id() const { return model_id_; }
  // For the time of a call. Throws NativeError (kFailedPrecondition) after Release.
  std::shared_ptr<const ModelLease> Get() const;
  void Release();
  // The model was unloaded by force.
  bool cancelled() const { return cancelled_.stop_requested(); }

 private:
  const std::string model_id_;
  const std::stop_token cancelled_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ModelLease> lease_;
};

// The owner: what it holds ends with it.
struct PyLease {
  explicit PyLease(ModelLease lease) : held(std::make_shared<HeldLease>(std::move(lease))) {}
  PyLease(PyLease&&) = default;
  PyLease(const PyLease&) = delete;
  PyLease& operator=(const PyLease&) = delete;
  ~PyLease();

  std::shared_ptr<HeldLease> held;
};

}  // namespace mdsa::python
