/** A range of code points, both ends included. */
type Range = readonly [first: number, last: number]

const LETTERS: readonly Range[] = [
  [0x61, 0x7a],
  [0x41, 0x5a],
  [0xc0, 0x24f],
  [0x250, 0x2af],
  [0x370, 0x3ff],
  [0x400, 0x52f],
  [0x531, 0x587],
  [0x10a0, 0x10ff],
  [0x13a0, 0x13fd],
  [0x1e00, 0x1fff],
  [0x2c00, 0x2c5f],
  [0xa640, 0xa69f],
  [0xab70, 0xabbf],
  [0x10400, 0x1044f],
  [0x1e900, 0x1e943],
]
const RIGHT_TO_LEFT: readonly Range[] = [
  [0x591, 0x5f4],
  [0x600, 0x6ff],
  [0x700, 0x74f],
  [0x780, 0x7b1],
  [0x8a0, 0x8ff],
  [0xfb1d, 0xfdff],
  [0xfe70, 0xfeff],
  [0x200e, 0x200f],
  [0x202a, 0x202e],
  [0x2066, 0x2069],
]
const EAST_ASIAN: readonly Range[] = [
  [0x4e00, 0x9fff],
  [0x3400, 0x4dbf],
  [0x20000, 0x2ebe0],
  [0x30000, 0x323af],
  [0xf900, 0xfaff],
  [0x2f800, 0x2fa1f],
  [0x2e80, 0x2fdf],
  [0x3000, 0x303f],
  [0x3041, 0x30ff],
  [0x31f0, 0x32ff],
  [0x1100, 0x11ff],
  [0xac00, 0xd7a3],
  [0xff01, 0xffef],
]
const SOUTH_ASIAN: readonly Range[] = [
  [0x900, 0x97f],
  [0x980, 0x9ff],
  [0xa00, 0xaff],
  [0xb00, 0xbff],
  [0xc00, 0xdff],
  [0xe00, 0xeff],
  [0xf00, 0xfff],
  [0x1000, 0x109f],
  [0x1780, 0x17ff],
  [0x1800, 0x18af],
  [0x1a00, 0x1bff],
  [0x11000, 0x110cf],
  [0x1d000, 0x1d0ff],
]
const CONTROLS: readonly Range[] = [
  [0, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x61c, 0x61c],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x202a, 0x202e],
  [0x2060, 0x206f],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xfff9, 0xffff],
  [0xe0001, 0xe0001],
  [0xe0020, 0xe007f],
  [0xe000, 0xf8ff],
  [0x10fffd, 0x10ffff],
]
const MARKS: readonly Range[] = [
  [0x300, 0x36f],
  [0x483, 0x489],
  [0x610, 0x61a],
  [0x64b, 0x65f],
  [0x1ab0, 0x1aff],
  [0x1dc0, 0x1dff],
  [0x20d0, 0x20f0],
  [0x302a, 0x302f],
  [0x3099, 0x309a],
  [0xfe20, 0xfe2f],
]
const SIGNS: readonly Range[] = [
  [0x21, 0x2f],
  [0x3a, 0x40],
  [0x5b, 0x60],
  [0x7b, 0x7e],
  [0xa1, 0xbf],
  [0xd7, 0xd7],
  [0x2010, 0x205e],
  [0x20a0, 0x20c0],
  [0x2100, 0x214f],
  [0x2190, 0x23ff],
  [0x2500, 0x27bf],
  [0x2900, 0x2bff],
  [0x2e00, 0x2e5d],
  [0x3001, 0x303f],
  [0xfe30, 0xfe6f],
  [0x1d400, 0x1d7ff],
]
const NUMBERS: readonly Range[] = [
  [0x30, 0x39],
  [0xb2, 0xb3],
  [0xbc, 0xbe],
  [0x660, 0x669],
  [0x966, 0x96f],
  [0x2070, 0x2089],
  [0x2150, 0x218b],
  [0x2460, 0x249b],
  [0x3021, 0x3029],
  [0xff10, 0xff19],
  [0x1d7ce, 0x1d7ff],
]
const EMOJI: readonly Range[] = [
  [0x1f300, 0x1f5ff],
  [0x1f600, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1faff],
  [0x2600, 0x27bf],
]
const ANYTHING: readonly Range[] = [
  [0, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
]
const SPACES = [
  ' ',
  '\t',
  '\n',
  '\r',
  '\r\n',
  '\v',
  '\f',
  '\u{85}',
  '\u{a0}',
  '\u{1680}',
  '\u{180e}',
  '\u{2002}',
  '\u{2003}',
  '\u{2009}',
  '\u{200a}',
  '\u{2028}',
  '\u{2029}',
  '\u{202f}',
  '\u{205f}',
  '\u{3000}',
] as const
const WORDS = [
  'the',
  'of',
  'night',
  'Whether',
  'She',
  'LONDON',
  'sea',
  'unaffable',
  'through',
  're-entry',
  'co-operate',
  'naïve',
  'café',
  'Straße',
  'İstanbul',
  'ılık',
  'ﬁnally',
  'ΣΊΣΥΦΟΣ',
  'ſtrange',
  'Ǆungla',
  'e-mail',
  "don't",
  "IT'S",
  "we've",
  "I'll",
  "o'clock",
  'antidisestablishmentarianism',
  'https://example.org/a?b=c&d=%20',
  'x@y.z',
  'C++',
  'U.S.A.',
  '3.14159',
  '1,000,000',
  '10:45',
] as const
const CONTRACTIONS = [
  "'s",
  "'S",
  "'t",
  "'re",
  "'VE",
  "'m",
  "'ll",
  "'d",
  '’s',
  "''",
  "'",
  " 's",
  "'x",
] as const
/** What tokenizers treat as a token of its own. */
const SPECIAL = [
  '[CLS]',
  '[SEP]',
  '[SE\u{200b}P]',
  '[MA\u{ad}SK]',
  '[mask]',
  '[MASK]',
  '[PAD]',
  '[UNK]',
  '[cls]',
  ' [MASK] ',
  '<|endoftext|>',
  '<|ENDOFTEXT|>',
  '<s>',
  '##ing',
  '[ MASK ]',
] as const
const FAMILIES = [
  '👨‍👩‍👧‍👦',
  '🏳️‍🌈',
  '👩🏽‍🚀',
  '🧑🏿‍🤝‍🧑🏻',
  '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
  '🇩🇪',
  '🇯🇵🇫',
  '1️⃣',
  '#️⃣',
  '❤️',
  '❤︎',
  '☺',
  '👍🏼',
  '\u{200d}👩',
  '🫨',
] as const

/** The 32-bit generator of M. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms", 2014. */
class Pcg32 {
  #state = 0n

  constructor(seed: number) {
    this.#next()
    this.#state += BigInt(seed)
    this.#next()
  }

  below(bound: number): number {
    return this.#next() % bound
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  character(ranges: readonly Range[]): string {
    const [first, last] = this.of(ranges)
    return String.fromCodePoint(first + this.below(last - first + 1))
  }

  #next(): number {
    const state = this.#state
    this.#state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n)
    const shifted = Number(BigInt.asUintN(32, ((state >> 18n) ^ state) >> 27n))
    const turn = Number(state >> 59n)
    return ((shifted >>> turn) | (shifted << (-turn & 31))) >>> 0
  }
}

type Piece = (random: Pcg32) => string

const repeat = (random: Pcg32, most: number, piece: Piece): string =>
  Array.from({ length: 1 + random.below(most) }, () => piece(random)).join('')

const run =
  (ranges: readonly Range[], most: number): Piece =>
  (random) =>
    repeat(random, most, () => random.character(ranges))

const word: Piece = (random) => random.of(WORDS)

const PIECES: readonly Piece[] = [
  word,
  word,
  (random) => repeat(random, 5, () => `${word(random)} `),
  (random) => word(random) + random.of(CONTRACTIONS),
  run(LETTERS, 10),
  run(RIGHT_TO_LEFT, 12),
  run(EAST_ASIAN, 8),
  run(SOUTH_ASIAN, 10),
  run(CONTROLS, 4),
  run(SIGNS, 6),
  run(NUMBERS, 8),
  run(EMOJI, 4),
  run(ANYTHING, 6),
  (random) => repeat(random, 3, () => random.of(FAMILIES)),
  (random) => random.of(SPECIAL),
  (random) => repeat(random, 6, () => random.of(SPACES)),
  (random) => random.of(SPACES).repeat(1 + random.below(12)),
  // Letters with more marks than any language has.
  (random) => repeat(random, 4, () => random.character(LETTERS) + run(MARKS, 3)(random)),
  // One word, often longer than the hundred characters that WordPiece looks at.
  (random) =>
    random
      .of(WORDS)
      .replaceAll(/[^a-z]/gi, '')
      .repeat(1 + random.below(30))
      .slice(0, 90 + random.below(30)),
  (random) => random.character(ANYTHING).repeat(1 + random.below(40)),
]

const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'] as const

/**
 * Strings that tokenizers may disagree on, the same ones for the same seed: scripts of every direction, emoji, control characters,
 * white space, long words, any code point at all, in every normal form and in none. None has an unpaired surrogate.
 */
export function oddStrings(count: number, seed: number): string[] {
  const random = new Pcg32(seed)
  return Array.from({ length: count }, (_, i) => {
    const separator = random.of(['', '', ' ', ' ', '\n'])
    const pieces = Array.from({ length: 1 + random.below(6) }, () => random.of(PIECES)(random))
    const text = pieces.join(separator)
    // Each piece alone comes up too, and what was put together is sometimes made canonical.
    return i % 4 === 0 ? text.normalize(random.of(FORMS)) : text
  })
}
