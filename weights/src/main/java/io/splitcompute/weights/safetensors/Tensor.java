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

  /**
   * A tensor of another kind of file.
   *
   * @param origin the file it is of, for messages
   * @param bytes its elements, row-major in little-endian order
   * @throws IllegalArgumentException if they are not as many as the shape says
   */
  public static Tensor of(String origin, String name, DType dtype, long[] shape, ByteBuffer bytes) {
    long expected = dtype.bytes();
    for (long size : shape) {
      if (size < 0 || (size > 0 && expected > Long.MAX_VALUE / size)) {
        throw new IllegalArgumentException(name + " has a shape that none can have");
      }
      expected *= size;
    }
    if (expected != bytes.remaining()) {
      throw new IllegalArgumentException(
          "%s has %d bytes where its shape %s asks for %d"
              .formatted(name, bytes.remaining(), Arrays.toString(shape), expected));
    }
    return new Tensor(origin, name, dtype, shape.clone(), bytes.slice());
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
