package io.splitcompute.head;

import io.micronaut.serde.annotation.Serdeable;

/**
 * Finished embeddings.
 *
 * @param model the model's name
 * @param revision SHA-256 of the manifest of the weights that ran
 * @param cut the number of layers, all of which ran in the cloud
 * @param embeddings {@code [inputs][hiddenSize]}
 * @param lengths tokens of each input
 * @param ledger what the request cost
 */
@Serdeable
record EmbedResponse(
    String model, String revision, int cut, float[][] embeddings, int[] lengths, Ledger ledger) {

  /**
   * @param cloud the cloud's side
   */
  @Serdeable
  record Ledger(CloudLedger cloud) {}
}
