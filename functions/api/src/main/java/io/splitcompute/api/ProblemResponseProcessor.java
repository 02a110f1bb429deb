package io.splitcompute.api;

import io.micronaut.context.annotation.Primary;
import io.micronaut.http.HttpStatus;
import io.micronaut.http.MutableHttpResponse;
import io.micronaut.http.server.exceptions.response.ErrorContext;
import io.micronaut.http.server.exceptions.response.ErrorResponseProcessor;
import jakarta.inject.Singleton;

/**
 * Answers the errors that the framework finds: unknown routes, media types, unreadable requests and
 * failures. The framework's own messages quote parsers and classes, so none of them is passed on.
 */
@Singleton
@Primary
final class ProblemResponseProcessor implements ErrorResponseProcessor<Problem> {

  @Override
  public MutableHttpResponse<Problem> processResponse(
      ErrorContext context, MutableHttpResponse<?> response) {
    return response.body(of(response.status())).contentType(Problem.MEDIA_TYPE);
  }

  /** What the framework's answers of a status mean here. */
  static Problem of(HttpStatus status) {
    return switch (status) {
      case NOT_FOUND ->
          Problem.of(
              ProblemType.NOT_FOUND, "Check the address; the API's calls start with /v1/", null);
      case METHOD_NOT_ALLOWED ->
          Problem.of(
              ProblemType.METHOD_NOT_ALLOWED,
              "Use one of the methods that the Allow header names",
              null);
      case NOT_ACCEPTABLE ->
          Problem.of(
              ProblemType.NOT_ACCEPTABLE,
              "Leave out the Accept header, or accept a media type that this call answers",
              null);
      case UNSUPPORTED_MEDIA_TYPE ->
          Problem.of(
              ProblemType.UNSUPPORTED_MEDIA_TYPE,
              "Send the body with Content-Type: application/json",
              null);
      case REQUEST_ENTITY_TOO_LARGE ->
          Problem.of(ProblemType.TOO_LARGE, "Send fewer inputs in one request and repeat it", null);
      case FORBIDDEN, UNAUTHORIZED ->
          Problem.of(ProblemType.FORBIDDEN, "The origin or the credentials are not allowed", null);
      default ->
          status.getCode() < HttpStatus.INTERNAL_SERVER_ERROR.getCode()
              ? Problem.of(
                  ProblemType.INVALID_REQUEST,
                  "The request cannot be read; check its path, headers and body",
                  null)
              : Problem.of(
                  ProblemType.INTERNAL,
                  "The failure is logged; try again, and report it if it stays",
                  null);
    };
  }
}
