#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pasvgate::ftp {

/// The verbs that the gateway knows by name; everything else is Other and is relayed. XPWD-style aliases are Other
/// verbs of their own: only verbs that some layer decides on need a name.
// clang-format off: a line each would push all else off the screen
enum class Verb : std::uint8_t {
  Abor, Acct, Allo, Algs, Appe, Auth, Ccc, Cdup, Clnt, Cpsv, Cwd, Dele, Eprt, Epsv, Esta, Estp, Feat, Help, Host, Lang,
  List, Lprt, Lpsv, Mdtm, Mfmt, Mkd, Mlsd, Mlst, Mode, Nlst, Noop, Opts, Pass, Pasv, Pbsz, Port, Prot, Pwd, Quit, Rein,
  Rest, Retr, Rmd, Rnfr, Rnto, Site, Size, Smnt, Spsv, Sscn, Stat, Stor, Stou, Stru, Syst, Type, User,
  Other,
};
// clang-format on

/// Which way the payload of a transfer command goes.
enum class Direction : std::uint8_t { Download, Upload };

/// A client's command: verb in upper case, argument byte for byte as sent (leading blank cut once).
struct Command {
  Verb verb = Verb::Other;
  std::string_view name;      ///< As the client wrote it, e.g. "retr" or "XCUP".
  std::string_view argument;  ///< All behind the one blank after the verb, trailing blanks included (G13).

  /// Never fails: what isn't a known verb is Other. Leading blanks and tabs are skipped (G12). P@SW is PASV (D19).
  /// Views point into `line`.
  static Command parse(std::string_view line);

  /// PASV, EPSV, PORT, EPRT.
  [[nodiscard]] bool sets_up_data() const;
  /// RETR, LIST, NLST, MLSD download; STOR, STOU, APPE upload; others move no data.
  [[nodiscard]] bool is_transfer() const;
  /// Only for transfer commands; Download for others.
  [[nodiscard]] Direction direction() const;
  /// The command for a log, raw, but without secrets: the arguments of PASS and ACCT however misspelt, RFC 2228's
  /// tokens, SITE's changes of passwords, a password inside USER, HTTP's headers.
  [[nodiscard]] std::string masked() const;
};

/// The argument of USER without the password that some clients and proxies put there: "bob:****@host", "bob:****". In
/// "bob@host:2121" there is none.
std::string masked_user(std::string_view user);
/// A server's reply line for a log: where it repeats such a user, without the password.
std::string masked_reply(std::string_view line);

/// A verb under its one name, in upper case: MKD for XMKD and the other four of RFC 775, PASV for P@SW.
std::string canonical_verb(std::string_view name);

/// "RETR", "OTHER": the label of a verb in metrics and logs.
std::string_view verb_name(Verb verb);

/// The names of anonymous FTP (RFC 1635), in whatever case.
bool is_anonymous(std::string_view user);

}  // namespace pasvgate::ftp
