package io.splitcompute.api;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.micronaut.http.MediaType;
import io.micronaut.serde.annotation.Serdeable;
import io.swagger.v3.oas.annotations.media.Schema;
import org.jspecify.annotations.Nullable;

/**
 * The body of every error, {@code application/problem+json} (RFC 9457).
 *
 * @param type identifies the kind of problem
 * @param title the kind in words
 * @param status the HTTP status
 * @param detail what is wrong this time and what to do
 * @param field the member of the request's body that is at fault, if it is one
 */
@Serdeable
@JsonInclude(JsonInclude.Include.NON_NULL)
public record Problem(
    String type,
    String title,
    int status,
    String detail,
    @Schema(requiredMode = Schema.RequiredMode.NOT_REQUIRED) @Nullable String field) {

  /** The media type of a problem. */
  public static final String MEDIA_TYPE = MediaType.APPLICATION_JSON_PROBLEM;

  static Problem of(ProblemType type, String detail, @Nullable String field) {
    return new Problem(type.uri(), type.title(), type.status().getCode(), detail, field);
  }
}
