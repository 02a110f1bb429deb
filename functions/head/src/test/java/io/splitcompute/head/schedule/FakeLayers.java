package io.splitcompute.head.schedule;

import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Layers that add one to each token's row of one element, so that an answer tells its token and its
 * layers. It records the batches and holds them up where a test says so.
 */
public final class FakeLayers implements LayerStack {

  /** Each batch's lengths. */
  final List<int[]> batches = new CopyOnWriteArrayList<>();

  /** Tokens that each layer ran, in order. */
  final List<Integer> layerTokens = new CopyOnWriteArrayList<>();

  /** How often memory was to be given back. */
  final AtomicInteger releases = new AtomicInteger();

  /** What fits the device, as far as it is known. */
  volatile long bytesLeft = Long.MAX_VALUE;

  private final int memoryTokens;
  private final IntConsumer beforeLayer;
  private final int layersAtOnce;

  /**
   * @param memoryTokens most tokens that fit
   * @param beforeLayer is told each layer before it runs, on the device's thread
   */
  public FakeLayers(int memoryTokens, IntConsumer beforeLayer) {
    this(memoryTokens, beforeLayer, 1);
  }

  private FakeLayers(int memoryTokens, IntConsumer beforeLayer, int layersAtOnce) {
    this.memoryTokens = memoryTokens;
    this.beforeLayer = beforeLayer;
    this.layersAtOnce = layersAtOnce;
  }

  /** A device that is given so many layers at once. */
  static FakeLayers atOnce(int layers) {
    return new FakeLayers(Integer.MAX_VALUE, layer -> {}, layers);
  }

  FakeLayers() {
    this(Integer.MAX_VALUE, layer -> {});
  }

  @Override
  public long bytesPerToken() {
    return 10;
  }

  @Override
  public long bytesLeft() {
    return bytesLeft;
  }

  @Override
  public void releaseMemory() {
    releases.incrementAndGet();
  }

  /** A model of these layers on one device. */
  ScheduledModel model() {
    return new ScheduledModel("fake", List.of(this), new Rate());
  }

  @Override
  public Activations embed(TokenBatch batch) {
    batches.add(batch.lengths());
    return new Activations() {
      private List<float[]> sequences = split(batch);
      private int layer;

      @Override
      public int runLayers(int most) {
        int ran = Math.min(most, layersAtOnce);
        for (int i = 0; i < ran; i++) {
          runLayer();
        }
        return ran;
      }

      private void runLayer() {
        beforeLayer.accept(layer++);
        int tokens = sequences.stream().mapToInt(sequence -> sequence.length).sum();
        if (tokens > memoryTokens) {
          throw new DeviceMemoryException(new IllegalStateException("full"));
        }
        layerTokens.add(tokens);
        for (float[] sequence : sequences) {
          for (int i = 0; i < sequence.length; i++) {
            sequence[i]++;
          }
        }
      }

      @Override
      public float[] read(BitSet wanted, Manifest.Pooling.@Nullable Kind pooling) {
        if (pooling != null) {
          // The first row of each will do: a layer does to all rows the same.
          float[] firsts = new float[wanted.cardinality()];
          int[] indices = wanted.stream().toArray();
          for (int i = 0; i < indices.length; i++) {
            firsts[i] = sequences.get(indices[i])[0];
          }
          return firsts;
        }
        float[] all = new float[wanted.stream().map(i -> sequences.get(i).length).sum()];
        int at = 0;
        for (int i = wanted.nextSetBit(0); i >= 0; i = wanted.nextSetBit(i + 1)) {
          System.arraycopy(sequences.get(i), 0, all, at, sequences.get(i).length);
          at += sequences.get(i).length;
        }
        return all;
      }

      @Override
      public void keep(BitSet kept) {
        sequences = kept.stream().mapToObj(i -> sequences.get(i)).toList();
      }

      @Override
      public void close() {
        sequences = List.of();
      }
    };
  }

  private static List<float[]> split(TokenBatch batch) {
    List<float[]> sequences = new ArrayList<>();
    int at = 0;
    for (int length : batch.lengths()) {
      float[] sequence = new float[length];
      for (int i = 0; i < length; i++) {
        sequence[i] = batch.tokens()[at++];
      }
      sequences.add(sequence);
    }
    return sequences;
  }

  /** A request's tokens, all of one id, in sequences of these lengths. */
  static TokenBatch tokens(int id, int... lengths) {
    int[] tokens = new int[Arrays.stream(lengths).sum()];
    Arrays.fill(tokens, id);
    return new TokenBatch(tokens, lengths);
  }
}
