#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "config/read.h"

namespace pasvgate::config {

/// Adds what only a whole configuration can get wrong, with JSON pointers as places. A value that `issues` already
/// tells of is compared with nothing: one mistake, one message.
void check(const Config& config, Issues& issues);

/// Whether the JSON pointer `where` is `pointer` or leads to something inside it.
bool is_inside(std::string_view where, std::string_view pointer);

/// What to say of a name that no backend has; empty for one that is there.
std::string unknown_backend(const Config& config, const std::string& name);

/// Of a route without a condition.
constexpr std::string_view kAsksNothing =
    "no condition, so that it takes every session; write one, or the backend as listeners.*.backend";

/// The name of a listener that was given none.
std::string listener_name(std::size_t index);

}  // namespace pasvgate::config
