package io.splitcompute.head;

import io.micronaut.http.HttpRequest;
import io.micronaut.http.HttpResponse;
import io.micronaut.http.server.exceptions.ExceptionHandler;
import jakarta.inject.Singleton;
import java.util.concurrent.CancellationException;

/** Ends a request whose caller went away: not a failure, and nobody reads the answer. */
@Singleton
final class CallerGoneHandler
    implements ExceptionHandler<CancellationException, HttpResponse<String>> {

  /** What proxies write into their logs for such requests. */
  private static final int CLIENT_CLOSED_REQUEST = 499;

  @Override
  @SuppressWarnings("rawtypes") // the interface's own signature
  public HttpResponse<String> handle(HttpRequest request, CancellationException gone) {
    return HttpResponse.status(CLIENT_CLOSED_REQUEST, "Client Closed Request");
  }
}
