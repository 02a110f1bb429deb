package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The configs of the hub's own models carry members of many years. Their sizes are replaced by a
 * small checkpoint's; everything else stands as it is published.
 */
class HubConfigTest {

  private static final Set<String> SIZES =
      Set.of(
          "n_layer",
          "n_embd",
          "n_head",
          "n_positions",
          "vocab_size",
          "num_hidden_layers",
          "hidden_size",
          "num_attention_heads",
          "intermediate_size",
          "max_position_embeddings");

  private static final String COMMON =
      """
      "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
      "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
      "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_positions": 1024,
      "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
      "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
      "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}},
      "vocab_size": 50257,
      """;

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(
      strings = {
        "\"n_embd\": 768, \"n_head\": 12, \"n_layer\": 12",
        "\"n_embd\": 1024, \"n_head\": 16, \"n_layer\": 24, \"n_special\": 0,"
            + " \"predict_special_tokens\": true",
        "\"n_embd\": 1280, \"n_head\": 20, \"n_layer\": 36",
        "\"n_embd\": 1600, \"n_head\": 25, \"n_layer\": 48, \"output_past\": true",
        "\"n_embd\": 768, \"n_head\": 12, \"n_layer\": 6, \"_num_labels\": 1,"
            + " \"id2label\": {\"0\": \"LABEL_0\"}, \"label2id\": {\"LABEL_0\": 0}",
      })
  void shouldReadTheHubsConfigs(String own) throws Exception {
    ModelSource source = read(new TestCheckpoint(), "{" + COMMON + own + "}");

    assertEquals(Manifest.Activation.GELU_TANH, source.layer().mlp().activation());
    assertEquals(1e-5, source.layer().norm().epsilon());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        // all-MiniLM-L6-v2
        "\"gradient_checkpointing\": false, \"transformers_version\": \"4.8.2\"",
        // bge-small-en-v1.5
        "\"classifier_dropout\": null, \"id2label\": {\"0\": \"LABEL_0\"},"
            + " \"label2id\": {\"LABEL_0\": 0}, \"torch_dtype\": \"float32\"",
        // bert-base-multilingual-cased
        "\"directionality\": \"bidi\", \"pooler_fc_size\": 768,"
            + " \"pooler_num_attention_heads\": 12, \"pooler_num_fc_layers\": 3,"
            + " \"pooler_size_per_head\": 128, \"pooler_type\": \"first_token_transform\"",
      })
  void shouldReadTheHubsEncoders(String own) throws Exception {
    String common =
        """
        "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "hidden_size": 384, "initializer_range": 0.02,
        "intermediate_size": 1536, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 6, "pad_token_id": 0,
        "position_embedding_type": "absolute", "type_vocab_size": 2, "use_cache": true,
        "vocab_size": 30522,
        """;

    ModelSource source = read(TestCheckpoint.bert(), "{" + common + own + "}");

    assertEquals(Manifest.Activation.GELU_ERF, source.layer().mlp().activation());
    assertEquals(Manifest.NormOrder.POST, source.layer().norm().order());
    assertEquals(1e-12, source.layer().norm().epsilon());
  }

  private ModelSource read(TestCheckpoint checkpoint, String config) throws IOException {
    for (Map.Entry<String, JsonNode> member : new JsonMapper().readTree(config).properties()) {
      if (!SIZES.contains(member.getKey())) {
        checkpoint.config(member.getKey(), member.getValue().toString());
      }
    }
    Checkpoint opened = Checkpoint.open(checkpoint.writeTo(folder));
    return ModelFamily.of(opened).read(opened);
  }
}
