package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import software.amazon.awscdk.assertions.Match;
import software.amazon.awscdk.assertions.Template;

/** What the site's stack promises, read off its template. */
final class SiteStackTest {

  private static final String HEADERS = "AWS::CloudFront::ResponseHeadersPolicy";

  @Test
  void shouldReadTheBucketByOriginAccessControl() {
    template()
        .hasResourceProperties(
            "AWS::CloudFront::OriginAccessControl",
            Match.objectLike(
                Map.of(
                    "OriginAccessControlConfig",
                    Match.objectLike(Map.of("SigningBehavior", "always")))));
    template()
        .allResourcesProperties(
            "AWS::S3::Bucket",
            Match.objectLike(
                Map.of(
                    "PublicAccessBlockConfiguration",
                    Match.objectLike(Map.of("RestrictPublicBuckets", true)))));
  }

  @Test
  void shouldServeOverTlsAlone() {
    template()
        .hasResourceProperties(
            "AWS::CloudFront::Distribution",
            Match.objectLike(
                Map.of(
                    "DistributionConfig",
                    Match.objectLike(
                        Map.of(
                            "DefaultCacheBehavior",
                            Match.objectLike(
                                Map.of("ViewerProtocolPolicy", "redirect-to-https")))))));
  }

  @Test
  void shouldSendTheSecurityHeaders() {
    template()
        .hasResourceProperties(
            HEADERS,
            Match.objectLike(
                Map.of(
                    "ResponseHeadersPolicyConfig",
                    Match.objectLike(
                        Map.of(
                            "CustomHeadersConfig",
                            Map.of(
                                "Items",
                                List.of(
                                    header("Cross-Origin-Opener-Policy", "same-origin"),
                                    header("Cross-Origin-Embedder-Policy", "require-corp"),
                                    header("Cross-Origin-Resource-Policy", "same-origin"),
                                    Match.objectLike(Map.of("Header", "Permissions-Policy")))),
                            "SecurityHeadersConfig",
                            Match.objectLike(
                                Map.of(
                                    "StrictTransportSecurity",
                                    Match.objectLike(Map.of("AccessControlMaxAgeSec", 31_536_000)),
                                    "ContentTypeOptions",
                                    Map.of("Override", true))))))));
  }

  @Test
  void shouldAllowNothingInline() {
    String policies = template().findResources(HEADERS).toString();

    assertTrue(policies.contains("default-src 'none'; script-src 'self'"), policies);
    assertFalse(policies.contains("unsafe-"), policies);
    assertFalse(policies.contains("https://*"), policies);
  }

  @Test
  void shouldLetPagesOfAnyOriginImportTheModule() {
    template()
        .hasResourceProperties(
            HEADERS,
            Match.objectLike(
                Map.of(
                    "ResponseHeadersPolicyConfig",
                    Match.objectLike(
                        Map.of(
                            "CorsConfig",
                            Match.objectLike(
                                Map.of("AccessControlAllowOrigins", Map.of("Items", List.of("*")))),
                            "CustomHeadersConfig",
                            Map.of(
                                "Items",
                                Match.arrayWith(
                                    List.of(
                                        header(
                                            "Cross-Origin-Resource-Policy", "cross-origin")))))))));
  }

  /** The one module imports others from beside it, among them the tokenizer. */
  @Test
  void shouldServeAllModulesOfTheSdk() {
    template()
        .hasResourceProperties(
            "Custom::CDKBucketDeployment",
            Match.objectLike(
                Map.of(
                    "DestinationBucketKeyPrefix",
                    "sdk",
                    "Exclude",
                    List.of("*"),
                    "Include",
                    List.of("*.js"))));
  }

  @Test
  void shouldKeepHashedAssetsForEverAndNothingElse() {
    template()
        .hasResourceProperties(
            "Custom::CDKBucketDeployment",
            Match.objectLike(
                Map.of(
                    "Include",
                    List.of("assets/*"),
                    "SystemMetadata",
                    Map.of("cache-control", "public, max-age=31536000, immutable"))));
    template()
        .hasResourceProperties(
            "Custom::CDKBucketDeployment",
            Match.objectLike(
                Map.of(
                    "Exclude",
                    List.of("assets/*"),
                    "SystemMetadata",
                    Map.of("cache-control", "no-cache"))));
  }

  private static Map<String, Object> header(String name, String value) {
    return Map.of("Header", name, "Override", true, "Value", value);
  }

  private static Template template() {
    return Synthesised.with(HeadHost.LAMBDA).template("Site");
  }
}
