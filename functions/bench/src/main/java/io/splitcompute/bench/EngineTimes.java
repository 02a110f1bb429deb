package io.splitcompute.bench;

import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceSettings;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Random;

/**
 * Times all layers of a model on a device, without a server: medians of interleaved rounds, and
 * what the first batch of a shape costs. {@code EngineTimes STORE MODEL DEVICE PRECISION}
 */
final class EngineTimes {

  private static final int ROUNDS = 12;
  private static final int[][] SHAPES = {{1, 64}, {32, 64}, {64, 128}};

  private EngineTimes() {}

  public static void main(String[] arguments) throws Exception {
    FolderStore store = new FolderStore(Path.of(arguments[0]));
    Head head =
        Head.load(
            store.manifest(new ModelName(arguments[1])).orElseThrow(),
            store,
            ComputeDevice.of(new DeviceSettings(arguments[2], arguments[3])));
    LayerStack layers = head.scheduled().replicas().get(0);
    int count = head.manifest().layers();
    double[][] times = new double[SHAPES.length][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
      for (int i = 0; i < SHAPES.length; i++) {
        times[i][round] = seconds(layers, count, SHAPES[i][0], SHAPES[i][1]);
      }
    }
    StringBuilder line = new StringBuilder("{");
    for (int i = 0; i < SHAPES.length; i++) {
      double first = times[i][0];
      double[] later = Arrays.copyOfRange(times[i], 2, ROUNDS);
      Arrays.sort(later);
      double median = later[later.length / 2];
      line.append(
          "\"%dx%d\": {\"tokensPerSecond\": %.0f, \"milliseconds\": %.2f, \"firstMilliseconds\": %.2f}, "
              .formatted(
                  SHAPES[i][0],
                  SHAPES[i][1],
                  SHAPES[i][0] * SHAPES[i][1] / median,
                  median * 1000,
                  first * 1000));
    }
    List<Double> fresh = new ArrayList<>();
    for (int length = 65; length < 75; length++) {
      double unseen = seconds(layers, count, 32, length);
      fresh.add(unseen - seconds(layers, count, 32, length));
    }
    fresh.sort(null);
    line.append(
        "\"newShapeMilliseconds\": {\"median\": %.2f, \"most\": %.2f}}"
            .formatted(fresh.get(fresh.size() / 2) * 1000, fresh.get(fresh.size() - 1) * 1000));
    System.out.println(line);
    head.close();
  }

  private static double seconds(LayerStack layers, int count, int batch, int length) {
    Random random = new Random(batch * 1000L + length);
    List<int[]> sequences = new ArrayList<>();
    for (int i = 0; i < batch; i++) {
      sequences.add(random.ints(length, 0, 1000).toArray());
    }
    TokenBatch tokens = TokenBatch.of(sequences);
    BitSet one = new BitSet();
    one.set(0);
    long started = System.nanoTime();
    try (LayerStack.Activations activations = layers.embed(tokens)) {
      for (int i = 0; i < count; i++) {
        activations.runLayer();
      }
      // Calls only enqueue work: a pass ends with a read.
      activations.read(one, null);
    }
    return (System.nanoTime() - started) / 1e9;
  }
}
