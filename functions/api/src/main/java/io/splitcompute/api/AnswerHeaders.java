package io.splitcompute.api;

import io.micronaut.core.order.Ordered;
import io.micronaut.http.HttpHeaders;
import io.micronaut.http.HttpMethod;
import io.micronaut.http.HttpRequest;
import io.micronaut.http.HttpStatus;
import io.micronaut.http.MutableHttpHeaders;
import io.micronaut.http.MutableHttpResponse;
import io.micronaut.http.annotation.ResponseFilter;
import io.micronaut.http.annotation.ServerFilter;
import io.micronaut.http.server.annotation.PreMatching;
import java.util.List;

/** What every answer has, whoever made it: the framework's own filters answer too. */
@ServerFilter(ServerFilter.MATCH_ALL_PATTERN)
final class AnswerHeaders implements Ordered {

  /** A preflight is answered before a route is looked for, and comes by no other filter. */
  @PreMatching
  @ResponseFilter
  void completePreflight(HttpRequest<?> request, MutableHttpResponse<?> response) {
    complete(request, response);
  }

  @ResponseFilter
  void complete(HttpRequest<?> request, MutableHttpResponse<?> response) {
    // The filter of CORS refuses a preflight without a word.
    if (request.getMethod() == HttpMethod.OPTIONS
        && response.code() >= HttpStatus.BAD_REQUEST.getCode()
        && response.getBody().isEmpty()) {
      response.body(ProblemResponseProcessor.of(response.status())).contentType(Problem.MEDIA_TYPE);
    }
    MutableHttpHeaders headers = response.getHeaders();
    // A browser must not take an answer that quotes its caller for a page.
    headers.set("X-Content-Type-Options", "nosniff");
    // Embeddings and presigned URLs are their caller's: nothing between keeps them.
    if (isApi(request) && !headers.contains(HttpHeaders.CACHE_CONTROL)) {
      headers.set(HttpHeaders.CACHE_CONTROL, "no-store");
    }
    join(headers);
  }

  private static boolean isApi(HttpRequest<?> request) {
    return request.getPath().startsWith("/v1/") || request.getPath().equals("/health");
  }

  /**
   * Joins the values of a repeated header with commas (RFC 9110, section 5.2): an answer to an HTTP
   * API event has one value for each header, and the others would be lost. No cookie is set here,
   * whose header must not be joined.
   */
  private static void join(MutableHttpHeaders headers) {
    for (String name : List.copyOf(headers.names())) {
      List<String> values = headers.getAll(name);
      if (values.size() > 1) {
        headers.set(name, String.join(",", values));
      }
    }
  }

  /** Outside the filter of CORS, which repeats headers. */
  @Override
  public int getOrder() {
    return HIGHEST_PRECEDENCE;
  }
}
