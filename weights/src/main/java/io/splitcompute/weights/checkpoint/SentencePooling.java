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

  /** Lists the steps. */
  static final String MODULES = "modules.json";

  private static final String MODEL = "Transformer";

  /** The steps that are supported, in the order in which they are. */
  private static final List<String> STEPS = List.of(MODEL, "Pooling", "Normalize");

  /** Members that say how large an embedding is: the name has changed over the years. */
  private static final List<String> SIZES =
      List.of("word_embedding_dimension", "embedding_dimension");

  /** By name: how sentence-transformers has come to write it. */
  private static final String MODE = "pooling_mode";

  private static final Map<String, Manifest.Pooling.Kind> MODES =
      Map.of(
          "mean", Manifest.Pooling.Kind.MEAN,
          "lasttoken", Manifest.Pooling.Kind.LAST,
          "cls", Manifest.Pooling.Kind.CLS);

  /** A flag for each: how it wrote it for years. */
  private static final Map<String, Manifest.Pooling.Kind> FLAGS =
      Map.of(
          "pooling_mode_mean_tokens", Manifest.Pooling.Kind.MEAN,
          "pooling_mode_lasttoken", Manifest.Pooling.Kind.LAST,
          "pooling_mode_cls_token", Manifest.Pooling.Kind.CLS);

  private SentencePooling() {}

  /**
   * @param hiddenSize of the model
   * @return the checkpoint's own pooling; the normalised mean if it does not say
   * @throws InvalidCheckpointException if it asks for a step or a pooling that is not supported,
   *     lacks the file that describes its pooling, or describes that of another size
   */
  public static Manifest.Pooling of(Checkpoint checkpoint, int hiddenSize) throws IOException {
    Optional<JsonNode> modules = checkpoint.list(MODULES);
    boolean normalizes = modules.isPresent() ? normalizes(checkpoint, modules.get()) : true;
    String file = file(checkpoint, modules);
    Optional<JsonNode> pooling = checkpoint.object(file);
    if (pooling.isEmpty() && modules.isPresent()) {
      throw new InvalidCheckpointException(
          "%s: modules.json asks for a pooling, but %s, which says for which, is not there"
              .formatted(checkpoint.folder(), file));
    }
    if (pooling.isPresent()) {
      requireSize(checkpoint, file, pooling.get(), hiddenSize);
    }
    return new Manifest.Pooling(
        pooling.isPresent() ? kind(checkpoint, file, pooling.get()) : Manifest.Pooling.Kind.MEAN,
        normalizes);
  }

  /** Whether the tokens of what is put before a text take part in its pooling. */
  static boolean poolsPrompts(Checkpoint checkpoint) throws IOException {
    return checkpoint
        .object(file(checkpoint, checkpoint.list(MODULES)))
        .map(pooling -> pooling.path("include_prompt").asBoolean(true))
        .orElse(true);
  }

  /** Where the pooling is described. */
  private static String file(Checkpoint checkpoint, Optional<JsonNode> modules)
      throws InvalidCheckpointException {
    return (modules.isPresent() ? folder(checkpoint, modules.get()) : FOLDER) + "/config.json";
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

  private static void requireSize(
      Checkpoint checkpoint, String file, JsonNode pooling, int hiddenSize)
      throws InvalidCheckpointException {
    for (String member : SIZES) {
      JsonNode size = pooling.path(member);
      if (!size.isMissingNode() && !(size.isIntegralNumber() && size.asLong() == hiddenSize)) {
        throw new InvalidCheckpointException(
            "%s: %s: %s (%s) is not the model's hidden size, %d"
                .formatted(checkpoint.folder(), file, member, size, hiddenSize));
      }
    }
  }

  private static Manifest.Pooling.Kind kind(Checkpoint checkpoint, String file, JsonNode config)
      throws InvalidCheckpointException {
    // A file that has both is read by the name alone, as sentence-transformers does.
    boolean named = config.has(MODE);
    List<String> asked = named ? names(config.path(MODE)) : flags(config);
    Map<String, Manifest.Pooling.Kind> kinds = named ? MODES : FLAGS;
    if (asked.size() != 1 || !kinds.containsKey(asked.get(0))) {
      throw new InvalidCheckpointException(
          "%s: %s asks for %s; one of %s is supported"
              .formatted(
                  checkpoint.folder(), file, asked, kinds.keySet().stream().sorted().toList()));
    }
    return Optional.ofNullable(kinds.get(asked.get(0))).orElseThrow();
  }

  /** One name, or a list of those whose embeddings are put one behind the other. */
  private static List<String> names(JsonNode mode) {
    List<String> names = new ArrayList<>();
    for (JsonNode name : mode.isArray() ? mode : List.of(mode)) {
      names.add(name.isTextual() ? name.textValue() : name.toString());
    }
    return names;
  }

  private static List<String> flags(JsonNode config) {
    List<String> flags = new ArrayList<>();
    config
        .properties()
        .forEach(
            member -> {
              if (member.getKey().startsWith(MODE + "_") && member.getValue().asBoolean()) {
                flags.add(member.getKey());
              }
            });
    return flags;
  }

  /** Whether a step normalises; the steps are the model, one pooling and perhaps that. */
  private static boolean normalizes(Checkpoint checkpoint, JsonNode modules)
      throws InvalidCheckpointException {
    List<String> steps = new ArrayList<>();
    for (JsonNode module : modules) {
      String step = step(module);
      if (!STEPS.contains(step)) {
        throw new InvalidCheckpointException(
            checkpoint.folder()
                + ": modules.json asks for the step "
                + module.path("type").asText()
                + ", which is not supported");
      }
      if (step.equals(MODEL) && !module.path("path").asText().isEmpty()) {
        throw new InvalidCheckpointException(
            "%s: modules.json has the model in '%s'; move what is in that folder here"
                .formatted(checkpoint.folder(), module.path("path").asText()));
      }
      steps.add(step);
    }
    List<String> behind =
        !steps.isEmpty() && steps.get(0).equals(MODEL) ? steps.subList(1, steps.size()) : steps;
    if (!behind.equals(STEPS.subList(1, 2)) && !behind.equals(STEPS.subList(1, 3))) {
      throw new InvalidCheckpointException(
          "%s: modules.json has the steps %s; %s are supported, the last one where it is wanted"
              .formatted(checkpoint.folder(), steps, STEPS));
    }
    return behind.size() == 2;
  }

  /** A step's class without its package, which has changed over the years. */
  private static String step(JsonNode module) {
    String type = module.path("type").asText();
    return type.substring(type.lastIndexOf('.') + 1);
  }
}
