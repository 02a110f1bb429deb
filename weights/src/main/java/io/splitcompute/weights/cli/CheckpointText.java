package io.splitcompute.weights.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.splitcompute.weights.checkpoint.ModelSource;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.safetensors.DType;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** A checkpoint as a table or as JSON: which units it has, as its own files store them. */
final class CheckpointText {

  private static final JsonMapper MAPPER =
      JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

  private CheckpointText() {}

  static String table(Path folder, ModelSource model) {
    StringBuilder table =
        new StringBuilder(
            "%s: checkpoint of %s, %d layers, hidden size %d, vocabulary %d, %d tokens\n"
                .formatted(
                    folder,
                    model.family(),
                    model.layers(),
                    model.hiddenSize(),
                    model.vocabularySize(),
                    model.maxTokens()));
    table.append(line("unit", "bytes", "dtypes"));
    for (SourceUnit unit : model.units()) {
      List<String> dtypes = dtypes(unit);
      table.append(line(unit.name(), Bytes.of(bytes(unit)), String.join(" ", dtypes)));
    }
    return table.toString();
  }

  static String json(ModelSource model) {
    ObjectNode node = MAPPER.createObjectNode();
    node.put("family", model.family());
    node.put("layers", model.layers());
    node.put("hiddenSize", model.hiddenSize());
    node.put("vocabularySize", model.vocabularySize());
    node.put("maxTokens", model.maxTokens());
    ArrayNode units = node.putArray("units");
    for (SourceUnit unit : model.units()) {
      ObjectNode entry = units.addObject().put("name", unit.name()).put("bytes", bytes(unit));
      dtypes(unit).forEach(entry.putArray("dtypes")::add);
    }
    try {
      return MAPPER.writeValueAsString(node) + "\n";
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private static long bytes(SourceUnit unit) {
    return unit.tensors().stream().mapToLong(SourceTensor::bytes).sum();
  }

  private static List<String> dtypes(SourceUnit unit) {
    return unit.tensors().stream()
        .flatMap(SourceTensor::dtypes)
        .distinct()
        .map(DType::name)
        .toList();
  }

  private static String line(String unit, String bytes, String dtypes) {
    return String.format(Locale.ROOT, "%-12s%12s  %s\n", unit, bytes, dtypes);
  }
}
