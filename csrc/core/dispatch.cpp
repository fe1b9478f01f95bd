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

// Items that a table lacks, from a narrower one (kernels/table.hpp).
template <class Item, class Lacks>
const Item* completed(const Item* own, const Item* narrower, int count, std::vector<Item>& memory, Lacks&& lacks) {
  for (int i = 0; i < count; ++i) memory.push_back(lacks(own[i]) ? narrower[i] : own[i]);
  return memory.data();
}

template <class T>
struct Borrowed {
  std::vector<ActivationKernel<T>> activations;
  std::vector<LossKernel<T>> losses;
  std::vector<OptimizerKernel<T>> optimizers;

  void complete(Kernels<T>& own, const Kernels<T>& narrower, const KernelTable& counts) {
    own.activations = completed(own.activations, narrower.activations, counts.activation_count, activations,
                                [](const auto& item) { return item.forward == nullptr; });
    own.losses = completed(own.losses, narrower.losses, counts.loss_count, losses,
                           [](const auto& item) { return item.evaluate == nullptr; });
    own.optimizers = completed(own.optimizers, narrower.optimizers, counts.optimizer_count, optimizers,
                               [](const auto& item) { return item.update == nullptr; });
  }
};

struct Complete {
  Kernels<double> float64;
  KernelTable table;
  Borrowed<float> f32{};
  Borrowed<double> f64{};

  Complete(const KernelTable& own, const KernelTable& narrower)
      : float64(own.f64),
        table{.isa = own.isa,
              .vector_bytes = own.vector_bytes,
              .activation_count = own.activation_count,
              .loss_count = own.loss_count,
              .metric_count = own.metric_count,
              .optimizer_count = own.optimizer_count,
              .f32 = own.f32,
              .f64 = float64,
              .first_label_outside = own.first_label_outside,
              .permutation = own.permutation,
              .multiply_add_peak = own.multiply_add_peak} {
    f32.complete(table.f32, narrower.f32, own);
    f64.complete(float64, narrower.f64, own);
  }
};

const KernelTable* complete(const KernelTable* table) {
#if defined(LAMINA_HAVE_AVX512)
  static const Complete& avx512 = *new Complete(avx512_table(), avx2_table());  // kernels may run until the very end
  if (table == &avx512_table()) return &avx512.table;
#endif
  return table;
}

const KernelTable* find(const std::string& name) {
  std::string choices;
  for (const Candidate& candidate : candidates()) {
    if (name == candidate.table->isa) {
      if (candidate.runs_here) return complete(candidate.table);
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
  return complete(widest);
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
