package io.splitcompute.weights.shard;

import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The variants that a unit is stored in: which tensors a checkpoint's tensor becomes. */
public enum ShardDType {
  /** Everything in F32, nothing padded. */
  F32 {
    @Override
    List<Source> encode(SourceTensor tensor) {
      return List.of(plain(tensor, DType.F32, tensor.columns()));
    }
  },
  /** Linear weights and tables in F16, the rows of linear weights padded to 32 columns. */
  F16 {
    @Override
    List<Source> encode(SourceTensor tensor) {
      return List.of(
          switch (tensor.role()) {
            case VECTOR -> plain(tensor, DType.F32, tensor.columns());
            case TABLE -> plain(tensor, DType.F16, tensor.columns());
            case LINEAR -> plain(tensor, DType.F16, (tensor.columns() + 31) / 32 * 32);
          });
    }
  };

  /** Floats that are read from a checkpoint at once; what bounds the sharder's memory. */
  private static final int BLOCK = 1 << 18;

  /** The tensors that stand for one of the checkpoint's. */
  abstract List<Source> encode(SourceTensor tensor);

  /** The name in manifests and on command lines. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The variant of a name. */
  public static Optional<ShardDType> named(String word) {
    return Arrays.stream(values()).filter(dtype -> dtype.word().equals(word)).findFirst();
  }

  /** A tensor in a float dtype, its rows padded with zeros to {@code width} columns. */
  private static Source plain(SourceTensor tensor, DType dtype, int width) {
    long[] shape =
        tensor.role() == Role.VECTOR ? new long[] {width} : new long[] {tensor.rows(), width};
    return new Source(tensor.name(), dtype, shape, out -> write(tensor, dtype, width, out));
  }

  private static void write(SourceTensor tensor, DType dtype, int width, OutputStream out)
      throws IOException {
    int columns = tensor.columns();
    int most = Math.min(tensor.rows(), Math.max(1, BLOCK / columns));
    for (int first = 0; first < tensor.rows(); first += most) {
      int count = Math.min(most, tensor.rows() - first);
      float[] block = new float[count * columns];
      tensor.read(first, block);
      ByteBuffer bytes =
          ByteBuffer.allocate(count * width * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
      for (int row = 0; row < count; row++) {
        bytes.position(row * width * dtype.bytes());
        for (int column = 0; column < columns; column++) {
          put(tensor, dtype, block[row * columns + column], bytes);
        }
      }
      out.write(bytes.array());
    }
  }

  private static void put(SourceTensor tensor, DType dtype, float value, ByteBuffer bytes)
      throws IOException {
    if (!Float.isFinite(value)) {
      throw new IOException("tensor " + tensor + " has a value that is not finite");
    }
    if (dtype == DType.F32) {
      bytes.putFloat(value);
      return;
    }
    if (Math.abs(value) > Half.MAX_VALUE) {
      throw new IOException(
          "tensor "
              + tensor
              + " has the value "
              + value
              + ", which f16 cannot hold; shard it in f32");
    }
    bytes.putShort(Half.fromFloat(value));
  }
}
