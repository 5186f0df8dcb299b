#pragma once

#include <optional>
#include <string_view>

#include "config/read.h"

namespace pasvgate::config {

/// What the text of a file says, on top of the defaults, value by value. What only a whole configuration can get wrong
/// is for `check`. Nothing when the text isn't JSON.
std::optional<Config> read_document(std::string_view text, Issues& issues);

/// The routes of a routes file; places are pointers in it. `outer` is the policy of the listener that has them.
std::vector<Route> read_routes(std::string_view text, const Policy& outer, Issues& issues);

}  // namespace pasvgate::config
