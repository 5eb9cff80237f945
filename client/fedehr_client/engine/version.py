"""`require_engine`: refuses an engine other than the one whose internals are used here.

What the worker calls is not public in the engine, so that any version may change it. The
version must be the very one; and since a patched package can carry the same number, what is
called must also look as it did, name by name.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType

from fedehr_client.engine.errors import EngineVersionError

ENGINE_VERSION = "1.41.0"
FINGERPRINT = "abcd64d6ec79c42080b0505642cba2cd5797e86d1fd8825f9a739a601e81efd2"
"""Of `shape_of_internals`; a new engine gets a new one after its internals were read again."""

_NEXT_STEP = "Install the engine that fedehr names: `pip install --force-reinstall fedehr`."

_CALLED = (
    "flwr.app.message:make_message",
    "flwr.app.message:remove_content_from_message",
    "flwr.app.message.arraychunk:ArrayChunk",
    "flwr.common.serde:message_to_proto",
    "flwr.common.serde_utils:metadata_from_proto",
    "flwr.supercore.constant:HEAD_BODY_DIVIDER",
    "flwr.supercore.constant:TaskType",
    "flwr.supercore.inflatable.inflatable_object:get_all_nested_objects",
    "flwr.supercore.inflatable.inflatable_object:get_object_head_values_from_object_content",
    "flwr.supercore.inflatable.inflatable_object:get_object_tree",
    "flwr.supercore.inflatable.inflatable_object:no_object_id_recompute",
    "flwr.supercore.interceptors:RuntimeTokenHttpInterceptor",
    "flwr.supercore.interceptors:SuperExecAuthHttpInterceptor",
    "flwr.supercore.runtime:RuntimeHttpClient",
)
_METHODS = (
    "AcquireTask", "ConfirmMessageReceived", "PullMessages", "PullObject", "PullTaskInput",
    "PushMessages", "PushObject", "PushTaskOutput", "SendTaskHeartbeat", "from_server_address",
)  # fmt: skip
_MESSAGES = (
    "flwr.proto.message_pb2:ConfirmMessageReceivedRequest",
    "flwr.proto.message_pb2:Metadata",
    "flwr.proto.message_pb2:ObjectTree",
    "flwr.proto.message_pb2:PullObjectRequest",
    "flwr.proto.message_pb2:PullObjectResponse",
    "flwr.proto.message_pb2:PushObjectRequest",
    "flwr.proto.message_pb2:PushObjectResponse",
    "flwr.proto.runtime_pb2:AcquireTaskRequest",
    "flwr.proto.runtime_pb2:AcquireTaskResponse",
    "flwr.proto.runtime_pb2:PullAppMessagesResponse",
    "flwr.proto.runtime_pb2:PullTaskInputResponse",
    "flwr.proto.runtime_pb2:PushAppMessagesRequest",
    "flwr.proto.runtime_pb2:PushAppMessagesResponse",
    "flwr.proto.runtime_pb2:PushTaskOutputRequest",
    "flwr.proto.runtime_pb2:SendTaskHeartbeatResponse",
)


def require_version() -> None:
    """Check the installed engine's number, without loading the engine.

    Raises:
        EngineVersionError: it is another.
    """
    installed = version("flwr")
    if installed != ENGINE_VERSION:
        raise EngineVersionError(
            f"flwr {installed} is installed, and this fedehr works with {ENGINE_VERSION} only. "
            f"{_NEXT_STEP}"
        )


def require_engine() -> None:
    """Check the installed engine.

    Raises:
        EngineVersionError: it has another version, or other internals.
    """
    require_version()
    installed = version("flwr")
    try:
        is_known = fingerprint() == FINGERPRINT
    except (ImportError, AttributeError) as error:
        raise EngineVersionError(
            f"the installed flwr {installed} lacks what fedehr calls ({error}). {_NEXT_STEP}"
        ) from error
    if not is_known:
        raise EngineVersionError(
            f"the installed flwr {installed} is not the published one: what fedehr calls looks "
            f"different. {_NEXT_STEP}"
        )


def fingerprint() -> str:
    """SHA-256 of `shape_of_internals`."""
    return hashlib.sha256("\n".join(shape_of_internals()).encode()).hexdigest()


def shape_of_internals() -> list[str]:
    """Signatures, members and fields of all that is called, one a line."""
    lines = [f"{name} {_shape(_found(name))}" for name in _CALLED]
    client = _found("flwr.supercore.runtime:RuntimeHttpClient")
    lines += [f"{name} {_signature(getattr(client, name))}" for name in _METHODS]
    return lines + [f"{name} {_fields(_found(name))}" for name in _MESSAGES]


def _found(name: str) -> object:
    module_name, _, attribute = name.partition(":")
    module: ModuleType = importlib.import_module(module_name)
    found: object = getattr(module, attribute)
    return found


def _shape(found: object) -> str:
    if isinstance(found, type) and hasattr(found, "__members__"):
        return str({name: str(member) for name, member in found.__members__.items()})
    return _signature(found) if callable(found) else repr(found)


def _signature(found: Callable[..., object]) -> str:
    """Without annotations, whose text depends on Python's version."""
    parameters = inspect.signature(found).parameters.values()
    return str([(each.name, each.kind.name, repr(each.default)) for each in parameters])


def _fields(message: object) -> str:
    descriptor = message.DESCRIPTOR  # type: ignore[attr-defined]
    return str([(field.number, field.name, field.type) for field in descriptor.fields])
