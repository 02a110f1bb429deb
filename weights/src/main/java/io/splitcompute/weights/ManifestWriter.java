package io.splitcompute.weights;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Locale;

/** Writes a manifest, always the same way: its bytes make the revision. */
final class ManifestWriter {

  private static final JsonMapper MAPPER = new JsonMapper();

  private ManifestWriter() {}

  static byte[] write(Manifest manifest) {
    ObjectNode root = MAPPER.createObjectNode();
    root.put("format", ManifestReader.FORMAT);
    root.put("model", manifest.model().value());
    root.put("family", manifest.family());
    root.put("layers", manifest.layers());
    root.put("hiddenSize", manifest.hiddenSize());
    root.put("vocabularySize", manifest.vocabularySize());
    root.put("maxTokens", manifest.maxTokens());
    root.putObject("embeddings").put("positions", manifest.embeddings().positions());
    writeLayer(root.putObject("layer"), manifest.layer());
    root.putObject("final").putObject("norm").put("epsilon", manifest.finalNorm().epsilon());
    root.putObject("pooling")
        .put("kind", word(manifest.pooling().kind()))
        .put("normalize", manifest.pooling().normalize());
    ArrayNode dtypes = root.putArray("dtypes");
    manifest.dtypes().forEach(dtypes::add);
    ArrayNode units = root.putArray("units");
    for (Manifest.Unit unit : manifest.units()) {
      ObjectNode node = units.addObject();
      node.put("name", unit.name());
      ObjectNode variants = node.putObject("variants");
      for (String dtype : manifest.dtypes()) {
        writeShard(variants.putObject(dtype), unit.variant(dtype));
      }
    }
    if (manifest.tokenizer() != null) {
      writeShard(root.putObject("tokenizer"), manifest.tokenizer());
    }
    try {
      return MAPPER.writeValueAsBytes(root);
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private static void writeLayer(ObjectNode node, Manifest.Layer layer) {
    node.putObject("norm")
        .put("order", word(layer.norm().order()))
        .put("epsilon", layer.norm().epsilon());
    ObjectNode attention =
        node.putObject("attention")
            .put("heads", layer.attention().heads())
            .put("headSize", layer.attention().headSize())
            .put("mask", word(layer.attention().mask()));
    ArrayNode scales = attention.putArray("scales");
    layer.attention().scales().forEach(scales::add);
    node.putObject("mlp")
        .put("innerSize", layer.mlp().innerSize())
        .put("activation", word(layer.mlp().activation()));
  }

  private static void writeShard(ObjectNode node, Manifest.Shard shard) {
    node.put("sha256", shard.sha256());
    node.put("bytes", shard.bytes());
    ArrayNode parts = node.putArray("parts");
    for (Manifest.Part part : shard.parts()) {
      parts
          .addObject()
          .put("offset", part.offset())
          .put("bytes", part.bytes())
          .put("sha256", part.sha256());
    }
  }

  /** A choice as it stands in JSON: {@code GELU_TANH} is {@code gelu_tanh}. */
  static String word(Enum<?> choice) {
    return choice.name().toLowerCase(Locale.ROOT);
  }
}
