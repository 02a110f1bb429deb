package io.splitcompute.head.message;

import io.micronaut.serde.annotation.Serdeable;
import java.time.Instant;

/**
 * Where a message is that is too large for a response.
 *
 * @param url a presigned URL for GET
 * @param bytes of the message
 * @param sha256 of the message
 * @param expires when the URL stops working
 */
@Serdeable
public record ActivationsLocation(String url, long bytes, String sha256, Instant expires) {

  /** The media type of a location. */
  public static final String MEDIA_TYPE = "application/vnd.splitcompute.location+json";
}
