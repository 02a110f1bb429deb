package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.message.ActivationsMessage;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Many callers at once: whatever a request shares its batch with, its answer is its own. */
final class SharedBatchTest {

  private static final int CALLERS = 16;
  private static final int REQUESTS = 10;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start("gpt2-plain", "gpt2-sharded-f16");
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @Test
  void shouldAnswerAsIfEachRequestWereAlone() throws Exception {
    Random random = new Random(1);
    List<Map<String, Object>> bodies = new ArrayList<>();
    List<float[]> alone = new ArrayList<>();
    for (int i = 0; i < CALLERS * REQUESTS; i++) {
      bodies.add(body(random));
      alone.add(hidden(bodies.get(i)));
    }
    ExecutorService callers = Executors.newFixedThreadPool(CALLERS);
    try {
      List<Future<float[]>> answers = new ArrayList<>();
      for (Map<String, Object> body : bodies) {
        answers.add(callers.submit(() -> hidden(body)));
      }
      for (int i = 0; i < answers.size(); i++) {
        Difference.assertWithin(1e-4, alone.get(i), answers.get(i).get(), "request " + i);
      }
    } finally {
      callers.shutdownNow();
      assertTrue(callers.awaitTermination(10, TimeUnit.SECONDS));
    }
  }

  private static Map<String, Object> body(Random random) {
    boolean plain = random.nextBoolean();
    List<List<Integer>> input = new ArrayList<>();
    for (int i = 0; i <= random.nextInt(3); i++) {
      input.add(random.ints(1 + random.nextInt(40), 0, 100).boxed().toList());
    }
    return Map.of(
        "model",
        plain ? "gpt2-plain" : "gpt2-sharded-f16",
        "input",
        input,
        "cut",
        1 + random.nextInt(2),
        "dtype",
        "f32");
  }

  private static float[] hidden(Map<String, Object> body) throws Exception {
    HttpResponse<byte[]> response = head.embed(body, "Accept", ActivationsMessage.MEDIA_TYPE);
    assertEquals(200, response.statusCode());
    return ReadMessage.of(response.body()).hidden();
  }
}
