package io.splitcompute.infra;

import java.util.List;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.services.iam.PolicyStatement;
import software.amazon.awscdk.services.iam.Role;
import software.amazon.awscdk.services.iam.ServicePrincipal;
import software.amazon.awscdk.services.logs.LogGroup;
import software.amazon.awscdk.services.logs.RetentionDays;
import software.constructs.Construct;

/** The role of one function, which may write its own log and nothing else yet, and that log. */
final class FunctionRole {

  private final Role role;
  private final LogGroup logs;

  FunctionRole(Construct scope, String function) {
    logs =
        LogGroup.Builder.create(scope, function + "Logs")
            .retention(RetentionDays.ONE_MONTH)
            .removalPolicy(RemovalPolicy.DESTROY)
            .build();
    role =
        Role.Builder.create(scope, function + "Role")
            .assumedBy(new ServicePrincipal("lambda.amazonaws.com"))
            .build();
    role.addToPolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("logs:CreateLogStream", "logs:PutLogEvents"))
            .resources(List.of(logs.getLogGroupArn()))
            .build());
    Suppressions.on(
        role,
        "AwsSolutions-IAM5",
        "Keys below models/, shards/ and activations/ are many, and a log group's streams too");
  }

  Role role() {
    return role;
  }

  LogGroup logs() {
    return logs;
  }
}
