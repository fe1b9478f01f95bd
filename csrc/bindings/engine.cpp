// The engine as Python objects. Who calls is lamina's own Python layer: messages here name what it must have got wrong.

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/register.hpp"
#include "core/memory.hpp"
#include "engine/layers/activation.hpp"
#include "engine/layers/dense.hpp"
#include "engine/layers/host.hpp"
#include "engine/layers/reshape.hpp"
#include "engine/network.hpp"
#include "engine/training.hpp"

namespace lamina::bindings {
namespace {

using namespace engine;

template <template <class> class Object>
using OfEitherType = std::variant<std::shared_ptr<Object<float>>, std::shared_ptr<Object<double>>>;

template <template <class> class Object, class T>
std::shared_ptr<Object<T>> of_type(const OfEitherType<Object>& object, const char* what) {
  if (const auto* found = std::get_if<std::shared_ptr<Object<T>>>(&object)) return *found;
  raise_type(std::string(what) + " must have the network's dtype.");
}

// Calls body(zero of the dtype).
template <class Body>
auto for_dtype(const std::string& dtype, Body&& body) {
  if (dtype == "float32") return body(float{});
  if (dtype == "float64") return body(double{});
  raise_type("dtype must be float32 or float64; got " + dtype + ".");
}

// Parameters.

struct PyParameters {
  OfEitherType<Parameters> object;
};

PyParameters make_parameters(const std::string& dtype, bool dense,
                             const std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>& shapes) {
  Layout layout{dense, {}};
  for (const auto& [rows, cols] : shapes) layout.tensors.push_back({rows, cols});
  if (dense && (shapes.empty() || shapes.size() > 2 ||
                (shapes.size() == 2 && (shapes[1].first != 1 || shapes[1].second != shapes[0].second))))
    raise_value("Parameters: a dense block holds a kernel (in, out) and maybe a bias (1, out).");
  return for_dtype(dtype,
                   [&](auto zero) -> PyParameters { return {std::make_shared<Parameters<decltype(zero)>>(layout)}; });
}

// Runs body(parameters, data) with an array that must be C-contiguous, of the block's dtype and the tensor's size.
template <class Body>
void with_tensor(const PyParameters& self, int tensor, const py::array& array, Body&& body) {
  std::visit(
      [&](const auto& parameters) {
        using T = std::remove_pointer_t<decltype(parameters->data())>;
        const auto& tensors = parameters->layout().tensors;
        if (tensor < 0 || tensor >= static_cast<int>(tensors.size()))
          raise_value("Parameters: there is no such tensor.");
        const Layout::Tensor& shape = tensors[static_cast<std::size_t>(tensor)];
        if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0 ||
            array.size() != shape.rows * shape.cols)
          raise_value("Parameters: the array must be C-contiguous, of the block's dtype and the tensor's size.");
        body(*parameters, static_cast<T*>(const_cast<void*>(array.data())));
      },
      self.object);
}

void read_parameters(const PyParameters& self, int tensor, const py::array& out) {
  with_tensor(self, tensor, out, [&](auto& parameters, auto* data) {
    if (Gate::held_here()) return parameters.read(tensor, data);
    const py::gil_scoped_release release;
    parameters.gate.enter_shared();
    parameters.read(tensor, data);
    parameters.gate.leave_shared();
  });
}

void write_parameters(const PyParameters& self, int tensor, const py::array& from) {
  with_tensor(self, tensor, from, [&](auto& parameters, auto* data) {
    if (Gate::held_here()) return parameters.write(tensor, data);
    const py::gil_scoped_release release;
    parameters.gate.enter_exclusive();
    parameters.write(tensor, data);
    parameters.gate.leave_exclusive();
  });
}

int optimizer_number(const std::string& name) {
  for (int i = 0; i < kernels().optimizer_count; ++i)
    if (name == kernels().f32.optimizers[i].info.name) return i;
  raise_value("there is no optimizer '" + name + "'.");
}

// One step on one tensor, given its gradient as an array.
void apply_gradient(const PyParameters& self, int tensor, const py::array& gradient, const py::list& slots,
                    const std::string& optimizer, std::vector<double> settings, double learning_rate,
                    std::int64_t step) {
  settings.resize(kMostSettings);
  std::visit(
      [&](const auto& parameters) {
        using T = std::remove_pointer_t<decltype(parameters->data())>;
        const OptimizerKernel<T>& kernel = kernels_of<T>(kernels()).optimizers[optimizer_number(optimizer)];
        T scalars[kMostSettings];
        kernel.prepare(settings.data(), learning_rate, step, scalars);
        LayerUpdate<T> update{parameters.get(), {}, {}};
        for (std::size_t i = 0; i < parameters->layout().tensors.size(); ++i)
          update.rules.push_back({static_cast<int>(i) == tensor, scalars});
        for (const py::handle& slot : slots)
          update.slots.push_back(
              slot.is_none() ? nullptr : of_type<Parameters, T>(slot.cast<const PyParameters&>().object, "slots"));
        Parameters<T> packed(parameters->layout());
        with_tensor(self, tensor, gradient, [&](auto&, auto* data) {
          if constexpr (std::is_same_v<decltype(data), T*>) packed.write(tensor, data);
        });
        const bool held = Gate::held_here();
        const py::gil_scoped_release release;
        if (!held) parameters->gate.enter_exclusive();
        update_range<T>(kernel, update, packed.data(), 0, packed.size());
        parameters->changed();
        for (const auto& slot : update.slots)
          if (slot != nullptr) slot->changed();
        if (!held) parameters->gate.leave_exclusive();
      },
      self.object);
}

// Rows of data.

struct RowsArgument {
  Rows rows;
  std::vector<std::ptrdiff_t> offsets;
  py::array keep;  // the memory stays while this does
};

NumberType number_type(const py::dtype& dtype, const char* name) {
  const char kind = dtype.kind();
  const auto size = dtype.itemsize();
  const auto pick = [&](NumberType one, NumberType two, NumberType four, NumberType eight) {
    return size == 1 ? one : (size == 2 ? two : (size == 4 ? four : eight));
  };
  if (dtype.byteorder() != '>' && size <= 8) {
    if (kind == 'i') return pick(NumberType::int8, NumberType::int16, NumberType::int32, NumberType::int64);
    if (kind == 'u' || kind == 'b')
      return pick(NumberType::uint8, NumberType::uint16, NumberType::uint32, NumberType::uint64);
    if (kind == 'f') return pick(NumberType::float16, NumberType::float16, NumberType::float32, NumberType::float64);
  }
  raise_type(std::string(name) + " must be of a native number type; got dtype " +
             py::str(static_cast<py::handle>(dtype)).cast<std::string>() + ".");
}

RowsArgument rows_argument(const py::array& array, const char* name) {
  RowsArgument argument;
  argument.keep = array;
  if (array.ndim() < 1) raise_value(std::string(name) + " must have rows.");
  const auto dims = static_cast<std::size_t>(array.ndim());
  std::ptrdiff_t cols = 1;
  bool packed = true;
  for (std::size_t d = dims; d-- > 1;) {
    const auto axis = static_cast<py::ssize_t>(d);
    packed = packed && (array.shape(axis) == 1 || array.strides(axis) == cols * array.itemsize());
    cols *= array.shape(axis);
  }
  if (!packed) {
    argument.offsets.resize(static_cast<std::size_t>(cols));
    for (std::ptrdiff_t k = 0; k < cols; ++k) {
      std::ptrdiff_t rest = k, offset = 0;
      for (std::size_t d = dims; d-- > 1;) {
        const auto axis = static_cast<py::ssize_t>(d);
        offset += rest % array.shape(axis) * array.strides(axis);
        rest /= array.shape(axis);
      }
      argument.offsets[static_cast<std::size_t>(k)] = offset;
    }
  }
  argument.rows = {array.data(),
                   array.shape(0),
                   cols,
                   array.strides(0),
                   packed ? nullptr : argument.offsets.data(),
                   number_type(array.dtype(), name)};
  return argument;
}

// The network.

struct PyNetwork {
  OfEitherType<Network> object;
};

int activation_number(const std::string& name) {
  for (int i = 0; i < kernels().activation_count; ++i)
    if (name == kernels().f32.activations[i].info.name) return i;
  raise_value("Network: there is no activation '" + name + "'.");
}

double alpha_of(const py::handle& alpha, int activation) {
  return alpha.is_none() ? kernels().f32.activations[activation].info.default_alpha : alpha.cast<double>();
}

// Arrays for what is computed in Python: copies, for the engine's rows may be padded.
template <class T>
py::array_t<T> array_of(const Matrix<const T>& m) {
  py::array_t<T> array({m.rows, m.cols});
  for (std::ptrdiff_t i = 0; i < m.rows; ++i)
    std::memcpy(array.mutable_data() + i * m.cols, m.data + i * m.stride, static_cast<std::size_t>(m.cols) * sizeof(T));
  return array;
}

// Writes an array of exactly that many numbers into rows.
template <class T>
void copy_back(const py::object& value, const Matrix<T>& m, const char* what) {
  const auto array = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(value);
  if (!array || array.size() != m.rows * m.cols) {
    PyErr_Clear();
    raise_value(std::string(what) + " must have " + std::to_string(m.rows) + " rows of " + std::to_string(m.cols) +
                " numbers.");
  }
  for (std::ptrdiff_t i = 0; i < m.rows; ++i)
    std::memcpy(m.data + i * m.stride, array.data() + i * m.cols, static_cast<std::size_t>(m.cols) * sizeof(T));
}

// A Python object that the engine keeps and drops from threads without the GIL.
std::shared_ptr<py::object> kept(const py::object& object) {
  return {new py::object(object), [](py::object* held) {
            const py::gil_scoped_acquire acquire;
            delete held;
          }};
}

// ("host", parameters or None, width, factor, object): the object has forward(x, training) → y and
// backward(dy, need_dx) → (dx or None, gradients of all tensors, None where one is not trained).
template <class T>
std::unique_ptr<Layer<T>> make_host(const py::tuple& spec) {
  std::shared_ptr<Parameters<T>> parameters;
  if (!spec[1].is_none()) parameters = of_type<Parameters, T>(spec[1].cast<const PyParameters&>().object, "parameters");
  const auto layer = kept(spec[4]);
  HostFunctions<T> functions;
  functions.forward = [layer](Matrix<const T> x, Matrix<T> y, bool training) {
    const py::gil_scoped_acquire acquire;
    copy_back<T>(layer->attr("forward")(array_of<T>(x), training), y, "forward's result");
  };
  functions.backward = [layer, parameters](Matrix<const T> dy, Matrix<T> dx, T* gradients) {
    const py::gil_scoped_acquire acquire;
    const py::tuple found = layer->attr("backward")(array_of<T>(dy), dx.data != nullptr);
    if (dx.data != nullptr) copy_back<T>(found[0], dx, "backward's dx");
    if (gradients == nullptr) return;
    std::ptrdiff_t begin = 0;
    std::size_t tensor = 0;
    const py::list list = found[1];
    for (const Layout::Tensor& shape : parameters->layout().tensors) {
      if (!list[tensor].is_none())
        copy_back<T>(list[tensor], {gradients + begin, shape.rows, shape.cols, shape.cols}, "a gradient");
      begin += shape.rows * shape.cols;
      ++tensor;
    }
  };
  return std::make_unique<Host<T>>(parameters, spec[2].cast<std::ptrdiff_t>(), spec[3].cast<std::ptrdiff_t>(),
                                   std::move(functions));
}

template <class T>
std::unique_ptr<Layer<T>> make_layer(const py::tuple& spec) {
  const Kernels<T>& table = kernels_of<T>(kernels());
  const auto kind = spec[0].cast<std::string>();
  if (kind == "dense") {
    const int activation = activation_number(spec[2].cast<std::string>());
    return std::make_unique<Dense<T>>(of_type<Parameters, T>(spec[1].cast<const PyParameters&>().object, "parameters"),
                                      activation, alpha_of(spec[3], activation), table);
  }
  if (kind == "activation") {
    const int activation = activation_number(spec[1].cast<std::string>());
    return std::make_unique<engine::Activation<T>>(activation, alpha_of(spec[2], activation), table);
  }
  if (kind == "host") return make_host<T>(spec);
  if (kind == "reshape") return std::make_unique<Reshape<T>>(spec[1].cast<std::ptrdiff_t>());
  raise_value("Network: there is no kind of layer '" + kind + "'.");
}

PyNetwork make_network(const std::string& dtype, std::ptrdiff_t width, std::ptrdiff_t factor,
                       const std::vector<py::tuple>& specs, const std::vector<bool>& trained) {
  if (specs.empty() || trained.size() != specs.size()) raise_value("Network: there must be layers.");
  return for_dtype(dtype, [&](auto zero) -> PyNetwork {
    using T = decltype(zero);
    std::vector<std::unique_ptr<Layer<T>>> layers;
    for (const py::tuple& spec : specs) layers.push_back(make_layer<T>(spec));
    return {std::make_shared<Network<T>>(kernels_of<T>(kernels()), width, factor, std::move(layers), trained)};
  });
}

template <class T>
void predict_rows(const Network<T>& network, const Rows& rows, T* out) {
  constexpr double kSmall = 2e5;  // multiply-adds; for less the GIL is not worth releasing
  if (network.work() * static_cast<double>(rows.rows) < kSmall && network.predict(rows, out, false)) return;
  // In stretches of a few milliseconds, so that Ctrl-C is noticed.
  constexpr double kStretch = 1e9;  // multiply-adds
  const auto step = network.rows_alone()
                        ? static_cast<std::ptrdiff_t>(1 + kStretch / std::max(1.0, network.work()) / 1024) * 1024
                        : rows.rows;
  for (std::ptrdiff_t first = 0; first < rows.rows; first += step) {
    Rows part = rows;
    part.base = static_cast<const char*>(rows.base) + first * rows.row_bytes;
    part.rows = std::min(step, rows.rows - first);
    {
      const py::gil_scoped_release release;
      network.predict(part, out + first * network.outputs(), true);
    }
    if (part.rows == step && PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
}

py::array predict(const PyNetwork& self, const py::array& x, const py::object& out) {
  return std::visit(
      [&](const auto& network) -> py::array {
        using N = typename std::remove_reference_t<decltype(*network)>;
        using T = typename N::Number;
        const RowsArgument rows = rows_argument(x, "x");
        if (rows.rows.cols != network->inputs())
          raise_value("predict: x must have " + std::to_string(network->inputs()) + " numbers in each row; got " +
                      std::to_string(rows.rows.cols) + ".");
        py::array result;
        if (out.is_none()) {
          result = py::array_t<T>({rows.rows.rows, network->outputs()});
        } else {
          Arguments arguments("predict");
          result = arguments.in_place(out, "out").array;
          if (!py::isinstance<py::array_t<T>>(result) || result.size() != rows.rows.rows * network->outputs())
            raise_value("predict: out must be of the model's dtype and the output's shape.");
        }
        T* data = static_cast<T*>(result.mutable_data());
        predict_rows(*network, rows.rows, data);
        return result;
      },
      self.object);
}

// The same for the usual case alone: plain arrays (n, features) of the network's dtype, C-contiguous, rows of one
// dimension on both sides, `out` None or of the output's shape and apart from x. None where something is different: the
// caller then checks, converts or complains.
py::object predict_plain(const PyNetwork& self, const py::object& x, const py::object& out) {
  return std::visit(
      [&](const auto& network) -> py::object {
        using T = typename std::remove_reference_t<decltype(*network)>::Number;
        const auto plain = [](const py::object& value, std::ptrdiff_t cols) {
          if (value.ptr()->ob_type != py::detail::npy_api::get().PyArray_Type_) return false;
          const auto* array = py::detail::array_proxy(value.ptr());
          constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
          constexpr int number = sizeof(T) == 4 ? py::detail::npy_api::NPY_FLOAT_ : py::detail::npy_api::NPY_DOUBLE_;
          return array->nd == 2 && array->dimensions[1] == cols && (array->flags & wanted) == wanted &&
                 py::detail::array_descriptor_proxy(array->descr)->type_num == number &&
                 py::detail::array_descriptor_proxy(array->descr)->byteorder != '>';
        };
        if (network->plan().front().factor != 1 || network->plan().back().factor != 1 || !plain(x, network->inputs()) ||
            (!out.is_none() && !plain(out, network->outputs())))
          return py::none();
        const auto* from = py::detail::array_proxy(x.ptr());
        const std::ptrdiff_t n = from->dimensions[0];
        const Rows rows{from->data,        n,
                        network->inputs(), network->inputs() * static_cast<std::ptrdiff_t>(sizeof(T)),
                        nullptr,           sizeof(T) == 4 ? NumberType::float32 : NumberType::float64};
        py::object result = out.is_none() ? py::object(py::array_t<T>({n, network->outputs()})) : out;
        const auto* to = py::detail::array_proxy(result.ptr());
        if (!out.is_none()) {
          const char *x_end = from->data + n * rows.row_bytes,
                     *out_end = to->data + n * network->outputs() * static_cast<std::ptrdiff_t>(sizeof(T));
          if (to->dimensions[0] != n || (to->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) == 0 ||
              (to->data < x_end && from->data < out_end))
            return py::none();
        }
        predict_rows(*network, rows, reinterpret_cast<T*>(to->data));
        return result;
      },
      self.object);
}

// Training.

struct PyTrainer {
  OfEitherType<Trainer> object;
};

int loss_number(const std::string& name) {
  for (int i = 0; i < kernels().loss_count; ++i)
    if (name == kernels().f32.losses[i].info.name) return i;
  raise_value("Trainer: there is no loss '" + name + "'.");
}

// (kind, parameter, target, weighted), kind a kind of match or the name of a loss.
MetricPlan metric_plan(const py::tuple& spec) {
  const auto kind = spec[0].cast<std::string>();
  MetricPlan plan{MetricKind::loss, 0, spec[1].cast<double>(), spec[2].cast<int>(), spec[3].cast<bool>(), 0};
  if (kind == "sparse_matches")
    plan.kind = MetricKind::sparse_matches;
  else if (kind == "categorical_matches")
    plan.kind = MetricKind::categorical_matches;
  else if (kind == "binary_matches")
    plan.kind = MetricKind::binary_matches;
  else if (kind == "host")
    plan.kind = MetricKind::host;
  else
    plan.loss = loss_number(kind);
  return plan;
}

template <class T>
py::object targets_of(const HostBatch<T>& batch) {
  if (batch.targets.data != nullptr) return array_of<T>(batch.targets);
  return py::array_t<std::int64_t>(batch.labels.size, static_cast<const std::int64_t*>(batch.labels.data));
}

// loss (name, parameter, mean, activation or "linear", alpha); labels[i]: whether target i is class labels; optimizer
// (name, settings of each group); layers[l] (slots, groups).
PyTrainer make_trainer(const PyNetwork& network, const py::tuple& loss, const std::vector<py::tuple>& metrics,
                       const std::vector<bool>& labels, const py::tuple& optimizer,
                       const std::vector<py::tuple>& layers) {
  return std::visit(
      [&](const auto& net) -> PyTrainer {
        using T = typename std::remove_reference_t<decltype(*net)>::Number;
        const int activation = activation_number(loss[3].cast<std::string>());
        const bool host = py::isinstance<py::function>(loss[0]);
        HeadPlan<T> head{host ? -1 : loss_number(loss[0].cast<std::string>()),
                         loss[1].cast<double>(),
                         loss[2].cast<bool>(),
                         {activation, static_cast<T>(alpha_of(loss[4], activation))},
                         {},
                         nullptr,
                         nullptr};
        if (host) {
          head.host_loss = [function = kept(loss[0])](const HostBatch<T>& batch, T* losses, Matrix<T> gradient) {
            const py::gil_scoped_acquire acquire;
            const std::ptrdiff_t n = batch.predictions.rows;
            const py::object weights =
                batch.sample_weight == nullptr ? py::object(py::none()) : py::array_t<T>(n, batch.sample_weight);
            const py::tuple found =
                (*function)(targets_of(batch), array_of<T>(batch.predictions), weights, gradient.data != nullptr);
            copy_back<T>(found[0], Matrix<T>{losses, n, 1, 1}, "the losses");
            if (gradient.data != nullptr) copy_back<T>(found[1], gradient, "the loss's gradient");
          };
        }
        const auto functions = std::make_shared<std::vector<std::shared_ptr<py::object>>>();
        for (const py::tuple& metric : metrics) {
          head.metrics.push_back(metric_plan(metric));
          MetricPlan& plan = head.metrics.back();
          if (plan.kind == MetricKind::host) {
            plan.host = static_cast<int>(functions->size());
            functions->push_back(kept(metric[4]));
          }
          if (plan.target < 0 || plan.target >= static_cast<int>(labels.size()))
            raise_value("Trainer: a metric names a target that is not there.");
          const bool by_label = labels[static_cast<std::size_t>(plan.target)];
          if (plan.kind != MetricKind::host && (plan.kind == MetricKind::sparse_matches) != by_label &&
              !(plan.kind == MetricKind::loss && kernels().f32.losses[plan.loss].info.takes_labels))
            raise_value("Trainer: a metric's target is of the wrong kind.");
        }
        if (!functions->empty()) {
          head.host_metric = [functions](int number, const HostBatch<T>& batch, T* values) {
            const py::gil_scoped_acquire acquire;
            copy_back<T>(
                (*(*functions)[static_cast<std::size_t>(number)])(targets_of(batch), array_of<T>(batch.predictions)),
                Matrix<T>{values, batch.predictions.rows, 1, 1}, "a metric's values");
          };
        }
        if (labels.empty() || (!host && labels[0] && !kernels().f32.losses[head.loss].info.takes_labels))
          raise_value("Trainer: the loss takes no labels.");
        OptimizerPlan<T> plan;
        plan.number = optimizer_number(optimizer[0].cast<std::string>());
        plan.settings = optimizer[1].cast<std::vector<std::vector<double>>>();
        for (std::vector<double>& group : plan.settings) group.resize(kMostSettings);
        if (static_cast<std::ptrdiff_t>(layers.size()) != net->depth())
          raise_value("Trainer: there must be an entry for each layer.");
        for (std::ptrdiff_t l = 0; l < net->depth(); ++l) {
          const py::tuple& spec = layers[static_cast<std::size_t>(l)];
          const Parameters<T>* parameters = net->layer(l).parameters();
          LayerTraining<T> layer{{}, spec[1].cast<std::vector<int>>()};
          for (const py::handle& slot : spec[0].cast<py::list>()) {
            layer.slots.push_back(
                slot.is_none() ? nullptr : of_type<Parameters, T>(slot.cast<const PyParameters&>().object, "slots"));
            if (parameters == nullptr ||
                (layer.slots.back() != nullptr && !(layer.slots.back()->layout() == parameters->layout())))
              raise_value("Trainer: a slot must have the layout of its layer.");
          }
          if (layer.slots.size() > kMostSlots ||
              layer.groups.size() != (parameters == nullptr ? 0 : parameters->layout().tensors.size()))
            raise_value("Trainer: a layer's slots or groups do not fit it.");
          for (const int group : layer.groups)
            if (group >= static_cast<int>(plan.settings.size())) raise_value("Trainer: there is no such group.");
          plan.layers.push_back(std::move(layer));
        }
        return {std::make_shared<Trainer<T>>(net, std::move(head), labels, std::move(plan))};
      },
      network.object);
}

// The arrays of a call, kept while it runs.
template <class T>
struct DataArgument {
  TrainingData<T> data;
  std::vector<RowsArgument> keep;
};

template <class T>
DataArgument<T> data_argument(const Trainer<T>& trainer, const py::array& x, const py::list& targets,
                              const py::object& sample_weight, const py::object& order) {
  DataArgument<T> argument;
  argument.keep.push_back(rows_argument(x, "x"));
  const std::ptrdiff_t rows = argument.keep[0].rows.rows;
  if (argument.keep[0].rows.cols != trainer.inputs()) raise_value("Trainer: x does not fit the network.");
  if (targets.size() != trainer.labels().size()) raise_value("Trainer: the targets' number does not fit.");
  for (std::size_t i = 0; i < targets.size(); ++i) {
    argument.keep.push_back(rows_argument(targets[i].cast<py::array>(), "y"));
    const Rows& target = argument.keep.back().rows;
    const bool labels = trainer.labels()[i];
    if (target.rows != rows || target.cols != (labels ? 1 : trainer.outputs()) ||
        (labels && (target.type == NumberType::float16 || target.type == NumberType::float32 ||
                    target.type == NumberType::float64)))
      raise_value("Trainer: a target does not fit the network or x.");
  }
  argument.data = {argument.keep[0].rows, {}, nullptr, nullptr};
  for (std::size_t i = 0; i < targets.size(); ++i)
    argument.data.targets.push_back({argument.keep[i + 1].rows, trainer.labels()[i]});
  const auto contiguous = [&](const py::object& object, const char* name) {
    argument.keep.push_back(rows_argument(object.cast<py::array>(), name));
    const Rows& found = argument.keep.back().rows;
    if (found.rows != rows || found.cols != 1)
      raise_value(std::string("Trainer: ") + name + " must have one number for each row.");
    return found;
  };
  if (!sample_weight.is_none()) {
    const Rows weights = contiguous(sample_weight, "sample_weight");
    if (weights.row_bytes != sizeof(T) || weights.type != (sizeof(T) == 4 ? NumberType::float32 : NumberType::float64))
      raise_value("Trainer: sample_weight must be contiguous, of the model's dtype.");
    argument.data.sample_weight = static_cast<const T*>(weights.base);
  }
  if (!order.is_none()) {
    const Rows found = contiguous(order, "order");
    if (found.type != NumberType::int64 || found.row_bytes != 8) raise_value("Trainer: order must be int64.");
    argument.data.order = static_cast<const std::int64_t*>(found.base);
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      if (argument.data.order[i] < 0 || argument.data.order[i] >= rows) raise_value("Trainer: order must hold rows.");
  }
  return argument;
}

bool signalled() {
  const py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

// totals (2, 1 + metrics): sums and counts, added to. progress[0] grows by the steps completed, also where a signal's
// exception ends the call.
template <class Body>
void run_steps(const PyTrainer& self, const py::array& x, const py::list& targets, const py::object& sample_weight,
               const py::object& order, py::array_t<double> totals, py::array_t<std::int64_t> progress, Body&& body) {
  std::visit(
      [&](const auto& trainer) {
        const auto argument = data_argument(*trainer, x, targets, sample_weight, order);
        const auto entries = static_cast<std::size_t>(trainer->metrics() + 1);
        if (totals.size() != static_cast<py::ssize_t>(2 * entries)) raise_value("Trainer: totals do not fit.");
        Totals sums{std::vector<double>(entries), std::vector<double>(entries)};
        std::ptrdiff_t steps = 0;
        {
          const py::gil_scoped_release release;
          steps = body(*trainer, argument.data, sums);
        }
        for (std::size_t i = 0; i < entries; ++i) {
          totals.mutable_data()[i] += sums.sum[i];
          totals.mutable_data()[entries + i] += sums.count[i];
        }
        progress.mutable_data()[0] += steps;
        if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      },
      self.object);
}

void check_batches(const Rows& x, const Batches& batches) {
  if (batches.first < 0 || batches.rows < 0 || batches.size < 1 || batches.first + batches.rows > x.rows)
    raise_value("Trainer: the batches must lie within the rows.");
}

}  // namespace

void register_engine(py::module_& module) {
  py::class_<PyParameters>(module, "Parameters")
      .def(py::init(&make_parameters), py::arg("dtype"), py::arg("dense"), py::arg("shapes"))
      .def("read", read_parameters, py::arg("tensor"), py::arg("out"))
      .def("write", write_parameters, py::arg("tensor"), py::arg("values"))
      .def("like",
           [](const PyParameters& self) -> PyParameters {
             return std::visit(
                 [](const auto& p) -> PyParameters {
                   return {std::make_shared<std::remove_reference_t<decltype(*p)>>(p->layout())};
                 },
                 self.object);
           })
      .def_property_readonly(
          "version",
          [](const PyParameters& self) { return std::visit([](const auto& p) { return p->version(); }, self.object); })
      .def(py::pickle(
          [](const PyParameters& self) {
            return std::visit(
                [&](const auto& p) {
                  using T = std::remove_pointer_t<decltype(p->data())>;
                  py::list shapes, arrays;
                  for (std::size_t i = 0; i < p->layout().tensors.size(); ++i) {
                    const Layout::Tensor& shape = p->layout().tensors[i];
                    shapes.append(py::make_tuple(shape.rows, shape.cols));
                    const py::array_t<T> values(shape.rows * shape.cols);
                    read_parameters(self, static_cast<int>(i), values);
                    arrays.append(values);
                  }
                  return py::make_tuple(sizeof(T) == 4 ? "float32" : "float64", p->layout().dense, shapes, arrays);
                },
                self.object);
          },
          [](const py::tuple& state) {
            const PyParameters made =
                make_parameters(state[0].cast<std::string>(), state[1].cast<bool>(),
                                state[2].cast<std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>>());
            int tensor = 0;
            for (const py::handle& values : state[3].cast<py::list>())
              write_parameters(made, tensor++, values.cast<py::array>());
            return made;
          }));
  module.def("apply_gradient", apply_gradient, py::arg("parameters"), py::arg("tensor"), py::arg("gradient"),
             py::arg("slots"), py::arg("optimizer"), py::arg("settings"), py::arg("learning_rate"), py::arg("step"));

  py::class_<PyNetwork>(module, "Network")
      .def(py::init(&make_network), py::arg("dtype"), py::arg("width"), py::arg("factor"), py::arg("layers"),
           py::arg("trained"))
      .def("predict", predict, py::arg("x"), py::arg("out"))
      .def("predict_plain", predict_plain, py::arg("x"), py::arg("out"));

  py::class_<PyTrainer>(module, "Trainer")
      .def(py::init(&make_trainer), py::arg("network"), py::arg("loss"), py::arg("metrics"), py::arg("labels"),
           py::arg("optimizer"), py::arg("layers"))
      .def(
          "train",
          [](const PyTrainer& self, const py::array& x, const py::list& targets, const py::object& sample_weight,
             const py::object& order, std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t size,
             const std::vector<double>& rates, std::int64_t iteration, const py::array_t<double>& totals,
             const py::array_t<std::int64_t>& progress) {
            if (rates.empty()) raise_value("Trainer: there must be a learning rate.");
            run_steps(self, x, targets, sample_weight, order, totals, progress,
                      [&](auto& trainer, const auto& data, Totals& sums) {
                        check_batches(data.x, {first, rows, size});
                        return trainer.train(data, {first, rows, size}, rates, iteration, sums, signalled);
                      });
          },
          py::arg("x"), py::arg("targets"), py::arg("sample_weight"), py::arg("order"), py::arg("first"),
          py::arg("rows"), py::arg("size"), py::arg("rates"), py::arg("iteration"), py::arg("totals"),
          py::arg("progress"))
      .def(
          "test",
          [](const PyTrainer& self, const py::array& x, const py::list& targets, const py::object& sample_weight,
             std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t size, const py::array_t<double>& totals,
             const py::array_t<std::int64_t>& progress) {
            run_steps(self, x, targets, sample_weight, py::none(), totals, progress,
                      [&](auto& trainer, const auto& data, Totals& sums) {
                        check_batches(data.x, {first, rows, size});
                        return trainer.test(data, {first, rows, size}, sums, signalled);
                      });
          },
          py::arg("x"), py::arg("targets"), py::arg("sample_weight"), py::arg("first"), py::arg("rows"),
          py::arg("size"), py::arg("totals"), py::arg("progress"))
      .def(
          "gradients",
          [](const PyTrainer& self, const py::array& x, const py::list& targets, const py::object& sample_weight,
             const py::array_t<double>& totals) {
            py::list found;
            const py::array_t<std::int64_t> progress(1);
            run_steps(self, x, targets, sample_weight, py::none(), totals, progress,
                      [&](auto& trainer, const auto& data, Totals& sums) {
                        const auto gradients = trainer.gradients(data, data.x.rows, sums);
                        const py::gil_scoped_acquire acquire;
                        for (const auto& gradient : gradients) {
                          if (gradient == nullptr)
                            found.append(py::none());
                          else
                            found.append(PyParameters{gradient});
                        }
                        return std::ptrdiff_t{1};
                      });
            return found;
          },
          py::arg("x"), py::arg("targets"), py::arg("sample_weight"), py::arg("totals"))
      .def(
          "force_schedule",
          [](const PyTrainer& self, const std::string& schedule, int threads, bool as_long) {
            std::visit(
                [&](const auto& t) {
                  t->force(schedule == "chunked" ? Schedule::chunked : Schedule::stationary, threads, as_long);
                },
                self.object);
          },
          py::arg("schedule"), py::arg("threads"), py::arg("as_long") = false)
      .def(
          "plan",
          [](const PyTrainer& self, std::ptrdiff_t rows) {
            const StepPlan plan = std::visit([&](const auto& t) { return t->plan(rows); }, self.object);
            return py::make_tuple(plan.schedule == Schedule::chunked ? "chunked" : "stationary", plan.threads);
          },
          py::arg("rows"))
      .def_property_readonly("workspace_bytes", [](const PyTrainer& self) {
        return std::visit([](const auto& t) { return t->workspace_bytes(); }, self.object);
      });
  module.def("engine_bytes", allocated_bytes);
}

}  // namespace lamina::bindings
