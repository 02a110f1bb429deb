package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Map;

/** Linear weights of a checkpoint in memory. */
public final class LinearWeights {

  private LinearWeights() {}

  public static SourceTensor of(int rows, int columns, float[] values) throws IOException {
    ByteBuffer bytes =
        ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    SafetensorsFile file =
        SafetensorsFile.parse(
            ByteBuffer.wrap(
                SafetensorsWriter.toBytes(
                    Map.of(),
                    List.of(
                        new SafetensorsWriter.Source(
                            "w",
                            DType.F32,
                            new long[] {rows, columns},
                            out -> out.write(bytes.array()))))));
    return SourceTensor.matrix("w", SourceTensor.Role.LINEAR, rows, columns, file.tensor("w"));
  }
}
