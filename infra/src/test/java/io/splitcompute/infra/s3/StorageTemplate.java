package io.splitcompute.infra.s3;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.splitcompute.infra.SynthesisedStorage;
import java.util.Iterator;
import java.util.Set;

/** The storage stack's template as CDK synthesises it. */
final class StorageTemplate {

  /**
   * CDK's function that empties buckets: its code is uploaded by CDK, its runtime is Docker, and
   * the log group is nobody else's.
   */
  private static final Set<String> OF_CDK_ALONE =
      Set.of("AWS::Lambda::Function", "AWS::Logs::LogGroup", "Custom::S3AutoDeleteObjects");

  private StorageTemplate() {}

  static JsonNode read() {
    return new JsonMapper().valueToTree(SynthesisedStorage.template());
  }

  /** Without what needs CDK's own bootstrap stack, and Lambda. */
  static String deployable() {
    ObjectNode template = (ObjectNode) read();
    template.remove("Rules");
    template.remove("Parameters");
    Iterator<JsonNode> resources = template.path("Resources").elements();
    while (resources.hasNext()) {
      if (OF_CDK_ALONE.contains(resources.next().path("Type").asText())) {
        resources.remove();
      }
    }
    return template.toString();
  }

  /** The properties of a bucket, by the beginning of its logical id. */
  static JsonNode bucket(String name) {
    for (var resource : read().path("Resources").properties()) {
      if (resource.getKey().startsWith(name)
          && resource.getValue().path("Type").asText().equals("AWS::S3::Bucket")) {
        return resource.getValue().path("Properties");
      }
    }
    throw new AssertionError("the template has no bucket " + name);
  }
}
