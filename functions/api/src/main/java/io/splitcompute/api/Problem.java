package io.splitcompute.api;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.micronaut.http.HttpStatus;
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
 * @param error the same in the shape of OpenAI's API, whose clients show nothing else
 */
@Serdeable
@JsonInclude(JsonInclude.Include.NON_NULL)
public record Problem(
    String type,
    String title,
    int status,
    String detail,
    @Schema(requiredMode = Schema.RequiredMode.NOT_REQUIRED) @Nullable String field,
    OpenAiError error) {

  /** The media type of a problem. */
  public static final String MEDIA_TYPE = MediaType.APPLICATION_JSON_PROBLEM;

  /**
   * An error as OpenAI's clients read it.
   *
   * @param message what is wrong this time and what to do
   * @param type whose fault it is
   * @param param the member of the request's body that is at fault, if it is one
   * @param code the kind of problem
   */
  @Serdeable
  @JsonInclude(JsonInclude.Include.ALWAYS)
  public record OpenAiError(
      String message,
      String type,
      @Schema(requiredMode = Schema.RequiredMode.NOT_REQUIRED) @Nullable String param,
      String code) {}

  static Problem of(ProblemType type, String detail, @Nullable String field) {
    int status = type.status().getCode();
    String fault =
        status < HttpStatus.INTERNAL_SERVER_ERROR.getCode()
            ? "invalid_request_error"
            : "server_error";
    return new Problem(
        type.uri(),
        type.title(),
        status,
        detail,
        field,
        new OpenAiError(detail, fault, field, type.code()));
  }
}
