package io.splitcompute.head.message;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.head.model.TokenBatch;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Locale;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The message, byte for byte, against vectors that numpy wrote and the safetensors library read.
 */
final class ActivationsMessageTest {

  static Stream<Arguments> messages() throws Exception {
    JsonNode vectors =
        new JsonMapper().readTree(Path.of("src/test/resources/vectors/activations.json").toFile());
    return StreamSupport.stream(vectors.path("messages").spliterator(), false)
        .map(vector -> Arguments.of(vector.path("name").asText(), vector));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("messages")
  void shouldWriteTheVector(String name, JsonNode vector) {
    JsonNode metadata = vector.path("metadata");

    byte[] message =
        ActivationsMessage.write(
            new ActivationsMessage.Origin(
                metadata.path("model").asText(),
                metadata.path("revision").asText(),
                vector.path("cut").intValue(),
                metadata.path("ledger").asText()),
            new TokenBatch(integers(vector.path("tokens")), integers(vector.path("lengths"))),
            floats(vector.path("given")),
            vector.path("hiddenSize").intValue(),
            HiddenDtype.valueOf(vector.path("asked").asText().toUpperCase(Locale.ROOT)));

    assertArrayEquals(Base64.getDecoder().decode(vector.path("base64").asText()), message);
  }

  private static int[] integers(JsonNode list) {
    return StreamSupport.stream(list.spliterator(), false).mapToInt(JsonNode::intValue).toArray();
  }

  private static float[] floats(JsonNode list) {
    float[] floats = new float[list.size()];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = (float) list.get(i).doubleValue();
    }
    return floats;
  }
}
