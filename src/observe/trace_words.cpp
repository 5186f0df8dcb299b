#include "observe/trace_words.h"

#include <string_view>
#include <utility>
#include <variant>

#include "ftp/command.h"

namespace pasvgate::observe {
namespace {

std::string rewrite_words(const gateway::RewriteNote& rewrite) {
  const bool client_connects = rewrite.verb == ftp::Verb::Pasv || rewrite.verb == ftp::Verb::Epsv;
  const bool backend_connects = rewrite.backend.starts_with("PORT ") || rewrite.backend.starts_with("EPRT ");
  std::string text = client_connects
                         ? "told the client " + rewrite.client +
                               ": its data connection comes to this port of the gateway and goes on from there"
                         : "the client's port is for the gateway, not for the backend";
  if (backend_connects)
    return text + "; the backend was sent " + rewrite.backend + ", where it connects to the gateway";
  const bool is_alike = client_connects && rewrite.backend.substr(0, 3) == rewrite.client.substr(0, 3);
  // The backend's own answer stands in the dialogue.
  if (is_alike) return text;
  return text + "; the backend was asked with " + (rewrite.backend.starts_with("229") ? "EPSV" : "PASV") +
         " instead (its data_mode, its family or what it knows)";
}

std::string transfer_words(const gateway::TransferNote& transfer) {
  std::string text = "transfer " + std::string(gateway::result_name(transfer.result)) + ", " +
                     std::to_string(transfer.bytes) + " bytes, ";
  text += transfer.code == 0 ? "the client was gone" : "told the client " + std::to_string(transfer.code);
  if (transfer.contradicted) text += ": the backend calls it complete, but not all of it arrived";
  return text;
}

struct Say {
  std::string operator()(const gateway::CommandNote&) const { return {}; }
  std::string operator()(const gateway::LoginNote&) const { return {}; }
  std::string operator()(const gateway::PolicyNote& refused) const { return "refused by " + std::string(refused.key); }
  std::string operator()(const gateway::RewriteNote& rewrite) const { return rewrite_words(rewrite); }
  std::string operator()(const gateway::LeaseNote& lease) const {
    return "no passive port: " + std::string(gateway::failure_name(lease.why));
  }
  std::string operator()(const gateway::DataTimeoutNote& late) const {
    return "no data connection on the " + std::string(leg_name(late.leg)) + "'s leg (" +
           std::string(mode_name(late.mode)) + ")";
  }
  std::string operator()(const gateway::TransferNote& transfer) const { return transfer_words(transfer); }
  std::string operator()(const gateway::WarningNote& warning) const {
    return std::string(warning.what) + (warning.detail.empty() ? "" : ": ") + ftp::masked_reply(warning.detail);
  }
};

}  // namespace

std::string trace_words(const gateway::Note& note) { return std::visit(Say{}, note); }

}  // namespace pasvgate::observe
