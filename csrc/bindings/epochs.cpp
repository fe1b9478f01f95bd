// Epochs that are trained in one call, of one model or of many at once.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "bindings/register.hpp"
#include "bindings/trainer.hpp"
#include "bindings/updates.hpp"
#include "engine/jobs.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

// A copy of numbers [epoch][value].
py::array_t<double> epochs_of(const std::vector<double>& numbers, std::size_t values) {
  py::array_t<double> array({numbers.size() / values, values});
  std::copy(numbers.begin(), numbers.end(), array.mutable_data());
  return array;
}

// Epochs of one model, with all that they need; the arrays are kept alive.
class EpochsJob {
 public:
  virtual ~EpochsJob() = default;
  virtual void run(const Poll& poll) = 0;
  // Returns the best weights that watches have kept: by the number of the watch, a block for each layer.
  virtual py::dict kept() const = 0;
  virtual double work() const = 0;
  // Whether it is faster by a team than on one thread beside others, of which there are as many as threads.
  virtual bool is_large(std::ptrdiff_t threads) const = 0;
  virtual void release() = 0;  // memory that later calls allocate again
};

// The number of indices and their memory; they must lie in [0, rows).
std::pair<const std::int64_t*, std::ptrdiff_t> indices_of(const py::object& given, std::ptrdiff_t rows) {
  if (given.is_none()) return {nullptr, 0};
  const auto array = given.cast<py::array>();
  const auto* data = numbers_of<std::int64_t>("EpochsJob", "rows", array, array.size());
  for (std::ptrdiff_t i = 0; i < array.size(); ++i)
    if (data[i] < 0 || data[i] >= rows) raise_value("EpochsJob: rows must lie in the data.");
  return {data, array.size()};
}

struct EpochsArguments {
  py::object x;
  py::list targets;
  py::object sample_weight, rows, held_out;
  std::ptrdiff_t batch_size;
  std::vector<double> rates;
  std::int64_t iteration;
  std::uint64_t draw;
  std::optional<std::uint64_t> shuffle_key;
  std::uint64_t shuffles;
  std::ptrdiff_t first;
  std::vector<bool> validates;
  double seconds;
  py::list watches;
  py::object record;
  bool ends_at_nan;
};

template <class T>
class EpochsOf final : public EpochsJob {
 public:
  EpochsOf(std::shared_ptr<Trainer<T>> trainer, EpochsArguments arguments)
      : trainer_(std::move(trainer)),
        arguments_(std::move(arguments)),
        data_(data_argument(*trainer_, arguments_.x, arguments_.targets, arguments_.sample_weight, py::none())),
        record_(arguments_.record.cast<EpochRecord&>()),
        epochs_{.data = data_.data,
                .batch_size = arguments_.batch_size,
                .rates = arguments_.rates,
                .iteration = arguments_.iteration,
                .draw = arguments_.draw,
                .shuffle_key = arguments_.shuffle_key,
                .shuffles = arguments_.shuffles,
                .first = arguments_.first,
                .count = static_cast<std::ptrdiff_t>(arguments_.validates.size()),
                .validates = arguments_.validates,
                .held_out = {},
                .held_out_batch_size = 1,
                .seconds = arguments_.seconds,
                .watches = {},
                .ends_at_nan = arguments_.ends_at_nan} {
    if (arguments_.rates.empty()) raise_value("EpochsJob: there must be a learning rate.");
    require_iteration(arguments_.iteration);
    const auto values = static_cast<std::size_t>(trainer_->metrics()) + 1;
    if (record_.totals.sum.size() != values) raise_value("EpochsJob: the record does not fit.");
    for (const py::handle watch : arguments_.watches) {
      epochs_.watches.push_back(&watch.cast<Watch&>());
      if (epochs_.watches.back()->value >= values) raise_value("EpochsJob: a watch needs a loss or a metric.");
    }
    std::tie(epochs_.rows, epochs_.row_count) = indices_of(arguments_.rows, data_.data.x.rows());
    check_batches(data_.data.x, {0, rows(), epochs_.batch_size});
    const std::vector<bool>& validates = arguments_.validates;
    if (arguments_.held_out.is_none()) {
      if (std::find(validates.begin(), validates.end(), true) != validates.end())
        raise_value("EpochsJob: there is no data to validate with.");
      return;
    }
    const auto parts = arguments_.held_out.cast<py::tuple>();
    held_out_ = data_argument(*trainer_, parts[0], parts[1].cast<py::list>(), parts[2], py::none());
    epochs_.held_out = held_out_->data;
    epochs_.held_out_batch_size = parts[3].cast<std::ptrdiff_t>();
    std::tie(epochs_.held_out_rows, epochs_.held_out_count) = indices_of(parts[4], held_out_->data.x.rows());
    check_batches(held_out_->data.x, {0, held_out_->data.x.rows(), epochs_.held_out_batch_size});
  }

  void run(const Poll& poll) override { trainer_->train_epochs(epochs_, record_, poll); }

  py::dict kept() const override {
    py::dict found;
    for (std::size_t w = 0; w < epochs_.kept.size(); ++w) {
      if (epochs_.kept[w].empty()) continue;
      py::list blocks;
      for (const auto& block : epochs_.kept[w])
        blocks.append(block == nullptr ? py::object(py::none()) : py::cast(PyParameters{block}));
      found[py::int_(w)] = blocks;
    }
    return found;
  }

  double work() const override {
    return trainer_->work() * static_cast<double>(rows()) * static_cast<double>(epochs_.count);
  }
  bool is_large(std::ptrdiff_t threads) const override { return trainer_->is_large(epochs_.batch_size, threads); }
  void release() override { trainer_->release(); }

 private:
  std::ptrdiff_t rows() const { return epochs_.rows == nullptr ? data_.data.x.rows() : epochs_.row_count; }

  std::shared_ptr<Trainer<T>> trainer_;
  EpochsArguments arguments_;
  DataArgument<T> data_;
  std::optional<DataArgument<T>> held_out_;
  EpochRecord& record_;
  Epochs<T> epochs_;
};

std::shared_ptr<EpochsJob> make_job(const PyTrainer& trainer, EpochsArguments arguments) {
  return std::visit(
      [&](const auto& object) -> std::shared_ptr<EpochsJob> {
        using T = typename std::remove_reference_t<decltype(*object)>::Number;
        return std::make_shared<EpochsOf<T>>(object, std::move(arguments));
      },
      trainer.object);
}

void run_one(EpochsJob& job) {
  Signals signals;
  std::exception_ptr failure;
  try {
    const WithoutGil release;
    job.run(std::ref(signals));
  } catch (...) {
    failure = std::current_exception();
  }
  signals.raise();
  if (failure != nullptr) std::rethrow_exception(failure);
}

// What a job threw, as an object of Python's; None if nothing.
py::object error_of(const std::exception_ptr& failure) {
  if (failure == nullptr) return py::none();
  const auto made = [](PyObject* kind, const char* message) {
    return py::reinterpret_borrow<py::object>(kind)(py::str(message));
  };
  try {
    std::rethrow_exception(failure);
  } catch (const std::bad_alloc&) {
    return made(PyExc_MemoryError, "");
  } catch (const std::invalid_argument& error) {
    return made(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    return made(PyExc_RuntimeError, error.what());
  }
}

// Runs jobs, each on one thread, and returns the error of each, None where there is none. `report`, or None, is called
// every now and then.
py::list run_many(const std::vector<std::shared_ptr<EpochsJob>>& jobs, const py::object& report) {
  constexpr auto pause = std::chrono::milliseconds(100);
  std::vector<Job> parts;
  for (const auto& job : jobs)
    parts.push_back({.run =
                         [&job](const Poll& poll) {
                           job->run(poll);
                           job->release();
                         },
                     .work = job->work(),
                     .by_team = job->is_large(static_cast<std::ptrdiff_t>(jobs.size()))});
  Signals signals;
  auto next = std::chrono::steady_clock::now() + pause;
  const Poll poll = [&] {
    if (!report.is_none() && std::chrono::steady_clock::now() >= next) {
      in_user_code([&] { report(); });
      next = std::chrono::steady_clock::now() + pause;
    }
    return signals();
  };
  {
    const WithoutGil release;
    run_jobs(parts, poll);
  }
  signals.raise();
  py::list errors;
  for (const Job& part : parts) errors.append(error_of(part.failure));
  return errors;
}

}  // namespace

void register_epochs(py::module_& module) {
  py::class_<Totals>(module, "Totals")
      .def(py::init([](std::size_t metrics) {
             return Totals{std::vector<double>(metrics + 1), std::vector<double>(metrics + 1)};
           }),
           py::arg("metrics"))
      .def_readonly("sums", &Totals::sum)
      .def_readonly("counts", &Totals::count)
      .def_property_readonly("steps",
                             [](const Totals& self) { return __atomic_load_n(&self.steps, __ATOMIC_ACQUIRE); });
  py::class_<EpochRecord>(module, "EpochRecord")
      .def(py::init([](std::size_t metrics) {
             return EpochRecord{.totals = {std::vector<double>(metrics + 1), std::vector<double>(metrics + 1)}};
           }),
           py::arg("metrics"))
      .def_readonly("totals", &EpochRecord::totals)
      .def_property_readonly(
          "steps", [](const EpochRecord& self) { return __atomic_load_n(&self.totals.steps, __ATOMIC_ACQUIRE); })
      .def_property_readonly("sums",
                             [](const EpochRecord& self) { return epochs_of(self.sums, self.totals.sum.size()); })
      .def_property_readonly("counts",
                             [](const EpochRecord& self) { return epochs_of(self.counts, self.totals.sum.size()); })
      .def_property_readonly(
          "held_out_sums",
          [](const EpochRecord& self) { return epochs_of(self.held_out_sums, self.totals.sum.size()); })
      .def_property_readonly("held_out_counts", [](const EpochRecord& self) {
        return epochs_of(self.held_out_counts, self.totals.sum.size());
      });
  py::class_<Watch>(module, "Watch")
      .def(py::init([](std::size_t value, bool held_out, bool more_is_better, double min_delta,
                       std::optional<double> baseline, std::int64_t patience, std::int64_t start, bool keeps_weights,
                       bool drifts) {
             return Watch{.value = value,
                          .held_out = held_out,
                          .more_is_better = more_is_better,
                          .min_delta = min_delta,
                          .baseline = baseline,
                          .patience = patience,
                          .start = start,
                          .keeps_weights = keeps_weights,
                          .drifts = drifts};
           }),
           py::kw_only(), py::arg("value"), py::arg("held_out"), py::arg("more_is_better"), py::arg("min_delta"),
           py::arg("baseline"), py::arg("patience"), py::arg("start"), py::arg("keeps_weights"), py::arg("drifts"))
      .def_readwrite("best", &Watch::best)
      .def_readwrite("best_epoch", &Watch::best_epoch)
      .def_readwrite("stopped_epoch", &Watch::stopped_epoch)
      .def_readwrite("wait", &Watch::wait)
      .def_readwrite("has_weights", &Watch::has_weights);
  py::class_<EpochsJob, std::shared_ptr<EpochsJob>>(module, "EpochsJob")
      .def(py::init([](const PyTrainer& trainer, py::object x, py::list targets, py::object sample_weight,
                       std::ptrdiff_t batch_size, std::vector<double> rates, std::int64_t iteration, std::uint64_t draw,
                       std::optional<std::uint64_t> shuffle_key, std::uint64_t shuffles, std::ptrdiff_t first,
                       std::vector<bool> validates, py::object held_out, double seconds, py::list watches,
                       py::object record, py::object rows, bool ends_at_nan) {
             return make_job(
                 trainer, {std::move(x), std::move(targets), std::move(sample_weight), std::move(rows),
                           std::move(held_out), batch_size, std::move(rates), iteration, draw, shuffle_key, shuffles,
                           first, std::move(validates), seconds, std::move(watches), std::move(record), ends_at_nan});
           }),
           Computes(), py::arg("trainer"), py::kw_only(), py::arg("x"), py::arg("targets"), py::arg("sample_weight"),
           py::arg("batch_size"), py::arg("rates"), py::arg("iteration"), py::arg("draw"), py::arg("shuffle_key"),
           py::arg("shuffles"), py::arg("first"), py::arg("validates"), py::arg("held_out"), py::arg("seconds"),
           py::arg("watches"), py::arg("record"), py::arg("rows"), py::arg("ends_at_nan"))
      .def("run", &run_one, Computes())
      .def("kept", &EpochsJob::kept);
  module.def("run_jobs", &run_many, Computes(), py::arg("jobs"), py::arg("report"));
}

}  // namespace lamina::bindings
