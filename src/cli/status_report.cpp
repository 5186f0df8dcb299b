#include "cli/status_report.h"

#include <algorithm>
#include <utility>

namespace pasvgate::cli {
namespace {

using Lines = std::vector<TextLine>;

constexpr std::size_t kRefusals = 10;
constexpr std::size_t kFewest = 3;  ///< Rows that a section keeps while another one has more.
constexpr std::size_t kSparkline = 60;
constexpr std::size_t kBar = 20;
constexpr std::size_t kLabel = 10;

/// A title line and the rows below it, of which as many are shown as there is room for.
struct Section {
  Lines lines;
  std::size_t shown = 0;  ///< Rows.
  std::size_t more = 0;   ///< Rows that weren't even known.

  explicit Section(Lines all) : lines(std::move(all)), shown(rows()) {}
  [[nodiscard]] std::size_t rows() const { return lines.empty() ? 0 : lines.size() - 1; }
  [[nodiscard]] std::size_t left_out() const { return rows() - shown + more; }
  /// With the empty line above.
  [[nodiscard]] std::size_t height() const { return lines.empty() ? 0 : 2 + shown + (left_out() > 0 ? 1 : 0); }
};

Paint paint_of_state(const std::string& state) {
  if (state == "ready" || state == "up") return Paint::Good;
  return state == "down" ? Paint::Bad : Paint::Warning;
}

std::string of(std::uint64_t part, std::uint64_t whole) {
  return std::to_string(part) + (whole == 0 ? "" : " of " + std::to_string(whole));
}

Cell label(std::string name) {
  name.resize(std::max(name.size(), kLabel), ' ');
  return {name + "  ", Paint::Strong};
}

/// A label, what is now, what it was since the start, and the last minutes as a line.
class Figures {
 public:
  Figures(const GatewayView& view, const StatusLayout& layout) : layout_(layout) {
    const GatewayStatus& status = view.status;
    const GatewayStatus::Sample last = status.samples.empty() ? GatewayStatus::Sample{} : status.samples.back();
    rows_ = {
        {"sessions", of(status.sessions, status.session_limit),
         std::to_string(status.sessions_total) + " since the start", curve(status, &GatewayStatus::Sample::sessions)},
        {"download", rate_text(last.download), bytes_text(status.downloaded) + " since the start",
         curve(status, &GatewayStatus::Sample::download)},
        {"upload", rate_text(last.upload), bytes_text(status.uploaded) + " since the start",
         curve(status, &GatewayStatus::Sample::upload)}};
  }

  [[nodiscard]] Lines lines() const {
    std::size_t now = 0;
    std::size_t since = 0;
    for (const Row& row : rows_) {
      now = std::max(now, columns_of(row.now));
      since = std::max(since, columns_of(row.since));
    }
    const std::size_t used = kLabel + 2 + now + 3 + since + 3;
    const std::size_t room = layout_.width == 0     ? kSparkline
                             : layout_.width > used ? std::min(kSparkline, layout_.width - used)
                                                    : 0;
    Lines lines;
    for (const Row& row : rows_) {
      std::string curve = sparkline(row.curve, room, layout_.glyphs);
      if (!curve.empty()) curve.insert(0, since - columns_of(row.since) + 3, ' ');
      lines.push_back({label(row.name),
                       {row.now + std::string(now - columns_of(row.now) + 3, ' ')},
                       {row.since, Paint::Dim},
                       {std::move(curve)}});
    }
    return lines;
  }

 private:
  struct Row {
    std::string name;
    std::string now;
    std::string since;
    std::vector<double> curve;
  };

  static std::vector<double> curve(const GatewayStatus& status, double GatewayStatus::Sample::* member) {
    std::vector<double> values;
    values.reserve(status.samples.size());
    for (const auto& sample : status.samples) values.push_back(sample.*member);
    return values;
  }

  const StatusLayout& layout_;
  std::vector<Row> rows_;
};

TextLine ports_line(const GatewayView& view) {
  const PortsInUse& ports = view.ports;
  const std::uint64_t leases = std::max(view.status.ports_leased, ports.leases);
  // Clients with different addresses share a port, so there may be more leases than ports.
  std::string text = of(ports.in_use, view.status.ports) + " in use";
  if (leases > ports.in_use) text += " by " + std::to_string(leases) + " leases";
  std::string range = "  " + ports.listen;
  if (!ports.advertise.empty() && ports.advertise != ports.listen) range += ", told as " + ports.advertise;
  const double share =
      view.status.ports == 0 ? 0 : static_cast<double>(ports.in_use) / static_cast<double>(view.status.ports);
  const Paint paint = share >= 0.95 ? Paint::Bad : share >= 0.8 ? Paint::Warning : Paint::None;
  return {label("ports"), {text + "  "}, {bar(share, 1, kBar), paint}, {std::move(range), Paint::Dim}};
}

Section servers_section(const GatewayView& view, const StatusLayout& layout) {
  TextTable table({{"BACKEND"}, {"SERVER"}, {"STATE"}, {"SESSIONS", Align::Right}, {"WHY", Align::Left, Shrink::Back}});
  for (const ServerHealth& server : view.servers) {
    const bool is_named = !server.host.empty() && !server.server.starts_with(server.host);
    table.add({{server.backend},
               {server.server + (is_named ? " (" + server.host + ")" : "") + (server.is_backup ? ", backup" : "")},
               {server.state, paint_of_state(server.state)},
               {of(server.sessions, server.max_sessions)},
               {server.why}});
  }
  return Section(table.is_empty() ? Lines() : table.lines(layout.width, layout.glyphs));
}

Section transfers_section(const GatewayView& view, const StatusLayout& layout) {
  // Where there is room, what `pasvgate trace` wants to know.
  const bool has_ids = layout.width == 0 || layout.width >= 120;
  std::vector<Column> columns{{"TRANSFER"},
                              {"CLIENT"},
                              {"USER", Align::Left, Shrink::Back},
                              {"BYTES", Align::Right},
                              {"RATE", Align::Right},
                              {"AGE", Align::Right},
                              {"FILE", Align::Left, Shrink::Front}};
  if (has_ids) columns.insert(columns.begin() + 1, {"SESSION"});
  TextTable table(std::move(columns));
  for (const RunningTransfer& transfer : view.transfers) {
    std::vector<Cell> row{{(transfer.is_upload ? "up   " : "down ") + transfer.command},
                          {transfer.client},
                          {transfer.user},
                          {bytes_text(transfer.bytes)},
                          {rate_text(transfer.rate)},
                          {time_text(transfer.age)},
                          {transfer.file}};
    if (has_ids) row.insert(row.begin() + 1, {transfer.session});
    table.add(std::move(row));
  }
  if (table.is_empty()) return Section(Lines{{{"no transfers", Paint::Strong}}});
  Section section(table.lines(layout.width, layout.glyphs));
  section.more = view.status.transfers > view.transfers.size() ? view.status.transfers - view.transfers.size() : 0;
  return section;
}

Section refusals_section(const GatewayView& view, const StatusLayout& layout) {
  TextTable table({{"REFUSED"}, {"CLIENT"}, {"WHAT"}, {"WHY", Align::Left, Shrink::Back}});
  for (const auto& refusal : view.status.refusals) {
    table.add({{time_text(view.status.now - refusal.time) + " ago"}, {refusal.client}, {refusal.what}, {refusal.why}});
  }
  if (table.is_empty()) return Section(Lines{{{"no refusals", Paint::Strong}}});
  Section section(table.lines(layout.width, layout.glyphs));
  section.shown = std::min(section.shown, kRefusals);
  return section;
}

/// Takes rows away, from the longest section first, until all of them are `height` lines.
void fit(std::vector<Section>& sections, std::size_t height) {
  for (;;) {
    std::size_t sum = 0;
    for (const Section& section : sections) sum += section.height();
    const auto longest = std::ranges::max_element(sections, {}, &Section::shown);
    if (sum <= height || longest->shown <= kFewest) return;
    --longest->shown;
  }
}

Lines head(const GatewayView& view, const StatusLayout& layout) {
  const GatewayStatus& status = view.status;
  Lines lines{{{"pasvgate " + status.version + "   ", Paint::Strong},
               {status.state, paint_of_state(status.state)},
               {"   up " + time_text(status.now - status.started) + "   " + std::to_string(status.workers) +
                (status.workers == 1 ? " worker" : " workers")}},
              {}};
  for (auto& line : Figures(view, layout).lines()) lines.push_back(std::move(line));
  lines.push_back(ports_line(view));
  lines.push_back({label("transfers"), {std::to_string(status.transfers)}});
  return lines;
}

}  // namespace

std::string status_text(const GatewayView& view, const StatusLayout& layout) {
  Lines lines = head(view, layout);
  std::vector<Section> sections{servers_section(view, layout), transfers_section(view, layout),
                                refusals_section(view, layout)};
  if (layout.height != 0) fit(sections, layout.height > lines.size() ? layout.height - lines.size() : 0);
  for (Section& section : sections) {
    if (section.lines.empty()) continue;
    lines.emplace_back();
    for (std::size_t i = 0; i <= section.shown; ++i) lines.push_back(std::move(section.lines[i]));
    if (section.left_out() > 0) lines.push_back({{"and " + std::to_string(section.left_out()) + " more", Paint::Dim}});
  }
  if (layout.height != 0 && lines.size() > layout.height) lines.resize(layout.height);
  std::string out;
  for (const TextLine& line : lines) {
    std::string text = painted(line, layout.width, layout.color, layout.glyphs);
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

}  // namespace pasvgate::cli
