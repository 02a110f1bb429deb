package io.splitcompute.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.Base64;
import java.util.Objects;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The format vectors, which the TypeScript tests read too. */
public final class Vectors {

  private Vectors() {}

  public static JsonNode read(String name) {
    try (InputStream in = Vectors.class.getResourceAsStream("/vectors/" + name)) {
      return new JsonMapper().readTree(Objects.requireNonNull(in, name));
    } catch (IOException unreadable) {
      throw new IllegalStateException(unreadable);
    }
  }

  public static Stream<JsonNode> each(JsonNode list) {
    return StreamSupport.stream(list.spliterator(), false);
  }

  public static byte[] bytes(JsonNode vector) {
    return Base64.getDecoder().decode(vector.get("base64").textValue());
  }

  /** Floats by their bits. */
  public static float[] floats(JsonNode bits) {
    float[] values = new float[bits.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = Float.intBitsToFloat(Integer.parseUnsignedInt(bits.get(i).textValue(), 16));
    }
    return values;
  }
}
