// The quick way through ModelManager.get_or_load, for a model that is ready.
//
// hit_path(function) makes a method that first looks for the answer in the manager's `_hits`, a
// dict of (EntryRef, answer without a configuration, stamp, answer, stamp, answer...) by model id,
// and calls `function` when it is not there. An answer is a tuple, or a weak reference to an object
// with `model` and `tokenizer`. A stamp is the `_stamp` of a configuration that was found to fit;
// it is replaced at every change of one.
#include <nanobind/nanobind.h>
#include <structmember.h>

#include <cstddef>

#include "bindings.h"
#include "mdsa/model_lease.h"

namespace mdsa::python {
namespace {

struct HitMethod {
  PyObject ob_base;
  PyObject* function;
  vectorcallfunc vectorcall;
};

// Interned once, kept for good.
struct Names {
  PyObject* hits = PyUnicode_InternFromString("_hits");
  PyObject* stamp = PyUnicode_InternFromString("_stamp");
  PyObject* model = PyUnicode_InternFromString("model");
  PyObject* tokenizer = PyUnicode_InternFromString("tokenizer");
  PyObject* config = PyUnicode_InternFromString("config");
};
const Names& TheNames() {
  static const Names* const names = new Names;
  return *names;
}

constexpr Py_ssize_t kEntry = 0;
constexpr Py_ssize_t kAnswer = 1;
constexpr Py_ssize_t kStamps = 2;

nb::object Attribute(PyObject* object, PyObject* name) {
  nb::object value = nb::steal(PyObject_GetAttr(object, name));
  if (!value.is_valid()) PyErr_Clear();
  return value;
}

// Null if there is none for `config`, which may be null or None.
PyObject* KeptAnswer(PyObject* hit, PyObject* config) {
  if (config == nullptr || config == Py_None) return PyTuple_GET_ITEM(hit, kAnswer);
  const nb::object stamp = Attribute(config, TheNames().stamp);
  if (!stamp.is_valid()) return nullptr;
  for (Py_ssize_t i = kStamps; i + 1 < PyTuple_GET_SIZE(hit); i += 2) {
    if (PyTuple_GET_ITEM(hit, i) == stamp.ptr()) return PyTuple_GET_ITEM(hit, i + 1);
  }
  return nullptr;
}

nb::object AnswerOf(PyObject* kept) {
  if (PyTuple_Check(kept)) return nb::borrow(kept);
  if (!PyWeakref_CheckRef(kept)) return {};
  const nb::object info = nb::borrow(PyWeakref_GetObject(kept));
  if (info.is_none()) return {};
  const nb::object model = Attribute(info.ptr(), TheNames().model);
  const nb::object tokenizer = Attribute(info.ptr(), TheNames().tokenizer);
  if (!model.is_valid() || !tokenizer.is_valid()) return {};
  return nb::steal(PyTuple_Pack(2, model.ptr(), tokenizer.ptr()));
}

// Invalid where the slow path has to look. Raises nothing.
nb::object FindHit(PyObject* manager, PyObject* model_id, PyObject* config) {
  const nb::object hits = Attribute(manager, TheNames().hits);
  if (!hits.is_valid() || !PyDict_Check(hits.ptr()) || !PyUnicode_CheckExact(model_id)) return {};
  // Its own reference: what runs below may change the dict.
  const nb::object hit = nb::borrow(PyDict_GetItemWithError(hits.ptr(), model_id));
  if (!hit.is_valid()) {
    PyErr_Clear();
    return {};
  }
  if (!PyTuple_Check(hit.ptr()) || PyTuple_GET_SIZE(hit.ptr()) < kStamps) return {};
  PyObject* const kept = KeptAnswer(hit.ptr(), config);
  if (kept == nullptr) return {};
  const EntryRef* entry = nullptr;
  if (!nb::try_cast(nb::handle(PyTuple_GET_ITEM(hit.ptr(), kEntry)), entry)) return {};
  nb::object answer = AnswerOf(kept);
  if (!answer.is_valid()) {
    PyErr_Clear();
    return {};
  }
  return entry->Use() ? answer : nb::object();
}

// With (self, model_id), (self, model_id, config) or (self, model_id, config=...): anything else is
// for the function.
PyObject* CallHitMethod(PyObject* callable, PyObject* const* arguments, std::size_t flagged_count,
                        PyObject* keywords) {
  auto* const method = reinterpret_cast<HitMethod*>(callable);
  const Py_ssize_t positional = PyVectorcall_NARGS(flagged_count);
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  const bool is_plain = named == 0 ? positional == 2 || positional == 3
                                   : named == 1 && positional == 2 &&
                                         PyTuple_GET_ITEM(keywords, 0) == TheNames().config;
  if (is_plain) {
    nb::object hit =
        FindHit(arguments[0], arguments[1], positional + named == 3 ? arguments[2] : nullptr);
    if (hit.is_valid()) return hit.release().ptr();
  }
  return PyObject_Vectorcall(method->function, arguments, flagged_count, keywords);
}

PyObject* BindToInstance(PyObject* self, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

// Name, documentation and signature are those of the function.
PyObject* GetAttribute(PyObject* self, PyObject* name) {
  PyObject* const own = PyObject_GenericGetAttr(self, name);
  if (own != nullptr || !PyErr_ExceptionMatches(PyExc_AttributeError)) return own;
  PyErr_Clear();
  return PyObject_GetAttr(reinterpret_cast<HitMethod*>(self)->function, name);
}

PyObject* Documentation(PyObject* self, void*) {
  return PyObject_GetAttrString(reinterpret_cast<HitMethod*>(self)->function, "__doc__");
}

PyObject* Wrapped(PyObject* self, void*) {
  return Py_NewRef(reinterpret_cast<HitMethod*>(self)->function);
}

PyObject* Represent(PyObject* self) {
  return PyObject_Repr(reinterpret_cast<HitMethod*>(self)->function);
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(reinterpret_cast<HitMethod*>(self)->function);
  return 0;
}

int Clear(PyObject* self) {
  Py_CLEAR(reinterpret_cast<HitMethod*>(self)->function);
  return 0;
}

void Dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(HitMethod, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};
PyGetSetDef kProperties[] = {{"__doc__", &Documentation, nullptr, nullptr, nullptr},
                             {"__wrapped__", &Wrapped, nullptr, nullptr, nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot kSlots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&Dealloc)},
                        {Py_tp_traverse, reinterpret_cast<void*>(&Traverse)},
                        {Py_tp_clear, reinterpret_cast<void*>(&Clear)},
                        {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                        {Py_tp_descr_get, reinterpret_cast<void*>(&BindToInstance)},
                        {Py_tp_getattro, reinterpret_cast<void*>(&GetAttribute)},
                        {Py_tp_repr, reinterpret_cast<void*>(&Represent)},
                        {Py_tp_members, kMembers},
                        {Py_tp_getset, kProperties},
                        {0, nullptr}};
PyType_Spec kSpec = {"mdsa._native.HitMethod", sizeof(HitMethod), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                         Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                     kSlots};

}  // namespace

void BindHitMethod(nb::module_& module) {
  const nb::object type = nb::steal(PyType_FromSpec(&kSpec));
  if (!type.is_valid()) throw nb::python_error();
  module.attr("HitMethod") = type;
  module.def(
      "hit_path",
      [type](const nb::callable& function) {
        auto* const method =
            PyObject_GC_New(HitMethod, reinterpret_cast<PyTypeObject*>(type.ptr()));
        if (method == nullptr) throw nb::python_error();
        method->function = Py_NewRef(function.ptr());
        method->vectorcall = &CallHitMethod;
        PyObject_GC_Track(reinterpret_cast<PyObject*>(method));
        return nb::steal(reinterpret_cast<PyObject*>(method));
      },
      nb::arg("function"));
}

}  // namespace mdsa::python
