package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * A folder in Hugging Face layout: {@code config.json}, the weights in {@code model.safetensors} or
 * in the files of {@code model.safetensors.index.json}, and perhaps a tokenizer.
 */
public final class Checkpoint implements ModelCheckpoint {

  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final Path folder;
  private final JsonNode config;
  private final Map<String, Tensor> tensors;

  private Checkpoint(Path folder, JsonNode config, Map<String, Tensor> tensors) {
    this.folder = folder;
    this.config = config;
    this.tensors = tensors;
  }

  /**
   * Maps a checkpoint's weights.
   *
   * @throws InvalidCheckpointException if the folder lacks a file or its index is not right
   * @throws IOException if a file cannot be read or is no safetensors file
   */
  public static Checkpoint open(Path folder) throws IOException {
    if (!Files.isDirectory(folder)) {
      throw new InvalidCheckpointException(folder + " is not a folder");
    }
    JsonNode config =
        JsonFile.read(folder.resolve("config.json"))
            .orElseThrow(
                () ->
                    new InvalidCheckpointException(
                        folder + " has no config.json; a folder in Hugging Face layout is needed"));
    Optional<JsonNode> index = JsonFile.read(folder.resolve(INDEX));
    if (Files.isRegularFile(folder.resolve(SINGLE))) {
      if (index.isPresent()) {
        throw new InvalidCheckpointException(
            "%s has both %s and %s; remove the one that is not this model's"
                .formatted(folder, SINGLE, INDEX));
      }
      return new Checkpoint(folder, config, SafetensorsFile.open(folder.resolve(SINGLE)).tensors());
    }
    if (index.isEmpty()) {
      throw new InvalidCheckpointException(
          folder
              + " has neither "
              + SINGLE
              + " nor "
              + INDEX
              + "; other formats must be converted to safetensors first");
    }
    return new Checkpoint(folder, config, indexed(folder, index.get()));
  }

  private static Map<String, Tensor> indexed(Path folder, JsonNode index) throws IOException {
    JsonNode map = index.path("weight_map");
    if (!map.isObject() || map.isEmpty()) {
      throw new InvalidCheckpointException(folder.resolve(INDEX) + " has no weight_map");
    }
    Map<String, Set<String>> namesOfFiles = new TreeMap<>();
    for (Map.Entry<String, JsonNode> member : map.properties()) {
      String file = member.getValue().asText();
      // A plain name: an index is from outside, and must not lead out of the folder.
      if (!file.matches("[A-Za-z0-9][A-Za-z0-9._-]*\\.safetensors")) {
        throw new InvalidCheckpointException(
            folder.resolve(INDEX) + " names the file '" + file + "', which is no plain name");
      }
      namesOfFiles.computeIfAbsent(file, name -> new TreeSet<>()).add(member.getKey());
    }
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    for (Map.Entry<String, Set<String>> entry : namesOfFiles.entrySet()) {
      Path file = folder.resolve(entry.getKey());
      if (!Files.isRegularFile(file)) {
        throw new InvalidCheckpointException(folder + " lacks " + entry.getKey());
      }
      Map<String, Tensor> held = SafetensorsFile.open(file).tensors();
      if (!held.keySet().equals(entry.getValue())) {
        throw new InvalidCheckpointException(
            file + " does not hold just the tensors that the index says");
      }
      tensors.putAll(held);
    }
    return Collections.unmodifiableMap(tensors);
  }

  /** The folder, for messages. */
  public Path folder() {
    return folder;
  }

  /** {@code config.json}. */
  public JsonNode config() {
    return config;
  }

  /** All tensors by name. */
  public Map<String, Tensor> tensors() {
    return tensors;
  }

  /**
   * A JSON file of the folder, if it is there.
   *
   * @throws InvalidCheckpointException if it is no object
   */
  Optional<JsonNode> object(String name) throws IOException {
    return json(name, JsonNode::isObject, "is no JSON object");
  }

  /**
   * A JSON file of the folder, if it is there.
   *
   * @throws InvalidCheckpointException if it is no list
   */
  Optional<JsonNode> list(String name) throws IOException {
    return json(name, JsonNode::isArray, "is no JSON list");
  }

  private Optional<JsonNode> json(String name, Predicate<JsonNode> kind, String otherwise)
      throws IOException {
    Optional<JsonNode> json = JsonFile.read(folder.resolve(name));
    if (json.isPresent() && !kind.test(json.get())) {
      throw new InvalidCheckpointException(folder.resolve(name) + " " + otherwise);
    }
    return json;
  }

  @Override
  public ModelSource model() throws IOException {
    return ModelFamily.of(this).read(this);
  }

  @Override
  public Manifest.Pooling pooling(int hiddenSize) throws IOException {
    return SentencePooling.of(this, hiddenSize);
  }

  @Override
  public Manifest.Prompts prompts() throws IOException {
    return SentencePrompts.of(this);
  }

  @Override
  public @Nullable Integer truncateTokens(int maxTokens) throws IOException {
    return SentenceLength.of(this, maxTokens);
  }

  @Override
  public Optional<byte[]> tokenizer(int vocabularySize) throws IOException {
    Path file = folder.resolve("tokenizer.json");
    Optional<byte[]> bytes = JsonFile.bytes(file);
    return bytes.isPresent()
        ? Optional.of(
            TokenizerFile.withoutPaddingAndTruncation(bytes.get(), file.toString(), vocabularySize))
        : Optional.empty();
  }
}
