package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.store.Publisher;
import io.splitcompute.weights.store.StoreKeys;
import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.core.sync.RequestBody;

/**
 * The catalog's code is the only thing that signs. A request or a manifest that could make it sign
 * a key of another's choice would open the whole bucket, so it signs {@code shards/<sha256>} that
 * the model's manifest names, and a manifest that names anything else is no manifest.
 */
@ExtendWith(CloudS3.Extension.class)
final class CatalogFunctionTest {

  private static final JsonMapper JSON = new JsonMapper();

  private final CloudS3 s3;
  private SmallModel model;
  private String bucket;

  CatalogFunctionTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @BeforeEach
  void publish(@TempDir Path temporary) throws Exception {
    model = SmallModel.in(temporary);
    bucket = s3.bucket();
    new Publisher(s3.client(), bucket).publish(model.store(), SmallModel.NAME, (d, all) -> {});
  }

  @Test
  void shouldSignAShardThatTheStoreThenServes() throws Exception {
    try (CatalogFunction catalog = new CatalogFunction(s3, bucket)) {
      APIGatewayV2HTTPResponse signed = sign(catalog, model.shard().sha256());

      assertEquals(200, signed.getStatusCode(), signed.getBody());
      JsonNode url = JSON.readTree(signed.getBody()).path("urls").path(0).path("url");
      HttpResponse<byte[]> range = s3.send("GET", URI.create(url.asText()), "Range", "bytes=10-19");
      assertEquals(206, range.statusCode());
      assertArrayEquals(Arrays.copyOfRange(model.bytes(), 10, 20), range.body());
    }
  }

  @Test
  void shouldNotSignWhatNoManifestNames() throws Exception {
    String unnamed = Sha256.of("unnamed".getBytes(StandardCharsets.UTF_8));
    s3.client()
        .putObject(
            r -> r.bucket(bucket).key(StoreKeys.shard(unnamed)), RequestBody.fromString("secret"));
    try (CatalogFunction catalog = new CatalogFunction(s3, bucket)) {
      APIGatewayV2HTTPResponse answer = sign(catalog, unnamed);

      assertEquals(404, answer.getStatusCode());
      assertFalse(answer.getBody().contains("X-Amz-Signature"), answer.getBody());
    }
  }

  @Test
  void shouldNotSignPathsInPlaceOfHashes() {
    try (CatalogFunction catalog = new CatalogFunction(s3, bucket)) {
      for (String path :
          new String[] {
            "../models/" + SmallModel.NAME + "/manifest.json", "s3://other/key", "%2e%2e%2f"
          }) {
        APIGatewayV2HTTPResponse answer = sign(catalog, path);

        assertEquals(400, answer.getStatusCode(), path);
        assertFalse(answer.getBody().contains("X-Amz-Signature"), answer.getBody());
      }
    }
  }

  @Test
  void shouldNotSignForAManifestThatNamesAnotherPlace() throws Exception {
    String manifest = new String(model.manifest().bytes(), StandardCharsets.UTF_8);
    for (String place :
        new String[] {
          "../../other-bucket/secret", "../models/" + SmallModel.NAME + "/manifest.json"
        }) {
      s3.client()
          .putObject(
              r -> r.bucket(bucket).key(StoreKeys.manifest(SmallModel.NAME)),
              RequestBody.fromString(manifest.replace(model.shard().sha256(), place)));
      try (CatalogFunction catalog = new CatalogFunction(s3, bucket)) {
        for (String asked : new String[] {place, model.shard().sha256()}) {
          APIGatewayV2HTTPResponse answer = sign(catalog, asked);

          assertFalse(answer.getBody().contains("X-Amz-Signature"), answer.getBody());
          assertFalse(answer.getStatusCode() == 200, answer.getBody());
        }
      }
    }
  }

  private static APIGatewayV2HTTPResponse sign(CatalogFunction catalog, String shard) {
    return catalog.post(
        "/v1/models/" + SmallModel.NAME + "/shards", "{\"shards\":[\"" + shard + "\"]}");
  }
}
