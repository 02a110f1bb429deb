package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceSettings;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.LayerStack;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * What kernels read belongs to PyTorch: DJL's arrays of Java's values lie in buffers that Java's
 * collector frees and others write to. With such ids, one pass of twelve failed here, and some were
 * wrong.
 */
final class CollectedBuffersTest {

  private static final int PASSES = 300;

  @Test
  void shouldComputeTheSameWhileTheCollectorFreesBuffers() throws Exception {
    FolderStore store = new FolderStore(ShardedFixtures.with("gpt2-plain"));
    List<ComputeDevice> cpu = ComputeDevice.of(new DeviceSettings("cpu", "auto", 0));
    try (Head head =
        Head.load(store.manifest(new ModelName("gpt2-plain")).orElseThrow(), store, cpu)) {
      LayerStack stack = head.scheduled().replicas().get(0);
      TokenBatch batch = batch();
      float[] expected = pass(stack, batch);
      Thread collector = new Thread(CollectedBuffersTest::collectAndReuse);
      collector.start();
      try {
        for (int i = 0; i < PASSES; i++) {
          assertArrayEquals(expected, pass(stack, batch));
        }
      } finally {
        collector.interrupt();
        collector.join();
        cpu.forEach(ComputeDevice::close);
      }
    }
  }

  private static TokenBatch batch() {
    Random random = new Random(1);
    List<int[]> sequences = new ArrayList<>();
    for (int i = 0; i < 64; i++) {
      sequences.add(random.ints(3 + i % 5, 0, 40).toArray());
    }
    return TokenBatch.of(sequences);
  }

  /** A layer, one sequence less, and its rows. */
  private static float[] pass(LayerStack stack, TokenBatch batch) {
    try (LayerStack.Activations activations = stack.embed(batch)) {
      activations.run(1);
      BitSet kept = new BitSet();
      kept.set(0, 64);
      kept.clear(3);
      activations.keep(kept);
      BitSet all = new BitSet();
      all.set(0, 63);
      return activations.read(all, null);
    }
  }

  private static void collectAndReuse() {
    while (!Thread.currentThread().isInterrupted()) {
      System.gc();
      for (int i = 0; i < 200; i++) {
        ByteBuffer reused = ByteBuffer.allocateDirect(256 + 32 * (i % 64));
        while (reused.hasRemaining()) {
          reused.put((byte) 0x7f);
        }
      }
    }
  }
}
