#include <nlohmann/json.hpp>
#include <utility>

#include "cli/probe.h"
#include "ftp/line.h"

namespace pasvgate::cli {
namespace {

using nlohmann::ordered_json;

enum class Mark : std::uint8_t { Good, Bad, None };

std::string milliseconds(std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; }

std::string reply(const Answer& answer) {
  return answer.code == 0 ? "no answer" : std::to_string(answer.code) + " " + ftp::escaped(answer.text);
}

/// The lines of the report: what was asked, and what came of it.
class Report {
 public:
  explicit Report(Color color) : color_(color) {}

  void line(std::string_view what, Mark mark, const std::string& text) {
    std::string name(what);
    name.resize(11, ' ');
    out += "  " + name + paint(mark) + " " + text + "\n";
  }
  std::string strong(const std::string& text) const {
    return color_ == Color::On ? "\x1b[1m" + text + "\x1b[0m" : text;
  }

  std::string out;

 private:
  [[nodiscard]] std::string paint(Mark mark) const {
    std::string word = mark == Mark::Good ? "ok " : mark == Mark::Bad ? "bad" : "-  ";
    if (color_ == Color::Off || mark == Mark::None) return word;
    return (mark == Mark::Good ? "\x1b[32m" : "\x1b[31m") + word + "\x1b[0m";
  }

  Color color_;
};

void tls_lines(const ProbeFacts& facts, Report& report) {
  if (facts.auth_tls && !facts.auth_tls->is_success()) {
    report.line("TLS", facts.tls_demanded ? Mark::Bad : Mark::None, "AUTH TLS: " + reply(*facts.auth_tls));
  }
  if (!facts.tls) return;
  const TlsFacts& tls = *facts.tls;
  if (!tls.error.empty()) return report.line("TLS", Mark::Bad, tls.error);
  report.line("TLS", Mark::Good,
              tls.version + (facts.is_implicit ? ", implicit" : ", explicit") +
                  (tls.data_protected ? ", data protected" : ", data in clear"));
  std::string text = ftp::escaped(tls.subject);
  if (!tls.names.empty()) {
    text = "for";
    for (const auto& name : tls.names) text += " " + ftp::escaped(name);
  }
  text += tls.expires_in_days < 0 ? ", expired " + std::to_string(-tls.expires_in_days) + " days ago"
                                  : ", expires in " + std::to_string(tls.expires_in_days) + " days";
  if (!tls.chain_error.empty()) text += ", " + tls.chain_error;
  const bool good = tls.name_matches && tls.chain_error.empty() && tls.expires_in_days >= 0;
  report.line("certificate", good ? Mark::Good : Mark::Bad, text);
  if (facts.reuse_demanded) {
    report.line("session", Mark::Good,
                *facts.reuse_demanded ? "data connections must resume the TLS session"
                                      : "data connections needn't resume the TLS session");
  }
}

void data_line(std::string_view name, const DataTry& data, bool is_active, Report& report) {
  if (!data.asked) return;
  if (!data.answer.is_success()) return report.line(name, Mark::Bad, reply(data.answer));
  if (!data.told) return report.line(name, Mark::Bad, "unreadable: " + reply(data.answer));
  std::string text = data.told->text();
  if (data.reach == Reach::Open) {
    text += is_active ? ", the server came from " + (data.came_from ? data.came_from->text() : "somewhere")
                      : ", answered in " + milliseconds(data.took);
  } else {
    text += is_active ? ", nobody came" : ", " + std::string(reach_name(data.reach));
  }
  if (data.at_control != Reach::NotTried) {
    text += " (at the control connection's address: " + std::string(reach_name(data.at_control)) + ")";
  }
  if (!data.tls_error.empty()) text += ", TLS: " + data.tls_error;
  if (data.transfer) text += ", LIST: " + reply(*data.transfer);
  report.line(name, data.works() ? Mark::Good : Mark::Bad, text);
}

ordered_json answer_json(const Answer& answer) { return {{"code", answer.code}, {"text", ftp::escaped(answer.text)}}; }

ordered_json data_json(const DataTry& data) {
  if (!data.asked) return nullptr;
  ordered_json json{{"reply", answer_json(data.answer)}};
  if (data.told) {
    json["address"] = data.told->address.text();
    json["port"] = data.told->port;
    json["private"] = data.told->address.is_private();
  }
  json["connection"] = reach_name(data.reach);
  json["milliseconds"] = data.took.count();
  if (data.at_control != Reach::NotTried) json["at_control_address"] = reach_name(data.at_control);
  if (data.came_from) json["came_from"] = data.came_from->text();
  if (!data.tls_error.empty()) json["tls_error"] = data.tls_error;
  json["resumed"] = data.resumed;
  if (data.transfer) json["transfer"] = answer_json(*data.transfer);
  json["works"] = data.works();
  return json;
}

ordered_json tls_json(const TlsFacts& tls) {
  if (!tls.error.empty()) return {{"error", tls.error}};
  ordered_json names = ordered_json::array();
  for (const auto& name : tls.names) names.push_back(ftp::escaped(name));
  return {{"version", tls.version},
          {"subject", ftp::escaped(tls.subject)},
          {"names", names},
          {"name_matches", tls.name_matches},
          {"chain_error", tls.chain_error},
          {"expires_in_days", tls.expires_in_days},
          {"data_protected", tls.data_protected}};
}

}  // namespace

std::string probe_text(const ProbeFacts& facts, const Verdict& verdict, Color color) {
  Report report(color);
  report.out = report.strong(facts.target) + (facts.peer ? " (" + facts.peer->text() + ")" : "") + "\n";
  if (facts.peer) {
    report.line("greeting", facts.greeting.is_success() ? Mark::Good : Mark::Bad,
                reply(facts.greeting) + (facts.greeting.code == 0 ? "" : ", in " + milliseconds(facts.greeting_took)));
    tls_lines(facts, report);
    if (!facts.features.empty()) {
      std::string names;
      for (const auto& feature : facts.features) names += (names.empty() ? "" : ", ") + ftp::escaped(feature);
      report.line("FEAT", Mark::Good, names);
    }
    if (facts.login) {
      report.line("login", facts.login->is_success() ? Mark::Good : Mark::Bad,
                  (facts.user.empty() ? "anonymous" : ftp::escaped(facts.user)) + ": " + reply(*facts.login));
    }
    data_line("PASV", facts.pasv, false, report);
    data_line("EPSV", facts.epsv, false, report);
    data_line("active", facts.active, true, report);
  }
  report.out += "\n";
  const auto list = [&](const std::string& head, const auto& lines) {
    if (lines.empty()) return;
    report.out += report.strong(head) + "\n";
    for (const auto& line : lines) report.out += "  - " + line + "\n";
  };
  std::vector<std::string> found;
  found.reserve(verdict.findings.size());
  for (const auto& finding : verdict.findings) found.push_back(finding.text + " [" + std::string(finding.id) + "]");
  list(found.size() == 1 ? "1 finding" : std::to_string(found.size()) + " findings", found);
  list("not tested", verdict.untested);
  list("notes", verdict.notes);
  if (verdict.exit_code() == 0) report.out += report.strong("nothing found: it works from here") + "\n";
  return std::move(report.out);
}

std::string probe_json(const ProbeFacts& facts, const Verdict& verdict) {
  ordered_json json{
      {"target", facts.target},
      {"peer", facts.peer ? ordered_json(facts.peer->text()) : ordered_json()},
      {"greeting", answer_json(facts.greeting)},
      {"features", ordered_json::array()},
      {"tls", facts.tls ? tls_json(*facts.tls) : ordered_json()},
      {"login", facts.login ? answer_json(*facts.login) : ordered_json()},
      {"pasv", data_json(facts.pasv)},
      {"epsv", data_json(facts.epsv)},
      {"active", data_json(facts.active)},
      {"session_reuse_demanded", facts.reuse_demanded ? ordered_json(*facts.reuse_demanded) : ordered_json()},
      {"findings", ordered_json::array()},
      {"untested", verdict.untested},
      {"notes", verdict.notes},
      {"exit_code", verdict.exit_code()}};
  for (const auto& feature : facts.features) json["features"].push_back(ftp::escaped(feature));
  for (const auto& finding : verdict.findings) json["findings"].push_back({{"id", finding.id}, {"text", finding.text}});
  // What a server said may be no UTF-8 in spite of the escaping.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace pasvgate::cli
