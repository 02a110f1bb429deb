package io.splitcompute.weights.canary;

import java.io.IOException;

/** A matrix whose rows are read as they are needed, by several threads at once. */
public interface Matrix {

  int rows();

  int columns();

  /**
   * Reads some rows.
   *
   * @param first the first of them
   * @param into {@code [count, columns]}, {@code count} being as many rows as fit
   */
  void read(int first, float[] into) throws IOException;
}
