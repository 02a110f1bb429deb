import { parseArgs } from 'node:util'
import { type Case, DTYPES, SHAPES, STEP_SHAPES } from './shapes'
import type { Pace } from './timing'

/** What a person asked for that cannot be: told in one line, without a stack. */
export class UsageError extends Error {}

export interface BenchOptions {
  readonly cases: readonly Case[]
  readonly engines: readonly string[]
  readonly pace: Pace
  readonly out: string | undefined
  readonly machine: string | undefined
}

export const HELP = `Measures milliseconds a layer of SplitCompute's engine and of its peers on this machine's WebGPU.

usage: npm run bench -- [options]

  --adapter NAME    default, or swiftshader: the GPU in software that the tests run on
  --shapes LIST     of ${SHAPES.map(({ name }) => name).join(', ')} (default: these), and of
                    ${STEP_SHAPES.map(({ name }) => name).join(', ')}
  --dtypes LIST     of ${DTYPES.join(', ')} (default: all)
  --tokens LIST     tokens of the one sequence, of each text, of the context to decode from, rows of lm-head (default: 1,16,64,256,1024)
  --texts LIST      whole models instead of layers, so many texts a call (onnxruntime-web and splitcompute have them)
  --cases LIST      instead of these but --dtypes, such as gpt2:1,gpt2:16,minilm:64x32 (32 texts of 64 tokens)
  --engines LIST    of splitcompute, onnxruntime-web, onnxruntime-web-gemm, jax-js, webgpu-torch (default: all)
  --repeats N       measurements of which the median counts (default: 5)
  --milliseconds N  that one measurement of queued calls takes about (default: 200)
  --machine NAME    written into the report (default: the processor's name)
  --out FILE        the report as JSON, rewritten after each row
  --help

The table's columns: milliseconds a layer, of whole models a text, with calls queued and one wait at the end; of one awaited call of four layers,
or of the model; the floor as a fraction of the first; dispatches a layer, of whole models a call. README.md says how the floor is measured.
`

const NAMES = ['splitcompute', 'onnxruntime-web', 'onnxruntime-web-gemm', 'jax-js', 'webgpu-torch']

/** @returns undefined where help was asked for */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parse(args)
  if (values.help) {
    return undefined
  }
  return {
    cases: readCases(values),
    engines: list(values.engines ?? NAMES.join(), NAMES, '--engines'),
    pace: {
      repeats: whole(values.repeats, '--repeats', 1, 99),
      milliseconds: whole(values.milliseconds, '--milliseconds', 1, 60_000),
    },
    out: values.out,
    machine: values.machine,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        adapter: { type: 'string' },
        shapes: { type: 'string' },
        dtypes: { type: 'string', default: DTYPES.join() },
        tokens: { type: 'string' },
        texts: { type: 'string' },
        cases: { type: 'string' },
        engines: { type: 'string' },
        repeats: { type: 'string', default: '5' },
        milliseconds: { type: 'string', default: '200' },
        machine: { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function readCases(values: ReturnType<typeof parse>['values']): Case[] {
  const shapes = [...SHAPES, ...STEP_SHAPES]
  const names = shapes.map(({ name }) => name)
  const dtypes = list(values.dtypes, DTYPES, '--dtypes')
  if (values.cases !== undefined && (values.shapes ?? values.tokens ?? values.texts) !== undefined) {
    throw new UsageError('--cases stands instead of --shapes, --tokens and --texts.')
  }
  const texts = values.texts?.split(',').map((count) => `x${count}`) ?? ['']
  const pairs =
    values.cases?.split(',') ??
    list(values.shapes ?? SHAPES.map(({ name }) => name).join(), names, '--shapes').flatMap((name) =>
      (values.tokens ?? '1,16,64,256,1024')
        .split(',')
        .flatMap((tokens) => texts.map((count) => `${name}:${tokens}${count}`)),
    )
  return pairs.flatMap((pair) => {
    const [name = '', length = ''] = pair.split(':')
    const [tokens = '', count] = length.split('x')
    const shape = shapes.find((candidate) => candidate.name === name)
    if (shape === undefined) {
      throw new UsageError(`"${name}" is no shape: there are ${names.join(', ')}.`)
    }
    if (count === undefined) {
      const one = { shape, tokens: whole(tokens, `The tokens of "${pair}"`, 1, 4_096) }
      return dtypes.map((dtype) => ({ ...one, dtype }))
    }
    const many = {
      shape,
      tokens: whole(tokens, `The tokens of "${pair}"`, 1, shape.positions),
      texts: whole(count, `The texts of "${pair}"`, 1, 1_024),
    }
    return dtypes.map((dtype) => ({ ...many, dtype }))
  })
}

function list<T extends string>(text: string, allowed: readonly T[], option: string): T[] {
  return text.split(',').map((item) => {
    const found = allowed.find((candidate) => candidate === item)
    if (found === undefined) {
      throw new UsageError(`${option}: "${item}" is none of ${allowed.join(', ')}.`)
    }
    return found
  })
}

function whole(text: string, option: string, from: number, to: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < from || value > to) {
    throw new UsageError(`${option} must be a whole number from ${from} to ${to}, not "${text}".`)
  }
  return value
}
