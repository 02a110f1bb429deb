package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A checkpoint that would give other results than its makers' code is refused, not guessed at. */
class HostileCheckpointTest {

  private static final float[] FOUR = new float[4];

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "activation_function | \"swish\" | activation_function (\"swish\")",
        "activation_function | 3 | is not a string",
        "n_layer | 0 | is not a positive integer",
        "n_layer | -1 | is not a positive integer",
        "n_layer | 2.5 | is not a positive integer",
        "n_layer | 99999999999 | is not a positive integer",
        "n_layer | 3 | h.2.",
        "n_layer | 2147483647 | is more than the checkpoint has tensors",
        "n_embd | 2147483646 | is too large",
        "n_layer | 1 | h.1.",
        "n_head | 4 | does not divide n_embd",
        "n_embd | 514 | makes heads of 257 elements, but devices run at most 256",
        "n_embd | \"6\" | is not a positive integer",
        "n_inner | 8 | mlp.c_fc.weight",
        "vocab_size | 12 | wte.weight",
        "n_positions | 6 | wpe.weight",
        "layer_norm_epsilon | 1 | is not a number from 0 to below 1",
        "layer_norm_epsilon | -1e-5 | is not a number from 0 to below 1",
        "scale_attn_weights | \"yes\" | is neither true nor false",
        "add_cross_attention | true | is not supported",
        "is_encoder_decoder | true | is not supported",
        "pruned_heads | {\"0\": [1]} | is not supported",
        "tie_word_embeddings | false | lm_head.weight",
        "rope_theta | 10000 | is unknown",
        "quantization_config | {\"bits\": 4} | is unknown",
        "model_type | \"llama\" | known are [bert, gpt2]",
        "model_type | null | known are [bert, gpt2]",
      })
  void shouldRefuseAConfig(String member, String value, String why) throws Exception {
    assertRefused(new TestCheckpoint().config(member, value), why);
  }

  @Test
  void shouldRefuseAMissingTensor() throws Exception {
    assertRefused(new TestCheckpoint().without("h.1.ln_2.bias"), "h.1.ln_2.bias");
  }

  @Test
  void shouldRefuseATensorOfAnotherShape() throws Exception {
    assertRefused(new TestCheckpoint().tensor("ln_f.bias", FOUR, 4), "ln_f.bias");
    assertRefused(new TestCheckpoint().tensor("ln_f.bias", new float[6], 6, 1), "ln_f.bias");
  }

  @Test
  void shouldRefuseATensorThatTheFamilyDoesNotHave() throws Exception {
    assertRefused(new TestCheckpoint().tensor("h.0.adapter.weight", FOUR, 4), "h.0.adapter.weight");
  }

  @Test
  void shouldRefuseAValueBeyondF16() throws Exception {
    assertRefused(
        new TestCheckpoint().value("h.0.mlp.c_fc.weight", 65_520f), "which f16 cannot hold");
  }

  @Test
  void shouldRefuseAValueThatIsNotFinite() throws Exception {
    assertRefused(
        new TestCheckpoint().value("wte.weight", Float.POSITIVE_INFINITY), "is not finite");
    assertRefused(new TestCheckpoint().value("ln_f.bias", Float.NaN), "is not finite");
  }

  @Test
  void shouldRefuseTwoOutputMatricesOfATiedModel() throws Exception {
    assertRefused(
        new TestCheckpoint()
            .tensor(
                "lm_head.weight",
                new float[TestCheckpoint.VOCABULARY * TestCheckpoint.HIDDEN],
                TestCheckpoint.VOCABULARY,
                TestCheckpoint.HIDDEN),
        "lm_head.weight is not wte.weight");
  }

  @Test
  void shouldNameTheFileOfAValue() throws Exception {
    assertRefused(
        new TestCheckpoint().value("ln_f.bias", Float.NaN),
        "ln_f.bias of " + folder.resolve("checkpoint").resolve("model.safetensors"));
  }

  @Test
  void shouldIgnoreTheMasksOfOldCheckpoints() throws Exception {
    shard(
        new TestCheckpoint()
            .tensor("h.0.attn.bias", FOUR, 1, 1, 2, 2)
            .tensor("h.1.attn.masked_bias", new float[1])
            .writeTo(folder.resolve("checkpoint")));
  }

  @ParameterizedTest
  @CsvSource({
    "../outside.safetensors, is no plain name",
    "/etc/passwd, is no plain name",
    "sub/model.safetensors, is no plain name",
    ".hidden.safetensors, is no plain name",
    "pytorch_model.bin, is no plain name",
    "absent.safetensors, lacks absent.safetensors",
  })
  void shouldRefuseAnIndexThatLeadsAway(String file, String why) throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.move(checkpoint.resolve("model.safetensors"), folder.resolve("outside.safetensors"));
    Files.writeString(
        checkpoint.resolve("model.safetensors.index.json"),
        "{\"weight_map\": {\"wte.weight\": \"" + file + "\"}}");

    assertRefused(checkpoint, why);
  }

  @Test
  void shouldRefuseAnIndexThatIsNotWhatTheFilesHold() throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.move(checkpoint.resolve("model.safetensors"), checkpoint.resolve("model-1.safetensors"));
    Files.writeString(
        checkpoint.resolve("model.safetensors.index.json"),
        "{\"weight_map\": {\"wte.weight\": \"model-1.safetensors\"}}");

    assertRefused(checkpoint, "does not hold just the tensors that the index says");
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 7, 100, -1})
  void shouldRefuseATruncatedFile(int length) throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Path file = checkpoint.resolve("model.safetensors");
    byte[] whole = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(whole, length < 0 ? whole.length + length : length));

    assertRefused(checkpoint, "model.safetensors");
  }

  @Test
  void shouldSayWhatAFolderLacks() throws Exception {
    assertRefused(folder.resolve("nowhere"), "is not a folder");
    Path checkpoint = Files.createDirectories(folder.resolve("empty"));
    assertRefused(checkpoint, "has no config.json");
    Files.writeString(checkpoint.resolve("config.json"), "{\"model_type\": \"gpt2\"}");
    assertRefused(checkpoint, "has neither model.safetensors nor");
    Files.writeString(checkpoint.resolve("config.json"), "{\"model_type\": ");
    assertRefused(checkpoint, "config.json is not JSON");
    Files.writeString(checkpoint.resolve("config.json"), "3");
    assertRefused(checkpoint, "neither a JSON object nor a list");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "1_Pooling/config.json | {\"pooling_mode_max_tokens\": true} | pooling_mode_max_tokens",
        "1_Pooling/config.json | {} | asks for []",
        "1_Pooling/config.json | [] | is no JSON object",
        "1_Pooling/config.json | {\"pooling_mode_cls_token\": true, \"word_embedding_dimension\": 7} |"
            + " word_embedding_dimension (7) is not the model's hidden size, 6",
        "modules.json | {\"0\": {\"type\": \"a.Pooling\"}} | is no JSON list",
        "modules.json | [] | has the steps []",
        "modules.json | [{\"type\": \"a.Transformer\"}, {\"type\": \"a.Normalize\"}] | has the steps"
            + " [Transformer, Normalize]",
        "modules.json | [{\"type\": \"a.Normalize\"}, {\"type\": \"a.Pooling\"}] | has the steps"
            + " [Normalize, Pooling]",
        "modules.json | [{\"type\": \"a.Pooling\"}, {\"type\": \"a.Pooling\"}] | has the steps"
            + " [Pooling, Pooling]",
        "modules.json | [{\"type\": \"a.Transformer\", \"path\": \"0_Transformer\"}] | has the model in"
            + " '0_Transformer'",
        "modules.json | [{\"type\": \"sentence_transformers.models.Dense\"}] | the step"
            + " sentence_transformers.models.Dense",
        "modules.json | [{\"type\": \"a.Pooling\", \"path\": \"../x\"}] | is no plain name",
        "modules.json | [{\"type\": \"a.Pooling\", \"path\": \"2_Pooling\"}] | 2_Pooling/config.json,"
            + " which says for which, is not there",
      })
  void shouldRefuseAPoolingThatIsNotSupported(String file, String json, String why)
      throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.createDirectories(checkpoint.resolve("1_Pooling"));
    Files.writeString(checkpoint.resolve(file), json);

    assertRefused(checkpoint, why);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "[] | has no model",
        "{} | has no model",
        "3 | neither a JSON object nor a list",
        "{\"model\": {\"vocab\": {\"a\": 0}}} | of the kind ''; known are BPE and WordPiece",
        "{\"model\": {\"type\": \"Unigram\"}} | of the kind 'Unigram'",
        "{\"model\": {\"type\": \"BPE\"}} | has no vocabulary",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {}}} | has no vocabulary",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}}} | a token whose id is none",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": \"1\"}}} | a token whose id is none",
        "{\"model\": {\"merges\": [], \"vocab\": {\"a\": 11}}} | the token 11, but the model has 11",
        "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 1}}, \"added_tokens\": [{\"id\": 12}]} |"
            + " the token 12, but the model has 11",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": []}, \"added_tokens\": \"a\"} |"
            + " added_tokens that are no list",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}}} | has no list of merges",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": [\"a a\"]}} | has the merge"
            + " \"a a\"",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1, \"aa\": 2}, \"merges\": [\"a\"]}} | has the"
            + " merge \"a\"",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1, \"aa\": 2}, \"merges\": [[\"a\", \"a\","
            + " \"a\"]]}} | has the merge [\"a\",\"a\",\"a\"]",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": [], \"dropout\": 0.1}} | drops"
            + " merges at random",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": [], \"unk_token\": \"b\"}} |"
            + " the unk_token \"b\", which is not in its vocabulary",
        "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 1}, \"unk_token\": \"[UNK]\"}} |"
            + " the unk_token \"[UNK]\"",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": []}, \"post_processor\":"
            + " {\"processors\": [{\"special_tokens\": {\"a\": {\"ids\": [11]}}}]}} | the token 11",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": []}, \"post_processor\":"
            + " {\"cls\": [\"a\", 11]}} | the token 11",
      })
  void shouldRefuseATokenizerBeforeAnythingIsWritten(String json, String why) throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.writeString(checkpoint.resolve("tokenizer.json"), json);

    assertRefused(checkpoint, why);
    assertFalse(Files.exists(folder.resolve("store")), "something was written");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "sentence_bert_config.json | {\"max_seq_length\": 0} | max_seq_length is not a positive integer",
        "sentence_bert_config.json | [128] | is no JSON object",
        "config_sentence_transformers.json | [\"query: \"] | is no JSON object",
      })
  void shouldRefuseWhatIsSaidOfTextsBeforeAnythingIsWritten(String file, String json, String why)
      throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.writeString(checkpoint.resolve(file), json);

    assertRefused(checkpoint, why);
    assertFalse(Files.exists(folder.resolve("store")), "something was written");
  }

  @Test
  void shouldRefuseTwoSetsOfWeights() throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.writeString(
        checkpoint.resolve("model.safetensors.index.json"), "{\"weight_map\": {\"a\": \"b\"}}");

    assertRefused(checkpoint, "has both model.safetensors and model.safetensors.index.json");
  }

  @ParameterizedTest
  @ValueSource(strings = {"config.json", "tokenizer.json", "modules.json"})
  void shouldNotReadAFileThatIsTooLarge(String name) throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    try (RandomAccessFile file = new RandomAccessFile(checkpoint.resolve(name).toFile(), "rw")) {
      file.setLength((64 << 20) + 1);
    }

    assertRefused(checkpoint, name + " is larger than 67108864 bytes");
  }

  private void assertRefused(TestCheckpoint checkpoint, String why) throws IOException {
    assertRefused(checkpoint.writeTo(folder.resolve("checkpoint")), why);
  }

  private void assertRefused(Path checkpoint, String why) throws IOException {
    String refusal = assertThrows(IOException.class, () -> shard(checkpoint)).toString();

    assertTrue(refusal.contains(why), refusal);
    assertEquals(1, refusal.lines().count());
    assertTrue(!Files.exists(folder.resolve("store/models")), "a model was left behind");
  }

  private void shard(Path checkpoint) throws IOException {
    new Sharder(new FolderStore(folder.resolve("store")))
        .shard(
            Checkpoint.open(checkpoint),
            new ModelName("hostile"),
            List.of(ShardDType.values()),
            (unit, done, all) -> {});
  }
}
