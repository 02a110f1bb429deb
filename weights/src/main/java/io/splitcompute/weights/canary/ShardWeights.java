package io.splitcompute.weights.canary;

import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * A unit's weights decoded from its shard, as a device decodes them.
 *
 * @param shard of one unit in one dtype
 */
public record ShardWeights(SafetensorsFile shard) implements UnitWeights {

  private static final int BLOCK = 32;

  @Override
  public Matrix matrix(String name) throws IOException {
    Tensor tensor = shard.tensor(name);
    long[] shape = tensor.shape();
    int rows = shape.length == 1 ? 1 : Math.toIntExact(shape[0]);
    String in = shard.metadata().get(name + ".in");
    int columns = in != null ? Integer.parseInt(in) : Math.toIntExact(shape[shape.length - 1]);
    return switch (tensor.dtype()) {
      case F32 -> {
        ByteBuffer bytes = tensor.bytes();
        yield new Decoded(rows, columns, stride(tensor, rows), i -> bytes.getFloat(4 * (int) i));
      }
      case F16 -> {
        ByteBuffer bytes = tensor.bytes();
        yield new Decoded(
            rows, columns, stride(tensor, rows), i -> Half.toFloat(bytes.getShort(2 * (int) i)));
      }
      case I8 -> {
        ByteBuffer quants = tensor.bytes();
        ByteBuffer scales = scales(name);
        yield new Decoded(
            rows, columns, stride(tensor, rows), i -> quants.get((int) i) * scale(scales, i));
      }
      case U8 -> {
        ByteBuffer quants = tensor.bytes();
        ByteBuffer scales = scales(name);
        yield new Decoded(
            rows,
            columns,
            2 * stride(tensor, rows),
            i -> (nibble(quants, i) - 8) * scale(scales, i));
      }
      default -> throw new IOException("a shard has " + tensor);
    };
  }

  private ByteBuffer scales(String name) throws IOException {
    Tensor scales = shard.tensor(name + ".scales");
    if (scales.dtype() != DType.F16) {
      throw new IOException("a shard has " + scales);
    }
    return scales.bytes();
  }

  private static long stride(Tensor tensor, int rows) {
    return tensor.elements() / rows;
  }

  private static float scale(ByteBuffer scales, long index) {
    return Half.toFloat(scales.getShort(2 * (int) (index / BLOCK)));
  }

  /** Four bits: column {@code 8j + e} is in byte {@code e mod 4} of word j. */
  private static int nibble(ByteBuffer quants, long index) {
    long word = index / 8;
    int column = (int) (index % 8);
    int bits = quants.get((int) (4 * word + column % 4));
    return (column < 4 ? bits : bits >> 4) & 15;
  }

  /** An element by its index, rows padded. */
  private interface Element {
    float at(long index);
  }

  /**
   * @param stride elements from row to row
   */
  private record Decoded(int rows, int columns, long stride, Element element) implements Matrix {

    @Override
    public void read(int first, float[] into) {
      int count = into.length / columns;
      for (int row = 0; row < count; row++) {
        long begin = (first + row) * stride;
        for (int column = 0; column < columns; column++) {
          into[row * columns + column] = element.at(begin + column);
        }
      }
    }
  }
}
