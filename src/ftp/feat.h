#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ftp/reply.h"

namespace pasvgate::ftp {

/// What a gateway changes in a FEAT reply (RFC 2389 §3.2).
struct FeatPolicy {
  std::vector<std::string> removed;  ///< Features by name, upper case: "AUTH", or with parameter "MODE Z".
  std::vector<std::string> added;    ///< Whole feature lines without indentation: "EPSV", "AUTH TLS".
  std::function<bool(std::string_view feature)> is_refused;  ///< Whole lines; unset: none is.
};

/// Edits one FEAT reply as it streams by: a line in, the lines to send out. Removed features vanish with every
/// parameter; a feature of `added` that the backend names itself isn't named twice; every other line stays byte for
/// byte, its indentation too (G24). Additions come before the last line, indented like the backend's own lines (one
/// blank if it had none). A one-line 211 ("211 No features") becomes a list when something is added. Other codes pass
/// unchanged.
class FeatEditor {
 public:
  explicit FeatEditor(const FeatPolicy& policy);
  /// Appends what goes on to the client, each with CRLF. `policy` must outlive the editor.
  void edit(const ReplyLine& line, std::string& out);

 private:
  /// False for a line of the list that `policy_` removes.
  bool keep(const ReplyLine& line);
  void learn_indent(std::string_view indent);
  void add_missing(std::string& out);

  const FeatPolicy* policy_;
  std::vector<bool> seen_;  ///< By index of `policy_->added`.
  std::string indent_ = " ";
  bool indent_known_ = false;
};

}  // namespace pasvgate::ftp
