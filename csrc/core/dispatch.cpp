#include "core/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "core/cpu.hpp"
#include "isa/tables.hpp"

namespace lamina {
namespace {

struct Candidate {
  const KernelTable* table;
  bool runs_here;
};

// Narrowest first.
std::vector<Candidate> candidates() {
  return {
#if defined(LAMINA_HAVE_NEON)
      {&neon_table(), true},
#else
      {&baseline_table(), true},
#endif
#if defined(LAMINA_HAVE_AVX2)
      {&avx2_table(), cpu_has_avx2()},
#endif
#if defined(LAMINA_HAVE_AVX512)
      {&avx512_table(), cpu_has_avx512()},
#endif
  };
}

const KernelTable* find(const std::string& name) {
  std::string choices;
  for (const Candidate& candidate : candidates()) {
    if (name == candidate.table->isa) {
      if (candidate.runs_here) return candidate.table;
      throw std::invalid_argument("LAMINA_ISA: this CPU or its operating system does not support '" + name + "'.");
    }
    choices += std::string(choices.empty() ? "" : ", ") + "'" + candidate.table->isa + "'";
  }
  throw std::invalid_argument("LAMINA_ISA: must be one of " + choices + "; got '" + name + "'.");
}

const KernelTable* initial() {
  if (const char* forced = std::getenv("LAMINA_ISA"); forced != nullptr && *forced != '\0') return find(forced);
  const KernelTable* widest = nullptr;
  for (const Candidate& candidate : candidates())
    if (candidate.runs_here) widest = candidate.table;
  return widest;
}

std::atomic<const KernelTable*> selected{nullptr};

[[gnu::noinline]] const KernelTable& select_initial() {
  const KernelTable* none = nullptr;
  selected.compare_exchange_strong(none, initial(), std::memory_order_relaxed);
  return *selected.load(std::memory_order_relaxed);
}

}  // namespace

const KernelTable& kernels() {
  const KernelTable* table = selected.load(std::memory_order_relaxed);
  return table != nullptr ? *table : select_initial();
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates())
    if (candidate.runs_here) names.emplace_back(candidate.table->isa);
  return names;
}

void select_isa(const std::string& name) { selected.store(find(name), std::memory_order_relaxed); }

}  // namespace lamina
