package io.splitcompute.infra;

import io.github.cdklabs.cdknag.NagPackSuppression;
import io.github.cdklabs.cdknag.NagSuppressions;
import java.util.List;
import software.amazon.awscdk.Stack;
import software.constructs.IConstruct;

/** Rules of cdk-nag that do not hold here, each with its reason. */
final class Suppressions {
  private Suppressions() {}

  /** A rule that does not hold for a construct and what is in it. */
  static void on(IConstruct construct, String rule, String reason) {
    NagSuppressions.addResourceSuppressions(construct, List.of(suppression(rule, reason)), true);
  }

  /** CDK's own functions of deployment, of which runtime and role are CDK's choice. */
  static void onCdksFunctions(Stack stack) {
    for (IConstruct function : CdkFunctions.in(stack)) {
      on(function, "AwsSolutions-IAM4", "CDK gives its own deployment function the basic role");
      on(function, "AwsSolutions-IAM5", "CDK's own deployment function works on a whole bucket");
      on(function, "AwsSolutions-L1", "CDK chooses the runtime of its own deployment function");
    }
  }

  private static NagPackSuppression suppression(String rule, String reason) {
    return NagPackSuppression.builder().id(rule).reason(reason).build();
  }
}
