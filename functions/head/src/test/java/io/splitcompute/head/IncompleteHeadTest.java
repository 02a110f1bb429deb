package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.model.Heads;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A model that cannot be loaded keeps no other from being served. */
@Timeout(60)
final class IncompleteHeadTest {

  private static final Path GOOD = Fixture.FOLDER.resolve("bert-mean");

  @TempDir private Path folder;

  @Test
  void shouldServeTheOtherModelsAndTheBadOneOnceItIsMended() throws Exception {
    ShardedFixtures.shard(folder, GOOD, "good");
    Path manifest = Files.createDirectories(folder.resolve("models/bad")).resolve("manifest.json");
    Files.writeString(manifest, "{}");
    try (RunningHead head =
        RunningHead.start(
            Map.of(
                "splitcompute.weights",
                "file:" + folder,
                "splitcompute.models",
                List.of("bad", "good")))) {
      Heads heads = head.context().getBean(Heads.class);

      assertFalse(heads.complete());
      assertTrue(heads.failure().orElseThrow().contains("the model bad cannot be loaded"));
      assertEquals(200, head.send("GET", "/health").statusCode());
      assertEquals(200, embed(head, "good").statusCode());
      assertEquals(404, embed(head, "another").statusCode());
      HttpResponse<byte[]> refused = embed(head, "bad");
      assertEquals(503, refused.statusCode());
      assertTrue(refused.headers().firstValue("Retry-After").isPresent());

      ShardedFixtures.shard(folder, GOOD, "bad");
      while (!heads.complete()) {
        Thread.sleep(20);
      }
      assertEquals(200, embed(head, "bad").statusCode());
      assertTrue(heads.failure().isEmpty());
    }
  }

  private static HttpResponse<byte[]> embed(RunningHead head, String model) throws Exception {
    return head.embed(Map.of("model", model, "input", "a text"));
  }
}
