package io.splitcompute.catalog;

import io.micronaut.http.HttpHeaders;
import io.micronaut.http.HttpResponse;
import io.micronaut.http.MediaType;
import io.micronaut.http.annotation.Body;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Get;
import io.micronaut.http.annotation.Post;
import io.micronaut.scheduling.TaskExecutors;
import io.micronaut.scheduling.annotation.ExecuteOn;
import io.splitcompute.api.AnswersProblems;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.weights.store.PublishedManifest;
import io.swagger.v3.oas.annotations.media.Content;
import io.swagger.v3.oas.annotations.media.Schema;
import io.swagger.v3.oas.annotations.parameters.RequestBody;
import io.swagger.v3.oas.annotations.responses.ApiResponse;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Models, their manifests and the URLs of their shards. */
@Controller("/v1/models")
@ExecuteOn(TaskExecutors.BLOCKING)
public class ModelsController {

  private final PublishedModels models;
  private final ShardSigner signer;
  private final Limits limits;

  ModelsController(PublishedModels models, ShardSigner signer, Limits limits) {
    this.models = models;
    this.signer = signer;
    this.limits = limits;
  }

  /** The models that are published. */
  @Get
  @AnswersProblems
  public ModelList list() throws IOException {
    List<ModelObject> data =
        models.all().stream().map(model -> ModelObject.of(model, limits)).toList();
    return new ModelList("list", data);
  }

  /** One model. */
  @Get("/{model}")
  @AnswersProblems
  public ModelObject one(String model) throws IOException {
    return ModelObject.of(models.get(model), limits);
  }

  /** The model's manifest, byte for byte as it was published: its SHA-256 is the revision. */
  @Get("/{model}/manifest")
  @AnswersProblems
  @ApiResponse(
      responseCode = "200",
      description = "the manifest, as weights/FORMAT.md specifies it",
      content = @Content(mediaType = MediaType.APPLICATION_JSON, schema = @Schema(type = "object")))
  public HttpResponse<byte[]> manifest(String model, HttpHeaders headers) throws IOException {
    PublishedManifest published = models.get(model);
    String tag = '"' + published.revision() + '"';
    return (tag.equals(headers.get(HttpHeaders.IF_NONE_MATCH))
            ? HttpResponse.<byte[]>notModified()
            : HttpResponse.ok(published.bytes()).contentType(MediaType.APPLICATION_JSON_TYPE))
        .header(HttpHeaders.ETAG, tag)
        .header(HttpHeaders.CACHE_CONTROL, "no-cache");
  }

  /** Presigned URLs for shards that the model's manifest names. */
  @Post("/{model}/shards")
  @AnswersProblems
  @RequestBody(
      required = true,
      content =
          @Content(
              mediaType = MediaType.APPLICATION_JSON,
              schema = @Schema(implementation = ShardRequest.class)))
  public ShardUrls shards(String model, @Body byte @Nullable [] body) throws IOException {
    ShardRequest request = ShardRequest.parse(body);
    PublishedManifest published = models.get(model);
    for (String shard : request.shards()) {
      if (!published.manifest().namesShard(shard)) {
        throw ProblemException.of(
            ProblemType.SHARD_NOT_FOUND,
            "The manifest of this model names no shard " + shard + "; read the manifest again");
      }
    }
    return new ShardUrls(request.shards().stream().map(signer::sign).toList());
  }
}
