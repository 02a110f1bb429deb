package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.head.model.Heads;
import io.splitcompute.head.model.Tokenizer;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The model that comes with the project: its tokens, activations, embeddings and retrieval. */
final class BookwormTest {

  private static final int HIDDEN = 256;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start("bookworm");
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @Test
  void shouldTokeniseAsTransformersDoes() throws Exception {
    Tokenizer tokenizer =
        head.context().getBean(Heads.class).get("bookworm").tokenizer().orElseThrow();
    JsonNode cases =
        RunningHead.JSON.readTree(Fixture.FOLDER.resolve("bookworm/tokenizer.json").toFile());
    assertEquals(1500, cases.size());
    for (JsonNode one : cases) {
      int[] expected =
          IntStream.range(0, one.path("tokens").size())
              .map(i -> one.path("tokens").get(i).intValue())
              .toArray();
      assertArrayEquals(expected, tokenizer.encode(one.path("text").textValue()));
    }
  }

  @Test
  void shouldSpoilNoCharacterOfATextThatHasHalfASurrogatePair() {
    Tokenizer tokenizer =
        head.context().getBean(Heads.class).get("bookworm").tokenizer().orElseThrow();
    assertArrayEquals(
        tokenizer.encode("\uD83D\uDE00 night\uFFFD\u0000"),
        tokenizer.encode("\uD83D\uDE00 night\uD800\u0000"));
  }

  @Test
  void shouldHandOverTheActivationsOfEveryCut() throws Exception {
    Fixture fixture = Fixture.read("bookworm", "hidden.safetensors");
    for (int cut = 1; cut <= fixture.layers(); cut++) {
      float[] expected = cut < fixture.layers() ? fixture.hidden(cut) : fixture.floats("final");
      ReadMessage message =
          ReadMessage.of(
              head.embed(
                      Map.of(
                          "model",
                          "bookworm",
                          "input",
                          fixture.sequences(),
                          "cut",
                          cut,
                          "dtype",
                          "f32"),
                      "Accept",
                      ActivationsMessage.MEDIA_TYPE)
                  .body());
      Difference.assertWithin(1e-4, expected, message.hidden(), "cut " + cut);
    }
  }

  @Test
  void shouldFindTheSamePassagesAsTransformers() throws Exception {
    List<String> texts = new ArrayList<>();
    List<String> nexts = new ArrayList<>();
    for (String line : Files.readAllLines(Fixture.FOLDER.resolve("bookworm/passages.jsonl"))) {
      JsonNode passage = RunningHead.JSON.readTree(line);
      texts.add(passage.path("text").textValue());
      nexts.add(passage.path("next").textValue());
    }
    Fixture expected = Fixture.read("bookworm", "passages.safetensors");

    float[][] text = embeddings(texts);
    float[][] next = embeddings(nexts);

    Difference.assertWithin(1e-4, expected.floats("text"), flat(text), "text");
    Difference.assertWithin(1e-4, expected.floats("next"), flat(next), "next");
    int[] top10 = expected.ints("top10");
    for (int i = 0; i < text.length; i++) {
      assertRanks(text[i], next, Arrays.copyOfRange(top10, i * 10, i * 10 + 10));
    }
  }

  /** The oracle's ten, in its order but for ties within the tolerance. */
  private static void assertRanks(float[] text, float[][] next, int[] oracle) {
    double[] similarity = new double[next.length];
    for (int i = 0; i < next.length; i++) {
      similarity[i] = dot(text, next[i]);
    }
    int[] ours =
        IntStream.range(0, next.length)
            .boxed()
            .sorted(Comparator.comparingDouble(i -> -similarity[i]))
            .mapToInt(i -> i)
            .limit(10)
            .toArray();
    for (int rank = 0; rank < 10; rank++) {
      assertTrue(
          Math.abs(similarity[ours[rank]] - similarity[oracle[rank]]) < 1e-5,
          "rank " + rank + " is " + ours[rank] + ", transformers has " + oracle[rank]);
    }
  }

  private static float[][] embeddings(List<String> texts) throws Exception {
    JsonNode rows =
        RunningHead.json(head.embed(Map.of("model", "bookworm", "input", texts)))
            .path("embeddings");
    float[][] all = new float[rows.size()][HIDDEN];
    for (int i = 0; i < all.length; i++) {
      for (int j = 0; j < HIDDEN; j++) {
        all[i][j] = rows.get(i).get(j).floatValue();
      }
    }
    return all;
  }

  private static float[] flat(float[][] rows) {
    float[] flat = new float[rows.length * HIDDEN];
    for (int i = 0; i < rows.length; i++) {
      System.arraycopy(rows[i], 0, flat, i * HIDDEN, HIDDEN);
    }
    return flat;
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }
}
