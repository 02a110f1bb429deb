package io.splitcompute.bench;

import ai.djl.Device;
import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceBudget;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.program.Attention;
import io.splitcompute.head.program.Precision;
import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Random;

/**
 * Times passes of all layers of a model on a GPU, without a server, when it is told to: so that
 * several of it take turns. {@code EngineTimes STORE MODEL GPU PRECISION ATTENTION}; each line of
 * its input is a batch, the lengths of its sequences with commas between them, and each of its
 * output, after the first, which says that it is ready, the milliseconds that the batch took from
 * token ids to the first sequence's hidden states.
 */
final class EngineTimes {

  private EngineTimes() {}

  public static void main(String[] arguments) throws Exception {
    FolderStore store = new FolderStore(Path.of(arguments[0]));
    Head head =
        Head.load(
            store.manifest(new ModelName(arguments[1])).orElseThrow(),
            store,
            List.of(
                new ComputeDevice(
                    Device.gpu(Integer.parseInt(arguments[2])),
                    Precision.valueOf(arguments[3]),
                    Attention.valueOf(arguments[4]),
                    null,
                    DeviceBudget.of(null, 0))));
    BufferedReader batches =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    System.out.println("ready");
    for (String line = batches.readLine(); line != null; line = batches.readLine()) {
      int[] lengths = Arrays.stream(line.split(",", -1)).mapToInt(Integer::parseInt).toArray();
      System.out.println(milliseconds(head, lengths));
    }
    head.close();
  }

  private static double milliseconds(Head head, int[] lengths) {
    Random random = new Random(1);
    List<int[]> sequences = new ArrayList<>();
    for (int length : lengths) {
      sequences.add(random.ints(length, 0, head.manifest().vocabularySize()).toArray());
    }
    TokenBatch tokens = TokenBatch.of(sequences);
    BitSet first = new BitSet();
    first.set(0);
    long started = System.nanoTime();
    try (LayerStack.Activations activations = head.scheduled().replicas().get(0).embed(tokens)) {
      activations.run(head.manifest().layers());
      // Calls only enqueue work: a pass ends with a read.
      activations.read(first, null);
    }
    return (System.nanoTime() - started) / 1e6;
  }
}
