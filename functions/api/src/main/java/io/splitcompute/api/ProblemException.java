package io.splitcompute.api;

import java.time.Duration;
import org.jspecify.annotations.Nullable;

/** Ends a request with a {@link Problem}. */
public final class ProblemException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  private final ProblemType type;
  private final String detail;
  private final @Nullable String field;
  private final @Nullable Duration retryAfter;

  private ProblemException(
      ProblemType type, String detail, @Nullable String field, @Nullable Duration retryAfter) {
    // An answer to a caller, not a fault of ours: without the cost of a stack trace.
    super(detail, null, false, false);
    this.type = type;
    this.detail = detail;
    this.field = field;
    this.retryAfter = retryAfter;
  }

  public static ProblemException of(ProblemType type, String detail) {
    return new ProblemException(type, detail, null, null);
  }

  /** A member of the body that is not valid. */
  public static ProblemException invalid(String field, String detail) {
    return new ProblemException(ProblemType.INVALID_REQUEST, detail, field, null);
  }

  /** A refusal that passes: the answer carries {@code Retry-After}. */
  public static ProblemException later(ProblemType type, String detail, Duration retryAfter) {
    return new ProblemException(type, detail, null, retryAfter);
  }

  public ProblemType type() {
    return type;
  }

  public @Nullable Duration retryAfter() {
    return retryAfter;
  }

  Problem problem() {
    return Problem.of(type, detail, field);
  }
}
