package io.splitcompute.head.model;

import java.util.Arrays;
import java.util.List;

/**
 * Sequences of token ids, packed end to end without padding.
 *
 * @param tokens the ids of all sequences, {@code [tokens]}
 * @param lengths tokens of each sequence, {@code [batch]}, each at least 1
 */
public record TokenBatch(int[] tokens, int[] lengths) {

  /** Packs sequences. */
  public static TokenBatch of(List<int[]> sequences) {
    int[] lengths = sequences.stream().mapToInt(sequence -> sequence.length).toArray();
    int[] tokens = new int[Arrays.stream(lengths).sum()];
    int at = 0;
    for (int[] sequence : sequences) {
      System.arraycopy(sequence, 0, tokens, at, sequence.length);
      at += sequence.length;
    }
    return new TokenBatch(tokens, lengths);
  }

  /** The position of each token in its sequence, {@code [tokens]}. */
  int[] positions() {
    int[] positions = new int[tokens.length];
    int at = 0;
    for (int length : lengths) {
      for (int i = 0; i < length; i++) {
        positions[at++] = i;
      }
    }
    return positions;
  }
}
