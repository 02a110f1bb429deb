package io.splitcompute.api;

import io.micronaut.http.HttpRequest;
import java.util.Optional;
import org.slf4j.MDC;

/** The id of the request that a thread works for: it is in what the thread logs. */
public final class RequestId {

  /** Its name in the log. */
  static final String NAME = "requestId";

  private static final String ATTRIBUTE = "splitcompute.request.id";

  private RequestId() {}

  static void put(HttpRequest<?> request, String id) {
    request.setAttribute(ATTRIBUTE, id);
  }

  /** That of a request; empty before it has one. */
  static String of(HttpRequest<?> request) {
    return request.getAttribute(ATTRIBUTE, String.class).orElse("");
  }

  /** That of this thread; none where it works for no request. */
  public static Optional<String> ofThread() {
    return Optional.ofNullable(MDC.get(NAME));
  }
}
