package io.splitcompute.head;

import io.micronaut.http.HttpRequest;
import io.micronaut.http.MediaType;
import io.micronaut.http.annotation.Body;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Post;
import io.micronaut.scheduling.TaskExecutors;
import io.micronaut.scheduling.annotation.ExecuteOn;
import io.splitcompute.api.AnswersProblems;
import io.swagger.v3.oas.annotations.media.Content;
import io.swagger.v3.oas.annotations.media.Schema;
import io.swagger.v3.oas.annotations.parameters.RequestBody;
import io.swagger.v3.oas.annotations.responses.ApiResponse;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** OpenAI's embeddings, for clients that were written for it. */
@Controller("/v1/embeddings")
@ExecuteOn(TaskExecutors.BLOCKING)
class EmbeddingsController {

  private final EmbeddingsService service;

  EmbeddingsController(EmbeddingsService service) {
    this.service = service;
  }

  /** Embeds in the cloud alone. */
  @Post
  @RequestBody(
      required = true,
      content =
          @Content(
              mediaType = MediaType.APPLICATION_JSON,
              schema = @Schema(implementation = EmbeddingsBody.class)))
  @ApiResponse(
      responseCode = "200",
      description = "a vector for each input",
      content =
          @Content(
              mediaType = MediaType.APPLICATION_JSON,
              schema = @Schema(implementation = EmbeddingsResponse.class)))
  @AnswersProblems
  CompletableFuture<byte[]> embed(HttpRequest<?> request, @Body byte @Nullable [] body) {
    CompletableFuture<byte[]> answer = service.embed(body);
    CallerWatch.cancelWhenGone(request, answer);
    return answer;
  }
}
