package io.splitcompute.head;

/** Embeddings as they are answered. */
final class Vectors {

  private Vectors() {}

  /**
   * @param pooled {@code [batch, hiddenSize]}
   * @param normalize whether to divide each by its L2 norm; a vector of zeros stays as it is
   * @return {@code [batch][hiddenSize]}
   */
  static float[][] of(float[] pooled, int hiddenSize, boolean normalize) {
    float[][] vectors = new float[pooled.length / hiddenSize][hiddenSize];
    for (int i = 0; i < vectors.length; i++) {
      double norm = normalize ? norm(pooled, i * hiddenSize, hiddenSize) : 1;
      for (int j = 0; j < hiddenSize; j++) {
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
