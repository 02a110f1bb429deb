package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * GPT-2 (Radford et al. 2019), as Hugging Face transformers stores it: pre-LayerNorm layers with
 * causal attention, whose linear maps are Conv1D, that is {@code [in, out]}.
 */
final class Gpt2 implements ModelFamily {

  @Override
  public String modelType() {
    return "gpt2";
  }

  @Override
  public ModelSource read(Checkpoint checkpoint) throws IOException {
    Config config =
        new Config(checkpoint)
            .irrelevant(
                "attn_pdrop",
                "embd_pdrop",
                "n_ctx",
                "n_special",
                "predict_special_tokens",
                // Another order of the same operations in f32.
                "reorder_and_upcast_attn",
                "resid_pdrop",
                "summary_activation",
                "summary_first_dropout",
                "summary_proj_to_labels",
                "summary_type",
                "summary_use_proj");
    int layers = config.layers("n_layer", 12);
    int hidden = config.hiddenSize("n_embd", 768);
    int heads = config.heads("n_head", 12, "n_embd", hidden);
    int vocabulary = config.size("vocab_size", 50_257);
    int positions = config.size("n_positions", 1024);
    int inner = config.size("n_inner", 4 * hidden);
    Manifest.Layer layer =
        new Manifest.Layer(
            new Manifest.Norm(Manifest.NormOrder.PRE, config.epsilon("layer_norm_epsilon", 1e-5)),
            new Manifest.Attention(
                heads,
                hidden / heads,
                Manifest.Mask.CAUSAL,
                scales(config, layers, hidden / heads)),
            new Manifest.Mlp(inner, config.activation("activation_function", "gelu_new")));
    boolean tied = config.flag("tie_word_embeddings", true);
    config.requireOff("add_cross_attention");
    config.requireOff("is_encoder_decoder");
    config.flag("is_decoder", true);
    config.requireEmpty("pruned_heads");
    config.requireAllAccounted();

    NamedTensors names = new NamedTensors(checkpoint, "transformer.", "wte.weight");
    List<SourceUnit> units = new ArrayList<>();
    SourceTensor tokens = names.matrix("tokens", Role.TABLE, "wte.weight", vocabulary, hidden);
    units.add(
        new SourceUnit(
            Manifest.EMBEDDINGS,
            List.of(
                tokens, names.matrix("positions", Role.TABLE, "wpe.weight", positions, hidden))));
    for (int i = 0; i < layers; i++) {
      units.add(layer(names, i, hidden, inner));
    }
    units.add(
        new SourceUnit(
            Manifest.FINAL,
            List.of(
                names.vector("norm.weight", "ln_f.weight", hidden),
                names.vector("norm.bias", "ln_f.bias", hidden))));
    units.add(
        new SourceUnit(
            Manifest.LM_HEAD, List.of(lmHead(checkpoint, names, tied, vocabulary, hidden))));
    // Old checkpoints carry each layer's mask as buffers.
    Set<String> masks = new HashSet<>();
    for (int i = 0; i < layers; i++) {
      masks.add(names.full("h." + i + ".attn.bias"));
      masks.add(names.full("h." + i + ".attn.masked_bias"));
    }
    names.requireAllUsed("GPT-2", masks::contains);
    return new ModelSource(
        modelType(),
        layers,
        hidden,
        vocabulary,
        positions,
        new Manifest.Embeddings(positions, null, null),
        layer,
        new Manifest.LayerNorm(layer.norm().epsilon()),
        List.copyOf(units));
  }

  private static SourceUnit layer(NamedTensors names, int index, int hidden, int inner)
      throws InvalidCheckpointException {
    String h = "h." + index + ".";
    return new SourceUnit(
        Manifest.layerUnit(index),
        List.of(
            names.vector("attention.norm.weight", h + "ln_1.weight", hidden),
            names.vector("attention.norm.bias", h + "ln_1.bias", hidden),
            names.conv1d("attention.qkv.weight", h + "attn.c_attn.weight", 3 * hidden, hidden),
            names.vector("attention.qkv.bias", h + "attn.c_attn.bias", 3 * hidden),
            names.conv1d("attention.out.weight", h + "attn.c_proj.weight", hidden, hidden),
            names.vector("attention.out.bias", h + "attn.c_proj.bias", hidden),
            names.vector("mlp.norm.weight", h + "ln_2.weight", hidden),
            names.vector("mlp.norm.bias", h + "ln_2.bias", hidden),
            names.conv1d("mlp.up.weight", h + "mlp.c_fc.weight", inner, hidden),
            names.vector("mlp.up.bias", h + "mlp.c_fc.bias", inner),
            names.conv1d("mlp.down.weight", h + "mlp.c_proj.weight", hidden, inner),
            names.vector("mlp.down.bias", h + "mlp.c_proj.bias", hidden)));
  }

  /**
   * One factor a layer: 1/sqrt(head size) and 1/(layer + 1), as far as the config asks for them.
   */
  private static List<Double> scales(Config config, int layers, int headSize)
      throws InvalidCheckpointException {
    double scale = config.flag("scale_attn_weights", true) ? 1 / Math.sqrt(headSize) : 1;
    boolean byLayer = config.flag("scale_attn_by_inverse_layer_idx", false);
    List<Double> scales = new ArrayList<>();
    for (int i = 0; i < layers; i++) {
      scales.add(byLayer ? scale / (i + 1) : scale);
    }
    return scales;
  }

  /**
   * The output matrix: a tied model's is the token table. A checkpoint may hold it twice, but not
   * two of them: some versions of transformers would take the one and some the other.
   */
  private static SourceTensor lmHead(
      Checkpoint checkpoint, NamedTensors names, boolean tied, int vocabulary, int hidden)
      throws InvalidCheckpointException {
    String own = "lm_head.weight";
    String tokens = names.full("wte.weight");
    Tensor tensor = names.find(tied ? tokens : own, vocabulary, hidden);
    if (tied && checkpoint.tensors().containsKey(own)) {
      Tensor copy = names.find(own, vocabulary, hidden);
      if (copy.dtype() != tensor.dtype() || !copy.bytes().equals(tensor.bytes())) {
        throw new InvalidCheckpointException(
            "%s: %s is not %s, though tie_word_embeddings says so; set it to false or remove %s"
                .formatted(checkpoint.folder(), own, tokens, own));
      }
    }
    return SourceTensor.matrix("weight", Role.LINEAR, vocabulary, hidden, tensor);
  }
}
