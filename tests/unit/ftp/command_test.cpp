#include "ftp/command.h"

#include <doctest/doctest.h>

#include <string_view>
#include <utility>

using namespace pasvgate::ftp;

TEST_CASE("command: verb, name and argument") {
  struct Row {
    std::string_view reason;
    std::string_view line;
    Verb verb;
    std::string_view name, argument;
  };
  const Row rows[] = {
      {"plain", "RETR file", Verb::Retr, "RETR", "file"},
      {"no argument", "PASV", Verb::Pasv, "PASV", ""},
      {"lower and mixed case (G12)", "rEtr file", Verb::Retr, "rEtr", "file"},
      {"leading blanks and tabs (G12)", " \t RETR file", Verb::Retr, "RETR", "file"},
      {"tab behind the verb (G12)", "RETR\tfile", Verb::Retr, "RETR", "file"},
      {"leading blank of a name (G13)", "RETR  file", Verb::Retr, "RETR", " file"},
      {"trailing blanks of a name (G13)", "RETR file  ", Verb::Retr, "RETR", "file  "},
      {"a name of one blank (G13)", "RETR  ", Verb::Retr, "RETR", " "},
      {"blank behind the verb only", "PASV ", Verb::Pasv, "PASV", ""},
      {"bytes of no charset (F14)", "STOR \xE4\xFF\x80", Verb::Stor, "STOR", "\xE4\xFF\x80"},
      {"empty line (G14)", "", Verb::Other, "", ""},
      {"blanks only (G14)", "   ", Verb::Other, "", ""},
      {"PASV past a meddling router (D19)", "P@SW", Verb::Pasv, "P@SW", ""},
      {"so too in lower case (D19)", "p@sw", Verb::Pasv, "p@sw", ""},
      {"unknown (G15)", "XCUP a", Verb::Other, "XCUP", "a"},
      {"alias (G39)", "XPWD", Verb::Other, "XPWD", ""},
      {"a known verb and more", "RETRX a", Verb::Other, "RETRX", "a"},
      {"part of a known verb", "RET a", Verb::Other, "RET", "a"},
      {"the name for unknown ones isn't a verb", "OTHER a", Verb::Other, "OTHER", "a"},
      {"three letters", "cwd /a b", Verb::Cwd, "cwd", "/a b"},
      {"a reply from a client (A22)", "227 =1,2,3,4,5,6", Verb::Other, "227", "=1,2,3,4,5,6"},
      {"HTTP (G16)", "GET / HTTP/1.1", Verb::Other, "GET", "/ HTTP/1.1"},
      {"SITE with blanks (G21)", "SITE  CHMOD 600  a ", Verb::Site, "SITE", " CHMOD 600  a "},
      {"lost first byte (G2)", "BOR", Verb::Other, "BOR", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const Command command = Command::parse(row.line);
    CHECK(command.verb == row.verb);
    CHECK(command.name == row.name);
    CHECK(command.argument == row.argument);
  }
}

TEST_CASE("command: every verb is found by its name") {
  for (int i = 0; i < std::to_underlying(Verb::Other); ++i) {
    const auto verb = static_cast<Verb>(i);
    CAPTURE(verb_name(verb));
    CHECK(Command::parse(verb_name(verb)).verb == verb);
  }
  CHECK(verb_name(Verb::Retr) == "RETR");
  CHECK(verb_name(Verb::Ccc) == "CCC");
  CHECK(verb_name(Verb::Other) == "OTHER");
}

TEST_CASE("command: which ones move data, and which way (G28, G29)") {
  for (const std::string_view line : {"RETR a", "LIST", "LIST -a", "NLST *.c", "MLSD"}) {
    CAPTURE(line);
    CHECK(Command::parse(line).is_transfer());
    CHECK(Command::parse(line).direction() == Direction::Download);
  }
  for (const std::string_view line : {"STOR a", "STOU", "APPE a"}) {
    CAPTURE(line);
    CHECK(Command::parse(line).is_transfer());
    CHECK(Command::parse(line).direction() == Direction::Upload);
  }
  for (const std::string_view line : {"MLST", "STAT a", "ALLO 5", "REST 5", "PASV", "SITE RETR", "XRETR"}) {
    CAPTURE(line);
    CHECK_FALSE(Command::parse(line).is_transfer());
    CHECK(Command::parse(line).direction() == Direction::Download);
  }
}

TEST_CASE("command: no secret gets into a log (G32)") {
  struct Row {
    std::string_view reason;
    std::string_view line, shown;
  };
  const Row rows[] = {
      {"as written", "retr a b", "retr a b"},
      {"no argument", "PASV", "PASV"},
      {"user names are shown", "USER bob", "USER bob"},
      {"a password in USER", "USER bob:hunter2@ftp.example", "USER bob:****@ftp.example"},
      {"without a host", "user bob:hunter2", "user bob:****"},
      {"with signs in it", "USER bob:hun:ter@2@ftp.example:2121", "USER bob:****@ftp.example:2121"},
      {"a realm before it", "USER bob@realm:hunter2@ftp.example", "USER bob@realm:****@ftp.example"},
      {"only a port", "USER bob@ftp.example:2121", "USER bob@ftp.example:2121"},
      {"only an IPv6 address", "USER bob@[2001:db8::1]:21", "USER bob@[2001:db8::1]:21"},
      {"without a blank", "USERbob:hunter2@host", "USERbob:****@host"},
      {"quoted", "QUOTE PASS hunter2", "QUOTE PASS ****"},
      {"quoted, with a password in USER", "literal  USER bob:hunter2", "literal USER bob:****"},
      {"a header of HTTP", "Authorization: Basic dG9rZW4=", "Authorization: ****"},
      {"password", "PASS hunter2", "PASS ****"},
      {"lower case", "pass hunter2", "PASS ****"},
      {"leading blank", "  PASS hunter2", "PASS ****"},
      {"blanks in it", "PASS a b c", "PASS ****"},
      {"empty: nothing is told", "PASS", "PASS ****"},
      {"account", "ACCT hunter2", "ACCT ****"},
      {"misspelt", "PASSWORD hunter2", "PASS ****"},
      {"blank forgotten", "PASShunter2", "PASS ****"},
      {"a letter too much", "XPASS hunter2", "PASS ****"},
      {"account without a blank", "ACCThunter2", "ACCT ****"},
      {"another's password", "SITE CHPASS bob hunter2", "SITE CHPASS ****"},
      {"wrong separator", "PaSs:hunter2 x", "PASS ****"},
      {"a token of RFC 2228", "ADAT dG9rZW4=", "ADAT ****"},
      {"a command in one", "mic c2VjcmV0", "MIC ****"},
      {"a change of password", "SITE PSWD old new", "SITE PSWD ****"},
      {"with blanks and in lower case", "site   passwd\tnew", "SITE passwd ****"},
      {"of a group", "SITE GPASSWD g hunter2", "SITE GPASSWD ****"},
      {"of a new user", "SITE GADDUSER g bob hunter2", "SITE GADDUSER ****"},
      {"to another account", "SITE SU hunter2", "SITE SU ****"},
      {"another SITE", "SITE CHMOD 644 a", "SITE CHMOD 644 a"},
      {"SITE alone", "SITE", "SITE"},
      {"as it is", "RETR a\x1B[2J:b@c", "RETR a\x1B[2J:b@c"},
      {"nothing", "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(Command::parse(row.line).masked() == row.shown);
  }
}

TEST_CASE("masked_reply: a server that repeats the user repeats no password (G32)") {
  struct Row {
    std::string_view reason;
    std::string_view line, shown;
  };
  const Row rows[] = {
      {"with a host, in any reply", "530 bob:hunter2@host: login incorrect", "530 bob:****@host: login incorrect"},
      {"ProFTPD's words", "331 Password required for bob:hunter2", "331 Password required for bob:****"},
      {"in quotes", "331 User \"bob:hunter2\"", "331 User \"bob:****"},
      {"a URL", "220 see ftp://bob:hunter2@host/", "220 see ftp:****@host/"},
      {"a colon at the end", "331 Password:", "331 Password:"},
      {"a time", "213 at 10:20:30", "213 at 10:20:30"},
      {"an address", "220 [2001:db8::1] ready, mail to admin@host", "220 [2001:db8::1] ready, mail to admin@host"},
      {"a port behind the host", "220 bob@host:21", "220 bob@host:21"},
      {"blanks stay", "  220  a:b@c\t d ", "  220  a:****@c\t d "},
      {"nothing", "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(masked_reply(row.line) == row.shown);
  }
}

TEST_CASE("is_anonymous: RFC 1635's names, in any case") {
  for (const char* user : {"anonymous", "ftp", "Anonymous", "FTP"}) CHECK(is_anonymous(user));
  for (const char* user : {"", "anonymou", "anonymouss", "ftps", "anna", "f"}) CHECK_FALSE(is_anonymous(user));
}
