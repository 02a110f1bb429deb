package io.splitcompute.head;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.micronaut.serde.annotation.Serdeable;
import io.swagger.v3.oas.annotations.media.Schema;
import java.util.List;

/**
 * OpenAI's list of embeddings.
 *
 * @param object always {@code list}
 * @param data one for each input, in order
 * @param model the model's name
 * @param usage what was counted
 */
@Serdeable
record EmbeddingsResponse(String object, List<Embedding> data, String model, Usage usage) {

  /**
   * @param object always {@code embedding}
   * @param index of the input
   * @param embedding a list of numbers, or their f32 in base64
   */
  @Serdeable
  record Embedding(
      String object,
      int index,
      @Schema(ref = "#/components/schemas/EmbeddingVector") Object embedding) {}

  /**
   * @param promptTokens tokens of all inputs, special ones included
   * @param totalTokens the same: nothing is generated
   */
  @Serdeable
  record Usage(
      @JsonProperty("prompt_tokens") int promptTokens,
      @JsonProperty("total_tokens") int totalTokens) {}
}
