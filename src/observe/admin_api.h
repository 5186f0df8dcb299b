#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "observe/status.h"

namespace pasvgate::observe {

struct ApiRequest {
  std::string_view method;
  std::string_view path;           ///< Behind "/api/v1", decoded.
  std::string_view query;          ///< Raw.
  std::string_view authorization;  ///< The header's value.
  std::string_view body;
};

struct ApiResponse {
  int status;
  std::string body;  ///< JSON; empty with 204.
};

/// Why a change with this Authorization header is refused, if it is.
std::optional<ApiResponse> refused_change(AdminSource& source, std::string_view authorization);
/// Answers one request of the admin API (conf/openapi.json). Reading is free to all who reach the server; a change
/// needs "Authorization: Bearer TOKEN".
ApiResponse answer_api(AdminSource& source, const ApiRequest& request);

}  // namespace pasvgate::observe
