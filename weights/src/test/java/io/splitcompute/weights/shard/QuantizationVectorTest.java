package io.splitcompute.weights.shard;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Vectors;
import io.splitcompute.weights.checkpoint.LinearWeights;
import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Quantised weights against numpy: weights that quants hold exactly, and a bound for all others.
 */
class QuantizationVectorTest {

  private static Stream<Arguments> exact() {
    return vectors("exact")
        .filter(vector -> ((JsonNode) vector.get()[1]).get("encodes").asBoolean());
  }

  private static Stream<Arguments> bounded() {
    return vectors("bounded");
  }

  private static Stream<Arguments> vectors(String kind) {
    return Stream.of(ShardDType.Q8, ShardDType.Q4)
        .flatMap(
            dtype ->
                Vectors.each(Vectors.read(dtype.word() + ".json").get(kind))
                    .map(vector -> Arguments.of(dtype, vector)));
  }

  @ParameterizedTest
  @MethodSource("exact")
  void shouldFindTheQuantsThatHoldTheWeights(ShardDType dtype, JsonNode vector) throws Exception {
    List<byte[]> encoded = encode(dtype, vector, Vectors.floats(vector.get("decoded")));

    assertArrayEquals(bytes(vector, "quants"), encoded.get(0));
    assertArrayEquals(bytes(vector, "scales"), encoded.get(1));
  }

  @ParameterizedTest
  @MethodSource("bounded")
  void shouldBeNoWorseThanTheScaleOfTheLargestWeight(ShardDType dtype, JsonNode vector)
      throws Exception {
    float[] values = Vectors.floats(vector.get("bits"));
    List<byte[]> encoded = encode(dtype, vector, values);
    ByteBuffer scales = ByteBuffer.wrap(encoded.get(1)).order(ByteOrder.LITTLE_ENDIAN);

    for (int block = 0; block < values.length / 32; block++) {
      double scale = Half.toFloat(scales.getShort(2 * block));
      double error = 0;
      for (int i = 32 * block; i < 32 * (block + 1); i++) {
        double difference = values[i] - scale * quant(dtype, encoded.get(0), i);
        error += difference * difference;
      }
      double naive = vector.get("errorOfTheNaiveScale").get(block).doubleValue();
      assertTrue(error <= naive * (1 + 1e-12), error + " is more than " + naive);
    }
  }

  private static int quant(ShardDType dtype, byte[] quants, int i) {
    if (dtype == ShardDType.Q8) {
      return quants[i];
    }
    int word = ByteBuffer.wrap(quants).order(ByteOrder.LITTLE_ENDIAN).getInt(i / 8 * 4);
    int column = i % 8;
    return (word >>> (8 * (column % 4) + 4 * (column / 4)) & 15) - 8;
  }

  private static List<byte[]> encode(ShardDType dtype, JsonNode vector, float[] values)
      throws IOException {
    SourceTensor tensor =
        LinearWeights.of(vector.get("rows").intValue(), vector.get("columns").intValue(), values);
    List<byte[]> encoded = new ArrayList<>();
    for (Source source : dtype.encode(tensor)) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      source.content().writeTo(out);
      encoded.add(out.toByteArray());
    }
    return encoded;
  }

  private static byte[] bytes(JsonNode vector, String member) {
    return Base64.getDecoder().decode(vector.get(member).textValue());
  }
}
