// A view of a callable, valid while the callable lives. Two words, no allocation.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "base/thread_annotations.h"

namespace mdsa {

template <typename Signature>
class FunctionRef;

template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
             std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& callable)  // NOLINT(google-explicit-constructor): a view, like std::string_view
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        // A callable that needs a lock is called where its user holds it; the analysis cannot see.
        call_([](void* object, Args... args) MDSA_NO_THREAD_SAFETY_ANALYSIS -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace mdsa
