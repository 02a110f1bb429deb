package io.splitcompute.weights.store;

import io.splitcompute.weights.InvalidManifestException;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import java.time.Instant;

/** A model's current manifest, as it lies in a store. */
public final class PublishedManifest {

  private final Manifest manifest;
  private final String revision;
  private final byte[] bytes;
  private final Instant published;

  private PublishedManifest(Manifest manifest, byte[] bytes, Instant published) {
    this.manifest = manifest;
    this.revision = Sha256.of(bytes);
    this.bytes = bytes;
    this.published = published;
  }

  /**
   * @param bytes the manifest as it was published
   * @param published when
   * @throws InvalidManifestException if the bytes are no manifest
   */
  public static PublishedManifest of(byte[] bytes, Instant published)
      throws InvalidManifestException {
    return new PublishedManifest(Manifest.parse(bytes), bytes.clone(), published);
  }

  /**
   * @param model whose manifest it must be
   * @param bytes the manifest as it was published
   * @param published when
   * @throws InvalidManifestException if the bytes are no manifest, or another model's
   */
  public static PublishedManifest of(ModelName model, byte[] bytes, Instant published)
      throws InvalidManifestException {
    PublishedManifest found = of(bytes, published);
    if (!found.manifest().model().equals(model)) {
      throw new InvalidManifestException(
          "the manifest of " + model + " is the model " + found.manifest().model() + "'s");
    }
    return found;
  }

  public Manifest manifest() {
    return manifest;
  }

  /** SHA-256 of the manifest's bytes. */
  public String revision() {
    return revision;
  }

  public byte[] bytes() {
    return bytes.clone();
  }

  public Instant published() {
    return published;
  }
}
