package io.splitcompute.weights;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Locale;

/** Writes a manifest, always the same way: its bytes make the revision. */
final class ManifestWriter {

  // Jackson's own way to write a float or double, in the fewest digits that give it back: the JDK's
  // wrote others before its release 19, and a manifest's bytes are its revision.
  private static final JsonMapper MAPPER =
      JsonMapper.builder().enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER).build();

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
    if (manifest.truncateTokens() != null) {
      root.put("truncateTokens", manifest.truncateTokens());
    }
    writeEmbeddings(root.putObject("embeddings"), manifest.embeddings());
    writeLayer(root.putObject("layer"), manifest.layer());
    if (manifest.finalNorm() != null) {
      writeNorm(root.putObject("final"), manifest.finalNorm());
    }
    root.putObject("pooling")
        .put("kind", word(manifest.pooling().kind()))
        .put("normalize", manifest.pooling().normalize());
    if (!manifest.prompts().texts().isEmpty()) {
      manifest.prompts().texts().forEach(root.putObject("prompts")::put);
    }
    if (manifest.prompts().byDefault() != null) {
      root.put("defaultPrompt", manifest.prompts().byDefault());
    }
    ArrayNode dtypes = root.putArray("dtypes");
    manifest.dtypes().forEach(dtypes::add);
    writeNeeds(root.putObject("needs"), manifest);
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

  private static void writeNeeds(ObjectNode node, Manifest manifest) {
    for (String dtype : manifest.dtypes()) {
      ObjectNode needs = node.putObject(dtype);
      ArrayNode bytes = needs.putArray("bytes");
      ArrayNode memory = needs.putArray("memory");
      for (DeviceNeed need : DeviceNeed.ofCuts(manifest, dtype)) {
        bytes.add(need.bytes());
        memory.add(need.memory());
      }
    }
  }

  private static void writeEmbeddings(ObjectNode node, Manifest.Embeddings embeddings) {
    node.put("positions", embeddings.positions());
    if (embeddings.types() != null) {
      node.put("types", embeddings.types());
    }
    if (embeddings.norm() != null) {
      writeNorm(node, embeddings.norm());
    }
  }

  private static void writeNorm(ObjectNode node, Manifest.LayerNorm norm) {
    node.putObject("norm").put("epsilon", norm.epsilon());
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
    if (shard.canary() != null) {
      writeCanary(node.putObject("canary"), shard.canary());
    }
  }

  private static void writeCanary(ObjectNode node, Manifest.Canary canary) {
    node.put("seed", canary.seed());
    node.put("scale", canary.scale());
    node.put("mean", canary.mean());
    node.put("norm", canary.norm());
    ArrayNode elements = node.putArray("elements");
    canary.elements().forEach(elements::add);
  }

  /** A choice as it stands in JSON: {@code GELU_TANH} is {@code gelu_tanh}. */
  static String word(Enum<?> choice) {
    return choice.name().toLowerCase(Locale.ROOT);
  }
}
