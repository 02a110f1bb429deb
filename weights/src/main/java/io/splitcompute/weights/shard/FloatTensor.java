package io.splitcompute.weights.shard;

import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A checkpoint's tensor in F32 or F16. */
final class FloatTensor {

  private FloatTensor() {}

  /**
   * @param width columns of a row, those behind the tensor's own being zero
   */
  static Source source(SourceTensor tensor, DType dtype, int width) {
    long[] shape =
        tensor.role() == Role.VECTOR ? new long[] {width} : new long[] {tensor.rows(), width};
    int columns = tensor.columns();
    return new Source(
        tensor.name(),
        dtype,
        shape,
        out ->
            tensor.forEachBlock(
                (first, count, values) -> {
                  ByteBuffer bytes =
                      ByteBuffer.allocate(count * width * dtype.bytes())
                          .order(ByteOrder.LITTLE_ENDIAN);
                  for (int row = 0; row < count; row++) {
                    bytes.position(row * width * dtype.bytes());
                    for (int column = 0; column < columns; column++) {
                      put(tensor, dtype, values[row * columns + column], bytes);
                    }
                  }
                  out.write(bytes.array());
                }));
  }

  private static void put(SourceTensor tensor, DType dtype, float value, ByteBuffer bytes)
      throws IOException {
    if (dtype == DType.F32) {
      bytes.putFloat(requireFinite(tensor, value));
    } else {
      bytes.putShort(Half.fromFloat(requireWithinF16(tensor, value)));
    }
  }

  private static float requireFinite(SourceTensor tensor, float value) throws IOException {
    if (!Float.isFinite(value)) {
      throw new IOException("tensor " + tensor + " has a value that is not finite");
    }
    return value;
  }

  /**
   * @throws IOException if an f16 has no such value
   */
  static float requireWithinF16(SourceTensor tensor, float value) throws IOException {
    if (Math.abs(requireFinite(tensor, value)) > Half.MAX_VALUE) {
      throw new IOException(
          "tensor "
              + tensor
              + " has the value "
              + value
              + ", which f16 cannot hold; shard it in f32");
    }
    return value;
  }
}
