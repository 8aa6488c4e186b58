#include "masking/pixel_mask.hpp"

#include <algorithm>

#include "errors.hpp"

namespace fsyn::masking {

PixelMask::PixelMask(std::span<const int32_t> players) : size_(players.size()) {
  int32_t largest = -1;
  for (const int32_t player : players) {
    if (player < -1) throw Error(ErrorCode::invalid_argument, "A pixel's player is below -1.");
    largest = std::max(largest, player);
  }
  std::vector<std::vector<Run>> by_player(static_cast<size_t>(largest + 1));
  for (size_t begin = 0; begin < players.size();) {
    size_t end = begin + 1;
    while (end < players.size() && players[end] == players[begin]) ++end;
    if (players[begin] >= 0) by_player[static_cast<size_t>(players[begin])].push_back({begin, end - begin});
    begin = end;
  }
  offsets_.push_back(0);
  for (const auto& runs : by_player) {
    runs_.insert(runs_.end(), runs.begin(), runs.end());
    offsets_.push_back(runs_.size());
  }
}

std::vector<int32_t> PixelMask::players_of_elements() const {
  std::vector<int32_t> players(size_, -1);
  for (size_t player = 0; player < this->players(); ++player) {
    for (size_t r = offsets_[player]; r < offsets_[player + 1]; ++r) {
      std::fill_n(players.begin() + static_cast<std::ptrdiff_t>(runs_[r].begin), runs_[r].length,
                  static_cast<int32_t>(player));
    }
  }
  return players;
}

void PixelMask::apply(std::span<const uint8_t> present, std::span<const float> image,
                      std::span<const float> baseline, std::span<float> out) const {
  if (present.size() < players() || image.size() != size_ || baseline.size() != size_ ||
      out.size() != size_) {
    throw Error(ErrorCode::invalid_argument,
                "The pixel mask was made for another image size or number of players.");
  }
  std::copy(image.begin(), image.end(), out.begin());
  for (size_t player = 0; player < players(); ++player) {
    if (present[player] != 0) continue;
    for (size_t i = offsets_[player]; i < offsets_[player + 1]; ++i) {
      const auto [begin, length] = runs_[i];
      std::copy_n(baseline.data() + begin, length, out.data() + begin);
    }
  }
}

}  // namespace fsyn::masking
