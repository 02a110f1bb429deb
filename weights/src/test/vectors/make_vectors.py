"""Writes the format vectors that the Java and the TypeScript tests read.

Nothing here comes from the code under test: floats are rounded by numpy, files are put together
byte by byte after FORMAT.md and the safetensors format, and PyPI's safetensors must read what is to
be accepted. Run it with numpy and safetensors installed; the same vectors come out every time:

    python3 make_vectors.py
"""

import base64
import hashlib
import json
import re
import struct
from pathlib import Path

import numpy
import safetensors

OUT = Path(__file__).parent.parent / "resources" / "vectors"


def write(name, vectors):
    text = json.dumps(vectors, indent=1)
    flat = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text)
    assert json.loads(flat) == vectors
    (OUT / name).write_text(flat + "\n")


def encoded(data):
    return base64.b64encode(data).decode()


# ---------------------------------------------------------------- half.json


def float_bits(value):
    return f"{numpy.float32(value).view(numpy.uint32):08x}"


def half_bits(value):
    return f"{numpy.float16(value).view(numpy.uint16):04x}"


def half_vectors():
    one_ulp = 2.0**-10
    tiny = 2.0**-24  # the smallest subnormal
    least = 2.0**-14  # the smallest normal
    values = [0.0, 1.0, 1 / 3, 3.14159274, 1e-5, 0.1, 100.0, 2048.0, 2049.0, 2051.0, 1e-30, 1e30]
    values += [1 + one_ulp / 2, 1 + 3 * one_ulp / 2, 1 + one_ulp / 2 + 2.0**-23, 1 + one_ulp / 2 - 2.0**-23]
    values += [tiny, tiny / 2, tiny * 1.5, tiny * 2.5, tiny / 2 + 2.0**-48, tiny / 2 - 2.0**-49, 3 * tiny]
    values += [least, least - tiny, least - tiny / 2, least - tiny / 4, least + tiny]
    values += [65504.0, 65519.99, 65520.0, 65536.0, 3.4028235e38, 2.0**-126, 2.0**-149, numpy.inf]
    values = [numpy.float32(v) for v in values]
    values += [-v for v in values] + [numpy.float32(numpy.nan)]
    with numpy.errstate(over="ignore"):
        to_half = [[float_bits(v), half_bits(v)] for v in values]
    halves = [0x0000, 0x0001, 0x0002, 0x01FF, 0x03FF, 0x0400, 0x0401, 0x1400, 0x3555, 0x3BFF]
    halves += [0x3C00, 0x3C01, 0x4248, 0x6400, 0x7BFE, 0x7BFF, 0x7C00]
    halves += [h | 0x8000 for h in halves] + [0x7E00]
    to_float = [[f"{h:04x}", float_bits(numpy.uint16(h).view(numpy.float16))] for h in halves]
    return {"toHalf": to_half, "toFloat": to_float}


# ---------------------------------------------------------------- safetensors.json


def file_of(header, data=b"", length=None):
    """A safetensors file; header is an object, or the text as it shall stand."""
    text = header if isinstance(header, (bytes, str)) else json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype, shape, begin, end, **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U64": "<u8", "I32": "<i4",
    "U32": "<u4", "I16": "<i2", "U16": "<u2", "I8": "i1", "U8": "u1", "BOOL": "u1",
}


def bytes_of(dtype, values):
    if dtype == "BF16":  # the upper half of a float; these values need no rounding
        return (numpy.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return numpy.array(values, TYPES[dtype]).tobytes()


def accepted():
    cases = []

    def add(name, tensors, header=None, metadata=None):
        data, described = b"", {}
        for tensor, (dtype, shape, values) in tensors.items():
            piece = bytes_of(dtype, values)
            described[tensor] = entry(dtype, shape, len(data), len(data) + len(piece))
            data += piece
        if metadata is not None:
            described = {"__metadata__": metadata, **described}
        raw = file_of(described if header is None else header(described), data)
        require_reference_reads(raw, tensors)
        cases.append({
            "name": name,
            "base64": encoded(raw),
            "metadata": metadata or {},
            "tensors": {t: {"dtype": d, "shape": s, "values": v} for t, (d, s, v) in tensors.items()},
        })

    add("no tensor", {})
    add("metadata alone", {}, metadata={"format": "pt"})
    add("one matrix", {"w": ("F32", [2, 3], [1.5, -2.25, 0.0, 3.0, 0.125, -0.5])})
    add("a scalar", {"s": ("F32", [], [7.5])})
    add("an empty tensor", {"e": ("F32", [0, 4], []), "w": ("U8", [2], [1, 2])})
    add("an empty tensor at the end", {"w": ("U8", [2], [1, 2]), "e": ("F32", [0], [])})
    floats = [0.5, -1.0, 2.0]
    integers = [0, 1, 100]
    add("every dtype", {
        "F64": ("F64", [3], floats), "F32": ("F32", [3], floats), "F16": ("F16", [3], floats),
        "BF16": ("BF16", [3], floats), "I64": ("I64", [3], [-1, 0, 2**40]), "U64": ("U64", [3], integers),
        "I32": ("I32", [3], [-(2**31), 0, 2**31 - 1]), "U32": ("U32", [3], [0, 1, 2**32 - 1]),
        "I16": ("I16", [3], [-(2**15), 0, 2**15 - 1]), "U16": ("U16", [3], [0, 1, 2**16 - 1]),
        "I8": ("I8", [3], [-128, 0, 127]), "U8": ("U8", [3], [0, 1, 255]), "BOOL": ("BOOL", [3], [0, 1, 1]),
    })
    add("names beyond ASCII", {"größe": ("U8", [1], [3]), "重み": ("U8", [1], [4])}, metadata={"ключ": "значение"})
    add("a header padded with spaces", {"w": ("U8", [1], [9])},
        header=lambda described: json.dumps(described, separators=(",", ":")) + " " * 5)
    add("a header in another order than the data", {"a": ("U8", [1], [1]), "b": ("U8", [2], [2, 3])},
        header=lambda described: dict(reversed(described.items())))
    add("whitespace within the header", {"w": ("U8", [1], [9])},
        header=lambda described: json.dumps(described, indent=2))
    return cases


def require_reference_reads(raw, tensors):
    read = dict(safetensors.deserialize(raw))
    assert read.keys() == tensors.keys(), read
    for name, (dtype, shape, values) in tensors.items():
        assert read[name]["shape"] == shape, (name, read)
        assert read[name]["dtype"] == dtype, (name, read)
        assert bytes(read[name]["data"]) == bytes_of(dtype, values), (name, read)


# What the reference reads all the same. Here it is refused: two readers could differ about it, or the format says so.
REFERENCE_IS_LAXER = {"a name twice", "a leading space", "another member in a tensor"}


def refused():
    u8 = entry("U8", [4], 0, 4)
    four = bytes(4)
    good = file_of({"w": u8}, four)
    cases = {
        "an empty file": (b"", "it has no header"),
        "seven bytes": (bytes(7), "the header's length is cut off"),
        "a header of no bytes": (file_of("", four, 0), "a header is at least {}"),
        "a header beyond the file": (file_of({"w": u8}, four, 1000), "the file ends within its header"),
        "a header over the cap": (file_of({"w": u8}, four, 100_000_001), "a header has at most 100,000,000 bytes"),
        "a header of a negative length": (file_of({"w": u8}, four, 2**64 - 1), "the length is unsigned and huge"),
        "a header whose length overflows": (file_of({"w": u8}, four, 2**63 - 8), "eight more and it is negative"),
        "a header that is cut off": (good[:-10], "the file ends within its header"),
        "not JSON": (file_of('{"w":'), "the header ends within an object"),
        "not UTF-8": (file_of(b'{"\xff\xfe":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "bytes FF FE"),
        "a list": (file_of("[]"), "the header must be an object"),
        "a leading space": (file_of(" " + json.dumps({"w": u8}), four), "the header must start with {"),
        "something behind the JSON": (file_of(json.dumps({"w": u8}) + "x", four), "only spaces may follow"),
        "two objects": (file_of(json.dumps({"w": u8}) + "{}", four), "only spaces may follow"),
        "deeply nested lists": (file_of('{"w":' + "[" * 5000), "a parser must not exhaust its stack"),
        "a name twice": (file_of('{"w":%s,"w":%s}' % ((json.dumps(u8),) * 2), four), "which one counts?"),
        "a member twice": (file_of('{"w":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', four), "which one counts?"),
        "another member in a tensor": (file_of({"w": {**u8, "strides": [1]}}, four), "its meaning is unknown"),
        "a tensor that is no object": (file_of({"w": 4}, four), "a tensor is an object"),
        "no dtype": (file_of({"w": {"shape": [4], "data_offsets": [0, 4]}}, four), "dtype is missing"),
        "an unknown dtype": (file_of({"w": entry("F33", [4], 0, 4)}, four), "F33 is none"),
        "a dtype in lower case": (file_of({"w": entry("u8", [4], 0, 4)}, four), "u8 is none"),
        "a dtype that is no text": (file_of({"w": entry(8, [4], 0, 4)}, four), "8 is none"),
        "no shape": (file_of({"w": {"dtype": "U8", "data_offsets": [0, 4]}}, four), "shape is missing"),
        "a shape that is a number": (file_of({"w": entry("U8", 4, 0, 4)}, four), "shape is a list"),
        "a negative size": (file_of({"w": entry("U8", [-4], 0, 4)}, four), "-4 is no size"),
        "two negative sizes": (file_of({"w": entry("U8", [-2, -2], 0, 4)}, four), "their product looks right"),
        "a size with a fraction": (file_of({"w": entry("U8", [4.5], 0, 4)}, four), "4.5 is no size"),
        "a size written as a float": (file_of({"w": entry("U8", [4.0], 0, 4)}, four), "4.0 is no integer"),
        "a size that is text": (file_of({"w": entry("U8", ["4"], 0, 4)}, four), "a size is a number"),
        "a size beyond 64 bits": (file_of({"w": entry("U8", [2**64 + 4], 0, 4)}, four), "modulo 2^64 it is 4"),
        "a shape that overflows": (file_of({"w": entry("U8", [2**32, 2**32, 4], 0, 4)}, four), "the product overflows to 0"),
        "a shape whose bytes overflow": (file_of({"w": entry("F64", [2**61], 0, 0)}), "times 8 it overflows to 0"),
        "a shape smaller than the bytes": (file_of({"w": entry("U8", [3], 0, 4)}, four), "3 is not 4"),
        "a shape larger than the bytes": (file_of({"w": entry("F32", [2], 0, 4)}, four), "8 is not 4"),
        "no offsets": (file_of({"w": {"dtype": "U8", "shape": [4]}}, four), "data_offsets is missing"),
        "one offset": (file_of({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0]}}, four), "two are needed"),
        "three offsets": (file_of({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4, 4]}}, four), "two are needed"),
        "offsets that are reversed": (file_of({"w": entry("U8", [4], 4, 0)}, four), "4 is behind 0"),
        "a negative offset": (file_of({"w": entry("U8", [4], -4, 0)}, four), "-4 is no offset"),
        "offsets beyond the data": (file_of({"w": entry("U8", [8], 0, 8)}, four), "there are 4 bytes"),
        "tensors that overlap": (file_of({"a": entry("U8", [3], 0, 3), "b": entry("U8", [2], 2, 4)}, four), "byte 2 is in both"),
        "tensors of the same bytes": (file_of({"a": u8, "b": u8}, four), "all bytes are in both"),
        "a hole at the start": (file_of({"w": entry("U8", [3], 1, 4)}, four), "byte 0 is in none"),
        "a hole in the middle": (file_of({"a": entry("U8", [1], 0, 1), "b": entry("U8", [2], 2, 4)}, four), "byte 1 is in none"),
        "bytes left over": (file_of({"w": u8}, bytes(5)), "byte 4 is in none"),
        "bytes without a tensor": (file_of({}, four), "they are in none"),
        "metadata that is a list": (file_of({"__metadata__": [], "w": u8}, four), "metadata is an object"),
        "metadata with a number": (file_of({"__metadata__": {"n": 1}, "w": u8}, four), "metadata is text"),
        "metadata with an object": (file_of({"__metadata__": {"n": {}}, "w": u8}, four), "metadata is text"),
    }
    laxer = {name for name, (raw, _) in cases.items() if reference_reads(raw)}
    assert laxer == REFERENCE_IS_LAXER, laxer ^ REFERENCE_IS_LAXER
    return [{"name": name, "base64": encoded(raw), "why": why} for name, (raw, why) in cases.items()]


def reference_reads(raw):
    try:
        safetensors.deserialize(raw)
        return True
    except safetensors.SafetensorError:
        return False


# ---------------------------------------------------------------- shard.json


HIDDEN, INNER = 6, 7

LAYER = {
    "attention.norm.weight": [HIDDEN],
    "attention.norm.bias": [HIDDEN],
    "attention.qkv.weight": [3 * HIDDEN, HIDDEN],
    "attention.qkv.bias": [3 * HIDDEN],
    "attention.out.weight": [HIDDEN, HIDDEN],
    "attention.out.bias": [HIDDEN],
    "mlp.norm.weight": [HIDDEN],
    "mlp.norm.bias": [HIDDEN],
    "mlp.up.weight": [INNER, HIDDEN],
    "mlp.up.bias": [INNER],
    "mlp.down.weight": [HIDDEN, INNER],
    "mlp.down.bias": [HIDDEN],
}


def shard(tensors, dtype):
    """A layer's shard after FORMAT.md; tensors are f32 arrays in the order of its table."""
    metadata = {"format": "splitcompute.shard/1", "dtype": dtype}
    entries, data, pads = {}, b"", 0
    for name, values in tensors.items():
        stored, kind = values, "F32"
        if values.ndim == 2:
            metadata[name + ".in"] = str(values.shape[1])
            if dtype == "f16":
                stored = numpy.pad(values, [(0, 0), (0, -values.shape[1] % 32)]).astype("<f2")
                kind = "F16"
        begin, data = len(data), data + stored.tobytes()
        entries[name] = entry(kind, list(stored.shape), begin, len(data))
        gap = -len(data) % 256
        if gap:
            entries[f"pad.{pads}"] = entry("U8", [gap], len(data), len(data) + gap)
            data, pads = data + bytes(gap), pads + 1
    header = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":"))
    header += " " * (-(8 + len(header)) % 256)
    return file_of(header, data)


def shard_vectors():
    tensors, k = {}, 0
    for name, shape in LAYER.items():
        count = int(numpy.prod(shape))
        # Spread over [-1, 1) with all 24 bits in use, so that f16 must round.
        values = [((k + j) * 2654435761 % 2**24) / 2**23 - 1 for j in range(count)]
        tensors[name] = numpy.array(values, "<f4").reshape(shape)
        k += count
    odd = tensors["mlp.down.weight"]
    odd[0] = [65504, -65504, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 1 + 2.0**-11, 1 + 3 * 2.0**-11]
    odd[1, 0] = -0.0
    shards = []
    for dtype in ["f32", "f16"]:
        raw = shard(tensors, dtype)
        assert len(raw) % 256 == 0
        read = dict(safetensors.deserialize(raw))
        for name, values in tensors.items():
            kind = {"F32": "<f4", "F16": "<f2"}[read[name]["dtype"]]
            got = numpy.frombuffer(bytes(read[name]["data"]), kind).reshape(read[name]["shape"])
            assert (got[..., : values.shape[-1]] == values.astype(kind)).all(), name
        shards.append({"dtype": dtype, "sha256": hashlib.sha256(raw).hexdigest(), "base64": encoded(raw)})
    return {
        "hiddenSize": HIDDEN,
        "innerSize": INNER,
        "tensors": [
            {"name": name, "shape": list(values.shape), "bits": [float_bits(v) for v in values.ravel()]}
            for name, values in tensors.items()
        ],
        "shards": shards,
    }


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write("half.json", half_vectors())
    write("safetensors.json", {"accept": accepted(), "refuse": refused()})
    write("shard.json", shard_vectors())
