package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.Manifest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** What can be sharded, whatever it is stored in. */
public sealed interface ModelCheckpoint permits Checkpoint, EmbeddingJar {

  /**
   * Opens a folder in Hugging Face layout, or a jar with an ONNX file.
   *
   * @throws InvalidCheckpointException if it is neither
   * @throws IOException if a file cannot be read
   */
  static ModelCheckpoint open(Path path) throws IOException {
    return Files.isRegularFile(path) ? EmbeddingJar.open(path) : Checkpoint.open(path);
  }

  /**
   * What a checkpoint's model is called where nobody names it: as its folder, or as the jar's
   * model.
   *
   * @throws InvalidCheckpointException if it is a file and no jar with a known model
   */
  static String nameOf(Path path) throws IOException {
    return Files.isRegularFile(path)
        ? EmbeddingJar.open(path).name()
        : String.valueOf(path.toAbsolutePath().normalize().getFileName());
  }

  /**
   * The model's layers and tensors.
   *
   * @throws InvalidCheckpointException if they are not those of a model that is known, or ask for
   *     something that is not supported
   */
  ModelSource model() throws IOException;

  /**
   * How the model's embeddings are made.
   *
   * @param hiddenSize of the model
   */
  Manifest.Pooling pooling(int hiddenSize) throws IOException;

  /** What is put before texts. */
  Manifest.Prompts prompts() throws IOException;

  /**
   * @param maxTokens most tokens that the model takes
   * @return what texts are cut to, special tokens included; null where too long a text is refused
   */
  @Nullable Integer truncateTokens(int maxTokens) throws IOException;

  /**
   * The bytes of {@code tokenizer.json}, its own padding and truncation switched off: they would
   * cut texts and add tokens behind the model's back.
   *
   * @param vocabularySize tokens that the model has
   * @return empty if there is no tokenizer
   * @throws InvalidCheckpointException if it is none of a kind that is supported, or not this
   *     model's
   */
  Optional<byte[]> tokenizer(int vocabularySize) throws IOException;
}
