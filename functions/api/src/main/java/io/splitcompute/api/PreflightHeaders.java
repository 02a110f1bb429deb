package io.splitcompute.api;

import io.micronaut.core.order.Ordered;
import io.micronaut.http.HttpHeaders;
import io.micronaut.http.HttpMethod;
import io.micronaut.http.HttpRequest;
import io.micronaut.http.annotation.RequestFilter;
import io.micronaut.http.annotation.ServerFilter;
import io.micronaut.http.server.annotation.PreMatching;

/**
 * Lets pages ask for a method alone. The framework's filter of CORS, where it allows listed headers
 * only, refuses a preflight that names none.
 */
@ServerFilter(ServerFilter.MATCH_ALL_PATTERN)
final class PreflightHeaders implements Ordered {

  @PreMatching
  @RequestFilter
  HttpRequest<?> complete(HttpRequest<?> request) {
    HttpHeaders headers = request.getHeaders();
    return request.getMethod() == HttpMethod.OPTIONS
            && headers.contains(HttpHeaders.ACCESS_CONTROL_REQUEST_METHOD)
            && !headers.contains(HttpHeaders.ACCESS_CONTROL_REQUEST_HEADERS)
        // Every page may send it without asking.
        ? request.mutate().header(HttpHeaders.ACCESS_CONTROL_REQUEST_HEADERS, HttpHeaders.ACCEPT)
        : request;
  }

  /** Outside the filter of CORS. */
  @Override
  public int getOrder() {
    return HIGHEST_PRECEDENCE;
  }
}
