package io.splitcompute.weights.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.store.TinyModel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a person or a script sees: output, errors in one line, exit codes. */
class WeightsCommandTest {

  @TempDir Path folder;
  private Path checkpoint;
  private Path store;

  @BeforeEach
  void write() throws Exception {
    checkpoint = new TestCheckpoint().writeTo(folder.resolve("tiny"));
    store = folder.resolve("store");
  }

  @Test
  void shouldShardVerifyAndInspect() {
    Outcome sharded = Outcome.of("shard", checkpoint, "--out", store);
    assertEquals(0, sharded.exitCode(), sharded.err());
    assertTrue(sharded.out().startsWith("tiny: gpt2, 2 layers, f32, f16, q8, q4, "), sharded.out());

    Outcome verified = Outcome.of("verify", store);
    assertEquals(0, verified.exitCode(), verified.err());
    assertEquals("tiny: all objects are as the manifest says", verified.out().strip());

    Outcome inspected = Outcome.of("inspect", store);
    assertEquals(0, inspected.exitCode(), inspected.err());
    assertEquals(sharded.out().strip(), inspected.out().lines().findFirst().orElseThrow());
    assertTrue(
        inspected
            .out()
            .contains("\nunit                 f32         f16          q8          q4\n"));
    assertTrue(inspected.out().contains("\nlayer.1 "));
    assertTrue(inspected.out().contains("tokenizer   none: token ids alone"));
    assertTrue(inspected.out().contains("\ndevice from          f32  on the GPU"), inspected.out());
    assertTrue(inspected.out().contains("\ncut 1 "), inspected.out());
  }

  @Test
  void shouldInspectInJson() throws Exception {
    Outcome.of("shard", checkpoint, "--out", store, "--dtype", "f16", "--name", "other");

    JsonNode models = new JsonMapper().readTree(Outcome.of("inspect", store, "--json").out());

    assertEquals(1, models.size());
    assertEquals("other", models.at("/0/model").textValue());
    assertEquals(64, models.at("/0/revision").textValue().length());
    assertEquals("[\"f16\"]", models.at("/0/dtypes").toString());
    assertEquals("embeddings", models.at("/0/units/0/name").textValue());
    assertEquals(3, models.at("/0/needs/f16").size());
    assertTrue(
        models.at("/0/needs/f16/0/memory").longValue()
            > models.at("/0/needs/f16/0/bytes").longValue());
    assertEquals(0, models.at("/0/needs/f16/2/bytes").longValue());
    try (Stream<Path> shards = Files.list(store.resolve("shards"))) {
      long bytes = shards.mapToLong(shard -> shard.toFile().length()).sum();
      long told = 0;
      for (JsonNode unit : models.at("/0/units")) {
        told += unit.at("/bytes/f16").longValue();
      }
      assertEquals(bytes, told);
    }
  }

  @Test
  void shouldInspectACheckpoint() throws Exception {
    Outcome table = Outcome.of("inspect", checkpoint);
    JsonNode json = new JsonMapper().readTree(Outcome.of("inspect", checkpoint, "--json").out());

    assertEquals(0, table.exitCode(), table.err());
    assertTrue(table.out().contains("checkpoint of gpt2, 2 layers, hidden size 6"), table.out());
    assertTrue(table.out().contains("final               48 B  F32"), table.out());
    assertEquals("embeddings", json.at("/units/0/name").textValue());
    assertEquals((11 + 5) * 6 * 4, json.at("/units/0/bytes").intValue());
    assertEquals("[\"F32\"]", json.at("/units/0/dtypes").toString());
  }

  @Test
  void shouldFailOnAFlippedByte() throws Exception {
    Outcome.of("shard", checkpoint, "--out", store);
    try (Stream<Path> shards = Files.list(store.resolve("shards"))) {
      TinyModel.flipByte(shards.findAny().orElseThrow(), 500);
    }

    Outcome verified = Outcome.of("verify", store);

    assertEquals(1, verified.exitCode());
    assertTrue(verified.out().contains("has other bytes"), verified.out());
    assertTrue(verified.err().contains("1 object of tiny"), verified.err());
    assertEquals(1, verified.err().lines().count());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "shard NOWHERE --out x | is not a folder",
        "inspect NOWHERE | has no models: shard or publish one first",
        "inspect NOWHERE --model m | has no model m",
        "verify NOWHERE | has no models: shard or publish one first",
        "publish NOWHERE --bucket b --endpoint nonsense | --endpoint needs scheme and host",
      })
  void shouldSayInOneLineWhatFailed(String command, String why) {
    Path nowhere = folder.resolve("nowhere");

    Outcome failed =
        Outcome.of((Object[]) command.replace("NOWHERE", nowhere.toString()).split(" "));

    assertEquals(1, failed.exitCode(), failed.err());
    assertTrue(failed.err().contains(why), failed.err());
    assertTrue(failed.err().startsWith("splitcompute-weights: "), failed.err());
    assertEquals(1, failed.err().lines().count(), failed.err());
    assertEquals("", failed.out());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "shrad x | shrad",
        "shard | Missing required",
        "shard x | --out",
        "shard x --out y --dtype q9 | known dtypes are f32, f16, q8, q4",
        "shard x --out y --dtype f16,f16 | --dtype names one twice",
        "shard x --out y --name a/b | a model's name has",
        "shard a..b --out y | give one by --name",
        "publish x | --bucket",
        "verify | specify one of these",
        "verify x --bucket b | mutually exclusive",
        "inspect x --endpoint http://e | --bucket",
        "inspect x --colour | --colour",
      })
  void shouldSayInOneLineWhatWasCalledWrongly(String command, String why) {
    Outcome refused = Outcome.of((Object[]) command.split(" "));

    assertEquals(2, refused.exitCode(), refused.err());
    assertTrue(refused.err().contains(why), refused.err());
    assertTrue(refused.err().strip().endsWith("--help"), refused.err());
    assertEquals(1, refused.err().lines().count(), refused.err());
  }

  @Test
  void shouldShowTheStackTraceOfAFailureWhenAsked() {
    Outcome failed = Outcome.of("inspect", folder.resolve("nowhere"), "--verbose");

    assertEquals(1, failed.exitCode());
    assertTrue(failed.err().contains("\tat io.splitcompute"), failed.err());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "shard", "publish", "verify", "inspect"})
  void shouldExplainItself(String command) {
    Outcome help = command.isEmpty() ? Outcome.of("--help") : Outcome.of(command, "--help");

    assertEquals(0, help.exitCode());
    assertTrue(help.out().startsWith("Usage: splitcompute-weights " + command), help.out());
    assertEquals(0, Outcome.of("--version").exitCode());
  }

  @Test
  void shouldExplainItselfWhenNothingIsAsked() {
    Outcome help = Outcome.of();

    assertEquals(0, help.exitCode());
    assertTrue(help.out().contains("publish"), help.out());
  }
}
