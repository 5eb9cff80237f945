"""`HostileMessages`: messages of a study with one to three things wrong, drawn from a seed.

A message is a form: `{"type": ..., "records": {name: [kind, {key: value}]}}`, as
`lab_server.records_of` turns it into the engine's records; bytes stay bytes here.
"""

import base64
import copy
import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

Form = dict[str, Any]

STYPE = "fedehr.tensors"
ARRAY_NAME = "tensors"
_CHECKSUM_BYTES = 4
_HEAD_BYTES = 18

_PICKLE = b"cos\nsystem\n(S'touch %s'\ntR."


def form_of(payload: Any, message_type: str = "query") -> Form:
    """A request as the coordinator would send it."""
    records: dict[str, list[Any]] = {}
    for name, data in payload.tensors.items():
        records[name] = ["array", {ARRAY_NAME: ["uint8", [len(data)], STYPE, data]}]
    for name, values in payload.values.items():
        records[name] = ["config", dict(values)]
    return {"type": message_type, "records": records}


def jsonable(value: Any) -> Any:
    """A form with its bytes as text, for `lab_server`."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


class HostileMessages:
    """Draws messages; the same seed, the same messages."""

    def __init__(self, seed: int, corpus: Sequence[Form], trace: str) -> None:
        """`corpus`: honest messages; `trace`: a file that any code of a message would make."""
        self._random = random.Random(seed)
        self._corpus = list(corpus)
        self._trace = trace
        self._mutations: list[Callable[[Form], None]] = [
            self._drop_record, self._drop_key, self._add_record, self._rename_record,
            self._rename_key, self._change_value, self._change_value, self._change_value,
            self._change_kind, self._change_work_id, self._change_work_id,
            self._change_json, self._change_json, self._change_json,
            self._break_tensors, self._break_tensors, self._break_tensors,
            self._swap_record, self._change_type, self._huge,
        ]  # fmt: skip

    def draw(self) -> Form:
        """The next message; one in twenty is honest."""
        form = copy.deepcopy(self._random.choice(self._corpus))
        if self._random.random() < 0.05:
            return form
        for _ in range(self._random.choice([1, 1, 1, 2, 3])):
            self._random.choice(self._mutations)(form)
        return form

    def choice(self, options: Sequence[Any]) -> Any:
        """One of them."""
        return self._random.choice(options)

    def noise(self) -> bytes:
        """Random bytes, or a part that looks like one of the engine's."""
        kind = self._random.choice([b"ConfigRecord", b"RecordDict", b"Message", b"Array", b"\xff"])
        body = self._random.randbytes(self._random.choice([0, 3, 200]))
        return self._random.choice([body, kind + b" " + b"a" * 64 + b" 5\0" + body])

    def hostile_value(self) -> Any:
        """One value that nobody expects."""
        texts = [
            "", "\0", "../../../../etc/passwd", f"$(touch {self._trace})", f"; touch {self._trace}",
            f"__import__('os').system('touch {self._trace}')", "{{7*7}}", "%s%n%x", "\u202egnp.exe",
            "a" * 100_000, "\U0001f600" * 50, "\u0130\u0131\u00df", "/dev/zero", "file:///etc/passwd",
            "http://127.0.0.1:1/", "<script>", "' OR 1=1 --", "[red]", "-1", "NaN", "null", "{}",
            "[" * 5_000, '{"a":' * 5_000, "0" * 64, "f" * 64, "\r\nX: y", "..", ".", "~", "con",
        ]  # fmt: skip
        numbers = [0, -1, 1, 2**31, 2**63 - 1, -(2**63), 1e308, -1e308, 5e-324, 0.1]
        numbers += [float("nan"), float("inf"), -float("inf"), True, False]
        lists: list[Any] = [[], [1] * 50_000, ["a"] * 10_000, [float("nan")] * 3, ["../x"], [True]]
        lists += [[2**62, -1], [""], ["\0"]]
        return self._random.choice([*texts, *numbers, *lists, b"raw", b"\x80\x04N."])

    def _record(self, form: Form, kind: str | None = None) -> str | None:
        names = [
            name for name, (found, _) in form["records"].items() if kind is None or found == kind
        ]
        return self._random.choice(sorted(names)) if names else None

    def _drop_record(self, form: Form) -> None:
        if name := self._record(form):
            del form["records"][name]

    def _drop_key(self, form: Form) -> None:
        name = self._record(form)
        if name and form["records"][name][1]:
            values = form["records"][name][1]
            del values[self._random.choice(sorted(values))]

    def _add_record(self, form: Form) -> None:
        names = ["proposal", "end", "contract", "work", "model", "base", "fold", "moments", "tasks"]
        names += ["error", "update", "report", "", "../model", "model\0", "\u0430", "x" * 2_000]
        name = self._random.choice(names)
        if self._random.random() < 0.5:
            other = self._random.choice(self._corpus)["records"]
            if name in other:
                form["records"][name] = copy.deepcopy(other[name])
                return
        value = self.hostile_value()
        form["records"][name] = ["config", {self._random.choice(["contract", "x", ""]): value}]

    def _rename_record(self, form: Form) -> None:
        if name := self._record(form):
            others = [
                "model",
                "work",
                "proposal",
                "end",
                "base",
                name.upper(),
                name + " ",
                "__class__",
            ]
            form["records"][self._random.choice(others)] = form["records"].pop(name)

    def _rename_key(self, form: Form) -> None:
        name = self._record(form)
        if name and form["records"][name][1]:
            values = form["records"][name][1]
            key = self._random.choice(sorted(values))
            values[self._random.choice([key.upper(), "__init__", "../" + key, ""])] = values.pop(
                key
            )

    def _change_value(self, form: Form) -> None:
        name = self._record(form, "config")
        if name and form["records"][name][1]:
            values = form["records"][name][1]
            values[self._random.choice(sorted(values))] = self.hostile_value()

    def _change_kind(self, form: Form) -> None:
        if name := self._record(form):
            if self._random.random() < 0.5:
                form["records"][name] = ["metric", {"a": 1.0, "b": [1, 2]}]
            else:
                data = self._random.randbytes(50)
                form["records"][name] = ["array", {"w": ["float32", [2], "numpy.ndarray", data]}]

    def _change_work_id(self, form: Form) -> None:
        work = form["records"].get("work", ["", {}])[1]
        text = work.get("work_id")
        if not isinstance(text, str):
            return
        parts = text.split("/")
        place = self._random.randrange(len(parts))
        wrong = {
            0: ["0" * 64, "", "../..", parts[0].upper(), parts[0][:-1]],
            1: ["vocabulary", "pretraining", "finetuning", "evaluation", "proposal", "end", ""],
        }.get(place, ["0", "-1", "2", "999999999", "1e3", "\u0661", "01", " 1", "9" * 400])
        parts[place] = self._random.choice(wrong)
        work["work_id"] = "/".join(parts)

    def _change_json(self, form: Form) -> None:
        """A text that is JSON, a study or a contract, with one of its leaves changed."""
        places = [
            (values, key)
            for kind, values in form["records"].values()
            if kind == "config"
            for key, value in values.items()
            if isinstance(value, str) and value.startswith("{")
        ]
        if not places:
            return
        values, key = self._random.choice(places)
        try:
            tree = json.loads(values[key])
        except (ValueError, RecursionError):
            return
        self._change_leaf(tree)
        values[key] = json.dumps(tree, separators=(",", ":"))

    def _change_leaf(self, tree: Any) -> None:
        while True:
            keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
            if not keys:
                return
            key = self._random.choice(keys)
            if isinstance(tree[key], dict | list) and tree[key] and self._random.random() < 0.8:
                tree = tree[key]
                continue
            value = self.hostile_value()
            value = value.decode("latin1") if isinstance(value, bytes) else value
            if isinstance(tree, dict) and self._random.random() < 0.2:
                tree["added"] = value
            elif self._random.random() < 0.2:
                del tree[key]
            elif isinstance(tree[key], str) and tree[key].startswith("{"):
                # A study inside a contract.
                inner = json.loads(tree[key])
                self._change_leaf(inner)
                tree[key] = json.dumps(inner, separators=(",", ":"))
            else:
                tree[key] = value
            return

    def _break_tensors(self, form: Form) -> None:
        name = self._record(form, "array")
        if name is None:
            return
        arrays = form["records"][name][1]
        key = self._random.choice(sorted(arrays)) if arrays else ARRAY_NAME
        array = list(arrays.get(key, ["uint8", [0], STYPE, b""]))
        data = array[3]
        choice = self._random.randrange(9)
        if choice == 0:
            array[2] = self._random.choice(["numpy.ndarray", "torch.tensor", "", "pickle"])
        elif choice == 1:
            array[0] = self._random.choice(["float64", "object", "U8", "|V1000000000"])
        elif choice == 2:
            array[1] = self._random.choice([[0], [-1], [2**62], [1] * 100])
        elif choice == 3:
            data = _PICKLE % self._trace.encode()
        elif choice == 4 and data:
            data = data[: self._random.randrange(len(data))]
        elif choice == 5 and data:
            changed = bytearray(data)
            for _ in range(self._random.choice([1, 10])):
                changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
            data = bytes(changed)
        elif choice == 6:
            data += self._random.randbytes(30)
        elif choice == 7:
            data = self._rewritten(data)
        else:
            data = self._with_other_numbers(data)
        array[3] = data
        arrays[key] = array

    def _rewritten(self, data: bytes) -> bytes:
        """Another table, with the checksum that it needs."""
        if len(data) < _HEAD_BYTES + _CHECKSUM_BYTES:
            return data
        (num_table_bytes,) = struct.unpack_from("<I", data, 14)
        end = _HEAD_BYTES + num_table_bytes
        head = bytearray(data[:end])
        for _ in range(self._random.choice([1, 1, 3])):
            head[self._random.randrange(8, len(head))] = self._random.choice([0, 1, 127, 128, 255])
        return bytes(head) + struct.pack("<I", zlib.crc32(head)) + data[end + _CHECKSUM_BYTES :]

    def _with_other_numbers(self, data: bytes) -> bytes:
        """A record that decodes, of other names, shapes or numbers."""
        import numpy as np

        from fedehr_shared.errors import WireError
        from fedehr_shared.wire.codec.record import decode, encode

        try:
            tensors = decode(data)
        except WireError:
            return data
        name = self._random.choice(sorted(tensors)) if tensors else "w"
        tensor = tensors.get(name, np.zeros(1, np.float32)).copy()
        choice = self._random.randrange(7)
        if choice == 0:
            tensors[name] = tensor.reshape(-1)[: tensor.size // 2].copy()
        elif choice == 1:
            tensors[name] = np.full_like(tensor, 3e38)
        elif choice == 2:
            tensors.pop(name, None)
        elif choice == 3:
            tensors["../" + name] = tensor
        elif choice == 4:
            tensors[name] = np.zeros((2_000, 2_000), np.float32)
        elif choice == 5:
            tensors[name] = tensor[None]
        else:
            tensors |= {f"w{number}": np.zeros(0, np.float32) for number in range(3_000)}
        dtype = self._random.choice(["fp32", "bf16"])
        data = encode(tensors, dtype)
        return self._not_a_number(data) if self._random.random() < 0.2 else data

    def _not_a_number(self, data: bytes) -> bytes:
        """The last tensor's last bytes are a NaN, checksums and all."""
        import numpy as np

        from fedehr_shared.wire.codec.record import encode

        plain = encode({"w": np.zeros(4, np.float32)}, "fp32", compress=False)
        body = struct.pack("<f", float("nan")) + b"\0" * 12
        start = len(plain) - 16 - _CHECKSUM_BYTES
        head = plain[: start - _CHECKSUM_BYTES] + struct.pack("<I", zlib.crc32(body))
        return self._random.choice([head + struct.pack("<I", zlib.crc32(head)) + body, data])

    def _swap_record(self, form: Form) -> None:
        """A record of another message: another phase's weights, another study's contract."""
        other = self._random.choice(self._corpus)["records"]
        if other:
            name = self._random.choice(sorted(other))
            form["records"][name] = copy.deepcopy(other[name])

    def _change_type(self, form: Form) -> None:
        form["type"] = self._random.choice(
            ["train", "evaluate", "query.other", "train.x", "query.proposal", "system"]
        )

    def _huge(self, form: Form) -> None:
        choice = self._random.randrange(3)
        if choice == 0:
            for number in range(300):
                form["records"][f"r{number}"] = ["config", {"v": number}]
        elif choice == 1:
            values = {f"k{number}": number for number in range(20_000)}
            form["records"]["work"] = ["config", values]
        else:
            zeros = ["uint8", [3_000_000], STYPE, bytes(3_000_000)]
            form["records"]["model"] = ["array", {ARRAY_NAME: zeros}]
