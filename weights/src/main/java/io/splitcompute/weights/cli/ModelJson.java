package io.splitcompute.weights.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.splitcompute.weights.DeviceNeed;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.PublishedManifest;
import java.util.List;

/** Models as JSON: what the table shows, in bytes. */
final class ModelJson {

  private static final JsonMapper MAPPER =
      JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

  private ModelJson() {}

  static String of(List<PublishedManifest> manifests) {
    ArrayNode models = MAPPER.createArrayNode();
    for (PublishedManifest published : manifests) {
      describe(published, models.addObject());
    }
    try {
      return MAPPER.writeValueAsString(models) + "\n";
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private static void describe(PublishedManifest published, ObjectNode node) {
    Manifest manifest = published.manifest();
    node.put("model", manifest.model().value());
    node.put("revision", published.revision());
    node.put("family", manifest.family());
    node.put("layers", manifest.layers());
    node.put("hiddenSize", manifest.hiddenSize());
    node.put("vocabularySize", manifest.vocabularySize());
    node.put("maxTokens", manifest.maxTokens());
    ArrayNode dtypes = node.putArray("dtypes");
    manifest.dtypes().forEach(dtypes::add);
    ArrayNode units = node.putArray("units");
    for (Manifest.Unit unit : manifest.units()) {
      ObjectNode bytes = units.addObject().put("name", unit.name()).putObject("bytes");
      manifest.dtypes().forEach(dtype -> bytes.put(dtype, unit.variant(dtype).bytes()));
    }
    ObjectNode needs = node.putObject("needs");
    for (String dtype : manifest.dtypes()) {
      ArrayNode cuts = needs.putArray(dtype);
      for (DeviceNeed need : DeviceNeed.ofCuts(manifest, dtype)) {
        cuts.addObject().put("bytes", need.bytes()).put("memory", need.memory());
      }
    }
    if (manifest.tokenizer() != null) {
      node.putObject("tokenizer").put("bytes", manifest.tokenizer().bytes());
    }
  }
}
