#include "server/blind_transfers.h"

#include <algorithm>
#include <utility>

#include "net/connector.h"
#include "net/splice_relay.h"
#include "observe/log.h"

namespace pasvgate::server {

class BlindTransfers::Transfer final : public net::Relay::Listener {
 public:
  Transfer(BlindTransfers& owner, net::Fd client, Way way)
      : owner_(owner),
        client_(std::move(client)),
        way_(std::move(way)),
        connector_(std::make_unique<net::Connector>(owner.loop_, way_.to, way_.connect,
                                                    [this](net::Result<net::Fd> to) { connected(std::move(to)); })) {}
  /// Whatever still moves is broken.
  ~Transfer() {
    client_.reset();
    if (relay_ && !relay_->is_over()) relay_->reset();
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  [[nodiscard]] const ftp::Address& client() const { return way_.client; }

 private:
  void connected(net::Result<net::Fd> backend) {
    using enum observe::Metrics::DataResult;
    const bool told = backend && (way_.header.empty() || ::send(backend->get(), way_.header.data(), way_.header.size(),
                                                                MSG_NOSIGNAL) == std::ssize(way_.header));
    owner_.metrics_.data_connection(gateway::Leg::Backend, gateway::Mode::Passive, told ? Ok : Refused);
    if (told) {
      net::tune_data(*backend);
      relay_ = std::make_unique<net::SpliceRelay>(owner_.loop_, owner_.pipes_, std::move(client_), std::move(*backend),
                                                  way_.stall, *this);
      relay_->set_pace(std::move(way_.pace));
      relay_->watch();
      return;
    }
    observe::log(config::LogLevel::Warn, "data port unreachable",
                 {{"leg", "backend"}, {"error", backend ? "PROXY header for the backend" : backend.error().text()}});
    owner_.ended(*this);
  }

  void on_moved(ftp::Direction direction, std::uint64_t bytes) override {
    owner_.metrics_.transfer_bytes(direction, bytes);
  }
  void on_delivered(ftp::Direction, std::uint64_t) override {
    if (relay_->is_over()) owner_.ended(*this);
  }
  void on_secured(net::Relay::Side, const net::Tls&) override {}
  void on_broken(net::Relay::Side, bool) override { owner_.ended(*this); }

  BlindTransfers& owner_;
  net::Fd client_;
  Way way_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Relay> relay_;
};

BlindTransfers::BlindTransfers(net::Loop& loop, net::PipePool& pipes, observe::Metrics& metrics, OnCount on_count)
    : loop_(loop), pipes_(pipes), metrics_(metrics), on_count_(std::move(on_count)), next_turn_(loop, [this] {
        dead_.clear();
      }) {}

BlindTransfers::~BlindTransfers() = default;

void BlindTransfers::begin(net::Fd client, Way way) {
  metrics_.data_connection(gateway::Leg::Client, gateway::Mode::Passive, observe::Metrics::DataResult::Ok);
  const ftp::Address from = way.client;
  transfers_.push_back(std::make_unique<Transfer>(*this, std::move(client), std::move(way)));
  on_count_(from, 1);
}

void BlindTransfers::ended(Transfer& transfer) {
  const auto found = std::ranges::find(transfers_, &transfer, &std::unique_ptr<Transfer>::get);
  if (found == transfers_.end()) return;
  dead_.push_back(std::move(*found));
  transfers_.erase(found);
  next_turn_.start(net::kNextTurn);
  on_count_(transfer.client(), -1);
}

void BlindTransfers::end(const std::function<bool(const ftp::Address& client)>& is_meant) {
  std::vector<Transfer*> meant;
  for (const auto& transfer : transfers_) {
    if (is_meant(transfer->client())) meant.push_back(transfer.get());
  }
  for (Transfer* transfer : meant) ended(*transfer);
}

void BlindTransfers::clear() {
  transfers_.clear();
  dead_.clear();
  next_turn_.close();
}

}  // namespace pasvgate::server
