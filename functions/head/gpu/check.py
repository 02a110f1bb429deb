"""Checks, loads and times the head on a GPU, beside Hugging Face transformers in the same run.

usage: check.py [--layers 48] [--hidden 1600] [--heads 25] [--seconds 8] [--fixtures STORE]

Makes GPT-2 XL by random weights of the real shape, stores it as the head reads it (weights/FORMAT.md, without canaries),
starts the head (start.sh) and compares answers of mixed lengths and cuts with transformers. Prints JSON lines.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import time
import urllib.request

import numpy
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
PART = 4 << 20


def say(**what):
    print(json.dumps(what), flush=True)


def shard(store, tensors, metadata):
    path = os.path.join(store, 'shards', 'new-%d' % random.getrandbits(60))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    data = open(path, 'rb').read()
    parts = [{'offset': at, 'bytes': len(data[at:at + PART]), 'sha256': hashlib.sha256(data[at:at + PART]).hexdigest()} for at in range(0, len(data), PART)]
    sha = hashlib.sha256(data).hexdigest()
    os.rename(path, os.path.join(store, 'shards', sha + '.safetensors'))
    return {'sha256': sha, 'bytes': len(data), 'parts': parts}


def publish(model, config, store):
    """A GPT-2 of transformers in f16, as a model 'xl' of a store."""
    os.makedirs(os.path.join(store, 'shards'), exist_ok=True)
    os.makedirs(os.path.join(store, 'models', 'xl'), exist_ok=True)
    state = {name.removeprefix('transformer.'): tensor for name, tensor in model.state_dict().items()}
    h = config.n_embd
    wide = -(-h // 32) * 32

    def linear(name, into):
        weight = state[name + '.weight'].t().half().cpu()
        columns = weight.shape[1]
        padded = torch.nn.functional.pad(weight, (0, -columns % 32))
        return {into + '.weight': padded, into + '.bias': state[name + '.bias'].float().cpu()}, {into + '.weight.in': str(columns)}

    def layer(k):
        tensors, metadata = {}, {'format': 'splitcompute.shard/1', 'dtype': 'f16'}
        for ours, theirs in (('attention.norm', 'ln_1'), ('mlp.norm', 'ln_2')):
            for part in ('weight', 'bias'):
                tensors[f'{ours}.{part}'] = state[f'h.{k}.{theirs}.{part}'].float().cpu()
        for ours, theirs in (('attention.qkv', 'attn.c_attn'), ('attention.out', 'attn.c_proj'), ('mlp.up', 'mlp.c_fc'), ('mlp.down', 'mlp.c_proj')):
            weights, ins = linear(f'h.{k}.{theirs}', ours)
            tensors.update(weights)
            metadata.update(ins)
        return {'name': f'layer.{k}', 'variants': {'f16': shard(store, tensors, metadata)}}

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        layers = list(pool.map(layer, range(config.n_layer)))
    plain = {'format': 'splitcompute.shard/1', 'dtype': 'f16'}
    units = [{'name': 'embeddings', 'variants': {'f16': shard(store, {'tokens': state['wte.weight'].half().cpu(), 'positions': state['wpe.weight'].half().cpu()}, plain)}}]
    units += layers
    units += [{'name': 'final', 'variants': {'f16': shard(store, {'norm.weight': state['ln_f.weight'].float().cpu(), 'norm.bias': state['ln_f.bias'].float().cpu()}, plain)}}]
    manifest = {
        'format': 'splitcompute.manifest/1', 'model': 'xl', 'family': 'gpt2', 'layers': config.n_layer, 'hiddenSize': h,
        'vocabularySize': config.vocab_size, 'maxTokens': config.n_positions, 'embeddings': {'positions': config.n_positions},
        'layer': {'norm': {'order': 'pre', 'epsilon': config.layer_norm_epsilon},
                  'attention': {'heads': config.n_head, 'headSize': h // config.n_head, 'mask': 'causal', 'scales': [(h // config.n_head) ** -0.5] * config.n_layer},
                  'mlp': {'innerSize': 4 * h, 'activation': 'gelu_tanh'}},
        'final': {'norm': {'epsilon': config.layer_norm_epsilon}}, 'pooling': {'kind': 'mean', 'normalize': True},
        'dtypes': ['f16'], 'units': units}
    data = json.dumps(manifest).encode()
    open(os.path.join(store, 'models', 'xl', 'manifest.json'), 'wb').write(data)


class Head:
    """The service, running."""

    def __init__(self, store, precision, model, port):
        self.url = f'http://127.0.0.1:{port}'
        self.model = model
        environment = dict(os.environ, JAVA_OPTIONS=f'-Dsplitcompute.device=cuda:0 -Dsplitcompute.precision={precision} -Dmicronaut.server.port={port} '
                           f'-Dsplitcompute.limits.max-response-bytes=400000000 -Dsplitcompute.limits.max-tokens-per-request=65536 -Dsplitcompute.batch.max-tokens=8192 -Xmx16g')
        self.log = open(f'/tmp/head-{port}.log', 'w')
        self.process = subprocess.Popen([os.path.join(HERE, 'start.sh'), '--weights', f'file:{store}'], env=environment, stdout=self.log, stderr=self.log)
        started = time.time()
        while True:
            try:
                if urllib.request.urlopen(self.url + '/health', timeout=2).status == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None or time.time() - started > 90:
                sys.stdout.write(open(self.log.name).read()[-6000:])
                raise SystemExit('the head did not start')
            time.sleep(0.1)
        self.seconds = time.time() - started

    def hidden(self, sequences, cut, model=None):
        body = json.dumps({'model': model or self.model, 'input': sequences, 'cut': cut, 'dtype': 'f32', 'pooling': 'none'}).encode()
        request = urllib.request.Request(self.url + '/v1/embed', body, {'Content-Type': 'application/json', 'Accept': 'application/vnd.splitcompute.activations'})
        data = urllib.request.urlopen(request, timeout=60).read()
        length = struct.unpack('<Q', data[:8])[0]
        header = json.loads(data[8:8 + length])
        start, end = header['hidden']['data_offsets']
        return numpy.frombuffer(data[8 + length + start:8 + length + end], numpy.float32).reshape(header['hidden']['shape'])

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def java(main, *arguments):
    """What a main class of the benchmarks prints."""
    run = subprocess.run([os.path.join(HERE, 'start.sh'), *arguments], env=dict(os.environ, MAIN=main), capture_output=True, text=True)
    return run.stdout.strip() or run.stderr[-1500:]


def relative(actual, expected):
    return float(numpy.linalg.norm(actual - expected) / numpy.linalg.norm(expected))


def reference(model, sequences, cut, layers):
    out = []
    with torch.no_grad():
        for sequence in sequences:
            states = model(torch.tensor([sequence], device='cuda'), output_hidden_states=True, use_cache=False).hidden_states
            out.append(states[cut][0].float().cpu().numpy())
    return numpy.concatenate(out)


def transformers_rate(model, batch, length, vocabulary):
    ids = torch.randint(0, vocabulary, (batch, length), device='cuda')
    times = []
    with torch.no_grad():
        for _ in range(8):
            torch.cuda.synchronize()
            started = time.perf_counter()
            model(ids, use_cache=False).last_hidden_state[0, 0, 0].item()
            times.append(time.perf_counter() - started)
    return batch * length / statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--layers', type=int, default=48)
    parser.add_argument('--hidden', type=int, default=1600)
    parser.add_argument('--heads', type=int, default=25)
    parser.add_argument('--seconds', type=int, default=8)
    parser.add_argument('--fixtures')
    options = parser.parse_args()
    store = '/tmp/store'
    began = time.time()

    if options.fixtures:
        expected = os.path.join(options.fixtures, 'expected')
        for precision, tolerance in (('f32', 1e-4), ('f16', 5e-3), ('f16-residual-f32', 5e-3)):
            head = Head(options.fixtures, precision, '', 9100)
            for name in sorted(os.listdir(expected)):
                model = name.removesuffix('.safetensors')
                tensors = load_file(os.path.join(expected, name))
                lengths = tensors['lengths'].tolist()
                sequences = [s.tolist() for s in tensors['tokens'].split(lengths)]
                n = max(int(k[7:]) for k in tensors if k.startswith('hidden.'))
                worst = 0
                for cut in range(1, n + 1):
                    want = tensors['final' if cut == n and 'final' in tensors else f'hidden.{cut}'].numpy()
                    got = head.hidden(sequences, cut, model)
                    worst = max(worst, float(numpy.abs(got - want).max() / numpy.abs(want).max()))
                say(check='fixture', model=model, precision=precision, worst=worst, ok=bool(worst <= tolerance))
            head.close()

    torch.manual_seed(1)
    config = transformers.GPT2Config(n_layer=options.layers, n_embd=options.hidden, n_head=options.heads)
    with torch.device('cuda'):
        exact = transformers.GPT2Model(config).eval()
    half = transformers.GPT2Model(config).half().cuda().eval()
    half.load_state_dict(exact.state_dict())
    exact.load_state_dict(half.state_dict())  # both from the f16 weights that the head gets
    publish(exact, config, store)
    say(stored_seconds=time.time() - began)

    rng = random.Random(5)
    requests = []
    for _ in range(24):
        requests.append(([[rng.randrange(config.vocab_size) for _ in range(rng.randint(1, 200))] for _ in range(rng.randint(1, 3))], rng.randint(1, options.layers)))
    requests.append(([[rng.randrange(config.vocab_size) for _ in range(64)] for _ in range(8)], options.layers))
    oracle = [reference(exact, *request, options.layers) for request in requests]
    theirs = [relative(reference(half, *request, options.layers), want) for request, want in zip(requests, oracle)]
    rates = {f'{b}x{t}': transformers_rate(half, b, t, config.vocab_size) for b, t in ((1, 64), (32, 64), (64, 128))}
    say(transformers_f16=rates, transformers_f16_l2=theirs[-1], worst=max(theirs))
    del exact, half
    torch.cuda.empty_cache()

    for precision in ('f16', 'f16-residual-f32', 'f32'):
        head = Head(store, precision, 'xl', 9200)
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
            answers = list(pool.map(lambda request: head.hidden(*request), requests))
        errors = [relative(got, want) for got, want in zip(answers, oracle)]
        say(precision=precision, ready_seconds=head.seconds, l2=errors[-1], worst=max(errors), ok=bool(max(errors) < (1e-4 if precision == 'f32' else 1e-2)))
        if precision != 'f32':
            for length in ('128-128', '8-256'):
                say(load=length, precision=precision,
                    result=java('io.splitcompute.bench.LoadGenerator', '--url', head.url, '--model', 'xl', '--callers', '64', '--requests', '64', '--seconds', str(options.seconds),
                                '--lengths', length, '--cuts', f'{options.layers}-{options.layers}', '--pooled'))
        head.close()
        if precision != 'f32':
            say(engine=precision, result=java('io.splitcompute.bench.EngineTimes', store, 'xl', 'cuda:0', precision))
    say(total_seconds=time.time() - began)


if __name__ == '__main__':
    main()
