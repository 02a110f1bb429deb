package io.splitcompute.head.metrics;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.jvm.JvmGcMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.system.ProcessorMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.micronaut.context.annotation.Bean;
import io.micronaut.context.annotation.Context;
import io.micronaut.context.annotation.Factory;
import io.micronaut.context.annotation.Property;
import io.micronaut.context.annotation.Requires;
import io.splitcompute.head.model.Heads;
import jakarta.annotation.PreDestroy;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Serves {@code GET /metrics}, and {@code GET /health} with details, on {@code
 * splitcompute.metrics-port}: another port than the API's, so that what faces the world need not
 * filter it.
 */
@Context
@Requires(property = MetricsServer.PORT, beans = PrometheusMeterRegistry.class)
public final class MetricsServer {

  static final String PORT = "splitcompute.metrics-port";

  private static final JsonMapper JSON = new JsonMapper();

  private final HttpServer server;
  private final JvmGcMetrics garbage = new JvmGcMetrics();

  MetricsServer(PrometheusMeterRegistry registry, Heads heads, @Property(name = PORT) int port)
      throws IOException {
    garbage.bindTo(registry);
    new JvmMemoryMetrics().bindTo(registry);
    new ProcessorMetrics().bindTo(registry);
    server = HttpServer.create(new InetSocketAddress(port), 0);
    server.createContext(
        "/metrics",
        exchange ->
            answer(
                exchange,
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                registry.scrape().getBytes(StandardCharsets.UTF_8)));
    server.createContext(
        "/health",
        exchange ->
            answer(
                exchange,
                heads.ready() ? 200 : 503,
                "application/json",
                JSON.writeValueAsBytes(health(heads))));
    server.start();
  }

  /** The port that it listens on. */
  public int port() {
    return server.getAddress().getPort();
  }

  /** Which models are there, and why one is not. */
  private static Map<String, Object> health(Heads heads) {
    Map<String, Object> health = new LinkedHashMap<>();
    health.put("status", heads.ready() ? "UP" : "DOWN");
    health.put("complete", heads.complete());
    health.put("models", heads.revisions());
    heads.failure().ifPresent(failure -> health.put("failure", failure));
    return health;
  }

  private static void answer(HttpExchange exchange, int status, String type, byte[] body)
      throws IOException {
    exchange.getResponseHeaders().set("Content-Type", type);
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  @PreDestroy
  void close() {
    server.stop(0);
    garbage.close();
  }

  /** The registry that all meters are in, but for Lambda's. */
  @Factory
  @Requires(missingProperty = EmbeddedMetrics.LAMBDA)
  static final class Registry {

    @Singleton
    @Bean(
        typed = {MeterRegistry.class, PrometheusMeterRegistry.class},
        preDestroy = "close")
    PrometheusMeterRegistry registry() {
      return new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    }
  }
}
