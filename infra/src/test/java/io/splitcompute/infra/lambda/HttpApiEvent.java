package io.splitcompute.infra.lambda;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.net.URLDecoder;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;

/**
 * A request as an HTTP API hands it to a function, in payload format 2.0.
 *
 * @param routeKey method and path of the route, with parameters in braces
 * @param method of the request
 * @param uri path and query as they were sent
 * @param pathParameters by their names in the route
 * @param headers by names in lower case, several values joined with commas
 * @param body encoded in base64 where its type does not say that it is text
 */
record HttpApiEvent(
    String routeKey,
    String method,
    URI uri,
    Map<String, String> pathParameters,
    Map<String, String> headers,
    byte[] body) {

  private static final JsonMapper JSON = new JsonMapper();
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("dd/MMM/yyyy:HH:mm:ss Z", Locale.ROOT).withZone(ZoneOffset.UTC);
  private static final String TEXT =
      "(text/.*|application/(json|javascript|xml|.*\\+json|.*\\+xml))( *;.*)?";

  byte[] json() throws JsonProcessingException {
    return json(binary());
  }

  /**
   * @param binary whether the body is encoded in base64
   */
  byte[] json(boolean binary) throws JsonProcessingException {
    ObjectNode event = JSON.createObjectNode();
    event.put("version", "2.0").put("routeKey", routeKey).put("rawPath", uri.getRawPath());
    String query = uri.getRawQuery() == null ? "" : uri.getRawQuery();
    event.put("rawQueryString", query);
    event.set("headers", JSON.valueToTree(headers));
    if (!query.isEmpty()) {
      ObjectNode parameters = event.putObject("queryStringParameters");
      for (String parameter : query.split("&", -1)) {
        String[] pair = parameter.split("=", 2);
        String value = pair.length < 2 ? "" : URLDecoder.decode(pair[1], UTF_8);
        String name = URLDecoder.decode(pair[0], UTF_8);
        String before = parameters.has(name) ? parameters.path(name).asText() + "," : "";
        parameters.put(name, before + value);
      }
    }
    if (!pathParameters.isEmpty()) {
      event.set("pathParameters", JSON.valueToTree(pathParameters));
    }
    ObjectNode context = event.putObject("requestContext");
    Instant now = Instant.now();
    context
        .put("accountId", "123456789012")
        .put("apiId", "api-id")
        .put("domainName", "api-id.execute-api.us-east-1.amazonaws.com")
        .put("domainPrefix", "api-id")
        .put("requestId", UUID.randomUUID().toString())
        .put("routeKey", routeKey)
        .put("stage", "$default")
        .put("time", TIME.format(now))
        .put("timeEpoch", now.toEpochMilli());
    context
        .putObject("http")
        .put("method", method)
        .put("path", uri.getPath())
        .put("protocol", "HTTP/1.1")
        .put("sourceIp", "127.0.0.1")
        .put("userAgent", headers.getOrDefault("user-agent", ""));
    if (body.length > 0) {
      event.put(
          "body", binary ? Base64.getEncoder().encodeToString(body) : new String(body, UTF_8));
    }
    event.put("isBase64Encoded", binary && body.length > 0);
    return JSON.writeValueAsBytes(event);
  }

  private boolean binary() {
    String type = headers.getOrDefault("content-type", "").toLowerCase(Locale.ROOT);
    return headers.containsKey("content-encoding") || !type.matches(TEXT);
  }
}
