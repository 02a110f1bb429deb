package io.splitcompute.head.model;

import io.splitcompute.weights.Manifest;

/** Makes one embedding of a sequence's hidden states. Sums run in f64. */
public final class Pooling {

  private Pooling() {}

  /**
   * @param hidden {@code [tokens, hiddenSize]}
   * @param lengths tokens of each sequence
   * @param kind the mean over a sequence's tokens, its last token or its first one
   * @param normalize whether to divide by the L2 norm; a vector of zeros stays as it is
   * @return {@code [batch][hiddenSize]}
   */
  public static float[][] pool(
      float[] hidden,
      int[] lengths,
      int hiddenSize,
      Manifest.Pooling.Kind kind,
      boolean normalize) {
    float[][] embeddings = new float[lengths.length][];
    int start = 0;
    for (int i = 0; i < lengths.length; i++) {
      int end = start + lengths[i];
      double[] pooled =
          switch (kind) {
            case MEAN -> mean(hidden, start, end, hiddenSize);
            case LAST -> mean(hidden, end - 1, end, hiddenSize);
            case CLS -> mean(hidden, start, start + 1, hiddenSize);
          };
      embeddings[i] = scaled(pooled, normalize ? 1 / norm(pooled) : 1);
      start = end;
    }
    return embeddings;
  }

  private static double[] mean(float[] hidden, int start, int end, int hiddenSize) {
    double[] sum = new double[hiddenSize];
    for (int row = start; row < end; row++) {
      for (int i = 0; i < hiddenSize; i++) {
        sum[i] += hidden[row * hiddenSize + i];
      }
    }
    for (int i = 0; i < hiddenSize; i++) {
      sum[i] /= end - start;
    }
    return sum;
  }

  private static double norm(double[] vector) {
    double squares = 0;
    for (double element : vector) {
      squares += element * element;
    }
    return squares == 0 ? 1 : Math.sqrt(squares);
  }

  private static float[] scaled(double[] vector, double factor) {
    float[] scaled = new float[vector.length];
    for (int i = 0; i < vector.length; i++) {
      scaled[i] = (float) (vector[i] * factor);
    }
    return scaled;
  }
}
