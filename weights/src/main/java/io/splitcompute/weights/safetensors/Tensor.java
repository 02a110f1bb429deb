package io.splitcompute.weights.safetensors;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** A tensor of a file: its type, its shape and, row-major in little-endian order, its elements. */
public final class Tensor {

  private final String origin;
  private final String name;
  private final DType dtype;
  private final long[] shape;
  private final ByteBuffer bytes;

  Tensor(String origin, String name, DType dtype, long[] shape, ByteBuffer bytes) {
    this.origin = origin;
    this.name = name;
    this.dtype = dtype;
    this.shape = shape;
    this.bytes = bytes;
  }

  /** The file it is of, for messages. */
  public String origin() {
    return origin;
  }

  public String name() {
    return name;
  }

  public DType dtype() {
    return dtype;
  }

  /** The sizes, outermost first; none for a scalar. */
  public long[] shape() {
    return shape.clone();
  }

  /** Number of elements. */
  public long elements() {
    return bytes.capacity() / dtype.bytes();
  }

  /** The elements: a read-only view in little-endian order, positioned at the first one. */
  public ByteBuffer bytes() {
    return bytes.asReadOnlyBuffer().rewind().order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public String toString() {
    return name + " " + dtype + Arrays.toString(shape);
  }
}
