package io.splitcompute.api;

import io.micronaut.context.annotation.ConfigurationProperties;
import io.micronaut.core.bind.annotation.Bindable;

/**
 * What one request may ask for.
 *
 * @param maxInputs inputs of one request
 * @param maxTokensPerRequest tokens of all inputs of one request
 * @param maxResponseBytes bytes of a response's body; what is larger travels through the
 *     activations bucket. 4.5 MB are 6 MB in base64, which is what Lambda lets through
 */
@ConfigurationProperties("splitcompute.limits")
public record Limits(
    @Bindable(defaultValue = "2048") int maxInputs,
    @Bindable(defaultValue = "16384") int maxTokensPerRequest,
    @Bindable(defaultValue = "4500000") int maxResponseBytes) {

  /**
   * @throws IllegalArgumentException if a limit allows nothing
   */
  public Limits {
    if (maxInputs < 1 || maxTokensPerRequest < 1 || maxResponseBytes < 1) {
      throw new IllegalArgumentException("splitcompute.limits must all be at least 1");
    }
  }

  /**
   * Refuses, before any work, what would not fit a response.
   *
   * @param bytes of the response's body, at most
   * @throws ProblemException invalid-request if they are too many
   */
  public void requireResponse(long bytes) {
    requireResponse(bytes, "");
  }

  /**
   * Like {@link #requireResponse(long)}, where fewer inputs are not the only way out.
   *
   * @param alternative what else the caller can do: {@code or} and an imperative
   * @throws ProblemException invalid-request if they are too many
   */
  public void requireResponse(long bytes, String alternative) {
    if (bytes > maxResponseBytes) {
      throw ProblemException.invalid(
          "input",
          "The answer would be larger than the %d bytes of a response; send fewer inputs at once %s"
              .formatted(maxResponseBytes, alternative)
              .strip());
    }
  }
}
