#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace pasvgate::config {

/// The one of `known` that `name` was probably meant to be; nothing when none is near. Case doesn't count.
std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> known);

}  // namespace pasvgate::config
