package io.splitcompute.head;

import io.micronaut.http.HttpHeaders;
import io.micronaut.http.HttpRequest;
import io.micronaut.http.HttpResponse;
import io.micronaut.http.MediaType;
import io.micronaut.http.annotation.Body;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Post;
import io.micronaut.http.annotation.Produces;
import io.micronaut.scheduling.TaskExecutors;
import io.micronaut.scheduling.annotation.ExecuteOn;
import io.splitcompute.api.AnswersProblems;
import io.splitcompute.head.message.ActivationsLocation;
import io.splitcompute.head.message.ActivationsMessage;
import io.swagger.v3.oas.annotations.headers.Header;
import io.swagger.v3.oas.annotations.media.Content;
import io.swagger.v3.oas.annotations.media.Schema;
import io.swagger.v3.oas.annotations.parameters.RequestBody;
import io.swagger.v3.oas.annotations.responses.ApiResponse;
import java.net.URI;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Embeds texts, wholly or up to a cut. */
@Controller("/v1/embed")
@ExecuteOn(TaskExecutors.BLOCKING)
class EmbedController {

  private final EmbedService service;

  EmbedController(EmbedService service) {
    this.service = service;
  }

  /** Runs the layers below the cut. */
  @Post
  // The service chooses among three types by what is asked; the framework's own choice knows no
  // "application/*".
  @Produces(MediaType.ALL)
  @RequestBody(
      required = true,
      content =
          @Content(
              mediaType = MediaType.APPLICATION_JSON,
              schema = @Schema(implementation = EmbedBody.class)))
  @ApiResponse(
      responseCode = "200",
      description = "embeddings, activations, or where the activations are",
      content = {
        @Content(
            mediaType = MediaType.APPLICATION_JSON,
            schema = @Schema(implementation = EmbedResponse.class)),
        @Content(
            mediaType = ActivationsMessage.MEDIA_TYPE,
            schema = @Schema(type = "string", format = "binary")),
        @Content(
            mediaType = ActivationsLocation.MEDIA_TYPE,
            schema = @Schema(implementation = ActivationsLocation.class))
      })
  @ApiResponse(
      responseCode = "303",
      description = "activations too large for a response, where Accept names no location",
      headers = @Header(name = "Location", schema = @Schema(type = "string")))
  @AnswersProblems
  CompletableFuture<HttpResponse<?>> embed(HttpRequest<?> request, @Body byte @Nullable [] body) {
    CompletableFuture<EmbedAnswer> answer = service.embed(body, Accepted.of(request.getHeaders()));
    CallerWatch.cancelWhenGone(request, answer);
    return answer.thenApply(EmbedController::response);
  }

  private static HttpResponse<?> response(EmbedAnswer answer) {
    if (answer instanceof EmbedAnswer.Embeddings embeddings) {
      return HttpResponse.ok(embeddings.json()).contentType(MediaType.APPLICATION_JSON_TYPE);
    }
    if (answer instanceof EmbedAnswer.Message message) {
      return HttpResponse.ok(message.bytes())
          .contentType(ActivationsMessage.MEDIA_TYPE)
          .header(HttpHeaders.CACHE_CONTROL, "no-store");
    }
    EmbedAnswer.Elsewhere elsewhere = (EmbedAnswer.Elsewhere) answer;
    return elsewhere.redirect()
        ? HttpResponse.seeOther(URI.create(elsewhere.location().url()))
        : HttpResponse.ok(elsewhere.location())
            .contentType(ActivationsLocation.MEDIA_TYPE)
            .header(HttpHeaders.CACHE_CONTROL, "no-store");
  }
}
