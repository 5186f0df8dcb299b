#pragma once

#include <chrono>

namespace pasvgate::gateway {

/// A moment that the caller tells: milliseconds since some other one, always forward.
using Instant = std::chrono::milliseconds;

}  // namespace pasvgate::gateway
