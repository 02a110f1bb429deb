package io.splitcompute.api;

import io.micronaut.http.HttpStatus;

/** The kinds of errors that the API answers, each with a stable {@code type} (RFC 9457). */
public enum ProblemType {
  INVALID_REQUEST("invalid-request", HttpStatus.BAD_REQUEST, "The request is not valid"),
  MODEL_NOT_FOUND("model-not-found", HttpStatus.NOT_FOUND, "There is no such model"),
  SHARD_NOT_FOUND("shard-not-found", HttpStatus.NOT_FOUND, "The model has no such shard"),
  MODEL_DAMAGED(
      "model-damaged", HttpStatus.INTERNAL_SERVER_ERROR, "The model's manifest is not valid"),
  NOT_FOUND("not-found", HttpStatus.NOT_FOUND, "There is nothing at this address"),
  METHOD_NOT_ALLOWED(
      "method-not-allowed", HttpStatus.METHOD_NOT_ALLOWED, "The method is not allowed here"),
  NOT_ACCEPTABLE(
      "not-acceptable", HttpStatus.NOT_ACCEPTABLE, "None of the accepted media types is available"),
  UNSUPPORTED_MEDIA_TYPE(
      "unsupported-media-type",
      HttpStatus.UNSUPPORTED_MEDIA_TYPE,
      "The body's media type is not supported"),
  TOO_LARGE("too-large", HttpStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"),
  TOO_SLOW("too-slow", HttpStatus.REQUEST_TIMEOUT, "The request did not come in time"),
  OVERLOADED("overloaded", HttpStatus.TOO_MANY_REQUESTS, "Too many requests are waiting"),
  NOT_READY("not-ready", HttpStatus.SERVICE_UNAVAILABLE, "The service is not ready"),
  FORBIDDEN("forbidden", HttpStatus.FORBIDDEN, "The request is not allowed"),
  INTERNAL("internal", HttpStatus.INTERNAL_SERVER_ERROR, "The server failed");

  private static final String BASE = "https://splitcompute.dev/problems/";

  private final String slug;
  private final HttpStatus status;
  private final String title;

  ProblemType(String slug, HttpStatus status, String title) {
    this.slug = slug;
    this.status = status;
    this.title = title;
  }

  /** The URI that identifies the kind of problem; it names, and need not be fetched. */
  public String uri() {
    return BASE + slug;
  }

  /** The kind as OpenAI's API names kinds: {@code model-not-found} is {@code model_not_found}. */
  String code() {
    return slug.replace('-', '_');
  }

  public HttpStatus status() {
    return status;
  }

  public String title() {
    return title;
  }
}
