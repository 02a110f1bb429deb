package io.splitcompute.head;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.micronaut.serde.annotation.Serdeable;
import io.swagger.v3.oas.annotations.media.Schema;
import org.jspecify.annotations.Nullable;

/**
 * The body of {@code POST /v1/embed}, for the API's description. {@link EmbedRequest} reads it.
 *
 * @param model a model's name
 * @param input a text, a list of texts or a list of lists of token ids
 * @param cut how many layers the cloud runs, 0 to n; n if absent
 * @param pooling how an embedding is made; the model's own if absent
 * @param normalize whether an embedding is divided by its L2 norm; the model's own if absent
 * @param dtype of the activations, f16 if absent
 */
@Serdeable
record EmbedBody(
    String model,
    @Schema(ref = "#/components/schemas/EmbedInput") Object input,
    @Nullable Integer cut,
    @Nullable PoolingWord pooling,
    @Nullable Boolean normalize,
    @Nullable DtypeWord dtype) {

  /** How an embedding is made. */
  enum PoolingWord {
    @JsonProperty("mean")
    MEAN,
    @JsonProperty("last")
    LAST,
    @JsonProperty("cls")
    CLS,
    @JsonProperty("none")
    NONE
  }

  /** The dtypes in which activations travel. */
  enum DtypeWord {
    @JsonProperty("f16")
    F16,
    @JsonProperty("f32")
    F32,
    @JsonProperty("i8")
    I8
  }
}
