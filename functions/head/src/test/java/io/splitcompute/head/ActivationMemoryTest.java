package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What batches take on a device is known before they run, and bounded where a setting says so. */
final class ActivationMemoryTest {

  private static final Map<String, Object> BODY =
      Map.of("model", "gpt2-plain", "input", Collections.nCopies(100, List.of(1, 2, 3)), "cut", 2);

  private static DistributionSummary batches(RunningHead head) {
    return head.context().getBean(MeterRegistry.class).get("splitcompute.batch.bytes").summary();
  }

  @Test
  void shouldTellWhatBatchesTake() throws Exception {
    try (RunningHead head = RunningHead.start("gpt2-plain")) {
      assertEquals(200, head.embed(BODY).statusCode());

      DistributionSummary batches = batches(head);
      assertEquals(1, batches.count());
      // Of 48 elements in f32, the residual twice, and the inner ones of the MLP twice.
      double perToken = batches.totalAmount() / 300;
      assertTrue(perToken >= 4 * (2 * 48 + 2 * 4 * 48), "" + perToken);
    }
  }

  @Test
  void shouldKeepBatchesWithinTheBytesThatASettingAllows() throws Exception {
    try (RunningHead head =
        RunningHead.start(Map.of("splitcompute.activation-bytes", "64KB"), "gpt2-plain")) {
      assertEquals(200, head.embed(BODY).statusCode());

      DistributionSummary batches = batches(head);
      assertTrue(batches.count() > 1, "" + batches.count());
      assertTrue(batches.max() <= 64 * 1024, "" + batches.max());
      assertEquals(
          64 * 1024,
          head.context()
              .getBean(MeterRegistry.class)
              .get("splitcompute.batch.most.bytes")
              .gauge()
              .value());
    }
  }
}
