"""Writes the format vectors that the Java and the TypeScript tests read.

Nothing here comes from the code under test: floats are rounded by numpy, files are put together
byte by byte after FORMAT.md and the safetensors format, and PyPI's safetensors must read what is to
be accepted. Run it with numpy and safetensors installed; the same vectors come out every time:

    python3 make_vectors.py
"""

import base64
import hashlib
import json
import math
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


TABLES = {"tokens", "positions", "types"}
KINDS = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1"}


def stored(name, values, dtype):
    """The tensors, each a name, a dtype and an array, that stand for one of a unit's."""
    if values.ndim == 1 or dtype == "f32":
        return [(name, "F32", values)]
    if name in TABLES:
        return [(name, "F16", values.astype("<f2"))]
    padded = numpy.pad(values, [(0, 0), (0, -values.shape[1] % 32)])
    if dtype == "f16":
        return [(name, "F16", padded.astype("<f2"))]
    n, scales = naive(dtype, padded)
    quants = n.astype("i1") if dtype == "q8" else packed(n)
    return [(name, "I8" if dtype == "q8" else "U8", quants), (name + ".scales", "F16", scales)]


def shard(tensors, dtype):
    """A unit's shard after FORMAT.md; tensors are f32 arrays in the order of its table."""
    metadata = {"format": "splitcompute.shard/1", "dtype": dtype}
    entries, data, pads = {}, b"", 0
    for name, values in tensors.items():
        if values.ndim == 2 and name not in TABLES:
            metadata[name + ".in"] = str(values.shape[1])
    for name, kind, array in (piece for item in tensors.items() for piece in stored(*item, dtype)):
        begin, data = len(data), data + array.astype(KINDS[kind]).tobytes()
        entries[name] = entry(kind, list(array.shape), begin, len(data))
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


# ---------------------------------------------------------------- q8.json, q4.json


LEAST = {"q8": -127, "q4": -8}
MOST = {"q8": 127, "q4": 7}


def naive(dtype, values):
    """Quants [out, in] from LEAST to MOST and f16 scales, each from its block's largest value."""
    blocks = values.astype("f8").reshape(len(values), -1, 32)
    largest = numpy.take_along_axis(blocks, abs(blocks).argmax(-1, keepdims=True), -1)
    # Without a minus the scale of zeros is -0.
    scales = (largest / LEAST[dtype] if dtype == "q4" else abs(largest) / 127 + 0.0).astype("<f2") + numpy.float16(0)
    divisor = numpy.where(scales == 0, 1, scales.astype("f8"))
    n = numpy.clip(numpy.rint(blocks / divisor), LEAST[dtype], MOST[dtype]) * (scales != 0)
    return n.reshape(values.shape).astype(int), scales[..., 0]


def packed(n):
    """q4: of the eight columns of a little-endian word, four in the low nibbles and four in the high ones."""
    words = (n + 8).reshape(len(n), -1, 2, 4).astype("u1")
    return (words[:, :, 0] | words[:, :, 1] << 4).reshape(len(n), -1)


def decoded(n, scales):
    """Exact in f32: a quant has 8 bits and a scale 11."""
    return (n * numpy.repeat(scales.astype("f8"), 32, -1)).astype("<f4")


def quant_vectors(dtype):
    random = numpy.random.default_rng(4)
    least, most = LEAST[dtype], MOST[dtype]

    def quants(rows, columns):
        n = random.integers(least, most + 1, (rows, columns))
        n[:, ::32] = least  # so that the largest value gives the scale away
        return n

    def case(name, n, scales, columns, encodes=True):
        values = decoded(n, scales)
        stored = n.astype("i1") if dtype == "q8" else packed(n)
        return {
            "name": name, "rows": len(n), "columns": columns, "encodes": encodes,
            "quants": encoded(stored.tobytes()), "scales": encoded(scales.tobytes()),
            "decoded": [float_bits(v) for v in values[:, :columns].ravel()],
        }

    def scales(*values):
        return numpy.array(values, "<f2").reshape(len(values), -1)

    every = numpy.resize(numpy.arange(least, most + 1), (1, 256 if dtype == "q8" else 32))
    every[:, ::32] = least
    short = quants(3, 32)
    short[:, 7:] = 0
    long = quants(2, 64)
    long[:, 40:] = 0
    signs = scales(0.37, -0.37) if dtype == "q4" else scales(0.37, 1e-3)
    exact = [
        case("every quant", every, numpy.full((1, every.shape[1] // 32), 0.5, "<f2"), every.shape[1]),
        case("two rows of two blocks", quants(2, 64), numpy.array([[0.01, 2], [300, 6e-5]], "<f2"), 64),
        case("signs and sizes of scales", quants(2, 32), signs, 32),
        case("a row of 7 columns", short, scales(1, 2, 3), 7),
        case("a row of 40 columns", long, numpy.array([[0.1, 0.2], [0.3, 0.4]], "<f2"), 40),
        case("a block of zeros", numpy.zeros((1, 32), int), scales(0), 32),
        case("a scale of 0 decodes to zero", quants(1, 32), scales(0), 32, encodes=False),
        case("a subnormal scale", quants(1, 32), scales(2.0**-24), 32),
        case("a large scale", quants(1, 32), scales(65504 / (128 if dtype == "q8" else 8)), 32),
    ]
    bounded = []
    for name, values in {
        "normal": random.standard_normal((4, 64)),
        "small": random.standard_normal((4, 32)) * 1e-3,
        "heavy tails": random.standard_normal((4, 32)) ** 5,
        "one column": numpy.eye(1, 32) * -3.3,
        "all the same": numpy.full((1, 32), 0.7),
        "one sign": abs(random.standard_normal((2, 32))),
    }.items():
        values = values.astype("<f4")
        errors = []
        for row in values.reshape(-1, 32):
            n, scale = naive(dtype, row.reshape(1, 32))
            errors.append(float(((row.astype("f8") - decoded(n, scale).astype("f8")[0]) ** 2).sum()))
        bounded.append({
            "name": name, "rows": len(values), "columns": values.shape[1],
            "bits": [float_bits(v) for v in values.ravel()], "errorOfTheNaiveScale": errors,
        })
    return {"exact": exact, "bounded": bounded}


# ---------------------------------------------------------------- canary.json


def pcg32(n):
    state = (n * 747796405 + 2891336453) % 2**32
    word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737 % 2**32
    return (word >> 22) ^ word


def canary_rows(seed, scale, rows, size):
    unit = numpy.array([(pcg32((seed + i) % 2**32) >> 8) * 2.0**-23 - 1 for i in range(rows * size)], "f4")
    return (unit * numpy.float32(scale)).astype("f4").reshape(rows, size)


def layer_norm(x, tensors, name, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    deviation = numpy.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return centred / deviation * tensors[name + ".weight"] + tensors[name + ".bias"]


def linear(x, tensors, name):
    return x @ tensors[name + ".weight"].T + tensors[name + ".bias"]


ACTIVATIONS = {
    "gelu_tanh": lambda x: 0.5 * x * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3))),
    "gelu_erf": lambda x: 0.5 * x * (1 + numpy.vectorize(math.erf)(x / numpy.sqrt(2))),
    "relu": lambda x: numpy.maximum(x, 0),
}


def attention(x, tensors, layer):
    heads, size = layer["attention"]["heads"], layer["attention"]["headSize"]
    q, k, v = linear(x, tensors, "attention.qkv").reshape(len(x), 3, heads, size).transpose(1, 2, 0, 3)
    scores = q @ k.transpose(0, 2, 1) * layer["attention"]["scales"][0]
    if layer["attention"]["mask"] == "causal":
        scores = scores + numpy.triu(numpy.full((len(x), len(x)), -numpy.inf), 1)
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    context = (weights / weights.sum(-1, keepdims=True)) @ v
    return linear(context.transpose(1, 0, 2).reshape(x.shape), tensors, "attention.out")


def mlp(x, tensors, layer):
    return linear(ACTIVATIONS[layer["mlp"]["activation"]](linear(x, tensors, "mlp.up")), tensors, "mlp.down")


def run_unit(unit, model, tensors, tokens, x):
    layer = model["layer"]
    if unit == "embeddings":
        x = tensors["tokens"][tokens] + tensors["positions"][: len(tokens)]
        if "types" not in model["embeddings"]:
            return x
        return layer_norm(x + tensors["types"][0], tensors, "norm", model["embeddings"]["norm"]["epsilon"])
    if unit == "final":
        return layer_norm(x, tensors, "norm", model["final"]["norm"]["epsilon"])
    if unit == "lm_head":
        return x @ tensors["weight"].T
    epsilon = layer["norm"]["epsilon"]
    if layer["norm"]["order"] == "pre":
        x = x + attention(layer_norm(x, tensors, "attention.norm", epsilon), tensors, layer)
        return x + mlp(layer_norm(x, tensors, "mlp.norm", epsilon), tensors, layer)
    x = layer_norm(x + attention(x, tensors, layer), tensors, "attention.norm", epsilon)
    return layer_norm(x + mlp(x, tensors, layer), tensors, "mlp.norm", epsilon)


def read_back(tensors, dtype):
    """The unit's weights in f64 as a reader of the variant has them."""
    weights = {}
    for name, values in tensors.items():
        pieces = stored(name, values, dtype)
        if len(pieces) == 1:
            array = pieces[0][2]
        else:
            n, scales = naive(dtype, numpy.pad(values, [(0, 0), (0, -values.shape[1] % 32)]))
            array = decoded(n, scales)
        weights[name] = array.astype("f8")[..., : values.shape[-1]]
    return weights


def canary_model(name, model, units):
    vocabulary, hidden = model["vocabularySize"], model["hiddenSize"]
    rows = min(8, model["maxTokens"])
    tokens = [pcg32(j) % vocabulary for j in range(rows)]
    given, described = None, []
    for unit, tensors in units.items():
        scale = numpy.float32(1 if given is None else numpy.sqrt((given**2).mean()))
        variants = []
        for dtype in ["f32", "f16", "q8", "q4"]:
            answer = run_unit(unit, model, read_back(tensors, dtype), tokens, canary_rows(0, scale, rows, hidden).astype("f8"))[-1]
            size = len(answer)
            exact = [answer.mean(), numpy.sqrt((answer**2).sum()), *(answer[j * size // 16] for j in range(16))]
            mean, norm, *elements = (float(str(numpy.float32(v))) for v in exact)
            variants.append({
                "dtype": dtype, "base64": encoded(shard(tensors, dtype)),
                "canary": {"seed": 0, "scale": float(str(scale)), "mean": mean, "norm": norm, "elements": elements},
            })
        given = run_unit(unit, model, read_back(tensors, "f32"), tokens, given)
        described.append({"name": unit, "variants": variants})
    return {"name": name, **model, "tokens": tokens, "units": described}


def canary_vectors():
    random = numpy.random.default_rng(7)

    def unit(shapes):
        def values(name, shape):
            if "norm" in name:
                return random.uniform(0.5, 1.5, shape) * (1 if name.endswith("weight") else 0.3)
            return random.standard_normal(shape) * 0.4
        return {name: values(name, shape).astype("<f4") for name, shape in shapes.items()}

    def layer(h, i):
        sizes = {HIDDEN: h, 3 * HIDDEN: 3 * h, INNER: i}
        return unit({name: [sizes[size] for size in shape] for name, shape in LAYER.items()})

    decoder = {
        "vocabularySize": 37, "hiddenSize": 40, "maxTokens": 16, "embeddings": {"positions": 16},
        "layer": {
            "norm": {"order": "pre", "epsilon": 1e-5},
            "attention": {"heads": 5, "headSize": 8, "mask": "causal", "scales": [8**-0.5]},
            "mlp": {"innerSize": 33, "activation": "gelu_tanh"},
        },
        "final": {"norm": {"epsilon": 1e-5}},
    }
    encoder = {
        "vocabularySize": 11, "hiddenSize": 12, "maxTokens": 5,
        "embeddings": {"positions": 5, "types": 2, "norm": {"epsilon": 1e-12}},
        "layer": {
            "norm": {"order": "post", "epsilon": 1e-12},
            "attention": {"heads": 3, "headSize": 4, "mask": "bidirectional", "scales": [0.5]},
            "mlp": {"innerSize": 70, "activation": "gelu_erf"},
        },
    }
    return {
        "pcg32": [[n, pcg32(n)] for n in [0, 1, 2, 3, 1000, 2**31 - 1, 2**31, 2**32 - 1]],
        "rows": [
            {"seed": seed, "scale": scale, "bits": [float_bits(v) for v in canary_rows(seed, scale, 1, 6).ravel()]}
            for seed, scale in [(0, 1.0), (0, 0.3), (5, 123.456), (2**32 - 3, 1e-3)]
        ],
        "models": [
            canary_model("decoder", decoder, {
                "embeddings": unit({"tokens": [37, 40], "positions": [16, 40]}),
                "layer.0": layer(40, 33),
                "final": unit({"norm.weight": [40], "norm.bias": [40]}),
                "lm_head": unit({"weight": [37, 40]}),
            }),
            canary_model("encoder of five tokens", encoder, {
                "embeddings": unit({
                    "tokens": [11, 12], "positions": [5, 12], "types": [2, 12], "norm.weight": [12], "norm.bias": [12]}),
                "layer.0": layer(12, 70),
            }),
        ],
    }


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write("half.json", half_vectors())
    write("safetensors.json", {"accept": accepted(), "refuse": refused()})
    write("shard.json", shard_vectors())
    write("q8.json", quant_vectors("q8"))
    write("q4.json", quant_vectors("q4"))
    write("canary.json", canary_vectors())
