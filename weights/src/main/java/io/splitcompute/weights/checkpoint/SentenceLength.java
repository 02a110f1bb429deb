package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.NullNode;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What a checkpoint of sentence-transformers says about texts: in {@code sentence_bert_config.json}
 * and, where that gives no length, in {@code tokenizer_config.json}.
 */
public final class SentenceLength {

  private static final String FILE = "sentence_bert_config.json";
  private static final String TOKENIZER = "tokenizer_config.json";
  private static final BigDecimal MOST = BigDecimal.valueOf(Integer.MAX_VALUE);

  /**
   * What the model's step may ask for, where it asks: a pointer, and the value that is supported.
   */
  private static final Map<String, String> STEP =
      Map.of(
          "/transformer_task", "feature-extraction",
          "/modality_config/text/method", "forward",
          "/modality_config/text/method_output_name", "last_hidden_state",
          "/module_output_name", "token_embeddings");

  private SentenceLength() {}

  /**
   * @param maxTokens most tokens that the model takes
   * @return what texts are cut to, special tokens included; null where the checkpoint does not say
   * @throws InvalidCheckpointException if a file is not right, asks for another output of the model
   *     than its last hidden states, or for lower case where the tokenizer keeps upper case, or if
   *     nothing would be left of a text behind the special tokens and the default prompt
   */
  public static @Nullable Integer of(Checkpoint checkpoint, int maxTokens) throws IOException {
    Optional<JsonNode> file = checkpoint.object(FILE);
    if (file.isPresent()) {
      requireSupported(checkpoint, file.get());
      JsonNode length = file.get().path("max_seq_length");
      if (!length.isMissingNode() && !length.isNull()) {
        return within(checkpoint, FILE, "max_seq_length", length, maxTokens);
      }
    }
    // Without the steps it is a plain model's, whose length only bounds what it was trained on.
    return checkpoint.list(SentencePooling.MODULES).isPresent()
        ? ofTokenizer(checkpoint, maxTokens)
        : null;
  }

  private static @Nullable Integer ofTokenizer(Checkpoint checkpoint, int maxTokens)
      throws IOException {
    Optional<JsonNode> file = checkpoint.object(TOKENIZER);
    JsonNode length = file.map(json -> json.path("model_max_length")).orElse(NullNode.instance);
    // Where a tokenizer has no limit, transformers writes 1e30.
    boolean unlimited = length.isNumber() && length.decimalValue().compareTo(MOST) > 0;
    return length.isMissingNode() || length.isNull() || unlimited
        ? null
        : within(checkpoint, TOKENIZER, "model_max_length", length, maxTokens);
  }

  private static int within(
      Checkpoint checkpoint, String file, String member, JsonNode length, int maxTokens)
      throws IOException {
    if (!length.isIntegralNumber() || !length.canConvertToInt() || length.intValue() < 1) {
      throw new InvalidCheckpointException(
          "%s: %s: %s is not a positive integer".formatted(checkpoint.folder(), file, member));
    }
    int tokens = Math.min(length.intValue(), maxTokens);
    Optional<JsonNode> tokenizer = checkpoint.object("tokenizer.json");
    if (tokenizer.isPresent()) {
      int around = TokensAround.least(tokenizer.get(), SentencePrompts.of(checkpoint).before());
      if (tokens <= around) {
        throw new InvalidCheckpointException(
            "%s: %s: %s leaves no token of a text: it is cut to %d, and the special tokens and the default prompt are %d or more"
                .formatted(checkpoint.folder(), file, member, tokens, around));
      }
    }
    return tokens;
  }

  private static void requireSupported(Checkpoint checkpoint, JsonNode file) throws IOException {
    if (file.path("do_lower_case").asBoolean() && !lowersCase(checkpoint)) {
      throw new InvalidCheckpointException(
          "%s: %s asks for do_lower_case, which is supported where the tokenizer does it"
              .formatted(checkpoint.folder(), FILE));
    }
    for (Map.Entry<String, String> asked : new TreeMap<>(STEP).entrySet()) {
      JsonNode value = file.at(asked.getKey());
      if (!value.isMissingNode() && !value.isNull() && !value.asText().equals(asked.getValue())) {
        throw new InvalidCheckpointException(
            "%s: %s asks for %s %s; %s is supported"
                .formatted(
                    checkpoint.folder(),
                    FILE,
                    asked.getKey().substring(1),
                    value,
                    asked.getValue()));
      }
    }
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
