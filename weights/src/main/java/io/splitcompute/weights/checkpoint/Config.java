package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import java.util.HashSet;
import java.util.Set;

/**
 * Reads a checkpoint's {@code config.json}. Every member is accounted for: read, required to have
 * the one value that is supported, or known not to matter. A member that none of these names is an
 * error, since it could change the results.
 */
final class Config {

  /** What every family's config may hold and inference with these weights does not depend on. */
  private static final Set<String> IRRELEVANT =
      Set.of(
          "_attn_implementation_autoset",
          "_from_model_config",
          "_name_or_path",
          "_num_labels",
          "architectures",
          "bad_words_ids",
          "begin_suppress_tokens",
          "bos_token_id",
          "chunk_size_feed_forward",
          "cross_attention_hidden_size",
          "decoder_start_token_id",
          "diversity_penalty",
          "do_sample",
          "dtype",
          "early_stopping",
          "encoder_no_repeat_ngram_size",
          "eos_token_id",
          "exponential_decay_length_penalty",
          "finetuning_task",
          "forced_bos_token_id",
          "forced_eos_token_id",
          "gradient_checkpointing",
          "id2label",
          "initializer_range",
          "label2id",
          "length_penalty",
          "max_length",
          "min_length",
          "model_type",
          "name_or_path",
          "no_repeat_ngram_size",
          "num_beam_groups",
          "num_beams",
          "num_labels",
          "num_return_sequences",
          "output_attentions",
          "output_hidden_states",
          "output_past",
          "output_scores",
          "pad_token_id",
          "prefix",
          "problem_type",
          "remove_invalid_values",
          "repetition_penalty",
          "return_dict",
          "return_dict_in_generate",
          "sep_token_id",
          "suppress_tokens",
          "task_specific_params",
          "temperature",
          "tie_encoder_decoder",
          "tokenizer_class",
          "top_k",
          "top_p",
          "torch_dtype",
          "torchscript",
          "transformers_version",
          "typical_p",
          "use_bfloat16",
          "use_cache");

  private final Checkpoint checkpoint;
  private final JsonNode json;
  private final Set<String> accounted = new HashSet<>(IRRELEVANT);

  Config(Checkpoint checkpoint) {
    this.checkpoint = checkpoint;
    this.json = checkpoint.config();
  }

  /** Members of this family that do not matter. */
  Config irrelevant(String... members) {
    accounted.addAll(Set.of(members));
    return this;
  }

  /** A positive integer, or the default that transformers has for it. */
  int size(String member, int byDefault) throws InvalidCheckpointException {
    JsonNode value = value(member);
    if (value.isMissingNode() || value.isNull()) {
      return byDefault;
    }
    if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < 1) {
      throw invalid(member, "is not a positive integer");
    }
    return value.intValue();
  }

  /** A number of layers, checked before anything is made for each of them. */
  int layers(String member, int byDefault) throws InvalidCheckpointException {
    int layers = size(member, byDefault);
    if (layers > checkpoint.tensors().size()) {
      throw invalid(member, "is more than the checkpoint has tensors");
    }
    return layers;
  }

  /** A hidden size, checked before a size is computed from it. */
  int hiddenSize(String member, int byDefault) throws InvalidCheckpointException {
    int size = size(member, byDefault);
    if (size > Integer.MAX_VALUE / 4) {
      throw invalid(member, "is too large");
    }
    return size;
  }

  /** A number of heads, which divides the hidden size into heads that devices run. */
  int heads(String member, int byDefault, String hiddenMember, int hiddenSize)
      throws InvalidCheckpointException {
    int heads = size(member, byDefault);
    if (hiddenSize % heads != 0) {
      throw invalid(member, "does not divide " + hiddenMember);
    }
    if (hiddenSize / heads > Manifest.Attention.MOST_HEAD_SIZE) {
      throw invalid(
          member,
          "makes heads of %d elements, but devices run at most %d"
              .formatted(hiddenSize / heads, Manifest.Attention.MOST_HEAD_SIZE));
    }
    return heads;
  }

  /** An activation by the name that transformers has for it. */
  Manifest.Activation activation(String member, String byDefault)
      throws InvalidCheckpointException {
    return switch (word(member, byDefault)) {
      case "gelu_new", "gelu_pytorch_tanh" -> Manifest.Activation.GELU_TANH;
      case "gelu" -> Manifest.Activation.GELU_ERF;
      case "relu" -> Manifest.Activation.RELU;
      default ->
          throw invalid(
              member, "is not supported; known are gelu_new, gelu_pytorch_tanh, gelu and relu");
    };
  }

  boolean flag(String member, boolean byDefault) throws InvalidCheckpointException {
    JsonNode value = value(member);
    if (value.isMissingNode()) {
      return byDefault;
    }
    if (!value.isBoolean()) {
      throw invalid(member, "is neither true nor false");
    }
    return value.booleanValue();
  }

  double epsilon(String member, double byDefault) throws InvalidCheckpointException {
    JsonNode value = value(member);
    if (value.isMissingNode()) {
      return byDefault;
    }
    if (!value.isNumber() || !(value.doubleValue() >= 0 && value.doubleValue() < 1)) {
      throw invalid(member, "is not a number from 0 to below 1");
    }
    return value.doubleValue();
  }

  String word(String member, String byDefault) throws InvalidCheckpointException {
    JsonNode value = value(member);
    if (value.isMissingNode()) {
      return byDefault;
    }
    if (!value.isTextual()) {
      throw invalid(member, "is not a string");
    }
    return value.textValue();
  }

  /** A flag whose other value is not supported. */
  void requireOff(String member) throws InvalidCheckpointException {
    if (flag(member, false)) {
      throw invalid(member, "is not supported");
    }
  }

  /** A list or object that is only supported empty. */
  void requireEmpty(String member) throws InvalidCheckpointException {
    JsonNode value = value(member);
    if (!value.isMissingNode() && !value.isNull() && !value.isEmpty()) {
      throw invalid(member, "is not supported");
    }
  }

  /**
   * @throws InvalidCheckpointException if a member was not accounted for
   */
  void requireAllAccounted() throws InvalidCheckpointException {
    for (java.util.Map.Entry<String, JsonNode> member : json.properties()) {
      if (!accounted.contains(member.getKey())) {
        throw invalid(
            member.getKey(), "is unknown; remove the member if the results do not depend on it");
      }
    }
  }

  InvalidCheckpointException invalid(String member, String what) {
    return new InvalidCheckpointException(
        "%s: config.json: %s (%s) %s"
            .formatted(checkpoint.folder(), member, shortened(json.path(member)), what));
  }

  private JsonNode value(String member) {
    accounted.add(member);
    return json.path(member);
  }

  private static String shortened(JsonNode value) {
    String text = value.toString();
    return text.length() <= 80 ? text : text.substring(0, 80) + "...";
  }
}
