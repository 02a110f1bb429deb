package io.splitcompute.local;

import io.micronaut.core.io.ResourceResolver;
import io.micronaut.core.order.Ordered;
import io.micronaut.http.HttpHeaders;
import io.micronaut.http.HttpResponse;
import io.micronaut.http.MutableHttpResponse;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Get;
import io.micronaut.http.annotation.ResponseFilter;
import io.micronaut.http.annotation.ServerFilter;
import io.swagger.v3.oas.annotations.Hidden;
import java.io.IOException;
import java.io.InputStream;
import java.util.Optional;

/** Serves the SDK to pages of any origin. */
@Hidden
@Controller(SdkController.PATH)
class SdkController {

  static final String PATH = "/sdk";

  private final ResourceResolver resources;

  SdkController(ResourceResolver resources) {
    this.resources = resources;
  }

  /** The SDK, one ES module, and the files that it loads when they are wanted. */
  @Get("/{file:splitcompute(-worker|-tokenizer)?\\.js}")
  HttpResponse<byte[]> module(String file) throws IOException {
    Optional<InputStream> module = resources.getResourceAsStream("classpath:sdk/" + file);
    if (module.isEmpty()) {
      return HttpResponse.notFound();
    }
    try (InputStream in = module.get()) {
      return HttpResponse.ok(in.readAllBytes())
          .contentType("text/javascript;charset=utf-8")
          .header(HttpHeaders.CACHE_CONTROL, "no-cache");
    }
  }

  /**
   * Outside the API's CORS filter, which names one origin for each answer: browsers refuse two
   * values of this header.
   */
  @ServerFilter(PATH + "/**")
  static final class AnyOrigin implements Ordered {

    @ResponseFilter
    void allow(MutableHttpResponse<?> response) {
      response.getHeaders().set(HttpHeaders.ACCESS_CONTROL_ALLOW_ORIGIN, "*");
      response.getHeaders().set("Cross-Origin-Resource-Policy", "cross-origin");
    }

    @Override
    public int getOrder() {
      return HIGHEST_PRECEDENCE;
    }
  }
}
