package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * Bodies that nobody would send: drawn from the call's fields, and damaged byte by byte. None may
 * fail the server or make it speak of its insides. 400 of each; 10,000 with {@code
 * SPLITCOMPUTE_PROVE=1}.
 */
final class FuzzTest {

  private static final boolean PROVE = "1".equals(System.getenv("SPLITCOMPUTE_PROVE"));
  private static final int INPUTS = PROVE ? 10_000 : 400;
  private static final int WARM = INPUTS / 4;
  private static final Map<Integer, Integer> STATUSES = new TreeMap<>();

  /** Bytes of the heap that the inputs behind the first quarter left behind, of each kind. */
  private static final Map<String, Long> GROWTH = new TreeMap<>();

  /** What caches, counters and compiled code may take. */
  private static final long MOST_GROWTH = 8 << 20;

  private static final List<String> INSIDES =
      List.of("Exception", "jackson", "JsonToken", "Unexpected", "line:", "at [", "\tat ", "io.");

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start("gpt2-plain", "bert-mean");
  }

  @AfterAll
  static void stop() throws Exception {
    head.close();
    if (PROVE) {
      Path proofs = Files.createDirectories(Path.of("../../docs/proofs"));
      Files.write(
          proofs.resolve("fuzz-head.json"),
          RunningHead.JSON
              .writerWithDefaultPrettyPrinter()
              .writeValueAsBytes(
                  Map.of("inputs", 2 * INPUTS, "statuses", STATUSES, "heapGrowth", GROWTH)));
    }
  }

  @Test
  void shouldWithstandBodiesOfAnyFields() throws Exception {
    Random random = new Random(11);
    double arrays = arrays();
    long heap = 0;
    for (int i = 0; i < INPUTS; i++) {
      heap = i == WARM ? usedHeap() : heap;
      assertUnmoved(
          RunningHead.JSON.writeValueAsBytes(body(random)), "seed 11, input " + i, random);
    }
    assertNoGrowth("fields", arrays, heap);
  }

  @Test
  void shouldWithstandDamagedBytes() throws Exception {
    Random random = new Random(12);
    double arrays = arrays();
    long heap = 0;
    for (int i = 0; i < INPUTS; i++) {
      heap = i == WARM ? usedHeap() : heap;
      byte[] body = damaged(RunningHead.JSON.writeValueAsBytes(body(random)), random);
      assertUnmoved(body, "seed 12, input " + i, random);
    }
    assertNoGrowth("bytes", arrays, heap);
  }

  private static void assertNoGrowth(String kind, double arrays, long heap) {
    assertEquals(arrays, arrays());
    long growth = usedHeap() - heap;
    GROWTH.put(kind, growth);
    assertTrue(growth < MOST_GROWTH, kind + " left " + growth + " bytes");
  }

  private static long usedHeap() {
    System.gc();
    Runtime runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }

  /** Arrays that DJL manages. */
  private static double arrays() {
    return head.context().getBean(MeterRegistry.class).find("splitcompute.arrays").gauges().stream()
        .mapToDouble(Gauge::value)
        .sum();
  }

  private static void assertUnmoved(byte[] body, String which, Random random) throws Exception {
    List<String> headers = new ArrayList<>(List.of("Content-Type", "application/json"));
    if (random.nextInt(4) == 0) {
      headers.addAll(
          List.of(
              "Accept",
              pick(
                  random,
                  "*/*",
                  "application/json",
                  "application/vnd.splitcompute.activations",
                  "text/html;q=0.1, */*;q=0",
                  ";;;",
                  "a/b/c")));
    }
    HttpResponse<byte[]> response = head.embed(body, headers.toArray(String[]::new));
    String text = new String(response.body(), UTF_8);
    STATUSES.merge(response.statusCode(), 1, Integer::sum);
    assertTrue(response.statusCode() < 500, which + ": " + text);
    if (response.statusCode() >= 400) {
      assertEquals("application/problem+json", RunningHead.type(response), which + ": " + text);
      ObjectNode said = (ObjectNode) RunningHead.json(response);
      // The name of a field that the caller made up.
      said.remove("field");
      for (String inside : INSIDES) {
        assertFalse(said.toString().contains(inside), which + ": " + text);
      }
    }
  }

  private static Map<String, Object> body(Random random) {
    Map<String, Object> body = new LinkedHashMap<>();
    put(
        body,
        random,
        "model",
        random.nextInt(4) > 0
            ? pick(random, "gpt2-plain", "bert-mean")
            : pick(random, "", "../x", 3, "é\u0000", List.of()));
    put(body, random, "input", input(random));
    if (random.nextBoolean()) {
      put(body, random, "cut", random.nextInt(4) > 0 ? random.nextInt(5) : number(random));
    }
    if (random.nextInt(3) == 0) {
      put(body, random, "pooling", pick(random, "mean", "last", "cls", "none", "max", 1, true));
    }
    if (random.nextInt(3) == 0) {
      put(body, random, "normalize", pick(random, true, false, "true", 0));
    }
    if (random.nextInt(3) == 0) {
      put(body, random, "dtype", pick(random, "f16", "f32", "i8", "f64", Map.of()));
    }
    if (random.nextInt(20) == 0) {
      put(body, random, text(random), number(random));
    }
    return body;
  }

  private static void put(Map<String, Object> body, Random random, String field, Object value) {
    if (random.nextInt(30) == 0) {
      body.put(field, nested(random, 3));
    } else if (random.nextInt(30) != 0) {
      body.put(field, value);
    }
  }

  private static Object input(Random random) {
    return switch (random.nextInt(6)) {
      case 0 -> text(random);
      case 1 -> List.of(text(random), text(random));
      case 2 -> List.of(random.ints(random.nextInt(70), 0, 130).boxed().toList());
      case 3 -> List.of(List.of(number(random)), random.ints(3, 0, 50).boxed().toList());
      case 4 -> Collections.nCopies(random.nextInt(60), List.of(1, 2));
      default -> nested(random, 4);
    };
  }

  private static Object nested(Random random, int depth) {
    return switch (random.nextInt(depth == 0 ? 3 : 5)) {
      case 0 -> text(random);
      case 1 -> number(random);
      case 2 -> random.nextBoolean();
      case 3 -> List.of(nested(random, depth - 1), nested(random, depth - 1));
      default -> Map.of(text(random), nested(random, depth - 1));
    };
  }

  private static Object number(Random random) {
    return pick(
        random, 0, 1, 2, 3, -1, 4, 1.5, 1e300, Long.MAX_VALUE, Integer.MIN_VALUE, "1", -0.0);
  }

  private static String text(Random random) {
    StringBuilder text = new StringBuilder();
    int length = random.nextInt(60);
    for (int i = 0; i < length; i++) {
      text.appendCodePoint(
          switch (random.nextInt(5)) {
            case 0 -> random.nextInt(32);
            case 1 -> 0x4e00 + random.nextInt(1000);
            case 2 -> 0x1f300 + random.nextInt(500);
            default -> 32 + random.nextInt(95);
          });
    }
    return text.toString();
  }

  private static byte[] damaged(byte[] body, Random random) {
    byte[] damaged = body.clone();
    for (int i = 0; i <= random.nextInt(4); i++) {
      if (damaged.length > 0) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
      }
    }
    int length = random.nextInt(4) == 0 ? random.nextInt(damaged.length + 1) : damaged.length;
    return Arrays.copyOf(damaged, length);
  }

  private static Object pick(Random random, Object... choices) {
    return choices[random.nextInt(choices.length)];
  }

  private static String pick(Random random, String... choices) {
    return choices[random.nextInt(choices.length)];
  }
}
