package io.splitcompute.head;

import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import java.util.LinkedHashMap;
import java.util.Map;

/** What an HTTP API hands over to a function, in payload format 2.0. */
final class GatewayEvent {

  private GatewayEvent() {}

  /** A call of {@code POST /v1/embed}. */
  static APIGatewayV2HTTPEvent of(String body, boolean base64, Map<String, String> headers) {
    Map<String, String> all = new LinkedHashMap<>(headers);
    all.put("content-type", "application/json");
    all.put("host", "api.example");
    APIGatewayV2HTTPEvent event = new APIGatewayV2HTTPEvent();
    event.setVersion("2.0");
    event.setRouteKey("POST /v1/embed");
    event.setRawPath("/v1/embed");
    event.setRawQueryString("");
    event.setHeaders(all);
    event.setBody(body);
    event.setIsBase64Encoded(base64);
    event.setRequestContext(
        APIGatewayV2HTTPEvent.RequestContext.builder()
            .withStage("$default")
            .withRequestId("request-1")
            .withHttp(
                APIGatewayV2HTTPEvent.RequestContext.Http.builder()
                    .withMethod("POST")
                    .withPath("/v1/embed")
                    .withProtocol("HTTP/1.1")
                    .withSourceIp("192.0.2.1")
                    .withUserAgent("test")
                    .build())
            .build());
    return event;
  }
}
