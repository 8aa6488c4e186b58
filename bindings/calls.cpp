#include "calls.hpp"

#include <new>
#include <stdexcept>
#include <string>

#include "environment.hpp"
#include "errors.hpp"

namespace fsyn::bindings {

namespace {

/// An error of the library's class where the environment has it.
Napi::Error make_error(Napi::Env env, ErrorCode code, const char* message) {
  const auto name = Napi::String::New(env, name_of(code));
  const Napi::FunctionReference& error_class = Environment::of(env).error_class;
  if (!error_class.IsEmpty()) return {env, error_class.New({name, Napi::String::New(env, message)})};
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", name);
  return error;
}

}  // namespace

Napi::Error translate_error(Napi::Env env, const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Napi::Error& error) {
    return error;
  } catch (const Error& error) {
    return make_error(env, error.code(), error.what());
  } catch (const Cancelled& error) {
    return make_error(env, ErrorCode::cancelled, error.what());
  } catch (const std::bad_alloc&) {
    return make_error(env, ErrorCode::out_of_memory, "Not enough memory.");
  } catch (const std::invalid_argument& error) {
    return make_error(env, ErrorCode::invalid_argument, error.what());
  } catch (const std::exception& error) {
    return make_error(env, ErrorCode::inference, error.what());
  } catch (...) {
    return make_error(env, ErrorCode::inference, "An unknown native error.");
  }
}

}  // namespace fsyn::bindings
