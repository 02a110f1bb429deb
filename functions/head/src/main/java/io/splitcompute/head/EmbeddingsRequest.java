package io.splitcompute.head;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.splitcompute.api.JsonBody;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What {@code POST /v1/embeddings} is asked.
 *
 * @param model the model's name
 * @param input texts or token ids
 * @param encoding how a vector is written
 * @param dimensions how many of a vector's first elements are wanted; all if absent
 */
record EmbeddingsRequest(
    String model, Input input, Encoding encoding, Optional<Integer> dimensions) {

  /** How a vector is written. */
  enum Encoding {
    /** A list of numbers. */
    FLOAT {
      @Override
      long mostBytes(int dimensions) {
        return (long) dimensions * Vectors.JSON_BYTES_A_NUMBER;
      }
    },
    /** Its elements in f32, little-endian, in base64. */
    BASE64 {
      @Override
      long mostBytes(int dimensions) {
        // Four characters for three bytes, the last ones filled up.
        return 4 * (((long) dimensions * Float.BYTES + 2) / 3);
      }
    };

    /** Bytes that a vector of so many dimensions takes, at most. */
    abstract long mostBytes(int dimensions);
  }

  private static final Map<String, Encoding> ENCODINGS =
      Map.of("float", Encoding.FLOAT, "base64", Encoding.BASE64);

  /** {@code user} names the caller's own user, for a bookkeeping that is not done here. */
  private static final Set<String> MEMBERS =
      Set.of("model", "input", "encoding_format", "dimensions", "user");

  /**
   * @throws ProblemException invalid-request if the body is not such a request
   */
  static EmbeddingsRequest parse(byte @Nullable [] bytes, Limits limits) {
    JsonBody body = JsonBody.parse(bytes, MEMBERS);
    return new EmbeddingsRequest(
        body.requiredText("model"),
        Input.parse(nested(body.required("input")), limits),
        body.choice("encoding_format", ENCODINGS).orElse(Encoding.FLOAT),
        body.count("dimensions"));
  }

  /** One sequence of token ids stands without a list of its own in OpenAI's interface. */
  private static JsonNode nested(JsonNode input) {
    return input.isArray() && !input.isEmpty() && input.get(0).isNumber()
        ? JsonNodeFactory.instance.arrayNode().add(input)
        : input;
  }

  /**
   * @throws ProblemException invalid-request if more are asked for than the model has
   */
  int dimensionsOf(int hiddenSize) {
    int asked = dimensions.orElse(hiddenSize);
    if (asked < 1 || asked > hiddenSize) {
      throw ProblemException.invalid(
          "dimensions", "The field 'dimensions' must be an integer from 1 to " + hiddenSize);
    }
    return asked;
  }
}
