package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The JSON files of a checkpoint. */
final class JsonFile {

  /** Far beyond a tokenizer of a quarter of a million tokens. */
  static final int MOST_BYTES = 64 << 20;

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
   * @throws InvalidCheckpointException if it is not one JSON object or list, or too large for one
   */
  static Optional<JsonNode> read(Path file) throws IOException {
    Optional<byte[]> bytes = bytes(file);
    return bytes.isPresent() ? Optional.of(parse(bytes.get(), file.toString())) : Optional.empty();
  }

  /**
   * @return empty if there is no such file
   * @throws InvalidCheckpointException if it has more than {@link #MOST_BYTES}
   */
  static Optional<byte[]> bytes(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    if (Files.size(file) > MOST_BYTES) {
      throw new InvalidCheckpointException(file + " is larger than " + MOST_BYTES + " bytes");
    }
    return Optional.of(Files.readAllBytes(file));
  }

  /**
   * @param origin for messages
   * @throws InvalidCheckpointException if it is not one JSON object or list
   */
  static JsonNode parse(byte[] json, String origin) throws IOException {
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

  /** A node as it is written back. */
  static byte[] write(JsonNode node) throws IOException {
    return MAPPER.writeValueAsBytes(node);
  }
}
