package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceSettings;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.BatchLimits;
import io.splitcompute.head.schedule.HeadRun;
import io.splitcompute.head.schedule.Scheduler;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** One model on several devices: whichever runs a request, its answer is the same. */
final class ReplicasTest {

  private static final int REQUESTS = 60;

  @Test
  void shouldAnswerAlikeFromEveryDevice() throws Exception {
    List<float[]> one = answers(1);
    List<float[]> three = answers(3);
    for (int i = 0; i < REQUESTS; i++) {
      Difference.assertWithin(1e-4, one.get(i), three.get(i), "request " + i);
    }
  }

  private static List<float[]> answers(int devices) throws Exception {
    FolderStore store = new FolderStore(ShardedFixtures.with("gpt2-plain"));
    List<ComputeDevice> cpus = new ArrayList<>();
    for (int i = 0; i < devices; i++) {
      cpus.addAll(ComputeDevice.of(new DeviceSettings("cpu", "auto", 0)));
    }
    // Batches of few tokens, so that every device gets some.
    BatchLimits limits =
        new BatchLimits(32, Duration.ofMillis(1), Duration.ofMinutes(1), 1024, true);
    List<float[]> hidden = new ArrayList<>();
    try (Head head =
            Head.load(store.manifest(new ModelName("gpt2-plain")).orElseThrow(), store, cpus);
        Scheduler scheduler = new Scheduler(limits, devices, new SimpleMeterRegistry())) {
      Random random = new Random(5);
      List<CompletableFuture<HeadRun>> running = new ArrayList<>();
      for (int i = 0; i < REQUESTS; i++) {
        int[] tokens = random.ints(1 + random.nextInt(40), 0, 200).toArray();
        running.add(
            scheduler.submit(
                head.scheduled(), TokenBatch.of(List.of(tokens)), 1 + random.nextInt(3), null));
      }
      for (CompletableFuture<HeadRun> answer : running) {
        hidden.add(answer.get().hidden());
      }
      assertTrue(scheduler.isRunning());
    } finally {
      cpus.forEach(ComputeDevice::close);
    }
    return hidden;
  }
}
