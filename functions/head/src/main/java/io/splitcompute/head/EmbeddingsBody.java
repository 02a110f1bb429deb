package io.splitcompute.head;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.micronaut.serde.annotation.Serdeable;
import io.swagger.v3.oas.annotations.media.Schema;
import org.jspecify.annotations.Nullable;

/**
 * The body of {@code POST /v1/embeddings}, for the API's description. {@link EmbeddingsRequest}
 * reads it.
 *
 * @param model a model's name
 * @param input a text, a list of texts, a list of token ids or a list of such lists
 * @param encodingFormat how vectors are written, float if absent
 * @param dimensions how many of a vector's first elements are wanted; what is left is normalised
 * @param user taken, and not used
 */
@Serdeable
record EmbeddingsBody(
    String model,
    @Schema(ref = "#/components/schemas/EmbeddingsInput") Object input,
    @JsonProperty("encoding_format") @Nullable EncodingWord encodingFormat,
    @Nullable Integer dimensions,
    @Nullable String user) {

  /** How a vector is written. */
  enum EncodingWord {
    @JsonProperty("float")
    FLOAT,
    @JsonProperty("base64")
    BASE64
  }
}
