package io.splitcompute.api;

import io.micronaut.core.order.Ordered;
import io.micronaut.http.MutableHttpHeaders;
import io.micronaut.http.MutableHttpResponse;
import io.micronaut.http.annotation.ResponseFilter;
import io.micronaut.http.annotation.ServerFilter;
import java.util.List;

/**
 * Joins the values of a repeated header with commas (RFC 9110, section 5.2): an answer to an HTTP
 * API event has one value for each header, and the others would be lost. No cookie is set here,
 * whose header must not be joined.
 */
@ServerFilter(ServerFilter.MATCH_ALL_PATTERN)
final class JoinedHeaders implements Ordered {

  @ResponseFilter
  void join(MutableHttpResponse<?> response) {
    MutableHttpHeaders headers = response.getHeaders();
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
