#include "exit_code.h"

namespace mdsa::cli {

int ExitCodeOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInternal:
      return kExitInternal;
    case ErrorCode::kInvalidArgument:
      return kExitUsage;
    case ErrorCode::kNotFound:
      return 3;
    case ErrorCode::kInvalidFormat:
      return 4;
    case ErrorCode::kUnsupported:
      return 5;
    case ErrorCode::kResourceExhausted:
      return 6;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
      return 7;
    case ErrorCode::kIo:
      return 8;
    case ErrorCode::kDeadlineExceeded:
      return 9;
    case ErrorCode::kCancelled:
      return kExitCancelled;
  }
  return kExitInternal;
}

}  // namespace mdsa::cli
