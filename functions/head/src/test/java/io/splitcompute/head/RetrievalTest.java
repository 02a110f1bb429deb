package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The cloud alone finds the passage that follows another as often as its oracles do. */
final class RetrievalTest {

  private static final Path FOLDER = Fixture.FOLDER.resolve("retrieval");
  private static final int AT_ONCE = 40;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start("bookworm", "all-minilm-l6-v2");
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"bookworm", "all-minilm-l6-v2"})
  void shouldRankAsTheOracleDoes(String model) throws Exception {
    JsonNode expected =
        RunningHead.JSON.readTree(FOLDER.resolve("expected.json").toFile()).path(model);
    List<double[]> queries = embeddings(model, "query");
    List<double[]> documents = embeddings(model, "document");

    int[] places = new int[queries.size()];
    for (int query = 0; query < places.length; query++) {
      double[] similarities = similarities(queries.get(query), documents);
      List<Integer> ranking = ranking(similarities);
      places[query] = ranking.indexOf(query);
      JsonNode top = expected.path("top").get(query);
      for (int rank = 0; rank < top.size(); rank++) {
        int oracle = top.get(rank).intValue();
        // In the oracle's order, but for ties within the tolerance.
        assertTrue(
            Math.abs(similarities[ranking.get(rank)] - similarities[oracle]) < 1e-5,
            "query %d, rank %d: %s, the oracle has %s"
                .formatted(query, rank, ranking.get(rank), oracle));
      }
    }

    for (int most : new int[] {1, 5, 10}) {
      assertEquals(
          expected.path("hits").path(Integer.toString(most)).intValue(),
          IntStream.of(places).filter(place -> place < most).count(),
          "found among the first " + most);
    }
  }

  private static List<double[]> embeddings(String model, String member) throws Exception {
    List<String> texts = new ArrayList<>();
    for (String line : Files.readAllLines(FOLDER.resolve("pairs.jsonl"))) {
      texts.add(RunningHead.JSON.readTree(line).path(member).textValue());
    }
    List<double[]> embeddings = new ArrayList<>();
    for (int from = 0; from < texts.size(); from += AT_ONCE) {
      List<String> some = texts.subList(from, Math.min(from + AT_ONCE, texts.size()));
      RunningHead.json(head.embed(Map.of("model", model, "input", some)))
          .path("embeddings")
          .forEach(
              row ->
                  embeddings.add(
                      IntStream.range(0, row.size())
                          .mapToDouble(i -> row.get(i).doubleValue())
                          .toArray()));
    }
    assertEquals(texts.size(), embeddings.size());
    return embeddings;
  }

  private static double[] similarities(double[] query, List<double[]> documents) {
    return documents.stream()
        .mapToDouble(
            document ->
                IntStream.range(0, query.length).mapToDouble(i -> query[i] * document[i]).sum())
        .toArray();
  }

  private static List<Integer> ranking(double[] similarities) {
    return IntStream.range(0, similarities.length)
        .boxed()
        .sorted(Comparator.comparingDouble(i -> -similarities[i]))
        .toList();
  }
}
