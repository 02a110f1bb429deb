package io.splitcompute.head;

import io.splitcompute.head.message.ActivationsLocation;

/** What {@code /v1/embed} answers. */
sealed interface EmbedAnswer {

  /** Finished embeddings, an {@link EmbedResponse} in JSON. */
  record Embeddings(byte[] json) implements EmbedAnswer {}

  /** An activations message that fits a response. */
  record Message(byte[] bytes) implements EmbedAnswer {}

  /** An activations message in the bucket. */
  record Elsewhere(ActivationsLocation location, boolean redirect) implements EmbedAnswer {}
}
