package io.splitcompute.weights;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a model consists of; {@code FORMAT.md} specifies it. An instance is consistent: its
 * constructors refuse what the format forbids.
 *
 * @param model the name it is published under
 * @param family the checkpoint's family, for people
 * @param layers number of layers
 * @param hiddenSize elements of a token's activations
 * @param vocabularySize number of token ids
 * @param maxTokens most tokens of one input
 * @param truncateTokens what a text is cut to, special tokens included; null where too long a text
 *     is refused
 * @param embeddings sizes of the embedding tables
 * @param layer what each layer computes
 * @param finalNorm the LayerNorm behind the last layer, or null where there is none
 * @param pooling how the model's embeddings are made
 * @param prompts what is put before texts
 * @param dtypes the variants that every unit has
 * @param units {@code embeddings}, {@code layer.0} to {@code layer.<n-1>}, {@code final} if there
 *     is a {@code finalNorm}, {@code lm_head} if the model has one
 * @param tokenizer the tokenizer's shard, or null for a model of token ids alone
 */
public record Manifest(
    ModelName model,
    String family,
    int layers,
    int hiddenSize,
    int vocabularySize,
    int maxTokens,
    @Nullable Integer truncateTokens,
    Embeddings embeddings,
    Layer layer,
    @Nullable LayerNorm finalNorm,
    Pooling pooling,
    Prompts prompts,
    List<String> dtypes,
    List<Unit> units,
    @Nullable Shard tokenizer) {

  /** The unit of the embedding tables. */
  public static final String EMBEDDINGS = "embeddings";

  /** The unit of the final LayerNorm. */
  public static final String FINAL = "final";

  /** The unit of the output matrix. */
  public static final String LM_HEAD = "lm_head";

  /** The unit of layer {@code index}. */
  public static String layerUnit(int index) {
    return "layer." + index;
  }

  /**
   * @param positions rows of the position table
   * @param types rows of the table of token types, or null where there is none
   * @param norm the LayerNorm over the sum of the tables, or null where there is none
   */
  public record Embeddings(int positions, @Nullable Integer types, @Nullable LayerNorm norm) {}

  /**
   * @param epsilon what is added to the variance
   */
  public record LayerNorm(double epsilon) {}

  /**
   * @param norm where LayerNorm stands
   * @param attention the first half of the layer
   * @param mlp the second half
   */
  public record Layer(Norm norm, Attention attention, Mlp mlp) {}

  /**
   * @param order where LayerNorm stands
   * @param epsilon what is added to the variance
   */
  public record Norm(NormOrder order, double epsilon) {}

  /** Where LayerNorm stands in a layer. */
  public enum NormOrder {
    /** {@code x += attention(norm(x)); x += mlp(norm(x))}. */
    PRE,
    /** {@code x = norm(x + attention(x)); x = norm(x + mlp(x))}. */
    POST
  }

  /**
   * @param heads number of heads
   * @param headSize elements of a head, at most {@link #MOST_HEAD_SIZE}
   * @param mask which tokens a token sees
   * @param scales one a layer: what {@code q · k} is multiplied by
   */
  public record Attention(int heads, int headSize, Mask mask, List<Double> scales) {

    /** No device runs larger heads. */
    public static final int MOST_HEAD_SIZE = 256;

    public Attention {
      scales = List.copyOf(scales);
    }
  }

  /** Which tokens a token sees. */
  public enum Mask {
    /** Itself and those before it. */
    CAUSAL,
    /** Its whole sequence. */
    BIDIRECTIONAL
  }

  /**
   * @param innerSize elements between the two linear maps
   * @param activation what stands between them
   */
  public record Mlp(int innerSize, Activation activation) {}

  /** What stands between the MLP's linear maps. */
  public enum Activation {
    /** {@code 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))}. */
    GELU_TANH,
    /** {@code 0.5 x (1 + erf(x / sqrt(2)))}. */
    GELU_ERF,
    /** {@code max(0, x)}. */
    RELU
  }

  /**
   * @param kind how a sequence's hidden states become one vector
   * @param normalize whether it is divided by its L2 norm
   */
  public record Pooling(Kind kind, boolean normalize) {

    /** How a sequence's hidden states become one vector. */
    public enum Kind {
      /** Their mean. */
      MEAN,
      /** The last token's. */
      LAST,
      /** The first token's. */
      CLS
    }
  }

  /**
   * What a model wants before its texts, as sentence-transformers has it.
   *
   * @param texts by name what is put before a text for a purpose; whoever embeds for that purpose
   *     puts it there
   * @param byDefault the name of the one that is put before every text, or null for none
   */
  public record Prompts(Map<String, String> texts, @Nullable String byDefault) {

    /** Of a model that wants nothing. */
    public static final Prompts NONE = new Prompts(Map.of(), null);

    /**
     * @throws IllegalArgumentException if there is no prompt of that name
     */
    public Prompts {
      texts = Collections.unmodifiableMap(new LinkedHashMap<>(texts));
      if (byDefault != null && !texts.containsKey(byDefault)) {
        throw new IllegalArgumentException("defaultPrompt is none of prompts");
      }
    }

    /** What is put before every text; empty for nothing. */
    public String before() {
      return byDefault == null ? "" : texts.getOrDefault(byDefault, "");
    }
  }

  /**
   * @param name of the unit
   * @param variants its shards by dtype
   */
  public record Unit(String name, Map<String, Shard> variants) {

    /**
     * @throws IllegalArgumentException if the unit has no such variant
     */
    public Shard variant(String dtype) {
      Shard shard = variants.get(dtype);
      if (shard == null) {
        throw new IllegalArgumentException(name + " has no variant " + dtype);
      }
      return shard;
    }
  }

  /**
   * @param sha256 of the shard's bytes, lower-case hex
   * @param bytes length of the shard
   * @param parts what it is downloaded in
   * @param canary how a device proves the unit, or null where it cannot; a tokenizer has none
   */
  public record Shard(String sha256, long bytes, List<Part> parts, @Nullable Canary canary) {
    public Shard {
      parts = List.copyOf(parts);
    }

    /** The same shard with a canary. */
    public Shard with(Canary canary) {
      return new Shard(sha256, bytes, parts, canary);
    }
  }

  /**
   * @param offset from the start of the shard
   * @param bytes length of the part
   * @param sha256 of the part's bytes, lower-case hex
   */
  public record Part(long offset, long bytes, String sha256) {}

  /**
   * An input with a known answer.
   *
   * @param seed of the input, an unsigned 32-bit number
   * @param scale what the input's elements are multiplied by
   * @param mean of the answer's elements
   * @param norm of the answer, L2
   * @param elements sixteen of the answer's elements, evenly spaced
   */
  public record Canary(long seed, float scale, float mean, float norm, List<Float> elements) {

    /** Number of {@link #elements}. */
    public static final int ELEMENTS = 16;

    public Canary {
      elements = List.copyOf(elements);
    }
  }

  /**
   * @throws IllegalArgumentException with what is wrong, if the manifest is not consistent
   */
  public Manifest {
    dtypes = List.copyOf(dtypes);
    units = List.copyOf(units);
    ManifestCheck.requireConsistent(
        layers,
        hiddenSize,
        vocabularySize,
        maxTokens,
        truncateTokens,
        embeddings,
        layer,
        finalNorm);
    ManifestCheck.requireComplete(layers, finalNorm != null, dtypes, units);
    if (tokenizer != null) {
      ManifestCheck.requireShard("the tokenizer", tokenizer);
    }
  }

  /**
   * Reads a manifest.
   *
   * @throws InvalidManifestException with what is wrong, if it is not one
   */
  public static Manifest parse(byte[] json) throws InvalidManifestException {
    return ManifestReader.read(json);
  }

  /** The manifest as it is published: the same manifest gives the same bytes. */
  public byte[] bytes() {
    return ManifestWriter.write(this);
  }

  /**
   * @throws IllegalArgumentException if the manifest has no such unit
   */
  public Unit unit(String name) {
    return units.stream()
        .filter(unit -> unit.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException("the manifest of " + model + " has no unit " + name));
  }

  /** Whether a shard belongs to this model. */
  public boolean namesShard(String sha256) {
    return (tokenizer != null && tokenizer.sha256().equals(sha256))
        || units.stream()
            .flatMap(unit -> unit.variants().values().stream())
            .anyMatch(shard -> shard.sha256().equals(sha256));
  }
}
