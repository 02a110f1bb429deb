package io.splitcompute.catalog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Names and bodies that nobody would send. None may fail the catalog or make it speak of its
 * insides. 200 of each; 5,000 with {@code SPLITCOMPUTE_PROVE=1}.
 */
final class CatalogFuzzTest {

  private static final boolean PROVE = "1".equals(System.getenv("SPLITCOMPUTE_PROVE"));
  private static final int INPUTS = PROVE ? 5_000 : 200;
  private static final int WARM = INPUTS / 4;
  private static final Map<Integer, Integer> STATUSES = new TreeMap<>();

  /** Bytes of the heap that the inputs behind the first quarter left behind, of each kind. */
  private static final Map<String, Long> GROWTH = new TreeMap<>();

  /** What caches, counters and compiled code may take. */
  private static final long MOST_GROWTH = 8 << 20;

  private static final List<String> INSIDES =
      List.of("Exception", "jackson", "JsonToken", "Unexpected", "line:", "at [", "\tat ", "io.");

  @TempDir private static Path folder;
  private static RunningCatalog catalog;

  @BeforeAll
  static void start() throws Exception {
    catalog = RunningCatalog.start(folder, Map.of());
  }

  @AfterAll
  static void stop() throws Exception {
    catalog.close();
    if (PROVE) {
      Path proofs = Files.createDirectories(Path.of("../../docs/proofs"));
      Files.write(
          proofs.resolve("fuzz-catalog.json"),
          RunningCatalog.JSON
              .writerWithDefaultPrettyPrinter()
              .writeValueAsBytes(
                  Map.of("inputs", 2 * INPUTS, "statuses", STATUSES, "heapGrowth", GROWTH)));
    }
  }

  @Test
  void shouldWithstandNamesOfAnyKind() throws Exception {
    Random random = new Random(21);
    long heap = 0;
    for (int i = 0; i < INPUTS; i++) {
      heap = i == WARM ? usedHeap() : heap;
      String name = URLEncoder.encode(text(random), UTF_8).replace("+", "%20");
      String path =
          switch (random.nextInt(5)) {
            case 0 -> "/v1/models/" + damaged(RunningCatalog.MODEL, random).replaceAll("\\W", "-");
            case 4 -> "/v1/models/" + name;
            case 1 -> "/v1/models/" + name + "/manifest";
            case 2 -> "/v1/models/" + RunningCatalog.MODEL + "/" + name;
            default -> "/v1/" + name;
          };
      assertUnmoved(catalog.get(path), "seed 21, input " + i);
    }
    assertNoGrowth("names", heap);
  }

  @Test
  void shouldWithstandBodiesOfAnyKind() throws Exception {
    Random random = new Random(22);
    String sha256 = catalog.manifest.units().get(0).variant("f32").sha256();
    long heap = 0;
    for (int i = 0; i < INPUTS; i++) {
      heap = i == WARM ? usedHeap() : heap;
      String valid = "{\"shards\": [\"" + sha256 + "\"]}";
      String body =
          switch (random.nextInt(5)) {
            case 4 -> valid;
            case 0 -> damaged(valid, random);
            case 1 -> RunningCatalog.JSON.writeValueAsString(Map.of("shards", nested(random, 4)));
            case 2 -> RunningCatalog.JSON.writeValueAsString(nested(random, 4));
            default -> text(random);
          };
      assertUnmoved(
          catalog.post("/v1/models/" + RunningCatalog.MODEL + "/shards", body),
          "seed 22, input " + i);
    }
    assertNoGrowth("bodies", heap);
  }

  private static void assertNoGrowth(String kind, long heap) {
    long growth = usedHeap() - heap;
    GROWTH.put(kind, growth);
    assertTrue(growth < MOST_GROWTH, kind + " left " + growth + " bytes");
  }

  private static long usedHeap() {
    System.gc();
    Runtime runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }

  private static void assertUnmoved(HttpResponse<byte[]> response, String which) throws Exception {
    String text = new String(response.body(), UTF_8);
    STATUSES.merge(response.statusCode(), 1, Integer::sum);
    assertTrue(response.statusCode() < 500, which + ": " + text);
    if (response.statusCode() >= 400) {
      assertEquals("application/problem+json", RunningCatalog.type(response), which + ": " + text);
      ObjectNode said = (ObjectNode) RunningCatalog.json(response);
      // The name of a field that the caller made up.
      said.remove("field");
      for (String inside : INSIDES) {
        assertFalse(said.toString().contains(inside), which + ": " + text);
      }
    }
  }

  private static Object nested(Random random, int depth) {
    return switch (random.nextInt(depth == 0 ? 3 : 5)) {
      case 0 -> text(random);
      case 1 -> random.nextLong();
      case 2 -> random.nextBoolean();
      case 3 -> List.of(nested(random, depth - 1), nested(random, depth - 1));
      default -> Map.of(text(random), nested(random, depth - 1));
    };
  }

  private static String damaged(String text, Random random) {
    StringBuilder damaged = new StringBuilder(text);
    for (int i = 0; i <= random.nextInt(4); i++) {
      damaged.setCharAt(random.nextInt(damaged.length()), (char) random.nextInt(256));
    }
    return damaged.toString();
  }

  private static String text(Random random) {
    StringBuilder text = new StringBuilder();
    int length = 1 + random.nextInt(60);
    for (int i = 0; i < length; i++) {
      text.appendCodePoint(
          switch (random.nextInt(5)) {
            case 0 -> random.nextInt(32);
            case 1 -> 0x4e00 + random.nextInt(1000);
            case 2 -> "./%\\:".charAt(random.nextInt(5));
            default -> 32 + random.nextInt(95);
          });
    }
    return text.toString();
  }
}
