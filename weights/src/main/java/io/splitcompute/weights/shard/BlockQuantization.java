package io.splitcompute.weights.shard;

import io.splitcompute.weights.safetensors.Half;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * Symmetric quantisation of 32 columns with one f16 scale, as {@code FORMAT.md} has it. The scale
 * is the one with the least sum of squared differences among these: what maps the largest value to
 * each of some {@linkplain #divisors divisors}, rounded to f16; the best of those refitted to its
 * own quants in closed form until that gains nothing; and the f16 neighbours of what came of it.
 */
final class BlockQuantization {

  /** Columns of a block. */
  static final int BLOCK = 32;

  /** Negative scales too: there is one more quant below zero than above. */
  static final BlockQuantization Q4 =
      new BlockQuantization(
          -8,
          7,
          IntStream.rangeClosed(20, 36).mapToDouble(quarters -> quarters * -0.25),
          IntStream.rangeClosed(20, 31).mapToDouble(quarters -> quarters * 0.25));

  static final BlockQuantization Q8 =
      new BlockQuantization(
          -127,
          127,
          IntStream.rangeClosed(500, 510).mapToDouble(quarters -> quarters * 0.25),
          DoubleStream.empty());

  private static final int REFITS = 4;
  private static final int NEIGHBOURS = 2;

  private final int least;
  private final int most;
  private final double[] divisors;

  private BlockQuantization(int least, int most, DoubleStream some, DoubleStream more) {
    this.least = least;
    this.most = most;
    this.divisors = DoubleStream.concat(some, more).toArray();
  }

  /**
   * Quantises a block.
   *
   * @param values of a row, finite and within f16
   * @param first of the block's columns
   * @param quants takes the block's quants at the same places; a column behind the row is zero
   * @return the scale, an f16
   */
  short quantize(float[] values, int first, int end, byte[] quants, int at) {
    float largest = 0;
    for (int i = first; i < end; i++) {
      largest = Math.abs(values[i]) > Math.abs(largest) ? values[i] : largest;
    }
    // Where the quants are symmetric a scale's sign says nothing, and it is positive.
    double mapped = least == -most ? Math.abs(largest) : largest;
    Search search = new Search(values, first, end);
    for (double divisor : divisors) {
      search.consider(Half.fromFloat((float) (mapped / divisor)));
    }
    for (int i = 0; i < REFITS && search.consider(search.refitted); i++) {
      // Each refit is to the quants of the one before.
    }
    short found = search.scale;
    for (int i = -NEIGHBOURS; i <= NEIGHBOURS; i++) {
      // Neighbours in magnitude; beyond infinity or zero they are no better, and not taken.
      search.consider((short) (found + i));
    }
    double scale = Half.toFloat(search.scale);
    for (int i = first; i < end; i++) {
      quants[at + i - first] = (byte) (scale == 0 ? 0 : quant(values[i], 1 / scale));
    }
    return scale == 0 ? 0 : search.scale;
  }

  private double quant(double value, double inverse) {
    return Math.min(most, Math.max(least, Math.rint(value * inverse)));
  }

  /** The best scale so far, and what fits its quants best. */
  private final class Search {

    private final float[] values;
    private final int first;
    private final int end;
    private double error = Double.POSITIVE_INFINITY;
    private short scale;
    private short refitted;

    Search(float[] values, int first, int end) {
      this.values = values;
      this.first = first;
      this.end = end;
    }

    /** Takes a scale if it is better than all before. */
    boolean consider(short candidate) {
      double decoded = Half.toFloat(candidate);
      if (!Double.isFinite(decoded)) {
        return false;
      }
      double inverse = decoded == 0 ? 0 : 1 / decoded;
      double squares = 0;
      double fit = 0;
      double weight = 0;
      for (int i = first; i < end; i++) {
        double value = values[i];
        double n = quant(value, inverse);
        double difference = value - n * decoded;
        squares += difference * difference;
        fit += value * n;
        weight += n * n;
      }
      if (!(squares < error)) {
        return false;
      }
      error = squares;
      scale = candidate;
      refitted = weight == 0 ? candidate : Half.fromFloat((float) (fit / weight));
      return true;
    }
  }
}
