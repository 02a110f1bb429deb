package io.splitcompute.head.model;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.splitcompute.head.program.Programs;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.PublishedManifest;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** One model, loaded: runs its layers up to a cut. Safe for use by several threads. */
public final class Head implements AutoCloseable {

  private final PublishedManifest published;
  private final NDManager manager;
  private final Programs programs;
  private final HeadWeights weights;
  private final @Nullable Tokenizer tokenizer;

  private Head(
      PublishedManifest published,
      NDManager manager,
      Programs programs,
      HeadWeights weights,
      @Nullable Tokenizer tokenizer) {
    this.published = published;
    this.manager = manager;
    this.programs = programs;
    this.weights = weights;
    this.tokenizer = tokenizer;
  }

  /**
   * Loads a model on the CPU.
   *
   * @throws IOException if a shard cannot be read or is not what the manifest says
   */
  public static Head load(PublishedManifest published, WeightStore store) throws IOException {
    Manifest manifest = published.manifest();
    NDManager manager = NDManager.newBaseManager(Device.cpu(), "PyTorch");
    try {
      HeadWeights weights = HeadWeights.load(manifest, store, manager);
      Programs programs = Programs.compile(manifest, Device.cpu());
      Manifest.Shard tokenizer = manifest.tokenizer();
      return new Head(
          published,
          manager,
          programs,
          weights,
          tokenizer == null ? null : Tokenizer.load(tokenizer, store));
    } catch (IOException | RuntimeException failed) {
      manager.close();
      throw failed;
    }
  }

  public Manifest manifest() {
    return published.manifest();
  }

  /** SHA-256 of the manifest that this head was loaded from. */
  public String revision() {
    return published.revision();
  }

  /** The model's tokenizer; none if its checkpoint came without one. */
  public Optional<Tokenizer> tokenizer() {
    return Optional.ofNullable(tokenizer);
  }

  /**
   * Runs the layers {@code [0, cut)}.
   *
   * @param batch token ids within the vocabulary, each sequence within the model's positions
   * @param cut from 1 to n
   * @return {@code [tokens, hiddenSize]}, row by row: the input of layer {@code cut}, or at {@code
   *     cut = n} the output of the last layer after the final LayerNorm
   */
  public float[] run(TokenBatch batch, int cut) {
    try (NDManager request = manager.newSubManager()) {
      NDArray ids = request.create(batch.tokens());
      NDArray positions = request.create(batch.positions());
      NDArray lengths =
          request.create(
              Arrays.stream(batch.lengths()).asLongStream().toArray(),
              new Shape(batch.lengths().length));
      NDArray x = programs.embeddings().run(inputs(List.of(ids, positions), weights.embeddings()));
      for (List<NDArray> layer : weights.layers().subList(0, cut)) {
        NDArray next = programs.layer().run(inputs(List.of(x, lengths), layer));
        x.close();
        x = next;
      }
      if (cut == manifest().layers()) {
        x = programs.finalNorm().run(inputs(List.of(x), weights.finalNorm()));
      }
      return x.toFloatArray();
    }
  }

  private static List<NDArray> inputs(List<NDArray> own, List<NDArray> weights) {
    return Stream.concat(own.stream(), weights.stream()).toList();
  }

  @Override
  public void close() {
    programs.close();
    manager.close();
    if (tokenizer != null) {
      tokenizer.close();
    }
  }
}
