package io.splitcompute.api;

import io.micronaut.context.propagation.slf4j.MdcPropagationContext;
import io.micronaut.core.order.Ordered;
import io.micronaut.core.propagation.MutablePropagatedContext;
import io.micronaut.http.HttpRequest;
import io.micronaut.http.HttpResponse;
import io.micronaut.http.MutableHttpResponse;
import io.micronaut.http.annotation.RequestFilter;
import io.micronaut.http.annotation.ResponseFilter;
import io.micronaut.http.annotation.ServerFilter;
import io.micronaut.http.server.annotation.PreMatching;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives each request an id, in {@code X-Request-Id} and in whatever is logged for it: its caller's,
 * if that is fit for a log. Logged are the method, route and outcome of the API's calls; never a
 * body, which may be a user's text, nor a query.
 */
@ServerFilter(ServerFilter.MATCH_ALL_PATTERN)
final class RequestLog implements Ordered {

  static final String NAME = "io.splitcompute.requests";

  private static final Logger LOG = LoggerFactory.getLogger(NAME);
  private static final String HEADER = "X-Request-Id";
  private static final String ARRIVED = "splitcompute.request.arrived";
  private static final Pattern FIT = Pattern.compile("[A-Za-z0-9._=-]{1,64}");

  @PreMatching
  @RequestFilter
  void arrived(HttpRequest<?> request, MutablePropagatedContext context) {
    String asked = request.getHeaders().get(HEADER);
    String id =
        asked != null && FIT.matcher(asked).matches() ? asked : UUID.randomUUID().toString();
    RequestId.put(request, id);
    request.setAttribute(ARRIVED, System.nanoTime());
    context.add(new MdcPropagationContext(Map.of(RequestId.NAME, id)));
  }

  @PreMatching
  @ResponseFilter
  void answeredPreflight(HttpRequest<?> request, @Nullable MutableHttpResponse<?> response) {
    answered(request, response);
  }

  @ResponseFilter
  void answered(HttpRequest<?> request, @Nullable MutableHttpResponse<?> response) {
    if (response == null) {
      return;
    }
    String id = RequestId.of(request);
    response.header(HEADER, id);
    if (!request.getPath().startsWith("/v1/")) {
      return;
    }
    LOG.atInfo()
        .addKeyValue(RequestId.NAME, id)
        .addKeyValue("method", request.getMethodName())
        .addKeyValue("path", request.getPath())
        .addKeyValue("status", response.code())
        .addKeyValue("milliseconds", milliseconds(request))
        .addKeyValue("bytes", bytes(response))
        .log("request");
  }

  /** Outside the filter of CORS, which answers preflights itself, before a route is looked for. */
  @Override
  public int getOrder() {
    return HIGHEST_PRECEDENCE;
  }

  private static double milliseconds(HttpRequest<?> request) {
    long arrived = request.getAttribute(ARRIVED, Long.class).orElseGet(System::nanoTime);
    return Math.round((System.nanoTime() - arrived) / 1e4) / 100.0;
  }

  /** Of a body that is bytes already; a body that is yet to be written has none. */
  private static long bytes(HttpResponse<?> response) {
    return response.body() instanceof byte[] body ? body.length : -1;
  }
}
