#include <pybind11/stl.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "bindings/engine.hpp"
#include "bindings/names.hpp"
#include "bindings/register.hpp"
#include "bindings/trainer.hpp"
#include "bindings/updates.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

// Indexed by Schedule.
constexpr const char* kScheduleNames[] = {"stationary", "chunked", "by_rows"};

Schedule schedule_named(const std::string& name) {
  for (std::size_t i = 0; i < std::size(kScheduleNames); ++i)
    if (name == kScheduleNames[i]) return static_cast<Schedule>(i);
  raise_value("Trainer: there is no schedule '" + name + "'.");
}

HeadParameters head_parameters(const std::vector<double>& values) {
  HeadParameters parameters{};
  std::copy(values.begin(), values.end(), parameters.begin());
  return parameters;
}

HeadParameters loss_parameters(int loss, const py::handle& spec) {
  const LossInfo& info = kernels().f32.losses[loss].info;
  return head_parameters(values_by_name(info.parameters, attribute<py::dict>(spec, "parameters"), /*optional=*/true,
                                        info.default_parameter));
}

Divisor divisor_of(const std::string& name) {
  return enumerator<Divisor>(name, "divisor of losses",
                             {{"one", Divisor::one}, {"rows", Divisor::rows}, {"weights", Divisor::weights}});
}

// Reads a lamina._engine.specs.MetricSpec of a compiled metric: its kind is the name of a metric or of a loss.
MetricSpec metric_spec(const py::handle& given) {
  const auto kind = attribute<std::string>(given, "kind");
  MetricSpec spec;
  spec.metric = metric_index(kind);
  if (spec.metric >= 0) {
    const char* name = kernels().f32.metrics[spec.metric].info.parameter;
    spec.parameters =
        head_parameters(values_by_name(name, attribute<py::dict>(given, "parameters"), /*optional=*/false));
  } else {
    spec.loss = require_index(loss_index(kind), "metric", kind);
    spec.parameters = loss_parameters(spec.loss, given);
  }
  return spec;
}

// Raises if the metric does not take targets of this kind: class labels or rows of numbers.
void require_target(const MetricSpec& metric, bool labels) {
  const auto& table = kernels().f32;
  const bool fits = metric.metric >= 0 ? table.metrics[metric.metric].info.takes_labels == labels
                                       : !labels || table.losses[metric.loss].info.takes_labels;
  if (!fits) raise_value("Trainer: a metric's target is of the wrong kind.");
}

template <class T>
py::object targets_of(const HostBatch<T>& batch) {
  if (batch.targets.data != nullptr) return array_of<T>(batch.targets);
  return py::array_t<std::int64_t>(batch.labels.size, static_cast<const std::int64_t*>(batch.labels.data));
}

template <class T>
std::vector<Parameters<T>*> parameters_of(const Network<T>& network) {
  std::vector<Parameters<T>*> found;
  for (std::ptrdiff_t l = 0; l < network.depth(); ++l) found.push_back(network.layer(l).parameters());
  return found;
}

// `loss`, `metrics` and `update` are objects of lamina._engine.specs. labels[i]: whether target i is class labels.
PyTrainer make_trainer(const PyNetwork& network, const py::object& loss, const std::vector<py::object>& metrics,
                       const std::vector<bool>& labels, const py::object& update) {
  return std::visit(
      [&](const auto& net) -> PyTrainer {
        using T = typename std::remove_reference_t<decltype(*net)>::Number;
        const py::object kernel = loss.attr("kernel");
        const ActivationChoice activation = activation_choice(loss.attr("activation"));
        const bool host = py::isinstance<py::function>(kernel);
        HeadSpec<T> head{
            .divisor = divisor_of(attribute<std::string>(loss, "divisor")),
            .weight = attribute<double>(loss, "weight"),
            .activation = {activation.index, static_cast<T>(activation.alpha)},
        };
        if (!host) {
          const auto name = attribute<std::string>(loss, "kernel");
          head.loss = require_index(loss_index(name), "loss", name);
          head.parameters = loss_parameters(head.loss, loss);
          head.columns = attribute<std::vector<double>>(loss, "columns");
          const auto columns = static_cast<std::size_t>(net->boundaries().back().width);
          if (!head.columns.empty() &&
              (head.columns.size() != columns || !kernels().f32.losses[head.loss].info.by_column))
            raise_value("Trainer: the loss takes no parameter for each column, or another number of them.");
        }
        if (host) {
          head.host_loss = [function = kept(kernel)](const HostBatch<T>& batch, T* losses, Matrix<T> gradient) {
            in_user_code([&] {
              const std::ptrdiff_t n = batch.predictions.rows;
              const py::object weights =
                  batch.sample_weight == nullptr ? py::object(py::none()) : py::array_t<T>(n, batch.sample_weight);
              const py::object found =  // a lamina.losses.RowLosses
                  call(*function, targets_of(batch), array_of<T>(batch.predictions), weights, gradient.data != nullptr);
              copy_back<T>(found.attr("values"), Matrix<T>{losses, n, 1, 1}, "the losses");
              if (gradient.data != nullptr) copy_back<T>(found.attr("gradient"), gradient, "the loss's gradient");
            });
          };
        }
        const auto functions = std::make_shared<std::vector<std::shared_ptr<py::object>>>();
        for (const py::object& given : metrics) {
          const bool host_metric = attribute<std::string>(given, "kind") == "host";
          MetricSpec metric = host_metric ? MetricSpec{} : metric_spec(given);
          metric.target = attribute<int>(given, "target");
          metric.weighted = attribute<bool>(given, "weighted");
          if (metric.target < 0 || metric.target >= static_cast<int>(labels.size()))
            raise_value("Trainer: a metric names a target that is not there.");
          if (host_metric) {
            metric.host = static_cast<int>(functions->size());
            functions->push_back(kept(given.attr("function")));
          } else {
            require_target(metric, labels[static_cast<std::size_t>(metric.target)]);
          }
          head.metrics.push_back(metric);
        }
        if (!functions->empty()) {
          head.host_metric = [functions](int number, const HostBatch<T>& batch, T* values) {
            in_user_code([&] {
              const std::ptrdiff_t n = batch.predictions.rows;
              const py::object weights =
                  batch.sample_weight == nullptr ? py::object(py::none()) : py::array_t<T>(n, batch.sample_weight);
              copy_back<T>(call(*(*functions)[static_cast<std::size_t>(number)], targets_of(batch),
                                array_of<T>(batch.predictions), weights),
                           Matrix<T>{values, batch.predictions.rows, 1, 1}, "a metric's values");
            });
          };
        }
        if (labels.empty() || (!host && labels[0] && !kernels().f32.losses[head.loss].info.takes_labels))
          raise_value("Trainer: the loss takes no labels.");
        head.ignores = !host && kernels().f32.losses[head.loss].info.takes_labels && head.parameters[1] != 0;
        if (head.ignores && !labels[0]) raise_value("Trainer: only a loss of class labels ignores one.");
        return {
            std::make_shared<Trainer<T>>(net, std::move(head), labels, update_spec<T>(parameters_of(*net), update))};
      },
      network.object);
}

// Runs body(trainer, data, poll) without the GIL. Totals contain all completed steps, also if the call raises; other
// threads may read totals.steps meanwhile.
template <class Body>
void run_steps(const PyTrainer& self, const py::object& x, const py::list& targets, const py::object& sample_weight,
               const py::object& order, Totals& totals, Body&& body) {
  std::visit(
      [&](const auto& trainer) {
        const auto argument = data_argument(*trainer, x, targets, sample_weight, order);
        if (totals.sum.size() != static_cast<std::size_t>(trainer->metrics() + 1))
          raise_value("Trainer: totals do not fit.");
        Signals signals;
        std::exception_ptr failure;
        try {
          const WithoutGil release;
          body(*trainer, argument.data, std::ref(signals));
        } catch (...) {
          failure = std::current_exception();
        }
        signals.raise();
        if (failure != nullptr) std::rethrow_exception(failure);
      },
      self.object);
}

}  // namespace

void register_trainer(py::module_& module) {
  py::class_<PyTrainer>(module, "Trainer")
      .def(py::init(&make_trainer), Computes(), py::arg("network"), py::arg("loss"), py::arg("metrics"),
           py::arg("labels"), py::arg("update"))
      .def(
          "train",
          [](const PyTrainer& self, const py::object& x, const py::list& targets, const py::object& sample_weight,
             const py::object& order, std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t batch_size,
             const std::vector<double>& rates, std::int64_t iteration, std::uint64_t draw, Totals& totals,
             const py::object& added) {
            std::function<double()> more;
            if (!added.is_none())
              more = [function = kept(added)] {
                double found = 0;
                in_user_code([&] { found = call(*function).template cast<double>(); });
                return found;
              };
            if (rates.empty()) raise_value("Trainer: there must be a learning rate.");
            require_iteration(iteration);
            run_steps(self, x, targets, sample_weight, order, totals,
                      [&](auto& trainer, const auto& data, auto signals) {
                        check_batches(data.x, {first, rows, batch_size});
                        trainer.train(data, {first, rows, batch_size}, rates, iteration, draw, totals, signals, more);
                      });
          },
          Computes(), py::kw_only(), py::arg("x"), py::arg("targets"), py::arg("sample_weight"), py::arg("order"),
          py::arg("first"), py::arg("rows"), py::arg("batch_size"), py::arg("rates"), py::arg("iteration"),
          py::arg("draw"), py::arg("totals"), py::arg("added") = py::none())
      .def(
          "test",
          [](const PyTrainer& self, const py::object& x, const py::list& targets, const py::object& sample_weight,
             std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t batch_size, Totals& totals) {
            run_steps(self, x, targets, sample_weight, py::none(), totals,
                      [&](auto& trainer, const auto& data, auto signals) {
                        check_batches(data.x, {first, rows, batch_size});
                        trainer.test(data, {first, rows, batch_size}, totals, signals);
                      });
          },
          Computes(), py::kw_only(), py::arg("x"), py::arg("targets"), py::arg("sample_weight"), py::arg("first"),
          py::arg("rows"), py::arg("batch_size"), py::arg("totals"))
      .def(
          "gradients",
          [](const PyTrainer& self, const py::object& x, const py::list& targets, const py::object& sample_weight,
             std::optional<std::uint64_t> draw, bool settles, const py::array& vector, Totals& totals) {
            void* to = std::visit(
                [&](const auto& trainer) -> void* {
                  using T = typename std::remove_reference_t<decltype(*trainer)>::Number;
                  return numbers_of<T>("gradients", "vector", vector, trainer->vector_size());
                },
                self.object);
            run_steps(self, x, targets, sample_weight, py::none(), totals,
                      [&](auto& trainer, const auto& data, auto signals) {
                        using T = typename std::remove_reference_t<decltype(trainer)>::Number;
                        trainer.gradients(data, draw, settles, static_cast<T*>(to), totals, signals);
                      });
          },
          Computes(), py::kw_only(), py::arg("x"), py::arg("targets"), py::arg("sample_weight"), py::arg("draw"),
          py::arg("settles"), py::arg("vector"), py::arg("totals"))
      .def(
          "on_gradient",
          [](const PyTrainer& self, const py::object& function) {
            std::visit(
                [&](const auto& trainer) {
                  using T = typename std::remove_reference_t<decltype(*trainer)>::Number;
                  if (function.is_none()) return trainer->set_hook(nullptr);
                  using Hook = typename Update<T>::Hook;
                  trainer->set_hook(std::make_shared<const Hook>(
                      [function = kept(function)](std::ptrdiff_t layer, T* gradient, std::ptrdiff_t size) {
                        in_user_code([&] {
                          // The array is a view of the engine's memory, valid during the call only.
                          call(*function, layer,
                               layer < 0 ? py::object(py::none())
                                         : py::array_t<T>(size, gradient, py::capsule(gradient, [](void*) {})));
                        });
                      }));
                },
                self.object);
          },
          py::arg("function"))
      .def(
          "force_schedule",
          [](const PyTrainer& self, const std::string& schedule, int threads, bool as_long) {
            std::visit(
                [&](const auto& t) {
                  if (schedule == "alternating")
                    t->alternate(threads);
                  else
                    t->force(schedule_named(schedule), threads, as_long);
                },
                self.object);
          },
          py::arg("schedule"), py::arg("threads"), py::arg("as_long") = false)
      .def(
          "plan",
          [](const PyTrainer& self, std::ptrdiff_t rows) {
            const StepPlan plan = std::visit([&](const auto& t) { return t->plan(rows); }, self.object);
            return py::make_tuple(kScheduleNames[static_cast<std::size_t>(plan.schedule)], plan.threads);
          },
          py::arg("rows"))
      .def_property_readonly(
          "host",
          [](const PyTrainer& self) { return std::visit([](const auto& t) { return t->host(); }, self.object); })
      .def_property_readonly(
          "converged",
          [](const PyTrainer& self) { return std::visit([](const auto& t) { return t->converged(); }, self.object); })
      .def_property(
          "evaluations",
          [](const PyTrainer& self) { return std::visit([](const auto& t) { return t->evaluations(); }, self.object); },
          [](const PyTrainer& self, std::int64_t count) {
            std::visit([&](const auto& t) { t->set_evaluations(count); }, self.object);
          })
      .def_property(
          "damping",
          [](const PyTrainer& self) { return std::visit([](const auto& t) { return t->damping(); }, self.object); },
          [](const PyTrainer& self, double damping) {
            std::visit([&](const auto& t) { t->set_damping(damping); }, self.object);
          })
      .def_property_readonly("workspace_bytes", [](const PyTrainer& self) {
        return std::visit([](const auto& t) { return t->workspace_bytes(); }, self.object);
      });
}

}  // namespace lamina::bindings
