#include "cli/probe_certificate.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "cli/probe_socket.h"
#include "ftp/address.h"

namespace pasvgate::cli {
namespace {

/// The names that a certificate is for.
std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> names;
  auto* list = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                         static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      const unsigned char* octets = ASN1_STRING_get0_data(name->d.iPAddress);
      std::array<std::uint8_t, 16> bytes{};
      const auto size = static_cast<std::size_t>(ASN1_STRING_length(name->d.iPAddress));
      std::copy_n(octets, std::min(size, bytes.size()), bytes.begin());
      if (size == 4) names.push_back(ftp::Address::v4({bytes[0], bytes[1], bytes[2], bytes[3]}).text());
      if (size == 16) names.push_back(ftp::Address::v6(bytes).text());
    }
  }
  GENERAL_NAMES_free(list);
  return names;
}

std::string subject_of(const X509* certificate) {
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

std::int64_t days_left(const X509* certificate) {
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)) != 1) return -1;
  // Expired since an hour is expired.
  return days == 0 && seconds < 0 ? -1 : days;
}

}  // namespace

void read_certificate(SSL* ssl, const std::string& host, TlsFacts& tls) {
  tls.version = SSL_get_version(ssl);
  const std::unique_ptr<X509, FreeWith<X509_free>> certificate(SSL_get1_peer_certificate(ssl));
  if (!certificate) {
    tls.chain_error = "the server sent none";
    return;
  }
  tls.subject = subject_of(certificate.get());
  tls.names = names_of(certificate.get());
  tls.expires_in_days = days_left(certificate.get());
  if (const long result = SSL_get_verify_result(ssl); result != X509_V_OK) {
    tls.chain_error = X509_verify_cert_error_string(result);
  }
  tls.name_matches = ftp::Address::parse(host)
                         ? X509_check_ip_asc(certificate.get(), host.c_str(), 0) == 1
                         : X509_check_host(certificate.get(), host.data(), host.size(), 0, nullptr) == 1;
}

}  // namespace pasvgate::cli
