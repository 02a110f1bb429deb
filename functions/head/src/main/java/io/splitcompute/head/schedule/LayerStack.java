package io.splitcompute.head.schedule;

import io.splitcompute.head.model.TokenBatch;
import java.util.BitSet;

/** The layers of one model on one device, driven by one thread. */
public interface LayerStack {

  /**
   * Puts a batch on the device and embeds it.
   *
   * @throws DeviceMemoryException if it does not fit
   */
  Activations embed(TokenBatch batch);

  /** What a batch is between two layers. */
  interface Activations extends AutoCloseable {

    /**
     * Runs the next layer.
     *
     * @throws DeviceMemoryException if it does not fit
     */
    void runLayer();

    /**
     * Reads sequences.
     *
     * @param sequences of those that are there, by index
     * @return their rows end to end, {@code [rows, hiddenSize]}; behind the last layer they went
     *     through the final LayerNorm, if the model has one
     */
    float[] read(BitSet sequences);

    /** Goes on with some of the sequences that are there; what remains is numbered anew from 0. */
    void keep(BitSet sequences);

    @Override
    void close();
  }
}
