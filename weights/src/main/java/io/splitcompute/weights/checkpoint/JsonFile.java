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
    try {
      JsonNode node = MAPPER.readTree(file.toFile());
      if (node.isContainerNode()) {
        return Optional.of(node);
      }
    } catch (JsonProcessingException invalid) {
      throw new InvalidCheckpointException(
          file + " is not JSON: " + invalid.getOriginalMessage().lines().findFirst().orElse(""));
    }
    throw new InvalidCheckpointException(file + " is neither a JSON object nor a list");
  }

  /** The object's JSON, some of its members set to null. */
  static byte[] withNulls(JsonNode node, String... members) throws IOException {
    ObjectNode changed = node.deepCopy();
    for (String member : members) {
      changed.putNull(member);
    }
    return MAPPER.writeValueAsBytes(changed);
  }
}
