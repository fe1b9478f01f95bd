#include "core/caches.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/system/system.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lamina {
namespace {

// Parses "512K", "32M", "1G" or a number of bytes. Returns 0 for any other text.
std::ptrdiff_t parse_size(const std::string& text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  if (digits == 0 || digits > 12) return 0;
  const std::ptrdiff_t number = std::stoll(text.substr(0, digits));
  const std::string unit = text.substr(digits);
  if (unit.empty()) return number;
  for (const auto& [name, shift] : {std::pair{"K", 10}, {"M", 20}, {"G", 30}})
    if (unit == name) return number << shift;
  return 0;
}

Caches from_environment(const std::string& text) {
  std::vector<std::ptrdiff_t> sizes;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) sizes.push_back(parse_size(part));
  if (sizes.size() != 3 || text.back() == ',' ||
      std::any_of(sizes.begin(), sizes.end(), [](std::ptrdiff_t size) { return size <= 0; }))
    throw std::invalid_argument("LAMINA_CACHES: must be three sizes such as '32K,512K,32M'; got '" + text + "'.");
  return {{sizes[0]}, {sizes[1]}, {sizes[2]}};
}

// The number of `cpus` in a list such as "0-3,8".
int count_listed(const std::string& list, const std::vector<int>& cpus) {
  int count = 0;
  std::istringstream ranges(list);
  for (std::string range; std::getline(ranges, range, ',');) {
    int first = 0, last = 0;
    const int read = std::sscanf(range.c_str(), "%d-%d", &first, &last);
    if (read < 1) continue;
    if (read == 1) last = first;
    count +=
        static_cast<int>(std::count_if(cpus.begin(), cpus.end(), [&](int cpu) { return first <= cpu && cpu <= last; }));
  }
  return std::max(1, count);
}

void set_level(Caches& found, int level, std::ptrdiff_t bytes, int sharing) {
  if (bytes <= 0) return;
  Cache& cache = level == 1 ? found.first : level == 2 ? found.second : found.last;
  cache = {bytes, sharing};
}

// Linux describes the caches of a CPU in files.
[[gnu::cold]] Caches from_files(int cpu, const std::vector<int>& cpus) {
  Caches found;
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index" + std::to_string(index) + "/";
    int level = 0;
    std::string type, size, sharing;
    if (!(std::ifstream(folder + "level") >> level)) break;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size;
    std::ifstream(folder + "shared_cpu_list") >> sharing;
    if (type != "Instruction" && level >= 1) set_level(found, level, parse_size(size), count_listed(sharing, cpus));
  }
  return found;
}

#if defined(__x86_64__)
// Intel describes the caches in leaf 4 of cpuid, AMD likewise in leaf 0x8000001d.
Caches from_cpuid(int cpus) {
  Caches found;
  for (const unsigned leaf : {4u, 0x8000001du}) {
    for (unsigned index = 0; index < 8; ++index) {
      unsigned a = 0, b = 0, c = 0, d = 0;
      if (__get_cpuid_count(leaf, index, &a, &b, &c, &d) == 0) break;
      const unsigned type = a & 31, level = (a >> 5) & 7;
      if (type == 0) break;
      if (type == 2) continue;  // instructions
      const std::ptrdiff_t ways = (b >> 22) + 1, partitions = ((b >> 12) & 1023) + 1, line = (b & 4095) + 1;
      const int sharing = static_cast<int>((a >> 14) & 4095) + 1;
      set_level(found, static_cast<int>(level), ways * partitions * line * (static_cast<std::ptrdiff_t>(c) + 1),
                std::min(sharing, cpus));
    }
  }
  return found;
}
#else
Caches from_cpuid(int) { return {}; }
#endif

void take_smaller(Cache& cache, const Cache& other) {
  if (other.bytes > 0 && (cache.bytes == 0 || other.share() < cache.share())) cache = other;
}

bool given() {
  const char* text = std::getenv("LAMINA_CACHES");
  return text != nullptr && *text != '\0';
}

Caches read() {
  if (given()) return from_environment(std::getenv("LAMINA_CACHES"));
  const std::vector<int> cpus = system::allowed_cpus();
  // The CPUs of a machine may differ: those at both ends of the list stand for all, and the smaller caches count.
  Caches found;
  for (const int cpu : {cpus.front(), cpus.back()}) {
    const Caches of = from_files(cpu, cpus);
    take_smaller(found.first, of.first);
    take_smaller(found.second, of.second);
    take_smaller(found.last, of.last);
  }
  const auto told = system::cache_sizes();
  for (int level = 1; level <= 3; ++level) set_level(found, level, told[static_cast<std::size_t>(level - 1)], 1);
  const Caches described = from_cpuid(static_cast<int>(cpus.size()));
  if (found.first.bytes == 0) found.first = described.first;
  if (found.second.bytes == 0) found.second = described.second;
  if (found.last.bytes == 0) found.last = described.last;
  if (found.first.bytes == 0) found.first.bytes = 32 << 10;
  if (found.second.bytes == 0) found.second.bytes = 256 << 10;
  if (found.last.bytes == 0) found.last = found.second;
  return found;
}

}  // namespace

const Caches& caches() {
  static const Caches found = read();
  return found;
}

void check_caches() {
  if (given()) caches();
}

}  // namespace lamina
