"""Checks, times and loads the head on a GPU, beside Hugging Face transformers in the same run.

usage: check.py [--layers 48] [--hidden 1600] [--heads 25] [--rounds 21] [--fixtures FOLDER] [--out FILE]

Makes GPT-2 XL by random weights of the real shape, stores it as the head reads it (weights/FORMAT.md, without canaries), and

- compares answers of the service, batches of mixed lengths and cuts, with transformers in f32: of every family in FOLDER (pack.sh --fixtures) and of XL,
  in every precision;
- times passes of all layers, called from Java: every program and attention, and transformers in f16, in turns; and what a shape not seen before costs;
- loads the service with 64 callers in turns with its own engine; where there are two GPUs, both of them too.

Prints what it finds, and writes it to FILE as JSON.
"""
import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import platform
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
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
PART = 4 << 20
PRECISIONS = ('f32', 'f16', 'f16-residual-f32')
SHAPES = ((1, 64), (32, 64), (64, 128))
# As EngineTimes and the environment name them.
ATTENTIONS = {'ragged': ('RAGGED', '1'), 'by length': ('BY_LENGTH', '1'), 'by length, cuDNN first': ('BY_LENGTH', '0')}
CALLERS = 64
UNSEEN = range(65, 77)


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

    def __init__(self, store, precision, device='cuda:0', port=9200):
        self.url = f'http://127.0.0.1:{port}'
        environment = dict(os.environ, JAVA_OPTIONS=f'-Dsplitcompute.device={device} -Dsplitcompute.precision={precision} -Dmicronaut.server.port={port} '
                           f'-Dsplitcompute.limits.max-response-bytes=400000000 -Dsplitcompute.limits.max-tokens-per-request=65536 -Dsplitcompute.batch.max-tokens=4096')
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

    def hidden(self, model, sequences, cut):
        body = json.dumps({'model': model, 'input': sequences, 'cut': cut, 'dtype': 'f32', 'pooling': 'none'}).encode()
        request = urllib.request.Request(self.url + '/v1/embed', body, {'Content-Type': 'application/json', 'Accept': 'application/vnd.splitcompute.activations'})
        data = urllib.request.urlopen(request, timeout=60).read()
        length = struct.unpack('<Q', data[:8])[0]
        header = json.loads(data[8:8 + length])
        start, end = header['hidden']['data_offsets']
        return numpy.frombuffer(data[8 + length + start:8 + length + end], numpy.float32).reshape(header['hidden']['shape'])

    def together(self, model, requests):
        """Answers of requests that are sent at once, so that they share batches."""
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(lambda request: self.hidden(model, *request), requests))

    def load(self, lengths, layers, callers=CALLERS, seconds=4):
        """What the load generator prints."""
        run = subprocess.run([os.path.join(HERE, 'start.sh'), '--url', self.url, '--model', 'xl', '--callers', str(callers), '--requests', '64', '--seconds', str(seconds),
                              '--lengths', lengths, '--cuts', f'{layers}-{layers}', '--pooled'],
                             env=dict(os.environ, MAIN='io.splitcompute.bench.LoadGenerator'), capture_output=True, text=True)
        if not run.stdout.strip():
            raise SystemExit(run.stderr[-3000:])
        return json.loads(run.stdout)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


class Engine:
    """The head's layers without a server, which run a batch when told to."""

    def __init__(self, store, precision, attention):
        name, deprioritized = ATTENTIONS[attention]
        environment = dict(os.environ, MAIN='io.splitcompute.bench.EngineTimes', TORCH_CUDNN_SDPA_DEPRIORITIZED=deprioritized)
        self.process = subprocess.Popen([os.path.join(HERE, 'start.sh'), store, 'xl', '0', precision.upper().replace('-', '_'), name], env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ready(self):
        if self.process.stdout.readline().strip() != 'ready':
            raise SystemExit('the engine did not start')

    def milliseconds(self, lengths):
        self.process.stdin.write(','.join(map(str, lengths)) + '\n')
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


def relative(actual, expected):
    return float(numpy.linalg.norm(actual - expected) / numpy.linalg.norm(expected))


def largest(actual, expected):
    return float(numpy.abs(actual - expected).max() / numpy.abs(expected).max())


def reference(model, sequences, cut):
    out = []
    with torch.no_grad():
        for sequence in sequences:
            states = model(torch.tensor([sequence], device='cuda'), output_hidden_states=True, use_cache=False).hidden_states
            out.append(states[cut][0].float().cpu().numpy())
    return numpy.concatenate(out)


def mixed(rng, count, vocabulary, longest, layers):
    return [([[rng.randrange(vocabulary) for _ in range(rng.randint(1, longest))] for _ in range(rng.randint(1, 4))], rng.randint(1, layers)) for _ in range(count)]


def check_families(folder):
    """Every small checkpoint, as the service answers and as transformers does, in f32 and in f16."""
    rng = random.Random(3)
    wanted = {}
    for name in sorted(os.listdir(os.path.join(folder, 'checkpoints'))):
        model = transformers.AutoModel.from_pretrained(os.path.join(folder, 'checkpoints', name), dtype=torch.float32, attn_implementation='eager').cuda().eval()
        config = model.config
        requests = mixed(rng, 24, config.vocab_size, config.max_position_embeddings, config.num_hidden_layers)
        exact = [reference(model, *request) for request in requests]
        model.half()
        wanted[name] = requests, exact, max(largest(reference(model, *request), want) for request, want in zip(requests, exact))
    found = []
    for precision in PRECISIONS:
        head = Head(os.path.join(folder, 'store'), precision, port=9100)
        for name, (requests, exact, theirs) in wanted.items():
            worst = max(largest(got, want) for got, want in zip(head.together(name, requests), exact))
            tolerance = 1e-4 if precision == 'f32' else max(5e-3, 1.2 * theirs)
            found.append({'model': name, 'precision': precision, 'requests': len(requests), 'largest': worst, 'transformersF16': theirs, 'ok': worst <= tolerance})
            say(**found[-1])
        head.close()
    return found


def check_xl(store, exact, half, config, device):
    """XL's answers, of mixed lengths and cuts in shared batches, by relative L2."""
    rng = random.Random(5)
    requests = mixed(rng, 24, config.vocab_size, 200, config.n_layer)
    requests.append(([[rng.randrange(config.vocab_size) for _ in range(64)] for _ in range(8)], config.n_layer))
    oracle = [reference(exact, *request) for request in requests]
    theirs = [relative(reference(half, *request), want) for request, want in zip(requests, oracle)]
    found = {'transformers f16': {'allLayers': theirs[-1], 'worst': max(theirs)}}
    say(transformers=found['transformers f16'])
    for precision in PRECISIONS:
        head = Head(store, precision, device)
        errors = [relative(got, want) for got, want in zip(head.together('xl', requests), oracle)]
        found[precision] = {'allLayers': errors[-1], 'worst': max(errors), 'timesTransformers': errors[-1] / theirs[-1], 'readySeconds': head.seconds}
        say(precision=precision, **found[precision])
        head.close()
    return found


def transformers_milliseconds(model, batch, length):
    ids = torch.randint(0, model.config.vocab_size, (batch, length), device='cuda')
    with torch.no_grad():
        torch.cuda.synchronize()
        started = time.perf_counter()
        model(ids, use_cache=False).last_hidden_state[0, 0, 0].item()
    return (time.perf_counter() - started) * 1e3


def time_engines(store, half, rounds):
    """Medians of rounds in which transformers and each engine take turns. In each two passes; the second counts, for the first finds cold caches."""
    engines = {(precision, attention): Engine(store, precision, attention) for precision in PRECISIONS[1:] for attention in ATTENTIONS}
    for engine in engines.values():
        engine.ready()
    times = {}
    for turn in range(rounds + 2):
        for shape in SHAPES:
            passes = {'transformers': lambda: transformers_milliseconds(half, *shape)}
            passes.update((key, functools.partial(engine.milliseconds, [shape[1]] * shape[0])) for key, engine in engines.items())
            for key, one in passes.items():
                one()
                took = one()
                if turn >= 2:
                    times.setdefault((key, shape), []).append(took)

    def figures(key):
        row = {}
        for shape in SHAPES:
            each = times[key, shape]
            row['%dx%d' % shape] = {'milliseconds': statistics.median(each), 'least': min(each), 'most': max(each), 'tokensPerSecond': shape[0] * shape[1] / statistics.median(each) * 1e3,
                                    'timesTransformers': statistics.median(times['transformers', shape]) / statistics.median(each)}
        return row

    found = [{'program': 'transformers f16', **figures('transformers')}]
    for (precision, attention), engine in engines.items():
        unseen = []
        for length in UNSEEN:
            first = engine.milliseconds([length] * 32)
            unseen.append(first - statistics.median(engine.milliseconds([length] * 32) for _ in range(3)))
        found.append({'program': precision, 'attention': attention, **figures((precision, attention)), 'unseenShapeMilliseconds': {'median': statistics.median(unseen), 'most': max(unseen)}})
        engine.close()
    for row in found:
        say(**row)
    return found


def load_service(store, layers, rounds=4):
    """The service over HTTP and its own engine in turns, the first round of which warms both up."""
    head = Head(store, 'f16')
    engine = Engine(store, 'f16', 'ragged')
    engine.ready()
    found = []
    for lengths in ('128-128', '8-256'):
        low, high = map(int, lengths.split('-'))
        batch = [low + (high - low) * i // (CALLERS - 1) for i in range(CALLERS)]
        ratios, served, alone, p50 = [], [], [], []
        for turn in range(rounds + 1):
            own = sum(batch) / statistics.median(engine.milliseconds(batch) for _ in range(9)) * 1e3
            load = head.load(lengths, layers)
            if load['failed'] or load['refused']:
                raise SystemExit(f'requests were lost: {load}')
            say(lengths=lengths, engine=own, **load)
            if turn > 0:
                served.append(load['tokensPerSecond'])
                alone.append(own)
                ratios.append(load['tokensPerSecond'] / own)
                p50.append(load['p50Milliseconds'])
        found.append({'lengths': lengths, 'callers': CALLERS, 'tokensPerSecond': statistics.median(served), 'engineTokensPerSecond': statistics.median(alone),
                      'timesEngine': statistics.median(ratios), 'least': min(ratios), 'most': max(ratios), 'p50Milliseconds': statistics.median(p50)})
        say(**found[-1])
    engine.close()
    head.close()
    return found


def load_replicas(store, layers, rounds=3):
    """One GPU and two in turns, twice as many callers for two."""
    heads = {1: Head(store, 'f16', 'cuda:0', 9300), 2: Head(store, 'f16', 'cuda:0,1', 9301)}
    rates = {1: [], 2: []}
    for turn in range(rounds + 1):
        for gpus, head in heads.items():
            load = head.load('128-128', layers, CALLERS * gpus)
            say(gpus=gpus, **load)
            if load['failed'] or load['refused']:
                raise SystemExit(f'requests were lost: {load}')
            if turn > 0:
                rates[gpus].append(load['tokensPerSecond'])
    for head in heads.values():
        head.close()
    return {'oneGpuTokensPerSecond': statistics.median(rates[1]), 'twoGpusTokensPerSecond': statistics.median(rates[2]),
            'times': statistics.median(two / one for one, two in zip(*rates.values()))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--layers', type=int, default=48)
    parser.add_argument('--hidden', type=int, default=1600)
    parser.add_argument('--heads', type=int, default=25)
    parser.add_argument('--rounds', type=int, default=21)
    parser.add_argument('--fixtures')
    parser.add_argument('--out')
    options = parser.parse_args()
    store = '/tmp/store'
    began = time.time()
    gpus = torch.cuda.device_count()
    result = {'machine': {'gpu': torch.cuda.get_device_name(), 'gpus': gpus, 'processors': os.cpu_count(), 'system': platform.platform(),
                          'torch': torch.__version__, 'transformers': transformers.__version__},
              'model': f"GPT-2 XL's shape, random weights: {options.layers} layers of {options.hidden}, {options.heads} heads", 'rounds': options.rounds}
    say(**result)

    if options.fixtures:
        result['families'] = check_families(options.fixtures)

    torch.manual_seed(1)
    config = transformers.GPT2Config(n_layer=options.layers, n_embd=options.hidden, n_head=options.heads)
    with torch.device('cuda'):
        exact = transformers.GPT2Model(config).eval()
        half = transformers.GPT2Model(config).half().eval()
    half.load_state_dict(exact.state_dict())
    exact.load_state_dict(half.state_dict())  # both from the f16 weights that the head gets
    publish(exact, config, store)
    say(stored_seconds=time.time() - began)

    result['relativeL2'] = check_xl(store, exact, half, config, 'cuda:0' if gpus == 1 else 'cuda:0,1')
    del exact
    torch.cuda.empty_cache()
    if gpus == 1:
        result['engine'] = time_engines(store, half, options.rounds)
        result['http'] = load_service(store, options.layers)
    else:
        result['replicas'] = load_replicas(store, options.layers)
        say(**result['replicas'])
    result['seconds'] = time.time() - began
    if options.out:
        with open(options.out, 'w') as file:
            json.dump(result, file, indent=2)
            file.write('\n')
    say(total_seconds=result['seconds'])


if __name__ == '__main__':
    main()
