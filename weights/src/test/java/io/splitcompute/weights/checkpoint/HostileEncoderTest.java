package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A BERT that would give other results than its makers' code is refused, not guessed at. */
class HostileEncoderTest {

  private static final String LAYER = "encoder.layer.1.";

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "hidden_act | \"silu\" | hidden_act (\"silu\")",
        "hidden_act | null | is not a string",
        "position_embedding_type | \"relative_key\" | known is absolute",
        "num_hidden_layers | 3 | encoder.layer.2.",
        "num_hidden_layers | 1 | encoder.layer.1.",
        "num_hidden_layers | 2147483647 | is more than the checkpoint has tensors",
        "hidden_size | 2147483646 | is too large",
        "num_attention_heads | 4 | does not divide hidden_size",
        "hidden_size | 514 | makes heads of 257 elements, but devices run at most 256",
        "intermediate_size | 8 | intermediate.dense.weight",
        "vocab_size | 12 | word_embeddings.weight",
        "max_position_embeddings | 6 | position_embeddings.weight",
        "type_vocab_size | 1 | token_type_embeddings.weight",
        "type_vocab_size | 0 | is not a positive integer",
        "layer_norm_eps | \"1e-12\" | is not a number from 0 to below 1",
        "is_decoder | true | is not supported",
        "add_cross_attention | true | is not supported",
        "is_encoder_decoder | true | is not supported",
        "pruned_heads | {\"0\": [1]} | is not supported",
        "quantization_config | {\"bits\": 4} | is unknown",
      })
  void shouldRefuseAConfig(String member, String value, String why) throws Exception {
    assertRefused(TestCheckpoint.bert().config(member, value), why);
  }

  @ParameterizedTest
  @ValueSource(strings = {"classifier.weight", "embeddings.rotary.weight", "cls.weight"})
  void shouldRefuseATensorThatEncodersDoNotHave(String name) throws Exception {
    assertRefused(TestCheckpoint.bert().tensor(name, new float[4], 4), name);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "embeddings.LayerNorm.bias",
        LAYER + "attention.self.key.bias",
        LAYER + "attention.self.value.weight",
        LAYER + "output.LayerNorm.weight"
      })
  void shouldRefuseAMissingTensor(String name) throws Exception {
    assertRefused(TestCheckpoint.bert().without(name), "lacks the tensor " + name);
  }

  @Test
  void shouldRefuseAPartOfAnotherShape() throws Exception {
    String key = LAYER + "attention.self.key.weight";

    assertRefused(TestCheckpoint.bert().tensor(key, new float[36], 36, 1), key);
  }

  @Test
  void shouldLeaveOutWhatOnlyTrainingNeeds() throws Exception {
    read(
        TestCheckpoint.bert()
            .tensor("embeddings.position_ids", new float[5], 1, 5)
            .tensor("cls.predictions.bias", new float[11], 11)
            .tensor("cls.seq_relationship.weight", new float[12], 2, 6));
  }

  @Test
  void shouldTakeTheNormsOfCheckpointsFromTensorFlow() throws Exception {
    ModelSource now = read(TestCheckpoint.bert());
    TestCheckpoint old = TestCheckpoint.bert();
    for (String norm : new String[] {"embeddings.", LAYER + "output."}) {
      old.renamed(norm + "LayerNorm.weight", norm + "LayerNorm.gamma");
      old.renamed(norm + "LayerNorm.bias", norm + "LayerNorm.beta");
    }

    assertEquals(now.units().size(), read(old).units().size());
  }

  private void assertRefused(TestCheckpoint checkpoint, String why) {
    String refusal =
        assertThrows(InvalidCheckpointException.class, () -> read(checkpoint)).toString();
    assertTrue(refusal.contains(why), refusal);
    assertEquals(1, refusal.lines().count());
  }

  private ModelSource read(TestCheckpoint checkpoint) throws IOException {
    Checkpoint opened = Checkpoint.open(checkpoint.writeTo(folder));
    return ModelFamily.of(opened).read(opened);
  }
}
