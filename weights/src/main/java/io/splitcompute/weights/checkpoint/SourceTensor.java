package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A tensor of a unit, as it is to be stored: its name in the shard, what it is for, and its rows
 * read from the checkpoint.
 */
public final class SourceTensor {

  /** What a tensor is for, which decides how it is stored. */
  public enum Role {
    /** A linear map {@code [out, in]}. */
    LINEAR,
    /** An embedding table {@code [entries, hiddenSize]}. */
    TABLE,
    /** A bias or a LayerNorm's weight, {@code [size]}. */
    VECTOR
  }

  /** Floats that are read at once: what bounds the memory of whoever goes through a tensor. */
  private static final int FLOATS = 1 << 18;

  private final String name;
  private final Role role;
  private final int rows;
  private final int columns;
  private final List<Tensor> tensors;
  private final boolean transposed;

  private SourceTensor(
      String name, Role role, int rows, int columns, List<Tensor> tensors, boolean transposed) {
    this.name = name;
    this.role = role;
    this.rows = rows;
    this.columns = columns;
    this.tensors = List.copyOf(tensors);
    this.transposed = transposed;
  }

  /** A matrix that the checkpoint stores as a shard does. */
  static SourceTensor matrix(String name, Role role, int rows, int columns, Tensor tensor) {
    return new SourceTensor(name, role, rows, columns, List.of(tensor), false);
  }

  /** A linear map that the checkpoint stores {@code [in, out]}, as GPT-2's Conv1D does. */
  static SourceTensor transposed(String name, int rows, int columns, Tensor tensor) {
    return joinedTransposed(name, rows, columns, List.of(tensor));
  }

  /** A linear map whose rows the checkpoint stores in several tensors, each {@code [in, out]}. */
  static SourceTensor joinedTransposed(String name, int rows, int columns, List<Tensor> tensors) {
    return new SourceTensor(name, Role.LINEAR, rows, columns, tensors, true);
  }

  /** A vector. */
  static SourceTensor vector(String name, int size, Tensor tensor) {
    return joinedVector(name, size, List.of(tensor));
  }

  /** A linear map whose rows the checkpoint stores in several tensors. */
  static SourceTensor joinedMatrix(String name, int rows, int columns, List<Tensor> tensors) {
    return new SourceTensor(name, Role.LINEAR, rows, columns, tensors, false);
  }

  /** A vector that the checkpoint stores in several tensors. */
  static SourceTensor joinedVector(String name, int size, List<Tensor> tensors) {
    return new SourceTensor(name, Role.VECTOR, 1, size, tensors, false);
  }

  public String name() {
    return name;
  }

  public Role role() {
    return role;
  }

  /** Rows; 1 for a vector. */
  public int rows() {
    return rows;
  }

  public int columns() {
    return columns;
  }

  /** What the checkpoint stores it in. */
  public Stream<DType> dtypes() {
    return tensors.stream().map(Tensor::dtype).distinct();
  }

  /** Bytes that it takes in the checkpoint. */
  public long bytes() {
    return tensors.stream().mapToLong(tensor -> tensor.elements() * tensor.dtype().bytes()).sum();
  }

  /**
   * Reads some rows.
   *
   * @param first the first of them
   * @param into {@code [count, columns]}, {@code count} being as many rows as fit
   */
  public void read(int first, float[] into) {
    if (transposed) {
      readTransposed(first, into);
      return;
    }
    // The elements of the tensors follow each other.
    long begin = (long) first * columns;
    int done = 0;
    for (Tensor tensor : tensors) {
      ByteBuffer bytes = tensor.bytes();
      while (done < into.length && begin + done < tensor.elements()) {
        into[done] = element(tensor, bytes, begin + done);
        done++;
      }
      begin -= tensor.elements();
    }
  }

  private void readTransposed(int first, float[] into) {
    int end = first + into.length / columns;
    int begin = 0;
    for (Tensor tensor : tensors) {
      int own = Math.toIntExact(tensor.elements() / columns);
      int from = Math.max(first, begin);
      int to = Math.min(end, begin + own);
      ByteBuffer bytes = tensor.bytes();
      // Along the checkpoint's rows, so that pages are read in order.
      for (int column = 0; column < columns; column++) {
        for (int row = from; row < to; row++) {
          into[(row - first) * columns + column] =
              element(tensor, bytes, (long) column * own + row - begin);
        }
      }
      begin += own;
    }
  }

  /** Takes some rows of a tensor. */
  @FunctionalInterface
  public interface Rows {
    /**
     * @param first of the rows
     * @param count of them
     * @param values {@code [count, columns]}
     */
    void take(int first, int count, float[] values) throws IOException;
  }

  /** Reads all rows in order, about a megabyte of them at once. */
  public void forEachBlock(Rows rows) throws IOException {
    int most = Math.min(this.rows, Math.max(1, FLOATS / columns));
    for (int first = 0; first < this.rows; first += most) {
      int count = Math.min(most, this.rows - first);
      float[] block = new float[count * columns];
      read(first, block);
      rows.take(first, count, block);
    }
  }

  private static float element(Tensor tensor, ByteBuffer bytes, long index) {
    int at = Math.toIntExact(index * tensor.dtype().bytes());
    return switch (tensor.dtype()) {
      case F32 -> bytes.getFloat(at);
      case F16 -> Half.toFloat(bytes.getShort(at));
      case BF16 -> Half.fromBfloat16(bytes.getShort(at));
      default -> throw new IllegalStateException(tensor + " is not of a float dtype");
    };
  }

  @Override
  public String toString() {
    return "%s (%s of %s)"
        .formatted(
            name,
            tensors.stream().map(Tensor::name).collect(Collectors.joining(", ")),
            tensors.get(0).origin());
  }
}
