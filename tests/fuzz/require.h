#pragma once

#include <cstdlib>

/// A property that holds for every input. Not `assert`: release builds check it too.
inline void require(bool holds) {
  if (!holds) std::abort();
}
