package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** What {@code config_sentence_transformers.json} puts before texts, where there is one. */
public final class SentencePrompts {

  private static final String FILE = "config_sentence_transformers.json";

  private SentencePrompts() {}

  /**
   * @return the checkpoint's prompts; none if it does not say
   * @throws InvalidCheckpointException if they are no texts by name, if there is none of the
   *     default's name, or if what is put before a text is to be left out of its pooling
   */
  public static Manifest.Prompts of(Checkpoint checkpoint) throws IOException {
    Optional<JsonNode> file = checkpoint.object(FILE);
    if (file.isEmpty()) {
      return Manifest.Prompts.NONE;
    }
    Map<String, String> texts = new LinkedHashMap<>();
    JsonNode prompts = file.get().path("prompts");
    if (!prompts.isMissingNode() && !prompts.isNull() && !prompts.isObject()) {
      throw invalid(checkpoint, "prompts is no object");
    }
    for (Map.Entry<String, JsonNode> prompt : prompts.properties()) {
      if (!prompt.getValue().isTextual()) {
        throw invalid(checkpoint, "the prompt '" + prompt.getKey() + "' is no string");
      }
      texts.put(prompt.getKey(), prompt.getValue().textValue());
    }
    String byDefault = byDefault(checkpoint, file.get().path("default_prompt_name"), texts);
    boolean put = texts.values().stream().anyMatch(text -> !text.isEmpty());
    if (put && !SentencePooling.poolsPrompts(checkpoint)) {
      throw invalid(
          checkpoint, "its prompts are to be left out of the pooling, which is not supported");
    }
    return new Manifest.Prompts(texts, byDefault);
  }

  private static @Nullable String byDefault(
      Checkpoint checkpoint, JsonNode name, Map<String, String> texts)
      throws InvalidCheckpointException {
    if (name.isMissingNode() || name.isNull()) {
      return null;
    }
    if (!name.isTextual() || !texts.containsKey(name.textValue())) {
      throw invalid(checkpoint, "default_prompt_name is none of prompts " + texts.keySet());
    }
    return name.textValue();
  }

  private static InvalidCheckpointException invalid(Checkpoint checkpoint, String what) {
    return new InvalidCheckpointException(checkpoint.folder() + ": " + FILE + ": " + what);
  }
}
