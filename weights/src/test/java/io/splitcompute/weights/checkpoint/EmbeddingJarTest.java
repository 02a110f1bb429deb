package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Manifest.Pooling;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import java.io.IOException;
import java.io.OutputStream;
import java.net.JarURLConnection;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Maven Central's jars of encoders, and files that pass for one. */
class EmbeddingJarTest {

  @TempDir Path folder;

  @Test
  void shouldSwitchOffTheTokenizersPaddingAndTruncation() throws Exception {
    URL entry = Objects.requireNonNull(getClass().getResource("/all-minilm-l6-v2-tokenizer.json"));
    JarURLConnection connection = (JarURLConnection) entry.openConnection();
    Path jar = Path.of(URI.create(connection.getJarFileURL().toString()));

    JsonNode tokenizer =
        new JsonMapper().readTree(ModelCheckpoint.open(jar).tokenizer(30_522).orElseThrow());

    assertEquals("all-minilm-l6-v2", ModelCheckpoint.nameOf(jar));
    assertTrue(tokenizer.path("truncation").isNull());
    assertTrue(tokenizer.path("padding").isNull());
    assertEquals(30_522, tokenizer.at("/model/vocab").size());
  }

  @ParameterizedTest
  @CsvSource({
    "all-minilm-l6-v2, all-minilm-l6-v2, MEAN, 256",
    "bge-small-en-v1.5, bge-small-en-v15, CLS, 512",
    "e5-small-v2, e5-small-v2, MEAN, 512",
  })
  void shouldKnowWhatTheJarDoesNotSay(String file, String name, Pooling.Kind pooling, int tokens)
      throws Exception {
    String tokenizer =
        "{\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"a\", \"vocab\": {\"a\": 0}}}";
    Path jar = jar(Map.of(file + ".onnx", "", file + "-tokenizer.json", tokenizer));

    ModelCheckpoint checkpoint = ModelCheckpoint.open(jar);

    assertEquals(name, ModelCheckpoint.nameOf(jar));
    assertEquals(new Pooling(pooling, true), checkpoint.pooling(384));
    assertEquals(tokens, checkpoint.truncateTokens(512));
    assertEquals(100, checkpoint.truncateTokens(100));
    assertEquals("", checkpoint.prompts().before());
    assertArrayEquals(
        tokenizer.getBytes(StandardCharsets.UTF_8), checkpoint.tokenizer(1).orElseThrow());
  }

  @Test
  void shouldSayWhatE5WantsBeforeItsTexts() throws Exception {
    Path jar = jar(Map.of("e5-small-v2.onnx", ""));

    assertEquals(
        new Manifest.Prompts(Map.of("query", "query: ", "passage", "passage: "), null),
        ModelCheckpoint.open(jar).prompts());
  }

  @Test
  void shouldRefuseAJarWithNoneOfTheModels() throws Exception {
    assertRefused(jar(Map.of("all-minilm-l6-v2-q.onnx", "")), "has none of [all-minilm-l6-v2.onnx");
  }

  @Test
  void shouldRefuseWhatIsNoJarOrAPartOfOne() throws Exception {
    Path other = folder.resolve("other");
    Files.writeString(other, "<html>not found</html>");
    assertRefused(other, "nor a whole jar");

    Path jar = jar(Map.of("all-minilm-l6-v2.onnx", "x".repeat(1_000)));
    byte[] whole = Files.readAllBytes(jar);
    Files.write(jar, Arrays.copyOf(whole, whole.length - 30));
    assertRefused(jar, "nor a whole jar");
  }

  @Test
  void shouldRefuseADamagedEntry() throws Exception {
    Path jar = stored("all-minilm-l6-v2.onnx", "x".repeat(1_000));
    byte[] whole = Files.readAllBytes(jar);
    whole[500] ^= 1;
    Files.write(jar, whole);

    assertRefused(jar, "all-minilm-l6-v2.onnx is damaged");
  }

  @Test
  void shouldRefuseAnOnnxFileThatIsNone() throws Exception {
    assertRefused(
        jar(Map.of("all-minilm-l6-v2.onnx", "<html></html>")), "is no ONNX file, or a part of one");
    assertRefused(jar(Map.of("all-minilm-l6-v2.onnx", "")), "a graph that is not known");
  }

  @Test
  void shouldRefuseAJarWithoutItsTokenizer() throws Exception {
    ModelCheckpoint checkpoint = ModelCheckpoint.open(jar(Map.of("e5-small-v2.onnx", "")));

    String refusal =
        assertThrows(InvalidCheckpointException.class, () -> checkpoint.tokenizer(1)).toString();
    assertTrue(refusal.contains("lacks e5-small-v2-tokenizer.json"), refusal);
  }

  private void assertRefused(Path jar, String why) {
    String refusal =
        assertThrows(
                IOException.class,
                () ->
                    new Sharder(new FolderStore(folder.resolve("store")))
                        .shard(
                            ModelCheckpoint.open(jar),
                            new ModelName("hostile"),
                            List.of(ShardDType.F32),
                            (unit, done, all) -> {}))
            .toString();

    assertTrue(refusal.contains(why), refusal);
    assertEquals(1, refusal.lines().count());
    assertFalse(Files.exists(folder.resolve("store/models")), "a model was left behind");
  }

  private Path jar(Map<String, String> entries) throws IOException {
    Path jar = folder.resolve("model.jar");
    try (OutputStream out = Files.newOutputStream(jar);
        ZipOutputStream zip = new ZipOutputStream(out)) {
      for (Map.Entry<String, String> entry : entries.entrySet()) {
        zip.putNextEntry(new ZipEntry(entry.getKey()));
        zip.write(entry.getValue().getBytes(StandardCharsets.UTF_8));
      }
    }
    return jar;
  }

  /** A jar whose one entry is not compressed. */
  private Path stored(String name, String content) throws IOException {
    byte[] bytes = content.getBytes(StandardCharsets.UTF_8);
    CRC32 sum = new CRC32();
    sum.update(bytes);
    ZipEntry entry = new ZipEntry(name);
    entry.setMethod(ZipEntry.STORED);
    entry.setSize(bytes.length);
    entry.setCrc(sum.getValue());
    Path jar = folder.resolve("stored.jar");
    try (OutputStream out = Files.newOutputStream(jar);
        ZipOutputStream zip = new ZipOutputStream(out)) {
      zip.putNextEntry(entry);
      zip.write(bytes);
    }
    return jar;
  }
}
