package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The JSON files of a checkpoint. */
final class JsonFile {

  // Numbers keep their digits: a tokenizer's scores are written back as they were read.
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  private JsonFile() {}

  /**
   * @return empty if there is no such file
   * @throws InvalidCheckpointException if it is not one JSON object or list
   */
  static Optional<JsonNode> read(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    return Optional.of(parse(Files.readAllBytes(file), file.toString()));
  }

  private static JsonNode parse(byte[] json, String origin) throws IOException {
    try {
      JsonNode node = MAPPER.readTree(json);
      if (node.isContainerNode()) {
        return node;
      }
    } catch (JsonProcessingException invalid) {
      throw new InvalidCheckpointException(
          origin + " is not JSON: " + invalid.getOriginalMessage().lines().findFirst().orElse(""));
    }
    throw new InvalidCheckpointException(origin + " is neither a JSON object nor a list");
  }

  /**
   * A {@code tokenizer.json}, its own padding and truncation switched off; the very bytes where
   * they are off already.
   *
   * @param origin for messages
   */
  static byte[] withoutPaddingAndTruncation(byte[] tokenizer, String origin) throws IOException {
    JsonNode node = parse(tokenizer, origin);
    if (!node.hasNonNull("truncation") && !node.hasNonNull("padding")) {
      return tokenizer;
    }
    ObjectNode changed = node.deepCopy();
    changed.putNull("truncation");
    changed.putNull("padding");
    return MAPPER.writeValueAsBytes(changed);
  }
}
