package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.Tensor;
import java.nio.ByteBuffer;

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

  private final String name;
  private final Role role;
  private final int rows;
  private final int columns;
  private final Tensor tensor;
  private final boolean transposed;

  private SourceTensor(
      String name, Role role, int rows, int columns, Tensor tensor, boolean transposed) {
    this.name = name;
    this.role = role;
    this.rows = rows;
    this.columns = columns;
    this.tensor = tensor;
    this.transposed = transposed;
  }

  /** A matrix that the checkpoint stores as a shard does. */
  static SourceTensor matrix(String name, Role role, int rows, int columns, Tensor tensor) {
    return new SourceTensor(name, role, rows, columns, tensor, false);
  }

  /** A linear map that the checkpoint stores {@code [in, out]}, as GPT-2's Conv1D does. */
  static SourceTensor transposed(String name, int rows, int columns, Tensor tensor) {
    return new SourceTensor(name, Role.LINEAR, rows, columns, tensor, true);
  }

  /** A vector. */
  static SourceTensor vector(String name, int size, Tensor tensor) {
    return new SourceTensor(name, Role.VECTOR, 1, size, tensor, false);
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
  public DType dtype() {
    return tensor.dtype();
  }

  /** Bytes that it takes in the checkpoint. */
  public long bytes() {
    return tensor.elements() * tensor.dtype().bytes();
  }

  /**
   * Reads some rows.
   *
   * @param first the first of them
   * @param into {@code [count, columns]}, {@code count} being as many rows as fit
   */
  public void read(int first, float[] into) {
    ByteBuffer bytes = tensor.bytes();
    int count = into.length / columns;
    if (!transposed) {
      for (int i = 0; i < into.length; i++) {
        into[i] = element(bytes, (long) first * columns + i);
      }
      return;
    }
    // Along the checkpoint's rows, so that pages are read in order.
    for (int column = 0; column < columns; column++) {
      for (int row = 0; row < count; row++) {
        into[row * columns + column] = element(bytes, (long) column * rows + first + row);
      }
    }
  }

  private float element(ByteBuffer bytes, long index) {
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
    return name + " (" + tensor.name() + " of " + tensor.origin() + ")";
  }
}
