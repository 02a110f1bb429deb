package io.splitcompute.head;

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
 * @param dtype of the activations
 */
@Serdeable
record EmbedBody(
    String model,
    @Schema(anyOf = {String.class, String[].class, int[][].class}) Object input,
    @Nullable @Schema(minimum = "0") Integer cut,
    @Nullable @Schema(allowableValues = {"mean", "last", "cls", "none"}) String pooling,
    @Nullable Boolean normalize,
    @Nullable @Schema(allowableValues = {"f16", "f32", "i8"}, defaultValue = "f16") String dtype) {}
