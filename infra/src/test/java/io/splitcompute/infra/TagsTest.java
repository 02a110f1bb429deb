package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import software.amazon.awscdk.Stack;

/** A bill and a search by the project's tag show all of it: whatever can have a tag has it. */
final class TagsTest {

  /** Types of which CloudFormation knows no tags. */
  private static final Set<String> WITHOUT_TAGS =
      Set.of(
          "AWS::ApiGatewayV2::Integration",
          "AWS::ApiGatewayV2::Route",
          "AWS::ApplicationAutoScaling::ScalableTarget",
          "AWS::ApplicationAutoScaling::ScalingPolicy",
          "AWS::CloudFront::OriginAccessControl",
          "AWS::CloudFront::ResponseHeadersPolicy",
          "AWS::EC2::Route",
          "AWS::EC2::SecurityGroupEgress",
          "AWS::EC2::SecurityGroupIngress",
          "AWS::EC2::SubnetRouteTableAssociation",
          "AWS::EC2::VPCGatewayAttachment",
          "AWS::ECS::ClusterCapacityProviderAssociations",
          "AWS::ElasticLoadBalancingV2::Listener",
          "AWS::IAM::InstanceProfile",
          "AWS::IAM::Policy",
          "AWS::Lambda::Alias",
          "AWS::Lambda::LayerVersion",
          "AWS::Lambda::Permission",
          "AWS::Lambda::Version",
          "AWS::S3::BucketPolicy",
          "AWS::SNS::TopicPolicy",
          "Custom::CDKBucketDeployment",
          "Custom::S3AutoDeleteObjects");

  @ParameterizedTest
  @EnumSource
  void shouldTagWhateverCanHaveATag(HeadHost head) {
    Synthesised synthesised = Synthesised.with(head);
    Set<String> untagged = new TreeSet<>();
    for (Stack stack : synthesised.all()) {
      JsonNode template = new JsonMapper().valueToTree(synthesised.template(stack).toJSON());
      for (JsonNode resource : template.path("Resources")) {
        String type = resource.path("Type").asText();
        if (!WITHOUT_TAGS.contains(type) && !isTagged(resource.path("Properties"))) {
          untagged.add(type);
        }
      }
    }

    assertEquals(Set.of(), untagged);
  }

  /** In the list that most types have, in a map, or in the words of budgets. */
  private static boolean isTagged(JsonNode properties) {
    for (String list : List.of("Tags", "ResourceTags", "TagSpecifications")) {
      String text = properties.path(list).toString();
      if (text.contains("\"" + Stacks.TAG + "\"") && text.contains(Stacks.TAG_VALUE)) {
        return true;
      }
    }
    return false;
  }
}
