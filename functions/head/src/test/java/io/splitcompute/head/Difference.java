package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** How far two tensors are apart: {@code max|a - b| / max|b|}, b being the oracle's. */
final class Difference {

  private Difference() {}

  static void assertWithin(double tolerance, float[] expected, float[] actual, String what) {
    assertEquals(expected.length, actual.length, what);
    double difference = between(expected, actual);
    // Not a number is not within.
    assertTrue(difference <= tolerance, what + " differs by " + difference);
  }

  /** {@code max|a - b| / max|b|}. */
  static double between(float[] expected, float[] actual) {
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      double apart = Math.abs((double) expected[i] - actual[i]);
      difference = apart > difference || Double.isNaN(apart) ? apart : difference;
    }
    return difference / largest;
  }
}
