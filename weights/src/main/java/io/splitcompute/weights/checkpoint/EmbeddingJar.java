package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.Manifest;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/**
 * A jar {@code dev.langchain4j:langchain4j-embeddings-*} of Maven Central: an encoder as an ONNX
 * file, and its tokenizer. It says neither how embeddings are made nor how long a text may be, so
 * that stands here, as the models' own files on the hub have it.
 */
public final class EmbeddingJar implements ModelCheckpoint {

  private static final int MAX_GRAPH_BYTES = 1 << 30;

  /**
   * @param name what the model is called
   * @param file the name of its files in the jar
   * @param pooling how a sequence's hidden states become one vector, which is then normalised
   * @param tokens what texts are cut to
   * @param prompts by name what the model's makers put before texts
   */
  private record Known(
      String name,
      String file,
      Manifest.Pooling.Kind pooling,
      int tokens,
      Map<String, String> prompts) {
    String graph() {
      return file + ".onnx";
    }
  }

  private static final List<Known> KNOWN =
      List.of(
          new Known(
              "all-minilm-l6-v2", "all-minilm-l6-v2", Manifest.Pooling.Kind.MEAN, 256, Map.of()),
          new Known(
              "bge-small-en-v15",
              "bge-small-en-v1.5",
              Manifest.Pooling.Kind.CLS,
              512,
              Map.of("query", "Represent this sentence for searching relevant passages: ")),
          new Known(
              "e5-small-v2",
              "e5-small-v2",
              Manifest.Pooling.Kind.MEAN,
              512,
              Map.of("query", "query: ", "passage", "passage: ")));

  private final Path jar;
  private final Known known;

  private EmbeddingJar(Path jar, Known known) {
    this.jar = jar;
    this.known = known;
  }

  /**
   * @throws InvalidCheckpointException if the file is no jar, or has none of the known models
   */
  static EmbeddingJar open(Path jar) throws IOException {
    try (ZipFile zip = new ZipFile(jar.toFile())) {
      return KNOWN.stream()
          .filter(known -> zip.getEntry(known.graph()) != null)
          .findFirst()
          .map(known -> new EmbeddingJar(jar, known))
          .orElseThrow(
              () ->
                  new InvalidCheckpointException(
                      jar + " has none of " + KNOWN.stream().map(Known::graph).toList()));
    } catch (ZipException invalid) {
      throw new InvalidCheckpointException(
          jar + " is neither a folder in Hugging Face layout nor a whole jar");
    }
  }

  /** What its model is called. */
  String name() {
    return known.name();
  }

  @Override
  public ModelSource model() throws IOException {
    return OnnxBert.read(
        OnnxGraph.parse(jar + ": " + known.graph(), read(known.graph(), MAX_GRAPH_BYTES)));
  }

  @Override
  public Manifest.Pooling pooling(int hiddenSize) {
    return new Manifest.Pooling(known.pooling(), true);
  }

  @Override
  public Manifest.Prompts prompts() {
    // In an order that is the same each time: it stands in the manifest.
    return new Manifest.Prompts(new TreeMap<>(known.prompts()), null);
  }

  @Override
  public Integer truncateTokens(int maxTokens) {
    return Math.min(known.tokens(), maxTokens);
  }

  @Override
  public Optional<byte[]> tokenizer(int vocabularySize) throws IOException {
    String name = known.file() + "-tokenizer.json";
    return Optional.of(
        TokenizerFile.withoutPaddingAndTruncation(
            read(name, JsonFile.MOST_BYTES), jar + ": " + name, vocabularySize));
  }

  /** An entry's bytes. What the jar says of their number is not believed before they are there. */
  private byte[] read(String name, int most) throws IOException {
    try (ZipFile zip = new ZipFile(jar.toFile())) {
      ZipEntry entry = zip.getEntry(name);
      if (entry == null) {
        throw new InvalidCheckpointException(jar + " lacks " + name);
      }
      try (InputStream in = zip.getInputStream(entry)) {
        byte[] bytes = in.readNBytes(most);
        if (in.read() >= 0) {
          throw new InvalidCheckpointException(
              "%s: %s is larger than %d bytes".formatted(jar, name, most));
        }
        CRC32 sum = new CRC32();
        sum.update(bytes);
        if (sum.getValue() != entry.getCrc()) {
          throw new InvalidCheckpointException(jar + ": " + name + " is damaged");
        }
        return bytes;
      }
    } catch (ZipException damaged) {
      throw new InvalidCheckpointException(jar + ": " + name + " is damaged");
    }
  }
}
