package io.splitcompute.infra;

import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * What a deployment is asked to be, from CDK's context ({@code --context name=value}).
 *
 * @param head what runs the head
 * @param siteOrigin the only origin whose pages may read; none closes API and buckets to all pages
 * @param model the model that the site starts with
 * @param requestsPerSecond the API's throttle
 * @param burst requests that the throttle lets through at once
 * @param headConcurrency head functions at once, at most
 * @param minGpus GPU containers that always run; with none the CPU head answers while they wake
 * @param maxGpus GPU containers at once, at most
 * @param gpuInstanceType EC2 type of a GPU container's host
 * @param jwtIssuer issuer of the tokens that the API asks for; none lets everybody in
 * @param jwtAudience audience of those tokens
 * @param egressUsdPerDay dollars of egress a day above which an alarm sounds
 * @param monthlyBudgetUsd dollars a month above which the account's budget warns
 * @param alarmEmail who is told
 * @param headImage the head's image for CPUs as {@code REPOSITORY:TAG} in this account's registry;
 *     none has it built from the sources
 * @param gpuImage likewise the head's image for GPUs
 * @param project the checkout, built
 */
public record Settings(
    HeadHost head,
    Optional<String> siteOrigin,
    String model,
    int requestsPerSecond,
    int burst,
    int headConcurrency,
    int minGpus,
    int maxGpus,
    String gpuInstanceType,
    Optional<String> jwtIssuer,
    Optional<String> jwtAudience,
    double egressUsdPerDay,
    double monthlyBudgetUsd,
    Optional<String> alarmEmail,
    Optional<String> headImage,
    Optional<String> gpuImage,
    Path project) {

  private static final int MOST = 10_000;

  /**
   * @throws IllegalArgumentException with what is wrong, if the settings contradict each other
   */
  public Settings {
    siteOrigin.ifPresent(Settings::requireOrigin);
    if (jwtIssuer.isPresent() != jwtAudience.isPresent()) {
      throw new IllegalArgumentException("jwtIssuer and jwtAudience go together");
    }
    if (maxGpus < 1 || minGpus > maxGpus) {
      throw new IllegalArgumentException(
          "maxGpus must be at least 1 and at least minGpus, not " + maxGpus);
    }
    headImage.ifPresent(image -> requireImage("headImage", image));
    gpuImage.ifPresent(image -> requireImage("gpuImage", image));
  }

  /**
   * Reads the context.
   *
   * @param context answers a name with its value, or null
   * @param project the checkout, built
   * @throws IllegalArgumentException with the name and what is wrong, if a value is not valid
   */
  public static Settings of(Function<String, @Nullable Object> context, Path project) {
    Context values = new Context(context);
    return new Settings(
        HeadHost.of(values.text("head").orElse(HeadHost.LAMBDA.word())),
        values.text("siteOrigin"),
        values.text("model").orElse("bookworm"),
        values.number("requestsPerSecond", 20, 1),
        values.number("burst", 40, 1),
        values.number("headConcurrency", 10, 1),
        values.number("minGpus", 0, 0),
        values.number("maxGpus", 4, 1),
        values.text("gpuInstanceType").orElse("g6.xlarge"),
        values.text("jwtIssuer"),
        values.text("jwtAudience"),
        values.dollars("egressUsdPerDay", 5),
        values.dollars("monthlyBudgetUsd", 50),
        values.text("alarmEmail"),
        values.text("headImage"),
        values.text("gpuImage"),
        project);
  }

  private static void requireImage(String name, String image) {
    if (!image.matches("[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9._-]*")) {
      throw new IllegalArgumentException(name + " must be REPOSITORY:TAG, not " + image);
    }
  }

  private static void requireOrigin(String origin) {
    URI uri = URI.create(origin);
    if (!"https".equals(uri.getScheme())
        || uri.getHost() == null
        || !uri.getPath().isEmpty()
        || uri.getQuery() != null
        || origin.contains("*")) {
      throw new IllegalArgumentException(
          "siteOrigin must be an origin as https://example.org, not " + origin);
    }
  }

  /** Values by name; CDK hands over text, cdk.json other types too. */
  private record Context(Function<String, @Nullable Object> values) {

    Optional<String> text(String name) {
      Object value = values.apply(name);
      return value == null || value.toString().isBlank()
          ? Optional.empty()
          : Optional.of(value.toString().strip());
    }

    int number(String name, int otherwise, int least) {
      Optional<String> text = text(name);
      try {
        int number = text.isEmpty() ? otherwise : Integer.parseInt(text.get());
        if (number >= least && number <= MOST) {
          return number;
        }
      } catch (NumberFormatException notANumber) {
        // Said below, with what is allowed.
      }
      throw new IllegalArgumentException(
          "%s must be a whole number from %d to %d, not %s"
              .formatted(name, least, MOST, text.orElse("")));
    }

    double dollars(String name, double otherwise) {
      Optional<String> text = text(name);
      try {
        double dollars = text.isEmpty() ? otherwise : Double.parseDouble(text.get());
        if (dollars > 0 && dollars < 1e9) {
          return dollars;
        }
      } catch (NumberFormatException notANumber) {
        // Said below, with what is allowed.
      }
      throw new IllegalArgumentException(
          "%s must be a sum in dollars above 0, not %s".formatted(name, text.orElse("")));
    }
  }
}
