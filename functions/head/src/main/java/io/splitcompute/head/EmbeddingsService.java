package io.splitcompute.head;

import io.splitcompute.api.Limits;
import io.splitcompute.head.EmbeddingsRequest.Encoding;
import io.splitcompute.head.EmbeddingsResponse.Embedding;
import io.splitcompute.head.EmbeddingsResponse.Usage;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.HeadRun;
import io.splitcompute.weights.Manifest;
import jakarta.inject.Singleton;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Answers {@code /v1/embeddings}: the cloud alone, pooled as the model says. */
@Singleton
final class EmbeddingsService {

  /** Bytes of JSON round one vector, at most. */
  private static final int JSON_BYTES_A_VECTOR = 64;

  private static final String ASK_FOR_BASE64 =
      "or ask for encoding_format: base64, which takes a third";

  private final HeadRuns runs;
  private final Limits limits;
  private final AnswerBytes bytes;

  EmbeddingsService(HeadRuns runs, Limits limits, AnswerBytes bytes) {
    this.runs = runs;
    this.limits = limits;
    this.bytes = bytes;
  }

  /**
   * @return the answer to come, an {@link EmbeddingsResponse} in JSON; cancelled, it costs no
   *     further layer
   * @throws io.splitcompute.api.ProblemException if the request cannot be answered
   */
  CompletableFuture<byte[]> embed(byte @Nullable [] body) {
    return runs.admit(() -> false, () -> admitted(body));
  }

  private CompletableFuture<byte[]> admitted(byte @Nullable [] body) {
    EmbeddingsRequest request = EmbeddingsRequest.parse(body, limits);
    Head head = runs.head(request.model());
    Manifest manifest = head.manifest();
    int dimensions = request.dimensionsOf(manifest.hiddenSize());
    TokenBatch batch = InputTokens.of(request.input(), head, limits);
    limits.requireResponse(
        (long) batch.lengths().length
            * (JSON_BYTES_A_VECTOR + request.encoding().mostBytes(dimensions)),
        request.encoding() == Encoding.FLOAT ? ASK_FOR_BASE64 : "");
    return runs.answer(
        head,
        batch,
        manifest.layers(),
        manifest.pooling().kind(),
        run -> bytes.json(response(manifest, batch, run, request, dimensions)));
  }

  private static EmbeddingsResponse response(
      Manifest manifest, TokenBatch batch, HeadRun run, EmbeddingsRequest request, int dimensions) {
    // What was cut off a vector is missing from its norm.
    boolean normalize = manifest.pooling().normalize() || request.dimensions().isPresent();
    float[][] vectors = Vectors.of(run.hidden(), manifest.hiddenSize(), dimensions, normalize);
    List<Embedding> data = new ArrayList<>();
    for (float[] vector : vectors) {
      data.add(
          new Embedding(
              "embedding",
              data.size(),
              request.encoding() == Encoding.BASE64 ? base64(vector) : vector));
    }
    int tokens = batch.tokens().length;
    return new EmbeddingsResponse(
        "list", List.copyOf(data), manifest.model().value(), new Usage(tokens, tokens));
  }

  private static String base64(float[] vector) {
    ByteBuffer bytes =
        ByteBuffer.allocate(vector.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(vector);
    return Base64.getEncoder().encodeToString(bytes.array());
  }
}
