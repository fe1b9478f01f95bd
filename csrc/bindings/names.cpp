#include "bindings/names.hpp"

#include <cstring>

namespace lamina::bindings {
namespace {

template <class Entry>
int find(const Entry* entries, int count, const std::string& name) {
  for (int i = 0; i < count; ++i)
    if (name == entries[i].info.name) return i;
  return -1;
}

template <class Entry>
std::string quoted(const Entry* entries, int count) {
  std::string names;
  for (int i = 0; i < count; ++i) names += std::string(i ? ", '" : "'") + entries[i].info.name + "'";
  return names;
}

}  // namespace

int activation_index(const std::string& name) {
  return find(kernels().f32.activations, kernels().activation_count, name);
}
int loss_index(const std::string& name) { return find(kernels().f32.losses, kernels().loss_count, name); }
int metric_index(const std::string& name) { return find(kernels().f32.metrics, kernels().metric_count, name); }
int optimizer_index(const std::string& name) { return find(kernels().f32.optimizers, kernels().optimizer_count, name); }

int require_index(int index, const char* what, const std::string& name) {
  if (index < 0) raise_value(std::string("there is no ") + what + " '" + name + "'.");
  return index;
}

std::string activation_names() { return quoted(kernels().f32.activations, kernels().activation_count); }
std::string loss_names() { return quoted(kernels().f32.losses, kernels().loss_count); }

std::vector<double> values_by_name(const char* names, const py::dict& given, bool optional, double first) {
  std::vector<double> values;
  std::size_t found = 0;
  for (const char* name = names; name != nullptr && *name != '\0';) {
    const char* const end = std::strchr(name, ' ');
    const std::size_t length = end == nullptr ? std::strlen(name) : static_cast<std::size_t>(end - name);
    PyObject* const value = given.empty() ? nullptr : PyDict_GetItemWithError(given.ptr(), py::str(name, length).ptr());
    if (value != nullptr) {
      values.push_back(py::handle(value).cast<double>());
      ++found;
    } else if (PyErr_Occurred() != nullptr) {
      throw py::error_already_set();
    } else if (optional) {
      values.push_back(values.empty() ? first : 0);
    } else {
      raise_value("the parameter '" + std::string(name, length) + "' must be given.");
    }
    name = end == nullptr ? nullptr : end + 1;
  }
  if (found != given.size())
    raise_value("there are other parameters than '" + std::string(names == nullptr ? "" : names) + "'.");
  return values;
}

}  // namespace lamina::bindings
