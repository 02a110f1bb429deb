package io.splitcompute.head;

/** Embeddings as they are answered. */
final class Vectors {

  /** Most bytes of one number in JSON, its comma included. */
  static final int JSON_BYTES_A_NUMBER = 16;

  private Vectors() {}

  /**
   * @param pooled {@code [batch, hiddenSize]}
   * @param dimensions how many of a vector's first elements are taken, at most {@code hiddenSize}
   * @param normalize whether to divide what is taken by its L2 norm; zeros stay as they are
   * @return {@code [batch][dimensions]}
   */
  static float[][] of(float[] pooled, int hiddenSize, int dimensions, boolean normalize) {
    float[][] vectors = new float[pooled.length / hiddenSize][dimensions];
    for (int i = 0; i < vectors.length; i++) {
      double norm = normalize ? norm(pooled, i * hiddenSize, dimensions) : 1;
      for (int j = 0; j < dimensions; j++) {
        vectors[i][j] = (float) (pooled[i * hiddenSize + j] / norm);
      }
    }
    return vectors;
  }

  private static double norm(float[] elements, int from, int count) {
    double squares = 0;
    for (int i = from; i < from + count; i++) {
      squares += (double) elements[i] * elements[i];
    }
    return squares == 0 ? 1 : Math.sqrt(squares);
  }
}
