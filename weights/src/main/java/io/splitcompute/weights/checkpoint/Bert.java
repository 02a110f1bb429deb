package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/**
 * BERT (Devlin et al. 2019) and the encoders that share its architecture, such as MiniLM, BGE and
 * E5: post-LayerNorm layers with bidirectional attention. The pooler and the heads of the training
 * tasks are left out; embeddings are pooled from the last layer's output.
 */
final class Bert implements ModelFamily {

  private static final String EMBEDDINGS = "embeddings.";

  /** Heads of the two tasks that BERT was trained on. */
  private static final List<String> TRAINING_HEADS =
      List.of("cls.predictions.", "cls.seq_relationship.");

  @Override
  public String modelType() {
    return "bert";
  }

  @Override
  public ModelSource read(Checkpoint checkpoint) throws IOException {
    Config config =
        new Config(checkpoint)
            .irrelevant(
                "attention_probs_dropout_prob",
                "classifier_dropout",
                "directionality",
                "hidden_dropout_prob",
                "pooler_fc_size",
                "pooler_num_attention_heads",
                "pooler_num_fc_layers",
                "pooler_size_per_head",
                "pooler_type",
                // Of the output matrix, which is left out.
                "tie_word_embeddings");
    int layers = config.layers("num_hidden_layers", 12);
    int hidden = config.hiddenSize("hidden_size", 768);
    int heads = config.heads("num_attention_heads", 12, "hidden_size", hidden);
    int inner = config.size("intermediate_size", 3072);
    int vocabulary = config.size("vocab_size", 30_522);
    int positions = config.size("max_position_embeddings", 512);
    int types = config.size("type_vocab_size", 2);
    double epsilon = config.epsilon("layer_norm_eps", 1e-12);
    int headSize = hidden / heads;
    Manifest.Layer layer =
        new Manifest.Layer(
            new Manifest.Norm(Manifest.NormOrder.POST, epsilon),
            new Manifest.Attention(
                heads,
                headSize,
                Manifest.Mask.BIDIRECTIONAL,
                Collections.nCopies(layers, 1 / Math.sqrt(headSize))),
            new Manifest.Mlp(inner, config.activation("hidden_act", "gelu")));
    if (!config.word("position_embedding_type", "absolute").equals("absolute")) {
      throw config.invalid("position_embedding_type", "is not supported; known is absolute");
    }
    config.requireOff("add_cross_attention");
    config.requireOff("is_decoder");
    config.requireOff("is_encoder_decoder");
    config.requireEmpty("pruned_heads");
    config.requireAllAccounted();

    NamedTensors names =
        new NamedTensors(checkpoint, "bert.", EMBEDDINGS + "word_embeddings.weight");
    List<SourceUnit> units = new ArrayList<>();
    List<SourceTensor> embeddings = new ArrayList<>();
    embeddings.add(table(names, "tokens", "word", vocabulary, hidden));
    embeddings.add(table(names, "positions", "position", positions, hidden));
    embeddings.add(table(names, "types", "token_type", types, hidden));
    addNorm(names, "norm", EMBEDDINGS + "LayerNorm", hidden, embeddings);
    units.add(new SourceUnit(Manifest.EMBEDDINGS, List.copyOf(embeddings)));
    for (int i = 0; i < layers; i++) {
      units.add(layer(names, i, hidden, inner));
    }
    Set<String> buffers =
        Set.of(
            names.full(EMBEDDINGS + "position_ids"),
            names.full(EMBEDDINGS + "token_type_ids"),
            names.full("pooler.dense.weight"),
            names.full("pooler.dense.bias"));
    names.requireAllUsed(
        "BERT",
        name -> buffers.contains(name) || TRAINING_HEADS.stream().anyMatch(name::startsWith));
    return new ModelSource(
        modelType(),
        layers,
        hidden,
        vocabulary,
        positions,
        new Manifest.Embeddings(positions, types, new Manifest.LayerNorm(epsilon)),
        layer,
        null,
        List.copyOf(units));
  }

  private static SourceTensor table(
      NamedTensors names, String name, String of, int rows, int hidden)
      throws InvalidCheckpointException {
    return names.matrix(name, Role.TABLE, EMBEDDINGS + of + "_embeddings.weight", rows, hidden);
  }

  private static SourceUnit layer(NamedTensors names, int index, int hidden, int inner)
      throws InvalidCheckpointException {
    String l = "encoder.layer." + index + ".";
    List<String> qkv =
        Stream.of("query", "key", "value").map(part -> l + "attention.self." + part).toList();
    List<SourceTensor> tensors = new ArrayList<>();
    addNorm(names, "attention.norm", l + "attention.output.LayerNorm", hidden, tensors);
    tensors.add(
        names.joinedMatrices(
            "attention.qkv.weight", hidden, qkv.stream().map(part -> part + ".weight").toList()));
    tensors.add(
        names.joinedVectors(
            "attention.qkv.bias", hidden, qkv.stream().map(part -> part + ".bias").toList()));
    addLinear(names, "attention.out", l + "attention.output.dense", hidden, hidden, tensors);
    addNorm(names, "mlp.norm", l + "output.LayerNorm", hidden, tensors);
    addLinear(names, "mlp.up", l + "intermediate.dense", inner, hidden, tensors);
    addLinear(names, "mlp.down", l + "output.dense", hidden, inner, tensors);
    return new SourceUnit(Manifest.layerUnit(index), List.copyOf(tensors));
  }

  private static void addLinear(
      NamedTensors names, String name, String tensor, int out, int in, List<SourceTensor> to)
      throws InvalidCheckpointException {
    to.add(names.matrix(name + ".weight", Role.LINEAR, tensor + ".weight", out, in));
    to.add(names.vector(name + ".bias", tensor + ".bias", out));
  }

  /** Checkpoints that were converted from TensorFlow call weight and bias gamma and beta. */
  private static void addNorm(
      NamedTensors names, String name, String tensor, int size, List<SourceTensor> to)
      throws InvalidCheckpointException {
    boolean old = names.has(tensor + ".gamma");
    to.add(names.vector(name + ".weight", tensor + (old ? ".gamma" : ".weight"), size));
    to.add(names.vector(name + ".bias", tensor + (old ? ".beta" : ".bias"), size));
  }
}
