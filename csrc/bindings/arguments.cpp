#include "bindings/arguments.hpp"

#include <cmath>
#include <type_traits>

#include "bindings/names.hpp"

namespace lamina::bindings {
namespace {

constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;

std::string dtype_name(const py::array& array) { return py::str(array.dtype()).cast<std::string>(); }

std::string type_name(const py::handle& value) {
  return py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>();
}

const char* name_of(DType dtype) { return dtype == DType::float32 ? "float32" : "float64"; }

std::string spell(const Shape& shape, const char* meaning) {
  return meaning == nullptr ? describe(shape) : std::string(meaning) + " = " + describe(shape);
}

}  // namespace

std::string describe(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]) + (shape.size() == 1 ? "," : "");
  return text + ")";
}

void raise_type(const std::string& message) { throw py::type_error(message); }
void raise_value(const std::string& message) { throw py::value_error(message); }

void Arguments::fail_type(const std::string& message) const { raise_type(std::string(function_) + ": " + message); }
void Arguments::fail_value(const std::string& message) const { raise_value(std::string(function_) + ": " + message); }

py::array Arguments::as_array(const py::handle& value, const char* name) const {
  if (!py::isinstance<py::array>(value))
    fail_type(std::string(name) + " must be a numpy.ndarray; got " + type_name(value) +
              ". Convert it once with numpy.asarray, outside the loop.");
  const bool plain = Py_TYPE(value.ptr()) == py::detail::npy_api::get().PyArray_Type_;
  if (!plain && py::hasattr(value, "mask"))
    fail_type(std::string(name) + " must be a plain numpy.ndarray; got a masked one, whose mask would be lost.");
  return py::reinterpret_borrow<py::array>(value);
}

void Arguments::check_layout(const py::array& array, const char* name) const {
  if ((array.flags() & py::array::c_style) == 0)
    fail_value(std::string(name) +
               " must be C-contiguous; got a strided or transposed view. Copy it with numpy.ascontiguousarray.");
  if ((array.flags() & kAligned) == 0)
    fail_value(std::string(name) + " must be aligned to its element size; got an unaligned view. Copy it first.");
}

void Arguments::check_float(const py::array& array, const char* name) {
  const py::dtype type = array.dtype();
  const bool native = type.byteorder() == '=';
  const bool is_float = native && type.num() == py::detail::npy_api::NPY_FLOAT_;
  const bool is_double = native && type.num() == py::detail::npy_api::NPY_DOUBLE_;
  if (!is_float && !is_double)
    fail_type(std::string(name) + " must be float32 or float64; got " + dtype_name(array) +
              ". Convert it once with astype.");
  const DType dtype = is_float ? DType::float32 : DType::float64;
  if (has_dtype_ && dtype != dtype_)
    fail_type(std::string(name) + " must be " + name_of(dtype_) + " like the other arrays; got " + name_of(dtype) +
              ". All arrays of a call have one dtype.");
  has_dtype_ = true;
  dtype_ = dtype;
}

void Arguments::check_shape(const py::array& array, const char* name, const Shape& shape, const char* meaning) const {
  const Shape got(array.shape(), array.shape() + array.ndim());
  if (got != shape)
    fail_value(std::string(name) + " must have shape " + spell(shape, meaning) + "; got " + describe(got) + ".");
}

Argument Arguments::record(py::array array, const char* name, bool written) {
  const char* begin = static_cast<const char*>(array.data());
  extents_.push_back({name, begin, begin + array.nbytes(), written});
  return {std::move(array), name};
}

void Arguments::require_rank(const Argument& argument, int rank, const char* meaning) const {
  if (argument.ndim() == rank) return;
  const std::string hint =
      argument.ndim() == rank - 1 ? " A single row is " + std::string(argument.name) + "[numpy.newaxis]." : "";
  fail_value(std::string(argument.name) + " must have shape " + meaning + "; got " + describe(argument.shape()) + "." +
             hint);
}

Argument Arguments::input(const py::handle& value, const char* name, int rank) {
  py::array array = as_array(value, name);
  check_float(array, name);
  if (rank >= 0 && array.ndim() != rank)
    fail_value(std::string(name) + " must have " + std::to_string(rank) + " dimensions; got shape " +
               describe(Shape(array.shape(), array.shape() + array.ndim())) + ".");
  check_layout(array, name);
  return record(std::move(array), name, false);
}

Argument Arguments::input(const py::handle& value, const char* name, const Shape& shape, const char* meaning) {
  py::array array = as_array(value, name);
  check_float(array, name);
  check_shape(array, name, shape, meaning);
  check_layout(array, name);
  return record(std::move(array), name, false);
}

Argument Arguments::output(const py::handle& value, const char* name, const Shape& shape, const char* meaning) {
  if (value.is_none()) {
    const py::dtype dtype = dtype_ == DType::float32 ? py::dtype::of<float>() : py::dtype::of<double>();
    return {py::array(dtype, shape), name};  // new memory overlaps nothing
  }
  py::array array = as_array(value, name);
  check_float(array, name);
  check_shape(array, name, shape, meaning);
  check_layout(array, name);
  if (!array.writeable()) fail_value(std::string(name) + " must be writeable; got a read-only array.");
  return record(std::move(array), name, true);
}

Argument Arguments::in_place(const py::handle& value, const char* name) {
  py::array array = as_array(value, name);
  check_float(array, name);
  check_layout(array, name);
  if (!array.writeable()) fail_value(std::string(name) + " must be writeable; got a read-only array.");
  return record(std::move(array), name, true);
}

std::optional<NumberType> number_type(const py::dtype& dtype) {
  if (dtype.byteorder() == (PY_LITTLE_ENDIAN ? '>' : '<')) return {};
  const char kind = dtype.kind() == 'b' ? 'u' : dtype.kind();
  for (int i = 0; i < kNumberTypes; ++i) {
    const auto type = static_cast<NumberType>(i);
    const char own = with_number_type(type, [](auto tag) {
      using S = typename decltype(tag)::Number;
      return !std::is_integral_v<S> ? 'f' : (std::is_signed_v<S> ? 'i' : 'u');
    });
    if (kind == own && dtype.itemsize() == size_of(type)) return type;
  }
  return {};
}

Labels Arguments::unchecked_labels(const py::handle& value, const char* name) {
  py::array array = as_array(value, name);
  const std::optional<NumberType> type = number_type(array.dtype());
  if (!type.has_value() || !is_integer(*type) || array.dtype().kind() == 'b')
    fail_type(std::string(name) + " must be integers in native byte order, or (n, c) probabilities; got " +
              dtype_name(array) + ".");
  if (array.ndim() != 1)
    fail_value(std::string(name) + " must have shape (n,); got " +
               describe(Shape(array.shape(), array.shape() + array.ndim())) + ".");
  check_layout(array, name);
  const Labels labels{array.data(), array.shape(0), *type};
  record(std::move(array), name, false);
  return labels;
}

Labels Arguments::labels(const py::handle& value, const char* name, py::ssize_t n, py::ssize_t classes) {
  const py::array array = as_array(value, name);
  const Labels labels = unchecked_labels(value, name);
  check_shape(array, name, {n}, "(n,)");
  if (const py::ssize_t bad = kernels().first_label_outside(labels, classes); bad >= 0)
    fail_value(std::string(name) + " must be in [0, " + std::to_string(classes) + "), one for each column; got " +
               py::str(array[py::int_(bad)]).cast<std::string>() + " at row " + std::to_string(bad) + ".");
  return labels;
}

void Arguments::refuse_overlaps(std::initializer_list<std::pair<const char*, const char*>> same) const {
  for (std::size_t i = 0; i < extents_.size(); ++i) {
    for (std::size_t j = i + 1; j < extents_.size(); ++j) {
      const Extent &a = extents_[i], &b = extents_[j];
      if (!a.written && !b.written) continue;
      if (a.begin == a.end || b.begin == b.end || a.end <= b.begin || b.end <= a.begin) continue;
      bool allowed = false;
      for (const auto& [first, second] : same)
        allowed = allowed || (a.begin == b.begin && a.end == b.end &&
                              ((first == std::string(a.name) && second == std::string(b.name)) ||
                               (first == std::string(b.name) && second == std::string(a.name))));
      if (!allowed)
        fail_value(std::string(b.name) + " must not share memory with " + a.name + "; the two arrays overlap.");
    }
  }
}

double Arguments::number(const py::handle& value, const char* name) const {
  const double number = PyBool_Check(value.ptr()) ? -1.0 : PyFloat_AsDouble(value.ptr());
  if (PyBool_Check(value.ptr()) || (number == -1.0 && PyErr_Occurred() != nullptr)) {
    PyErr_Clear();
    fail_type(std::string(name) + " must be a real number; got " + type_name(value) + ".");
  }
  return number;
}

bool Arguments::flag(const py::handle& value, const char* name) const {
  if (PyBool_Check(value.ptr())) return value.ptr() == Py_True;
  const std::string type = type_name(value);
  if (type != "bool_" && type != "bool") fail_type(std::string(name) + " must be True or False; got " + type + ".");
  return PyObject_IsTrue(value.ptr()) == 1;
}

std::string Arguments::text(const py::handle& value, const char* name) const {
  if (!py::isinstance<py::str>(value)) fail_type(std::string(name) + " must be a str; got " + type_name(value) + ".");
  try {
    return value.cast<std::string>();
  } catch (const std::exception&) {  // not encodable as UTF-8
    PyErr_Clear();
    fail_value(
        std::string(name) + " must be text that can be encoded; got " +
        py::str(py::repr(value).attr("encode")("ascii", "backslashreplace").attr("decode")()).cast<std::string>() +
        ".");
  }
}

double Arguments::not_negative(const py::handle& value, const char* name) const {
  const double number_ = number(value, name);
  const bool finite = std::isfinite(dtype_ == DType::float32 ? static_cast<float>(number_) : number_);
  if (!(number_ >= 0 && finite))
    fail_value(std::string(name) + " must be finite and >= 0; got " + py::str(value).cast<std::string>() + ".");
  return number_;
}

Activation find_activation(const Arguments& arguments, const py::handle& activation, const py::handle& alpha,
                           const char* argument) {
  const std::string name = arguments.text(activation, argument);
  const int index = activation_index(name);
  if (index < 0)
    arguments.fail_value(std::string(argument) + " must be one of " + activation_names() + "; got '" + name + "'.");
  const ActivationInfo& info = kernels().f32.activations[index].info;
  if (alpha.is_none()) return {index, info.default_alpha};
  if (!info.has_alpha) arguments.fail_value("alpha must be None for activation '" + name + "', which has none.");
  return {index, arguments.not_negative(alpha, "alpha")};
}

}  // namespace lamina::bindings
