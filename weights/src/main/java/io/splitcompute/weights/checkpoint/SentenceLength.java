package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What {@code sentence_bert_config.json} says about texts, where sentence-transformers wrote one.
 */
public final class SentenceLength {

  private static final String FILE = "sentence_bert_config.json";

  private SentenceLength() {}

  /**
   * @param maxTokens most tokens that the model takes
   * @return what texts are cut to, special tokens included; null where the checkpoint does not say
   * @throws InvalidCheckpointException if the file is not right, or asks for lower case where the
   *     tokenizer keeps upper case
   */
  public static @Nullable Integer of(Checkpoint checkpoint, int maxTokens) throws IOException {
    Optional<JsonNode> file = checkpoint.object(FILE);
    if (file.isEmpty()) {
      return null;
    }
    if (file.get().path("do_lower_case").asBoolean() && !lowersCase(checkpoint)) {
      throw new InvalidCheckpointException(
          "%s: %s asks for do_lower_case, which is supported where the tokenizer does it"
              .formatted(checkpoint.folder(), FILE));
    }
    JsonNode length = file.get().path("max_seq_length");
    if (length.isMissingNode() || length.isNull()) {
      return null;
    }
    if (!length.isIntegralNumber() || !length.canConvertToInt() || length.intValue() < 1) {
      throw new InvalidCheckpointException(
          "%s: %s: max_seq_length is not a positive integer".formatted(checkpoint.folder(), FILE));
    }
    return Math.min(length.intValue(), maxTokens);
  }

  private static boolean lowersCase(Checkpoint checkpoint) throws IOException {
    Optional<JsonNode> tokenizer = checkpoint.object("tokenizer.json");
    return tokenizer.isEmpty() || lowersCase(tokenizer.get().path("normalizer"));
  }

  private static boolean lowersCase(JsonNode normalizer) {
    for (JsonNode part : normalizer.path("normalizers")) {
      if (lowersCase(part)) {
        return true;
      }
    }
    return normalizer.path("lowercase").asBoolean()
        || normalizer.path("type").asText().equals("Lowercase");
  }
}
