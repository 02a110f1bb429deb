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
 * modules.json} lists the steps, {@code 1_Pooling/config.json} describes the pooling.
 */
public final class SentencePooling {

  private static final Map<String, Manifest.Pooling.Kind> KINDS =
      Map.of(
          "pooling_mode_mean_tokens", Manifest.Pooling.Kind.MEAN,
          "pooling_mode_lasttoken", Manifest.Pooling.Kind.LAST,
          "pooling_mode_cls_token", Manifest.Pooling.Kind.CLS);

  private SentencePooling() {}

  /**
   * @return the checkpoint's own pooling; the normalised mean if it does not say
   * @throws InvalidCheckpointException if it asks for a step or a pooling that is not supported
   */
  public static Manifest.Pooling of(Checkpoint checkpoint) throws IOException {
    Optional<JsonNode> pooling = checkpoint.json("1_Pooling/config.json");
    Optional<JsonNode> modules = checkpoint.json("modules.json");
    return new Manifest.Pooling(
        pooling.isPresent() ? kind(checkpoint, pooling.get()) : Manifest.Pooling.Kind.MEAN,
        modules.isPresent() ? normalizes(checkpoint, modules.get()) : true);
  }

  private static Manifest.Pooling.Kind kind(Checkpoint checkpoint, JsonNode config)
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
          "%s: 1_Pooling/config.json asks for %s; one of %s is supported"
              .formatted(checkpoint.folder(), asked, KINDS.keySet().stream().sorted().toList()));
    }
    return Optional.ofNullable(KINDS.get(asked.get(0))).orElseThrow();
  }

  private static boolean normalizes(Checkpoint checkpoint, JsonNode modules)
      throws InvalidCheckpointException {
    boolean normalizes = false;
    for (JsonNode module : modules) {
      String type = module.path("type").asText();
      switch (type.substring(type.lastIndexOf('.') + 1)) {
        case "Transformer", "Pooling" -> {}
        case "Normalize" -> normalizes = true;
        default ->
            throw new InvalidCheckpointException(
                checkpoint.folder()
                    + ": modules.json asks for the step "
                    + type
                    + ", which is not supported");
      }
    }
    return normalizes;
  }
}
