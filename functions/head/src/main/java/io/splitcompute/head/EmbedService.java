package io.splitcompute.head;

import io.micronaut.serde.ObjectMapper;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.head.message.ActivationsBucket;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.head.model.DeviceQueue;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.Heads;
import io.splitcompute.head.model.Pooling;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.Manifest;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Answers {@code /v1/embed}: checks everything first, then runs the head. */
@Singleton
final class EmbedService {

  /** Most bytes of one number in JSON, its comma included. */
  private static final int JSON_BYTES_A_NUMBER = 16;

  private final Heads heads;
  private final DeviceQueue device;
  private final Limits limits;
  private final Optional<ActivationsBucket> bucket;
  private final ObjectMapper json;

  EmbedService(
      Heads heads,
      DeviceQueue device,
      Limits limits,
      Optional<ActivationsBucket> bucket,
      ObjectMapper json) {
    this.heads = heads;
    this.device = device;
    this.limits = limits;
    this.bucket = bucket;
    this.json = json;
  }

  /**
   * @throws ProblemException if the request cannot be answered
   */
  EmbedAnswer embed(byte @Nullable [] body, Accepted accepted) {
    EmbedRequest request = EmbedRequest.parse(body, limits);
    Head head = heads.get(request.model());
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
    TokenBatch batch = InputTokens.of(request.input(), head, limits);
    if (finished) {
      refuseIfTooLarge((long) batch.lengths().length * manifest.hiddenSize() * JSON_BYTES_A_NUMBER);
    } else if (bucket.isEmpty()) {
      refuseIfTooLarge(
          (long) batch.tokens().length * manifest.hiddenSize() * request.dtype().bytes());
    }
    DeviceQueue.Timed<float[]> run =
        cut == 0
            ? new DeviceQueue.Timed<>(new float[0], 0, 0)
            : device.run(() -> head.run(batch, cut));
    CloudLedger ledger =
        new CloudLedger(cut, batch.tokens().length, run.waitMilliseconds(), run.runMilliseconds());
    if (finished) {
      float[][] embeddings =
          Pooling.pool(
              run.result(),
              batch.lengths(),
              manifest.hiddenSize(),
              pooling.orElseThrow(),
              request.normalize().orElse(manifest.pooling().normalize()));
      return new EmbedAnswer.Embeddings(
          new EmbedResponse(
              manifest.model().value(),
              head.revision(),
              cut,
              embeddings,
              batch.lengths(),
              new EmbedResponse.Ledger(ledger)));
    }
    return handOver(
        ActivationsMessage.write(
            new ActivationsMessage.Origin(
                manifest.model().value(), head.revision(), cut, written(ledger)),
            batch,
            run.result(),
            manifest.hiddenSize(),
            request.dtype()),
        accepted);
  }

  private EmbedAnswer handOver(byte[] message, Accepted accepted) {
    if (message.length <= limits.maxResponseBytes()) {
      return new EmbedAnswer.Message(message);
    }
    if (bucket.isEmpty()) {
      throw tooLarge();
    }
    return new EmbedAnswer.Elsewhere(bucket.get().put(message), !accepted.namesLocation());
  }

  private void refuseIfTooLarge(long bytes) {
    if (bytes > limits.maxResponseBytes()) {
      throw tooLarge();
    }
  }

  private static ProblemException tooLarge() {
    return ProblemException.invalid(
        "input", "The answer would be larger than a response may be; send fewer inputs at once");
  }

  private String written(CloudLedger ledger) {
    try {
      return json.writeValueAsString(ledger);
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }
}
