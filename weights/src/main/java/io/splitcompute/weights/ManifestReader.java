package io.splitcompute.weights;

import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads a manifest member by member; members it does not know are left alone. */
final class ManifestReader {

  static final String FORMAT = "splitcompute.manifest/1";

  private static final int MAX_BYTES = 16 << 20;

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private ManifestReader() {}

  static Manifest read(byte[] json) throws InvalidManifestException {
    if (json.length > MAX_BYTES) {
      throw new InvalidManifestException("the manifest is larger than 16 MiB");
    }
    JsonNode root;
    try {
      root = MAPPER.readTree(json);
    } catch (IOException unreadable) {
      throw new InvalidManifestException("the manifest is not JSON");
    }
    if (!root.path("format").asText().equals(FORMAT)) {
      throw new InvalidManifestException(
          "the manifest's format is not " + FORMAT + "; it may need a newer SplitCompute");
    }
    try {
      return manifest(root);
    } catch (IllegalArgumentException inconsistent) {
      throw new InvalidManifestException("the manifest is not valid: " + inconsistent.getMessage());
    }
  }

  private static Manifest manifest(JsonNode root) {
    List<String> dtypes = new ArrayList<>();
    for (JsonNode dtype : list(root, "dtypes")) {
      dtypes.add(requireText(dtype, "dtypes"));
    }
    List<Manifest.Unit> units = new ArrayList<>();
    for (JsonNode unit : list(root, "units")) {
      units.add(unit(unit));
    }
    return new Manifest(
        new ModelName(text(root, "model")),
        text(root, "family"),
        integer(root, "layers"),
        integer(root, "hiddenSize"),
        integer(root, "vocabularySize"),
        integer(root, "maxTokens"),
        root.has("truncateTokens") ? integer(root, "truncateTokens") : null,
        embeddings(root.path("embeddings")),
        layer(root.path("layer")),
        root.has("final") ? norm(root.path("final")) : null,
        new Manifest.Pooling(
            choice(root.path("pooling"), "kind", Manifest.Pooling.Kind.class),
            bool(root.path("pooling"), "normalize")),
        prompts(root),
        dtypes,
        units,
        root.has("tokenizer") ? shard(root.path("tokenizer")) : null);
  }

  private static Manifest.Prompts prompts(JsonNode root) {
    Map<String, String> texts = new LinkedHashMap<>();
    JsonNode prompts = root.path("prompts");
    require(prompts.isMissingNode() || prompts.isObject(), "prompts");
    prompts
        .properties()
        .forEach(prompt -> texts.put(prompt.getKey(), requireText(prompt.getValue(), "prompts")));
    return new Manifest.Prompts(
        texts, root.has("defaultPrompt") ? text(root, "defaultPrompt") : null);
  }

  private static Manifest.Embeddings embeddings(JsonNode node) {
    return new Manifest.Embeddings(
        integer(node, "positions"),
        node.has("types") ? integer(node, "types") : null,
        node.has("norm") ? norm(node) : null);
  }

  private static Manifest.LayerNorm norm(JsonNode node) {
    return new Manifest.LayerNorm(number(node.path("norm"), "epsilon"));
  }

  private static Manifest.Layer layer(JsonNode node) {
    JsonNode attention = node.path("attention");
    List<Double> scales = new ArrayList<>();
    for (JsonNode scale : list(attention, "scales")) {
      require(scale.isNumber(), "scales");
      scales.add(scale.doubleValue());
    }
    return new Manifest.Layer(
        new Manifest.Norm(
            choice(node.path("norm"), "order", Manifest.NormOrder.class),
            number(node.path("norm"), "epsilon")),
        new Manifest.Attention(
            integer(attention, "heads"),
            integer(attention, "headSize"),
            choice(attention, "mask", Manifest.Mask.class),
            scales),
        new Manifest.Mlp(
            integer(node.path("mlp"), "innerSize"),
            choice(node.path("mlp"), "activation", Manifest.Activation.class)));
  }

  private static Manifest.Unit unit(JsonNode node) {
    Map<String, Manifest.Shard> variants = new LinkedHashMap<>();
    JsonNode all = node.path("variants");
    require(all.isObject(), "variants");
    all.properties().forEach(member -> variants.put(member.getKey(), shard(member.getValue())));
    return new Manifest.Unit(text(node, "name"), Map.copyOf(variants));
  }

  private static Manifest.Shard shard(JsonNode node) {
    List<Manifest.Part> parts = new ArrayList<>();
    for (JsonNode part : list(node, "parts")) {
      parts.add(
          new Manifest.Part(count(part, "offset"), count(part, "bytes"), text(part, "sha256")));
    }
    return new Manifest.Shard(
        text(node, "sha256"),
        count(node, "bytes"),
        parts,
        node.has("canary") ? canary(node.path("canary")) : null);
  }

  private static Manifest.Canary canary(JsonNode node) {
    List<Float> elements = new ArrayList<>();
    for (JsonNode element : list(node, "elements")) {
      require(element.isNumber(), "elements");
      elements.add(element.floatValue());
    }
    return new Manifest.Canary(
        count(node, "seed"),
        (float) number(node, "scale"),
        (float) number(node, "mean"),
        (float) number(node, "norm"),
        elements);
  }

  private static <E extends Enum<E>> E choice(JsonNode node, String member, Class<E> choices) {
    String word = text(node, member);
    for (E choice : choices.getEnumConstants()) {
      if (ManifestWriter.word(choice).equals(word)) {
        return choice;
      }
    }
    throw new IllegalArgumentException(
        "'" + member + "' has the unknown value '" + word + "'; it may need a newer SplitCompute");
  }

  private static JsonNode list(JsonNode node, String member) {
    JsonNode list = node.path(member);
    require(list.isArray(), member);
    return list;
  }

  private static String text(JsonNode node, String member) {
    return requireText(node.path(member), member);
  }

  private static String requireText(JsonNode value, String member) {
    require(value.isTextual(), member);
    return value.textValue();
  }

  private static int integer(JsonNode node, String member) {
    JsonNode value = node.path(member);
    require(value.isIntegralNumber() && value.canConvertToInt(), member);
    return value.intValue();
  }

  private static long count(JsonNode node, String member) {
    JsonNode value = node.path(member);
    require(value.isIntegralNumber() && value.canConvertToLong(), member);
    return value.longValue();
  }

  private static double number(JsonNode node, String member) {
    JsonNode value = node.path(member);
    require(value.isNumber(), member);
    return value.doubleValue();
  }

  private static boolean bool(JsonNode node, String member) {
    JsonNode value = node.path(member);
    require(value.isBoolean(), member);
    return value.booleanValue();
  }

  private static void require(boolean holds, String member) {
    if (!holds) {
      throw new IllegalArgumentException("'" + member + "' is missing or of another type");
    }
  }
}
