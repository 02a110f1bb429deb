package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import software.amazon.awscdk.CfnResource;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.services.logs.LogGroup;
import software.amazon.awscdk.services.logs.RetentionDays;
import software.constructs.Construct;
import software.constructs.IConstruct;

/**
 * The functions that CDK adds by itself to copy files and to empty buckets. They are no constructs
 * that take tags, and made the log groups themselves, which would outlive the stacks.
 */
final class CdkFunctions {

  private CdkFunctions() {}

  /** Those somewhere below a construct. */
  static List<Construct> in(IConstruct scope) {
    return scope.getNode().findAll().stream()
        .filter(construct -> construct.getNode().getId().startsWith("Custom::"))
        .map(Construct.class::cast)
        .toList();
  }

  static void tag(IConstruct scope, String key, String value) {
    for (Construct function : in(scope)) {
      for (String part : List.of("Role", "Handler")) {
        if (function.getNode().tryFindChild(part) instanceof CfnResource resource) {
          resource.addPropertyOverride("Tags", List.of(Map.of("Key", key, "Value", value)));
        }
      }
    }
  }

  /** Gives each a log group that goes with its stack. */
  static void log(IConstruct scope) {
    for (Construct function : in(scope)) {
      LogGroup logs =
          LogGroup.Builder.create(function, "Logs")
              .retention(RetentionDays.ONE_WEEK)
              .removalPolicy(RemovalPolicy.DESTROY)
              .build();
      for (IConstruct part : function.getNode().findAll()) {
        if (part instanceof CfnResource resource
            && resource.getCfnResourceType().equals("AWS::Lambda::Function")) {
          resource.addPropertyOverride("LoggingConfig.LogGroup", logs.getLogGroupName());
        }
      }
    }
  }
}
