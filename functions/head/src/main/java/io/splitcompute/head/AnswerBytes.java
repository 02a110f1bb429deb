package io.splitcompute.head;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micronaut.serde.ObjectMapper;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.io.UncheckedIOException;

/** Answers as bytes, written where a thread may take its time, and counted before they leave. */
@Singleton
final class AnswerBytes {

  private final ObjectMapper json;
  private final Counter bodies;
  private final Counter bucket;

  AnswerBytes(ObjectMapper json, MeterRegistry meters) {
    this.json = json;
    this.bodies = counter(meters, "body");
    this.bucket = counter(meters, "bucket");
  }

  private static Counter counter(MeterRegistry meters, String way) {
    return Counter.builder("splitcompute.response.bytes")
        .description("Bytes of answers, in responses' bodies and by way of the bucket")
        .tag("by", way)
        .register(meters);
  }

  /** An answer in JSON. */
  byte[] json(Object answer) {
    try {
      return body(json.writeValueAsBytes(answer));
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }

  /** Counts bytes that a response's body will be. */
  byte[] body(byte[] bytes) {
    bodies.increment(bytes.length);
    return bytes;
  }

  /** Counts bytes that go by way of the bucket. */
  byte[] elsewhere(byte[] bytes) {
    bucket.increment(bytes.length);
    return bytes;
  }
}
