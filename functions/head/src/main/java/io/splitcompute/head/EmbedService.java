package io.splitcompute.head;

import io.micronaut.serde.ObjectMapper;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.head.message.ActivationsBucket;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.head.message.HiddenDtype;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.HeadRun;
import io.splitcompute.weights.Manifest;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Answers {@code /v1/embed}: checks everything first, then runs the head. */
@Singleton
final class EmbedService {

  private final HeadRuns runs;
  private final Limits limits;
  private final Optional<ActivationsBucket> bucket;
  private final ObjectMapper json;
  private final AnswerBytes bytes;

  EmbedService(
      HeadRuns runs,
      Limits limits,
      Optional<ActivationsBucket> bucket,
      ObjectMapper json,
      AnswerBytes bytes) {
    this.runs = runs;
    this.limits = limits;
    this.bucket = bucket;
    this.json = json;
    this.bytes = bytes;
  }

  /**
   * @return the answer to come; cancelled, it costs no further layer
   * @throws ProblemException if the request cannot be answered
   */
  CompletableFuture<EmbedAnswer> embed(byte @Nullable [] body, Accepted accepted) {
    return runs.admit(() -> EmbedRequest.runsNothing(body), () -> admitted(body, accepted));
  }

  private CompletableFuture<EmbedAnswer> admitted(byte @Nullable [] body, Accepted accepted) {
    EmbedRequest request = EmbedRequest.parse(body, limits);
    Head head = runs.head(request.model());
    Manifest manifest = head.manifest();
    int cut = request.cut().orElse(manifest.layers());
    if (cut > manifest.layers()) {
      throw ProblemException.invalid(
          "cut", "The field 'cut' must be an integer from 0 to " + manifest.layers());
    }
    Optional<Manifest.Pooling.Kind> pooling =
        request
            .pooling()
            .map(EmbedRequest.PoolingChoice::kind)
            .orElseGet(() -> Optional.of(manifest.pooling().kind()));
    boolean finished = cut == manifest.layers() && pooling.isPresent() && !accepted.namesMessage();
    if (finished ? !accepted.json() : !accepted.message()) {
      throw ProblemException.of(
          ProblemType.NOT_ACCEPTABLE,
          "This request is answered as "
              + (finished ? "application/json" : ActivationsMessage.MEDIA_TYPE)
              + "; accept that type");
    }
    return run(request, head, cut, finished ? pooling : Optional.empty(), accepted);
  }

  /**
   * @param pooling of finished embeddings; absent for activations
   */
  private CompletableFuture<EmbedAnswer> run(
      EmbedRequest request,
      Head head,
      int cut,
      Optional<Manifest.Pooling.Kind> pooling,
      Accepted accepted) {
    Manifest manifest = head.manifest();
    TokenBatch batch = InputTokens.of(request.input(), head, limits);
    boolean finished = pooling.isPresent();
    if (finished) {
      limits.requireResponse(
          (long) batch.lengths().length * manifest.hiddenSize() * Vectors.JSON_BYTES_A_NUMBER);
    } else if (bucket.isEmpty()) {
      limits.requireResponse(
          (long) batch.tokens().length * manifest.hiddenSize() * request.dtype().bytes());
    }
    return runs.answer(
        head,
        batch,
        cut,
        pooling.orElse(null),
        ran ->
            finished
                ? embeddings(
                    head, batch, ran, request.normalize().orElse(manifest.pooling().normalize()))
                : activations(head, batch, cut, ran, request.dtype(), accepted));
  }

  private EmbedAnswer embeddings(Head head, TokenBatch batch, HeadRun run, boolean normalize) {
    Manifest manifest = head.manifest();
    return new EmbedAnswer.Embeddings(
        bytes.json(
            new EmbedResponse(
                manifest.model().value(),
                head.revision(),
                manifest.layers(),
                Vectors.of(run.hidden(), manifest.hiddenSize(), manifest.hiddenSize(), normalize),
                batch.lengths(),
                new EmbedResponse.Ledger(ledger(manifest.layers(), batch, run)))));
  }

  private EmbedAnswer activations(
      Head head, TokenBatch batch, int cut, HeadRun run, HiddenDtype dtype, Accepted accepted) {
    Manifest manifest = head.manifest();
    return handOver(
        ActivationsMessage.write(
            new ActivationsMessage.Origin(
                manifest.model().value(), head.revision(), cut, written(ledger(cut, batch, run))),
            batch,
            run.hidden(),
            manifest.hiddenSize(),
            dtype),
        accepted);
  }

  private static CloudLedger ledger(int layers, TokenBatch batch, HeadRun run) {
    return new CloudLedger(
        layers, batch.tokens().length, run.waitMilliseconds(), run.runMilliseconds());
  }

  private EmbedAnswer handOver(byte[] message, Accepted accepted) {
    if (message.length <= limits.maxResponseBytes()) {
      return new EmbedAnswer.Message(bytes.body(message));
    }
    if (bucket.isEmpty()) {
      limits.requireResponse(message.length);
    }
    return new EmbedAnswer.Elsewhere(
        bucket.get().put(bytes.elsewhere(message)), !accepted.namesLocation());
  }

  private String written(CloudLedger ledger) {
    try {
      return json.writeValueAsString(ledger);
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }
}
