package io.splitcompute.weights.canary;

/** The inputs of canaries, as {@code FORMAT.md} specifies them. */
final class CanaryInput {

  private CanaryInput() {}

  /**
   * PCG-RXS-M-XS as a hash of 32 bits (O'Neill 2014; Jarzynski and Olano, <i>Hash Functions for GPU
   * Rendering</i>, JCGT 2020).
   */
  static int pcg32(int n) {
    int state = n * 747_796_405 + (int) 2_891_336_453L;
    int word = ((state >>> ((state >>> 28) + 4)) ^ state) * 277_803_737;
    return (word >>> 22) ^ word;
  }

  /** Ids of {@code count} tokens. */
  static int[] tokens(int seed, int count, int vocabularySize) {
    int[] tokens = new int[count];
    for (int i = 0; i < count; i++) {
      tokens[i] = Integer.remainderUnsigned(pcg32(seed + i), vocabularySize);
    }
    return tokens;
  }

  /** Rows of activations from {@code -scale} to {@code scale}, every one an f32. */
  static double[][] rows(int seed, float scale, int count, int size) {
    double[][] rows = new double[count][size];
    for (int row = 0; row < count; row++) {
      for (int i = 0; i < size; i++) {
        float unit = (pcg32(seed + row * size + i) >>> 8) * 0x1p-23f - 1;
        rows[row][i] = unit * scale;
      }
    }
    return rows;
  }
}
