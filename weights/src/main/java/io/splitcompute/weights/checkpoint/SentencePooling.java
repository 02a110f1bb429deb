package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * How a checkpoint's embeddings are made, from the files that sentence-transformers writes: {@code
 * modules.json} lists the steps, and in the folder of one of them, {@code 1_Pooling}, the pooling
 * is described.
 */
public final class SentencePooling {

  private static final String FOLDER = "1_Pooling";

  private static final Map<String, Manifest.Pooling.Kind> KINDS =
      Map.of(
          "pooling_mode_mean_tokens", Manifest.Pooling.Kind.MEAN,
          "pooling_mode_lasttoken", Manifest.Pooling.Kind.LAST,
          "pooling_mode_cls_token", Manifest.Pooling.Kind.CLS);

  private SentencePooling() {}

  /**
   * @return the checkpoint's own pooling; the normalised mean if it does not say
   * @throws InvalidCheckpointException if it asks for a step or a pooling that is not supported, or
   *     lacks the file that describes its pooling
   */
  public static Manifest.Pooling of(Checkpoint checkpoint) throws IOException {
    Optional<JsonNode> modules = checkpoint.json("modules.json");
    String file = file(checkpoint);
    Optional<JsonNode> pooling = checkpoint.json(file);
    if (pooling.isEmpty() && modules.isPresent() && pools(modules.get())) {
      throw new InvalidCheckpointException(
          "%s: modules.json asks for a pooling, but %s, which says for which, is not there"
              .formatted(checkpoint.folder(), file));
    }
    return new Manifest.Pooling(
        pooling.isPresent() ? kind(checkpoint, file, pooling.get()) : Manifest.Pooling.Kind.MEAN,
        modules.isPresent() ? normalizes(checkpoint, modules.get()) : true);
  }

  /** Whether the tokens of what is put before a text take part in its pooling. */
  static boolean poolsPrompts(Checkpoint checkpoint) throws IOException {
    return checkpoint
        .json(file(checkpoint))
        .map(pooling -> pooling.path("include_prompt").asBoolean(true))
        .orElse(true);
  }

  /** Where the pooling is described. */
  private static String file(Checkpoint checkpoint) throws IOException {
    Optional<JsonNode> modules = checkpoint.json("modules.json");
    return (modules.isPresent() ? folder(checkpoint, modules.get()) : FOLDER) + "/config.json";
  }

  private static boolean pools(JsonNode modules) {
    for (JsonNode module : modules) {
      if (step(module).equals("Pooling")) {
        return true;
      }
    }
    return false;
  }

  private static String folder(Checkpoint checkpoint, JsonNode modules)
      throws InvalidCheckpointException {
    String folder = FOLDER;
    for (JsonNode module : modules) {
      if (step(module).equals("Pooling")) {
        folder = module.path("path").asText();
      }
    }
    // A plain name: the file is from outside, and must not lead out of the folder.
    if (!folder.matches("[A-Za-z0-9_][A-Za-z0-9._-]*")) {
      throw new InvalidCheckpointException(
          "%s: modules.json has the path '%s', which is no plain name"
              .formatted(checkpoint.folder(), folder));
    }
    return folder;
  }

  private static Manifest.Pooling.Kind kind(Checkpoint checkpoint, String file, JsonNode config)
      throws InvalidCheckpointException {
    List<String> asked = new ArrayList<>();
    config
        .properties()
        .forEach(
            member -> {
              if (member.getKey().startsWith("pooling_mode_") && member.getValue().asBoolean()) {
                asked.add(member.getKey());
              }
            });
    if (asked.size() != 1 || !KINDS.containsKey(asked.get(0))) {
      throw new InvalidCheckpointException(
          "%s: %s asks for %s; one of %s is supported"
              .formatted(
                  checkpoint.folder(), file, asked, KINDS.keySet().stream().sorted().toList()));
    }
    return Optional.ofNullable(KINDS.get(asked.get(0))).orElseThrow();
  }

  private static boolean normalizes(Checkpoint checkpoint, JsonNode modules)
      throws InvalidCheckpointException {
    boolean normalizes = false;
    for (JsonNode module : modules) {
      switch (step(module)) {
        case "Transformer", "Pooling" -> {}
        case "Normalize" -> normalizes = true;
        default ->
            throw new InvalidCheckpointException(
                checkpoint.folder()
                    + ": modules.json asks for the step "
                    + module.path("type").asText()
                    + ", which is not supported");
      }
    }
    return normalizes;
  }

  /** A step's class without its package, which has changed over the years. */
  private static String step(JsonNode module) {
    String type = module.path("type").asText();
    return type.substring(type.lastIndexOf('.') + 1);
  }
}
