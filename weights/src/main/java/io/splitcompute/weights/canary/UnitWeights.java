package io.splitcompute.weights.canary;

import java.io.IOException;

/** The weights of one unit by the names that {@code FORMAT.md} gives them. */
public interface UnitWeights {

  /** A linear weight or a table; a vector is a matrix of one row. */
  Matrix matrix(String name) throws IOException;

  default double[] vector(String name) throws IOException {
    Matrix matrix = matrix(name);
    float[] values = new float[matrix.columns()];
    matrix.read(0, values);
    double[] vector = new double[values.length];
    for (int i = 0; i < vector.length; i++) {
      vector[i] = values[i];
    }
    return vector;
  }
}
