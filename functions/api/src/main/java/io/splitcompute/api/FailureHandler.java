package io.splitcompute.api;

import io.micronaut.http.HttpRequest;
import io.micronaut.http.HttpResponse;
import io.micronaut.http.HttpStatus;
import io.micronaut.http.server.exceptions.ExceptionHandler;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * Answers what nobody foresaw. The framework logs such a failure on whichever thread finds it, of
 * which nobody can tell the request.
 */
@Singleton
final class FailureHandler implements ExceptionHandler<Throwable, HttpResponse<Problem>> {

  private static final Logger LOG = LoggerFactory.getLogger(FailureHandler.class);

  /** What Java and Netty say of a connection whose caller closed it: no failure of ours. */
  private static final Pattern GONE =
      Pattern.compile(
          "connection (reset|closed|abort|broken)|broken pipe", Pattern.CASE_INSENSITIVE);

  @Override
  @SuppressWarnings("rawtypes") // the interface's own signature
  public HttpResponse<Problem> handle(HttpRequest request, Throwable failure) {
    LOG.atLevel(isGone(failure) ? Level.DEBUG : Level.ERROR)
        .addKeyValue(RequestId.NAME, RequestId.of(request))
        .setCause(failure)
        .log("A request failed");
    return HttpResponse.<Problem>serverError()
        .contentType(Problem.MEDIA_TYPE)
        .body(ProblemResponseProcessor.of(HttpStatus.INTERNAL_SERVER_ERROR));
  }

  private static boolean isGone(Throwable failure) {
    return failure instanceof IOException
        && GONE.matcher(String.valueOf(failure.getMessage())).find();
  }
}
