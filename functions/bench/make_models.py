"""Makes the benchmark's models: random weights of real shapes as Hugging Face checkpoints, and the same as ONNX graphs.

usage: make_models.py FOLDER      needs PyPI's numpy, onnx and safetensors

Writes FOLDER/gpt2-small and FOLDER/minilm (config.json, model.safetensors), FOLDER/gpt2-small.onnx and FOLDER/minilm.onnx. A graph is
written as exporters write it, so that onnxruntime's optimiser finds its patterns: LayerNormalization, Gelu (tanh by parts), attention by MatMul and
Softmax. Input: input_ids [batch, length] int64; output: hidden states [batch, length, hidden].
"""
import json
import math
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

RANDOM = np.random.default_rng(3)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.02).astype(np.float32)


class Graph:
    """Nodes and initialisers, named by count."""

    def __init__(self):
        self.nodes, self.initialisers, self.count, self.known = [], [], 0, {}

    def constant(self, value, dtype=np.float32):
        array = np.asarray(value, dtype)
        key = (array.tobytes(), array.shape, array.dtype.str) if array.size < 16 else None
        if key in self.known:
            return self.known[key]
        self.count += 1
        name = f'c{self.count}'
        # ascontiguousarray would make a vector of a scalar, and onnxruntime takes the inputs of Range for scalars where it fuses.
        self.initialisers.append(numpy_helper.from_array(np.asarray(array, order='C'), name))
        if key:
            self.known[key] = name
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f'v{self.count}' if outputs == 1 else f'v{self.count}_{i}' for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, x, weight, bias):  # weight [in, out]
        return self.node('Add', self.node('MatMul', x, self.constant(weight)), self.constant(bias))

    def norm(self, x, weight, bias, epsilon):
        return self.node('LayerNormalization', x, self.constant(weight), self.constant(bias), axis=-1, epsilon=epsilon)

    def gelu_tanh(self, x):
        cube = self.node('Pow', x, self.constant(3.0))
        inner = self.node('Add', x, self.node('Mul', cube, self.constant(0.044715)))
        tanh = self.node('Tanh', self.node('Mul', inner, self.constant(math.sqrt(2 / math.pi))))
        return self.node('Mul', self.node('Mul', x, self.constant(0.5)), self.node('Add', tanh, self.constant(1.0)))

    def gelu_erf(self, x):
        erf = self.node('Erf', self.node('Div', x, self.constant(math.sqrt(2))))
        return self.node('Mul', self.node('Mul', x, self.node('Add', erf, self.constant(1.0))), self.constant(0.5))

    def attention(self, x, qkv_weight, qkv_bias, heads, mask):
        hidden = qkv_weight.shape[0]
        size = hidden // heads

        def split(part, transposed):
            own = self.linear(x, qkv_weight[:, part * hidden:(part + 1) * hidden], qkv_bias[part * hidden:(part + 1) * hidden])
            rows = self.node('Reshape', own, self.constant([0, 0, heads, size], np.int64))
            return self.node('Transpose', rows, perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])

        scores = self.node('Div', self.node('MatMul', split(0, False), split(1, True)), self.constant(math.sqrt(size)))
        if mask:
            scores = self.node('Add', scores, mask)
        context = self.node('MatMul', self.node('Softmax', scores, axis=-1), split(2, False))
        return self.node('Reshape', self.node('Transpose', context, perm=[0, 2, 1, 3]), self.constant([0, 0, hidden], np.int64))

    def positions(self):
        shape = self.node('Shape', 'input_ids')
        length = self.node('Gather', shape, self.constant(1, np.int64))
        return length, self.node('Range', self.constant(0, np.int64), length, self.constant(1, np.int64))

    def save(self, output, path):
        graph = helper.make_graph(
            self.nodes, 'model', [helper.make_tensor_value_info('input_ids', TensorProto.INT64, ['batch', 'length'])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ['batch', 'length', 'hidden'])], self.initialisers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def checkpoint(folder, config, tensors):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'config.json'), 'w') as out:
        json.dump(config, out)
    save_file(tensors, os.path.join(folder, 'model.safetensors'))


def gpt2(folder, vocabulary=50257, positions=1024, hidden=768, layers=12, heads=12):
    w = {'wte.weight': normal(vocabulary, hidden), 'wpe.weight': normal(positions, hidden)}
    for k in range(layers):
        for name, shape in (('attn.c_attn', (hidden, 3 * hidden)), ('attn.c_proj', (hidden, hidden)), ('mlp.c_fc', (hidden, 4 * hidden)), ('mlp.c_proj', (4 * hidden, hidden))):
            w[f'h.{k}.{name}.weight'], w[f'h.{k}.{name}.bias'] = normal(*shape), normal(shape[1])
        for name in ('ln_1', 'ln_2'):
            w[f'h.{k}.{name}.weight'], w[f'h.{k}.{name}.bias'] = 1 + normal(hidden), normal(hidden)
    w['ln_f.weight'], w['ln_f.bias'] = 1 + normal(hidden), normal(hidden)
    checkpoint(os.path.join(folder, 'gpt2-small'),
               {'model_type': 'gpt2', 'architectures': ['GPT2Model'], 'n_layer': layers, 'n_embd': hidden, 'n_head': heads, 'n_positions': positions, 'n_ctx': positions,
                'vocab_size': vocabulary, 'layer_norm_epsilon': 1e-5, 'activation_function': 'gelu_new'}, w)
    g = Graph()
    length, position = g.positions()
    x = g.node('Add', g.node('Gather', g.constant(w['wte.weight']), 'input_ids'), g.node('Gather', g.constant(w['wpe.weight']), position))
    row, column = g.node('Unsqueeze', position, g.constant([1], np.int64)), g.node('Unsqueeze', position, g.constant([0], np.int64))
    mask = g.node('Where', g.node('Greater', column, row), g.constant(-1e9), g.constant(0.0))
    for k in range(layers):
        p = f'h.{k}.'
        normed = g.norm(x, w[p + 'ln_1.weight'], w[p + 'ln_1.bias'], 1e-5)
        context = g.attention(normed, w[p + 'attn.c_attn.weight'], w[p + 'attn.c_attn.bias'], heads, mask)
        x = g.node('Add', x, g.linear(context, w[p + 'attn.c_proj.weight'], w[p + 'attn.c_proj.bias']))
        normed = g.norm(x, w[p + 'ln_2.weight'], w[p + 'ln_2.bias'], 1e-5)
        up = g.gelu_tanh(g.linear(normed, w[p + 'mlp.c_fc.weight'], w[p + 'mlp.c_fc.bias']))
        x = g.node('Add', x, g.linear(up, w[p + 'mlp.c_proj.weight'], w[p + 'mlp.c_proj.bias']))
    g.save(g.norm(x, w['ln_f.weight'], w['ln_f.bias'], 1e-5), os.path.join(folder, 'gpt2-small.onnx'))


def minilm(folder, vocabulary=30522, positions=512, hidden=384, layers=6, heads=12, inner=1536):
    e, epsilon = 'embeddings.', 1e-12
    w = {e + 'word_embeddings.weight': normal(vocabulary, hidden), e + 'position_embeddings.weight': normal(positions, hidden), e + 'token_type_embeddings.weight': normal(2, hidden),
         e + 'LayerNorm.weight': 1 + normal(hidden), e + 'LayerNorm.bias': normal(hidden)}
    for k in range(layers):
        p = f'encoder.layer.{k}.'
        for name, shape in (('attention.self.query', (hidden, hidden)), ('attention.self.key', (hidden, hidden)), ('attention.self.value', (hidden, hidden)),
                            ('attention.output.dense', (hidden, hidden)), ('intermediate.dense', (inner, hidden)), ('output.dense', (hidden, inner))):
            w[p + name + '.weight'], w[p + name + '.bias'] = normal(*shape), normal(shape[0])
        for name in ('attention.output.LayerNorm', 'output.LayerNorm'):
            w[p + name + '.weight'], w[p + name + '.bias'] = 1 + normal(hidden), normal(hidden)
    checkpoint(os.path.join(folder, 'minilm'),
               {'model_type': 'bert', 'architectures': ['BertModel'], 'num_hidden_layers': layers, 'hidden_size': hidden, 'num_attention_heads': heads, 'intermediate_size': inner,
                'max_position_embeddings': positions, 'type_vocab_size': 2, 'vocab_size': vocabulary, 'layer_norm_eps': epsilon, 'hidden_act': 'gelu'}, w)
    g = Graph()
    _, position = g.positions()
    x = g.node('Add', g.node('Gather', g.constant(w[e + 'word_embeddings.weight']), 'input_ids'), g.node('Gather', g.constant(w[e + 'position_embeddings.weight']), position))
    x = g.norm(g.node('Add', x, g.constant(w[e + 'token_type_embeddings.weight'][0])), w[e + 'LayerNorm.weight'], w[e + 'LayerNorm.bias'], epsilon)
    for k in range(layers):
        p = f'encoder.layer.{k}.'
        parts = [p + 'attention.self.' + name for name in ('query', 'key', 'value')]
        weight = np.concatenate([w[name + '.weight'].T for name in parts], 1)
        bias = np.concatenate([w[name + '.bias'] for name in parts])
        context = g.attention(x, weight, bias, heads, None)
        x = g.node('Add', g.linear(context, w[p + 'attention.output.dense.weight'].T, w[p + 'attention.output.dense.bias']), x)
        x = g.norm(x, w[p + 'attention.output.LayerNorm.weight'], w[p + 'attention.output.LayerNorm.bias'], epsilon)
        up = g.gelu_erf(g.linear(x, w[p + 'intermediate.dense.weight'].T, w[p + 'intermediate.dense.bias']))
        x = g.node('Add', g.linear(up, w[p + 'output.dense.weight'].T, w[p + 'output.dense.bias']), x)
        x = g.norm(x, w[p + 'output.LayerNorm.weight'], w[p + 'output.LayerNorm.bias'], epsilon)
    g.save(x, os.path.join(folder, 'minilm.onnx'))


if __name__ == '__main__':
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        sys.exit(__doc__)
    gpt2(sys.argv[1])
    minilm(sys.argv[1])
