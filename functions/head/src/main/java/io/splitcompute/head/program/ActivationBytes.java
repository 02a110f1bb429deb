package io.splitcompute.head.program;

import io.splitcompute.weights.Manifest;

/** What a token takes of a device's memory on its way through the layers. */
public final class ActivationBytes {

  private ActivationBytes() {}

  /**
   * Bytes that each token of a batch takes where a layer is widest, at most: what its program holds
   * at once, whichever way linear maps and attention run. Scores of attention are not among them,
   * for no kernel that is used keeps them.
   */
  public static long perToken(Manifest manifest, Precision precision) {
    long hidden = manifest.hiddenSize();
    long inner = manifest.layer().mlp().innerSize();
    long matrix = precision.matrices().getNumOfBytes();
    long residual = precision.residual().getNumOfBytes();
    // Queries, keys and values as one, and again by heads; what comes of them by heads, and again
    // by rows.
    long attention = (3 + 3 + 1 + 1) * hidden * matrix;
    // What comes in, and the inner rows before and after the activation.
    long mlp = (hidden + 2 * inner) * matrix;
    // Rows that are read: chosen, normed and in f32.
    long read = 2 * hidden * residual + hidden * Float.BYTES;
    // With what came in and the sum so far, both of which stay.
    return 2 * hidden * residual + Math.max(attention, Math.max(mlp, read));
  }
}
