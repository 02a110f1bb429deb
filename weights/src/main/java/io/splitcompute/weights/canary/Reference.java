package io.splitcompute.weights.canary;

import io.splitcompute.weights.Manifest;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The layers of a model in f64, after the manifest's description. Every sum has one order and every
 * function is {@link StrictMath}'s, so the results are the same bits on every machine, with any
 * number of threads. One sequence at a time; {@code [tokens][hiddenSize]} in and out.
 */
public final class Reference {

  /** Rows of activations that are multiplied at once. */
  private static final int LANES = 8;

  /** Weights that a thread holds at once. */
  private static final int WEIGHTS = 1 << 16;

  private static final double GELU = StrictMath.sqrt(2 / StrictMath.PI);

  private final Manifest.Embeddings embeddings;
  private final Manifest.Layer layer;
  private final Manifest.@Nullable LayerNorm finalNorm;

  /** A model as its manifest describes it. */
  public Reference(Manifest manifest) {
    this(manifest.embeddings(), manifest.layer(), manifest.finalNorm());
  }

  Reference(
      Manifest.Embeddings embeddings,
      Manifest.Layer layer,
      Manifest.@Nullable LayerNorm finalNorm) {
    this.embeddings = embeddings;
    this.layer = layer;
    this.finalNorm = finalNorm;
  }

  /** The input of layer 0. */
  public double[][] embed(UnitWeights unit, int[] tokens) throws IOException {
    Matrix tokenTable = unit.matrix("tokens");
    Matrix positionTable = unit.matrix("positions");
    int size = tokenTable.columns();
    double[][] out = new double[tokens.length][size];
    for (int i = 0; i < tokens.length; i++) {
      addRow(tokenTable, tokens[i], out[i]);
      addRow(positionTable, i, out[i]);
      if (embeddings.types() != null) {
        addRow(unit.matrix("types"), 0, out[i]);
      }
    }
    return embeddings.norm() == null
        ? out
        : normalize(out, unit, "norm", embeddings.norm().epsilon());
  }

  private static void addRow(Matrix table, int row, double[] sum) throws IOException {
    float[] values = new float[sum.length];
    table.read(row, values);
    for (int i = 0; i < sum.length; i++) {
      sum[i] += values[i];
    }
  }

  /**
   * What a layer makes of its input.
   *
   * @param index of the layer, which has a scale of its own
   */
  public double[][] layer(UnitWeights unit, int index, double[][] x) throws IOException {
    double epsilon = layer.norm().epsilon();
    return switch (layer.norm().order()) {
      case PRE -> {
        double[][] y =
            sum(x, attention(unit, index, normalize(x, unit, "attention.norm", epsilon)));
        yield sum(y, mlp(unit, normalize(y, unit, "mlp.norm", epsilon)));
      }
      case POST -> {
        double[][] y =
            normalize(sum(x, attention(unit, index, x)), unit, "attention.norm", epsilon);
        yield normalize(sum(y, mlp(unit, y)), unit, "mlp.norm", epsilon);
      }
    };
  }

  /**
   * The output of the last layer behind the final LayerNorm.
   *
   * @throws IllegalStateException if the model has none
   */
  public double[][] finalNorm(UnitWeights unit, double[][] x) throws IOException {
    if (finalNorm == null) {
      throw new IllegalStateException("there is no final LayerNorm");
    }
    return normalize(x, unit, "norm", finalNorm.epsilon());
  }

  double[][] logits(UnitWeights unit, double[][] x) throws IOException {
    return multiply(unit.matrix("weight"), x);
  }

  private double[][] attention(UnitWeights unit, int index, double[][] x) throws IOException {
    double[][] qkv = linear(unit, "attention.qkv", x);
    int heads = layer.attention().heads();
    int size = layer.attention().headSize();
    double scale = layer.attention().scales().get(index);
    double[][] contexts = new double[x.length][heads * size];
    for (int token = 0; token < x.length; token++) {
      int seen =
          switch (layer.attention().mask()) {
            case CAUSAL -> token + 1;
            case BIDIRECTIONAL -> x.length;
          };
      for (int head = 0; head < heads; head++) {
        attend(qkv, token, seen, head * size, size, scale, contexts[token]);
      }
    }
    return linear(unit, "attention.out", contexts);
  }

  /** One head of one token over the first {@code seen} tokens. */
  private static void attend(
      double[][] qkv, int token, int seen, int at, int size, double scale, double[] context) {
    int hidden = context.length;
    double[] weights = new double[seen];
    double largest = Double.NEGATIVE_INFINITY;
    for (int other = 0; other < seen; other++) {
      double product = 0;
      for (int i = at; i < at + size; i++) {
        product += qkv[token][i] * qkv[other][hidden + i];
      }
      weights[other] = product * scale;
      largest = Math.max(largest, weights[other]);
    }
    double total = 0;
    for (int other = 0; other < seen; other++) {
      weights[other] = StrictMath.exp(weights[other] - largest);
      total += weights[other];
    }
    for (int other = 0; other < seen; other++) {
      for (int i = at; i < at + size; i++) {
        context[i] += weights[other] / total * qkv[other][2 * hidden + i];
      }
    }
  }

  private double[][] mlp(UnitWeights unit, double[][] x) throws IOException {
    double[][] up = linear(unit, "mlp.up", x);
    for (double[] row : up) {
      for (int i = 0; i < row.length; i++) {
        row[i] = activate(row[i]);
      }
    }
    return linear(unit, "mlp.down", up);
  }

  private double activate(double x) {
    return switch (layer.mlp().activation()) {
      case GELU_TANH -> 0.5 * x * (1 + StrictMath.tanh(GELU * (x + 0.044715 * x * x * x)));
      case GELU_ERF -> 0.5 * x * (1 + erf(x / StrictMath.sqrt(2)));
      case RELU -> Math.max(0, x);
    };
  }

  /**
   * The error function by the series {@code 2 / sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!}
   * (Abramowitz and Stegun, 7.1.6), whose terms all have x's sign: nothing cancels.
   */
  static double erf(double x) {
    if (Math.abs(x) > 6) {
      return Math.signum(x); // 1 - erf(6) is 2e-17
    }
    double term = x;
    double sum = x;
    for (int n = 1; Math.abs(term) > Math.abs(sum) * 0x1p-60; n++) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 2 / StrictMath.sqrt(StrictMath.PI) * StrictMath.exp(-x * x) * sum;
  }

  private static double[][] normalize(double[][] x, UnitWeights unit, String name, double epsilon)
      throws IOException {
    double[] weight = unit.vector(name + ".weight");
    double[] bias = unit.vector(name + ".bias");
    double[][] out = new double[x.length][];
    for (int token = 0; token < x.length; token++) {
      double[] row = x[token].clone();
      double mean = 0;
      for (double value : row) {
        mean += value;
      }
      mean /= row.length;
      double variance = 0;
      for (double value : row) {
        variance += (value - mean) * (value - mean);
      }
      double deviation = Math.sqrt(variance / row.length + epsilon);
      for (int i = 0; i < row.length; i++) {
        row[i] = (row[i] - mean) / deviation * weight[i] + bias[i];
      }
      out[token] = row;
    }
    return out;
  }

  private static double[][] sum(double[][] a, double[][] b) {
    double[][] sums = new double[a.length][];
    for (int token = 0; token < a.length; token++) {
      sums[token] = a[token].clone();
      for (int i = 0; i < sums[token].length; i++) {
        sums[token][i] += b[token][i];
      }
    }
    return sums;
  }

  private static double[][] linear(UnitWeights unit, String name, double[][] x) throws IOException {
    double[][] product = multiply(unit.matrix(name + ".weight"), x);
    double[] bias = unit.vector(name + ".bias");
    for (double[] row : product) {
      for (int i = 0; i < row.length; i++) {
        row[i] += bias[i];
      }
    }
    return product;
  }

  /**
   * {@code x} times the transpose of {@code matrix}. Threads take rows of the matrix, and an
   * element is summed by one of them.
   */
  private static double[][] multiply(Matrix matrix, double[][] x) throws IOException {
    int columns = matrix.columns();
    int rows = matrix.rows();
    double[][] product = new double[x.length][rows];
    double[][] lanes = lanes(x, columns);
    int most = Math.max(1, WEIGHTS / columns);
    try {
      IntStream.range(0, (rows + most - 1) / most)
          .parallel()
          .forEach(
              block -> {
                int first = block * most;
                float[] weights = new float[Math.min(most, rows - first) * columns];
                try {
                  matrix.read(first, weights);
                } catch (IOException unreadable) {
                  throw new UncheckedIOException(unreadable);
                }
                for (int at = 0; at < weights.length; at += columns) {
                  for (int group = 0; group < lanes.length; group++) {
                    dot(weights, at, lanes[group], product, group * LANES, first + at / columns);
                  }
                }
              });
    } catch (UncheckedIOException unreadable) {
      throw unreadable.getCause();
    }
    return product;
  }

  /**
   * Groups of eight rows, column by column: {@code [columns, LANES]} each, filled up with zeros.
   */
  private static double[][] lanes(double[][] x, int columns) {
    double[][] lanes = new double[(x.length + LANES - 1) / LANES][columns * LANES];
    for (int token = 0; token < x.length; token++) {
      for (int column = 0; column < columns; column++) {
        lanes[token / LANES][column * LANES + token % LANES] = x[token][column];
      }
    }
    return lanes;
  }

  /** Eight dot products with one row of weights; the lanes are independent chains of additions. */
  private static void dot(
      float[] weights, int at, double[] lanes, double[][] product, int token, int row) {
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    double s4 = 0;
    double s5 = 0;
    double s6 = 0;
    double s7 = 0;
    for (int i = 0; i < lanes.length; i += LANES) {
      double weight = weights[at + i / LANES];
      s0 += weight * lanes[i];
      s1 += weight * lanes[i + 1];
      s2 += weight * lanes[i + 2];
      s3 += weight * lanes[i + 3];
      s4 += weight * lanes[i + 4];
      s5 += weight * lanes[i + 5];
      s6 += weight * lanes[i + 6];
      s7 += weight * lanes[i + 7];
    }
    double[] sums = {s0, s1, s2, s3, s4, s5, s6, s7};
    for (int lane = 0; lane < Math.min(LANES, product.length - token); lane++) {
      product[token + lane][row] = sums[lane];
    }
  }
}
