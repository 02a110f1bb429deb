package io.splitcompute.infra.s3;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import io.micronaut.context.ApplicationContext;
import io.micronaut.context.RuntimeBeanDefinition;
import io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction;
import java.lang.reflect.Proxy;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;

/** The catalog's Lambda handler on a bucket, called as the HTTP API calls it. */
final class CatalogFunction implements AutoCloseable {

  private final APIGatewayV2HTTPEventFunction function;

  CatalogFunction(CloudS3 s3, String bucket) {
    AwsCredentialsProvider credentials =
        StaticCredentialsProvider.create(
            AwsBasicCredentials.create(CloudS3.ACCESS_KEY, CloudS3.SECRET_KEY));
    function =
        new APIGatewayV2HTTPEventFunction(
            ApplicationContext.builder()
                .properties(
                    Map.of(
                        "splitcompute.weights",
                        "s3:" + bucket,
                        "splitcompute.s3-endpoint",
                        s3.endpoint().toString(),
                        "splitcompute.region",
                        CloudS3.REGION.id(),
                        "splitcompute.path-style",
                        true))
                .beanDefinitions(
                    RuntimeBeanDefinition.builder(AwsCredentialsProvider.class, () -> credentials)
                        .singleton(true)
                        .replaces(AwsCredentialsProvider.class)
                        .build())
                .start());
  }

  APIGatewayV2HTTPResponse get(String path) {
    return call("GET", path, null);
  }

  APIGatewayV2HTTPResponse post(String path, String json) {
    return call("POST", path, json);
  }

  private APIGatewayV2HTTPResponse call(String method, String path, @Nullable String body) {
    APIGatewayV2HTTPEvent event = new APIGatewayV2HTTPEvent();
    event.setVersion("2.0");
    event.setRouteKey(method + " " + path);
    event.setRawPath(path);
    event.setRawQueryString("");
    event.setHeaders(Map.of("host", "api.example", "content-type", "application/json"));
    if (body != null) {
      event.setBody(body);
    }
    event.setRequestContext(
        APIGatewayV2HTTPEvent.RequestContext.builder()
            .withStage("$default")
            .withRequestId("request-1")
            .withHttp(
                APIGatewayV2HTTPEvent.RequestContext.Http.builder()
                    .withMethod(method)
                    .withPath(path)
                    .withProtocol("HTTP/1.1")
                    .withSourceIp("192.0.2.1")
                    .build())
            .build());
    return function.handleRequest(event, lambda());
  }

  /** The handler asks the runtime nothing. */
  private static Context lambda() {
    return (Context)
        Proxy.newProxyInstance(
            Context.class.getClassLoader(),
            new Class<?>[] {Context.class},
            (proxy, method, arguments) ->
                method.getReturnType() == int.class
                    ? Integer.valueOf(1024)
                    : method.getReturnType() == String.class ? "" : null);
  }

  @Override
  public void close() {
    function.close();
  }
}
