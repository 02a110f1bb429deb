package io.splitcompute.head.schedule;

import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/** The layers of one model on one device, driven by one thread. */
public interface LayerStack {

  /**
   * Puts a batch on the device and embeds it.
   *
   * @throws DeviceMemoryException if it does not fit
   */
  Activations embed(TokenBatch batch);

  /** Bytes of activations that a token of a batch takes on the device, at most. */
  long bytesPerToken();

  /** Bytes of activations that fit there; {@link Long#MAX_VALUE} where nothing bounds them. */
  long bytesLeft();

  /** Tokens of a batch that fit there. */
  default int mostTokens() {
    return (int) Math.min(Integer.MAX_VALUE, bytesLeft() / bytesPerToken());
  }

  /** Gives the device's memory back that is kept for batches to come. */
  void releaseMemory();

  /** What a batch is between two layers. */
  interface Activations extends AutoCloseable {

    /**
     * Runs the next layers, as many as the device is given at once.
     *
     * @param most at most so many, at least one
     * @return how many
     * @throws DeviceMemoryException if they do not fit
     */
    int runLayers(int most);

    /** Runs exactly so many. */
    default void run(int layers) {
      for (int ran = 0; ran < layers; ) {
        ran += runLayers(layers - ran);
      }
    }

    /**
     * Reads sequences. Behind the last layer they go through the final LayerNorm, if the model has
     * one.
     *
     * @param sequences of those that are there, by index
     * @param pooling what each becomes; null for its rows as they are
     * @return {@code [rows, hiddenSize]}: their rows end to end, or pooled one row each
     */
    float[] read(BitSet sequences, Manifest.Pooling.@Nullable Kind pooling);

    /** Goes on with some of the sequences that are there; what remains is numbered anew from 0. */
    void keep(BitSet sequences);

    @Override
    void close();
  }
}
