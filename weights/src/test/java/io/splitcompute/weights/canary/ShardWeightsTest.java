package io.splitcompute.weights.canary;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Vectors;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.SafetensorsWriter;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Quants and scales decode to what numpy makes of them. */
class ShardWeightsTest {

  private static Stream<Arguments> vectors() {
    return Stream.of("q8", "q4")
        .flatMap(
            dtype ->
                Vectors.each(Vectors.read(dtype + ".json").get("exact"))
                    .map(vector -> Arguments.of(dtype, vector)));
  }

  @ParameterizedTest
  @MethodSource("vectors")
  void shouldDecode(String dtype, JsonNode vector) throws Exception {
    int rows = vector.get("rows").intValue();
    int columns = vector.get("columns").intValue();
    byte[] quants = Base64.getDecoder().decode(vector.get("quants").textValue());
    byte[] scales = Base64.getDecoder().decode(vector.get("scales").textValue());
    byte[] shard =
        SafetensorsWriter.toBytes(
            Map.of("w.in", Integer.toString(columns)),
            List.of(
                new Source(
                    "w",
                    dtype.equals("q8") ? DType.I8 : DType.U8,
                    new long[] {rows, quants.length / rows},
                    out -> out.write(quants)),
                new Source(
                    "w.scales",
                    DType.F16,
                    new long[] {rows, scales.length / 2 / rows},
                    out -> out.write(scales))));

    float[] decoded = new float[rows * columns];
    new ShardWeights(SafetensorsFile.parse(ByteBuffer.wrap(shard))).matrix("w").read(0, decoded);

    // Zeros have no sign here.
    float[] expected = Vectors.floats(vector.get("decoded"));
    for (int i = 0; i < expected.length; i++) {
      decoded[i] += 0f;
      expected[i] += 0f;
    }
    assertArrayEquals(expected, decoded);
  }
}
