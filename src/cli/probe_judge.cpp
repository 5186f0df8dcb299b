#include <utility>

#include "cli/probe.h"
#include "ftp/line.h"

namespace pasvgate::cli {
namespace {

constexpr int kSoonDays = 14;

std::string quoted(const Answer& answer) {
  return "\"" + std::to_string(answer.code) + " " + ftp::escaped(answer.text) + "\"";
}

std::string seconds(std::chrono::milliseconds time) {
  const auto tenths = time.count() / 100;
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) + " s";
}

/// How a port that doesn't answer behaves, and what that speaks for.
std::string why_no_answer(Reach reach, const ftp::Endpoint& port, std::chrono::milliseconds timeout) {
  switch (reach) {
    case Reach::Silent:
      return "nothing comes back from " + port.text() + " within " + seconds(timeout) +
             ": a firewall drops it. Let the server's whole passive range through, or narrow the range to what is open";
    case Reach::Refused:
      return port.text() +
             " refuses the connection: the range isn't forwarded there, or a firewall rejects it. Forward and open the "
             "server's whole passive range, port by port";
    default:
      return "there is no way to " + port.text() + " from here";
  }
}

constexpr std::string_view kAddressCure =
    "Set the address that clients reach it at (vsftpd: pasv_address, ProFTPD: MasqueradeAddress, Pure-FTPd: "
    "ForcePassiveIP, pasvgate: advertise.address), or put pasvgate in front of it";

class Judge {
 public:
  explicit Judge(const ProbeFacts& facts) : facts_(facts) {}

  Verdict all() {
    if (!reached()) return std::move(verdict_);
    tls();
    if (!logged_in()) return std::move(verdict_);
    passive();
    active();
    if (!facts_.lost.empty())
      untested("The control connection gave no more answers: " + ftp::escaped(facts_.lost) + ".");
    return std::move(verdict_);
  }

 private:
  void found(std::string_view id, std::string text) { verdict_.findings.push_back({id, std::move(text)}); }
  void untested(std::string text) { verdict_.untested.push_back(std::move(text)); }
  void note(std::string text) { verdict_.notes.push_back(std::move(text)); }

  bool reached() {
    if (!facts_.connect_error.empty()) {
      untested(facts_.connect_error + ".");
      return false;
    }
    if (facts_.tls && !facts_.tls->error.empty() && facts_.is_implicit) {
      found("tls_handshake", "The TLS handshake failed: " + facts_.tls->error +
                                 ". If the server speaks TLS behind AUTH only, use --tls explicit.");
      return false;
    }
    if (facts_.greeting.code == 0) {
      untested("No greeting came within " + seconds(facts_.timeout) +
               (facts_.is_implicit ? "." : ". A server with TLS from the first byte needs --tls implicit.") +
               (facts_.lost.empty() ? "" : " The connection ended: " + ftp::escaped(facts_.lost) + "."));
      return false;
    }
    if (!facts_.greeting.is_success()) {
      untested("The server turns clients away: " + quoted(facts_.greeting) + ".");
      return false;
    }
    return true;
  }

  void tls() {
    if (facts_.tls_demanded && facts_.auth_tls && !facts_.auth_tls->is_success()) {
      found("tls_refused",
            "The server refuses AUTH TLS with " + quoted(*facts_.auth_tls) +
                ": it has no certificate or TLS is off. Switch it on, or set tls of pasvgate's listener.");
    }
    if (!facts_.tls) return;
    if (!facts_.tls->error.empty())
      return found("tls_handshake", "The TLS handshake failed: " + facts_.tls->error + ".");
    certificate(*facts_.tls);
    if (!facts_.tls->data_protected) {
      note("Data connections go in clear: the server doesn't take PROT P.");
    }
  }

  void certificate(const TlsFacts& tls) {
    if (tls.expires_in_days < 0) {
      found("certificate_expired", "The certificate expired " + std::to_string(-tls.expires_in_days) +
                                       " days ago: clients refuse it. Renew it.");
    } else if (tls.expires_in_days < kSoonDays) {
      found("certificate_expires_soon",
            "The certificate expires in " + std::to_string(tls.expires_in_days) + " days: renew it now.");
    }
    // An expired one isn't told again in OpenSSL's words.
    if (!tls.chain_error.empty() && tls.expires_in_days >= 0) {
      found("certificate_untrusted", "The certificate leads to no CA that is known here (" + tls.chain_error +
                                         "): clients warn or refuse. Use one of a public CA and send its intermediate "
                                         "certificates with it, or name your own CA with --tls-ca.");
    }
    if (!tls.name_matches) {
      std::string names;
      for (const auto& name : tls.names) names += (names.empty() ? "" : ", ") + ftp::escaped(name);
      found("certificate_name", "The certificate is for " + (names.empty() ? ftp::escaped(tls.subject) : names) +
                                    ", not for " + facts_.host +
                                    ": clients that check it refuse. Get one for the name "
                                    "that clients use.");
    }
    if (tls.version == "TLSv1" || tls.version == "TLSv1.1") {
      found("tls_old", "The server speaks " + tls.version +
                           " at most, which today's clients refuse. pasvgate in front of it speaks TLS 1.3 to them.");
    }
  }

  bool logged_in() {
    if (facts_.password_withheld) {
      untested(
          "The login wasn't tried: a server whose certificate is wrong gets no password. Name its CA with --tls-ca "
          "FILE, "
          "or send the password all the same with --tls-ca none.");
      return false;
    }
    if (!facts_.login) {
      if (verdict_.findings.empty() || !facts_.lost.empty()) {
        untested("The login couldn't be tried" +
                 (facts_.lost.empty() ? std::string() : ": " + ftp::escaped(facts_.lost)) + ".");
      }
      return false;
    }
    if (facts_.login->is_success()) return true;
    untested("The login as " + (facts_.user.empty() ? std::string("anonymous") : ftp::escaped(facts_.user)) +
             " was refused with " + quoted(*facts_.login) +
             (facts_.user.empty() ? ": give --user and --password-file to test data connections."
                                  : ": data connections couldn't be tested."));
    return false;
  }

  void passive() {
    const bool both_refused = facts_.pasv.asked && refused(facts_.pasv) && facts_.epsv.asked && refused(facts_.epsv);
    if (both_refused) {
      return found("passive_refused",
                   "The server refuses passive mode altogether, PASV with " + quoted(facts_.pasv.answer) +
                       " and EPSV with " + quoted(facts_.epsv.answer) +
                       ": clients behind a NAT or a firewall, so nearly all, can't transfer. Switch it on (vsftpd: "
                       "pasv_enable=YES), or let pasvgate use active mode with it (backends.*.data_mode).");
    }
    if (facts_.pasv.asked) pasv();
    if (facts_.epsv.asked) epsv();
    if (facts_.reuse_demanded == true) {
      note("Data connections must resume the control connection's TLS session; clients that can't are refused.");
    }
  }

  /// Answered, and not with a success.
  static bool refused(const DataTry& data) { return data.answer.code != 0 && !data.answer.is_success(); }

  void pasv() {
    const DataTry& data = facts_.pasv;
    if (refused(data)) {
      return found("pasv_refused", "The server refuses PASV with " + quoted(data.answer) +
                                       ": clients that don't know EPSV can't transfer.");
    }
    if (data.answer.code == 0) return;  // The control connection is lost, which is said.
    if (!data.told) {
      return found("pasv_unreadable",
                   "The answer to PASV names no address that a client could use: " + quoted(data.answer) + ".");
    }
    if (!facts_.peer || data.told->address == facts_.peer->address) return passive_port("PASV", data);
    wrong_address(data, data.told->address, facts_.peer->address);
  }

  /// The address in the 227 isn't the one that the control connection goes to.
  void wrong_address(const DataTry& data, const ftp::Address& named, const ftp::Address& reached) {
    const std::string told = named.text();
    const std::string peer = reached.text();
    const bool inside = named.is_private() || named.is_unspecified();
    // Whoever answers there may be another host of that address: only a listing shows that it is this server.
    if (data.works() && (!inside || reached.is_private())) {
      note("PASV names " + told + ", not " + peer + " as the control connection does; it answers all the same.");
      return passive_port("PASV", data);
    }
    std::string text =
        named.is_unspecified() ? "The server advertises " + told + " in its 227, which is no address"
        : inside ? "The server advertises its inside address " + told + " in its 227, but is reached at " + peer
                 : "The server advertises " + told + " in its 227, but is reached at " + peer;
    text += data.works()                ? ": it answers from here, but not from outside."
            : data.reach == Reach::Open ? ": somebody answers there, but no listing comes."
                                        : ": clients hang there.";
    if (data.at_control == Reach::Open) {
      text += " The same port answers at " + peer + ", so the address alone is wrong.";
    } else if (data.at_control != Reach::NotTried) {
      text += " The same port doesn't answer at " + peer + " either (" + std::string(reach_name(data.at_control)) +
              "): open and forward the passive range too.";
    }
    found(inside ? "pasv_inside_address" : "pasv_wrong_address", text + " " + std::string(kAddressCure) + ".");
  }

  void epsv() {
    const DataTry& data = facts_.epsv;
    if (refused(data)) {
      const std::string text = "The server refuses EPSV with " + quoted(data.answer);
      // Over IPv4 every client falls back to PASV.
      if (facts_.pasv.asked) return note(text + "; clients fall back to PASV.");
      return found("epsv_refused", text + ": over IPv6 there is no other passive mode.");
    }
    if (data.answer.code == 0) return;
    if (!data.told) {
      return found("epsv_unreadable",
                   "The answer to EPSV names no port that a client could use: " + quoted(data.answer) + ".");
    }
    passive_port("EPSV", data);
  }

  /// The address is right; does the port answer, and does a listing come through it?
  void passive_port(std::string_view verb, const DataTry& data) {
    const bool is_pasv = verb == "PASV";
    if (data.reach != Reach::Open) {
      // One range serves both: said once.
      if (!is_pasv && facts_.pasv.told && facts_.pasv.reach == data.reach &&
          facts_.pasv.told->address == data.told->address) {
        return;
      }
      return found(is_pasv ? "pasv_port" : "epsv_port",
                   "The port that " + std::string(verb) +
                       " names doesn't answer: " + why_no_answer(data.reach, *data.told, facts_.timeout) + ".");
    }
    transfer(is_pasv ? "pasv_transfer" : "epsv_transfer", verb, data);
  }

  void transfer(std::string_view id, std::string_view verb, const DataTry& data) {
    const std::string start = "The data connection of " + std::string(verb) + " was made, but ";
    if (!data.tls_error.empty()) {
      return found(id, start + "its TLS handshake failed: " + data.tls_error + ".");
    }
    if (!data.transfer || data.works()) return;
    if (data.transfer->code == 0) return found(id, start + "no reply to LIST came within the time.");
    std::string text = start + "LIST got " + quoted(*data.transfer) + ".";
    if (data.transfer->code == 522 || data.transfer->code == 521) {
      text += " The server wants data connections protected in another way, or wants the TLS session resumed.";
    } else if (data.transfer->code == 425 || data.transfer->code == 426) {
      text += " A helper on the way (a NAT's FTP module, a balancer) may answer in the server's place.";
    }
    found(id, std::move(text));
  }

  void active() {
    const DataTry& data = facts_.active;
    if (!data.asked) return;
    if (data.answer.code == 0) return;
    if (refused(data)) {
      return found("active_refused", "The server refuses active mode with " + quoted(data.answer) +
                                         ": clients that use PORT can't transfer (pasvgate: policy.allow_active).");
    }
    if (data.reach != Reach::Open) {
      const bool behind_nat =
          data.told && facts_.peer && data.told->address.is_private() && !facts_.peer->address.is_private();
      std::string text =
          "The server was told to connect to " + (data.told ? data.told->text() : "us") + " and didn't come";
      if (data.transfer && data.transfer->code != 0) text += " (" + quoted(*data.transfer) + ")";
      text += behind_nat
                  ? ": this address is an inside one, which it can't reach. Active mode doesn't work from behind "
                    "a NAT; use passive mode."
                  : ": a firewall here lets no connection in, or the server may open none.";
      return found("active_connection", std::move(text));
    }
    if (data.came_from && facts_.peer && data.came_from->address != facts_.peer->address) {
      note("In active mode the data comes from " + data.came_from->address.text() + ", not from " +
           facts_.peer->address.text() + ": some clients and firewalls refuse it.");
    }
    transfer("active_transfer", "active mode", data);
  }

  const ProbeFacts& facts_;
  Verdict verdict_;
};

}  // namespace

std::optional<ProbeTls> parse_probe_tls(std::string_view text) {
  if (text == "off") return ProbeTls::Off;
  if (text == "explicit") return ProbeTls::Explicit;
  if (text == "implicit") return ProbeTls::Implicit;
  if (text == "auto") return ProbeTls::Auto;
  return std::nullopt;
}

std::string_view reach_name(Reach reach) {
  switch (reach) {
    case Reach::NotTried:
      return "not tried";
    case Reach::Open:
      return "answered";
    case Reach::Refused:
      return "refused";
    case Reach::Silent:
      return "silent";
    case Reach::Unreachable:
      return "unreachable";
  }
  std::unreachable();
}

Verdict judge(const ProbeFacts& facts) { return Judge(facts).all(); }

}  // namespace pasvgate::cli
