"""Writes ../resources/vectors/activations.json, test vectors of ACTIVATIONS.md.

Needs numpy and safetensors from PyPI; the messages are put together here byte by byte and then read by the
safetensors library, so that neither our writer nor our reader is the judge of itself.
"""

import base64
import json
import pathlib
import struct

import numpy as np
import safetensors.numpy

REVISION = "0123456789abcdef" * 4
LEDGER = '{"layers":2,"tokens":3,"waitMilliseconds":0.5,"runMilliseconds":1.25}'
NAMES = {"I32": np.int32, "F32": np.float32, "F16": np.float16, "I8": np.int8}


def message(tensors, metadata):
    """Tensors in the given order, without holes; the header padded to a multiple of 8."""
    header, data = {"__metadata__": metadata}, b""
    for name, dtype, array in tensors:
        raw = np.ascontiguousarray(array, dtype=NAMES[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 8)
    return struct.pack("<Q", len(text)) + text + data


def metadata(cut, **other):
    return {"format": "splitcompute.activations/1", "model": "tiny", "revision": REVISION, "cut": str(cut), "ledger": LEDGER, **other}


def quantised(hidden):
    scales = np.abs(hidden).max(axis=1) / np.float32(127)
    scales = np.where(scales == 0, np.float32(1), scales).astype(np.float32)
    return np.rint(hidden / scales[:, None]).astype(np.int8), scales


def main():
    tokens, lengths = np.array([5, 0, 7]), np.array([1, 2])
    hidden = np.array(
        [[1.0, -2.5, 0.125, 0.33333334, -1e-7], [0, 0, 0, 0, 0], [65504, -100.25, 3.14159274, 6.1e-5, -6e-8]],
        dtype=np.float32,
    )
    i8, scales = quantised(hidden)
    head = [("tokens", "I32", tokens), ("lengths", "I32", lengths)]
    huge = hidden.copy()
    huge[0, 0] = 65536
    cases = [
        ("f32", "f32", hidden, "F32", head + [("hidden", "F32", hidden)], hidden),
        ("f16", "f16", hidden, "F16", head + [("hidden", "F16", hidden.astype(np.float16))], hidden.astype(np.float16)),
        ("i8", "i8", hidden, "I8", head + [("hidden.scales", "F32", scales), ("hidden", "I8", i8)], i8 * scales[:, None]),
        ("beyond f16", "f16", huge, "F32", head + [("hidden", "F32", huge)], huge),
        ("tokens alone", "f16", None, None, head, None),
    ]
    vectors = []
    for name, asked, given, dtype, tensors, read in cases:
        cut = 0 if given is None else 2
        raw = message(tensors, metadata(cut))
        loaded = safetensors.numpy.load(raw)
        assert all(np.array_equal(loaded[n], np.asarray(a, NAMES[d])) for n, d, a in tensors), name
        vectors.append({
            "name": name, "cut": cut, "asked": asked, "dtype": dtype, "tokens": tokens.tolist(), "lengths": lengths.tolist(),
            "hiddenSize": 5, "given": None if given is None else given.ravel().astype(float).tolist(),
            "read": None if read is None else np.asarray(read, np.float32).ravel().astype(float).tolist(),
            "metadata": metadata(cut), "base64": base64.b64encode(raw).decode(),
        })

    f32 = ("hidden", "F32", hidden)
    refused = [
        ("lengths that do not add up", message([head[0], ("lengths", "I32", np.array([1, 1])), f32], metadata(2))),
        ("a length of zero", message([head[0], ("lengths", "I32", np.array([0, 3])), f32], metadata(2))),
        ("a negative length", message([head[0], ("lengths", "I32", np.array([-1, 4])), f32], metadata(2))),
        ("no lengths", message([head[0], f32], metadata(2))),
        ("no tokens", message([head[1], f32], metadata(2))),
        ("tokens of another dtype", message([("tokens", "F32", tokens), head[1], f32], metadata(2))),
        ("hidden rows fewer than tokens", message(head + [("hidden", "F32", hidden[:2])], metadata(2))),
        ("hidden of another rank", message(head + [("hidden", "F32", hidden.ravel())], metadata(2))),
        ("i8 without scales", message(head + [("hidden", "I8", i8)], metadata(2))),
        ("no hidden at a cut above 0", message(head, metadata(2))),
        ("a format unknown", message(head + [f32], metadata(2, format="splitcompute.activations/2"))),
        ("a cut that is no number", message(head + [f32], metadata("two"))),
        ("cut short", message(head + [f32], metadata(2))[:-1]),
        ("a byte too many", message(head + [f32], metadata(2)) + b"\0"),
        ("no safetensors at all", b"<html>"),
    ]
    out = {"messages": vectors, "refused": [{"name": n, "base64": base64.b64encode(r).decode()} for n, r in refused]}
    target = pathlib.Path(__file__).parent.parent / "resources" / "vectors" / "activations.json"
    target.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
