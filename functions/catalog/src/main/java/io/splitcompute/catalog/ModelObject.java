package io.splitcompute.catalog;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.micronaut.serde.annotation.Serdeable;
import io.splitcompute.api.Limits;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.PublishedManifest;
import java.util.List;

/**
 * A model as the API lists it: OpenAI's model object and what a split needs to know.
 *
 * @param id the model's name
 * @param object always {@code model}
 * @param created when it was published, seconds since 1970
 * @param ownedBy always {@code splitcompute}
 * @param layers number of layers; cuts go from 0 to it
 * @param hiddenSize elements of an activation
 * @param revision SHA-256 of the manifest
 * @param dtypes the weights' dtypes that shards exist in
 * @param limits what one request may ask for
 */
@Serdeable
public record ModelObject(
    String id,
    String object,
    long created,
    @JsonProperty("owned_by") String ownedBy,
    int layers,
    int hiddenSize,
    String revision,
    List<String> dtypes,
    ModelLimits limits) {

  /**
   * @param maxInputs inputs of one request
   * @param maxTokensPerInput tokens of one input
   * @param maxTokensPerRequest tokens of all inputs together
   */
  @Serdeable
  public record ModelLimits(int maxInputs, int maxTokensPerInput, int maxTokensPerRequest) {}

  static ModelObject of(PublishedManifest published, Limits limits) {
    Manifest manifest = published.manifest();
    return new ModelObject(
        manifest.model().value(),
        "model",
        published.published().getEpochSecond(),
        "splitcompute",
        manifest.layers(),
        manifest.hiddenSize(),
        published.revision(),
        manifest.dtypes(),
        new ModelLimits(limits.maxInputs(), manifest.maxTokens(), limits.maxTokensPerRequest()));
  }
}
