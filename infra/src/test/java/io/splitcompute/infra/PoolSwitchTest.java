package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import software.amazon.awscdk.assertions.Match;

/**
 * The pool's switch, by the definition that is deployed, against a cloud in virtual time whose
 * parts are as slow as real ones: no request is led to a container that is not there, or goes
 * before it has answered.
 */
final class PoolSwitchTest {

  private static final int HOUR = 3600;

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5})
  void shouldLoseNoAnswerWhileThePoolWakesAndSleeps(long seed) throws Exception {
    Random random = new Random(seed);
    Cloud cloud = new Cloud();
    for (int phase = 0; phase < 12; phase++) {
      double requestsPerSecond = random.nextBoolean() ? random.nextDouble() * 2 : 0.001;
      cloud.run(random.nextInt(HOUR), requestsPerSecond, random);
    }
    cloud.run(HOUR, 1, random);
    cloud.run(HOUR, 0, random);

    assertEquals(List.of(), cloud.lost);
    assertTrue(cloud.byCpu > 0 && cloud.byGpu > 0, cloud::toString);
    assertEquals(0, cloud.containers, "nobody asks, and the pool does not sleep");
  }

  @Test
  void shouldLeaveAPoolThatFailedWithinAMinute() throws Exception {
    Random random = new Random(6);
    Cloud cloud = new Cloud();
    cloud.run(HOUR, 2, random);
    assertTrue(cloud.byGpu > 0);

    cloud.fail();
    cloud.run(80, 2, random);
    int lost = cloud.lost.size();
    cloud.run(120, 2, random);

    assertTrue(lost > 0, "the failure is noticed");
    assertEquals(lost, cloud.lost.size(), "requests still go to a pool that failed");
  }

  @Test
  void shouldNotWakeForAFewRequests() throws Exception {
    Cloud cloud = new Cloud();
    cloud.run(HOUR, 0.01, new Random(7));

    assertEquals(0, cloud.byGpu);
    assertEquals(0, cloud.starts);
  }

  @Test
  void shouldRunEachMinute() {
    var template = Synthesised.with(HeadHost.ECS_GPU).template("Api");
    template.hasResourceProperties(
        "AWS::Events::Rule", Match.objectLike(Map.of("ScheduleExpression", "rate(1 minute)")));
    template.hasResourceProperties(
        "AWS::StepFunctions::StateMachine",
        Match.objectLike(Map.of("StateMachineType", "EXPRESS")));
  }

  /** Gateway, pool and clock. A step is a second. */
  private static final class Cloud {

    private static final int BOOT_SECONDS = 240;
    private static final int PROPAGATION_SECONDS = 10;
    private static final int LONGEST_ANSWER_SECONDS = 29;
    private static final int DRAINING_SECONDS = 40;
    private static final int ALARM_SECONDS = 15 * 60;
    private static final List<String> ROUTES = List.of("embed", "embeddings", "generate");

    private final StateMachine machine;
    private final Map<String, String> routes = new HashMap<>();
    private final Map<String, String> effective = new HashMap<>();
    private final List<Integer> changes = new ArrayList<>();
    private final List<Integer> requests = new ArrayList<>();
    private final List<String> lost = new ArrayList<>();
    private int now;
    private int containers;
    private int healthyFrom = Integer.MAX_VALUE;
    private int starts;
    private int byCpu;
    private int byGpu;
    private int lastGpuEnd;

    Cloud() throws Exception {
      ROUTES.forEach(route -> routes.put(route, "integrations/cpu"));
      effective.putAll(routes);
      machine =
          new StateMachine(
              PoolSwitch.definition(),
              Map.of(
                  "WantedAlarm", "wanted",
                  "TargetGroup", "targets",
                  "Api", "api",
                  "GpuTarget", "integrations/gpu",
                  "CpuTarget", "integrations/cpu",
                  "Routes", String.join(" ", ROUTES),
                  "Service", "service/cluster/head",
                  "MaxGpus", "4"),
              this::call);
    }

    void run(int seconds, double requestsPerSecond, Random random) {
      for (int i = 0; i < seconds; i++) {
        now++;
        if (now % 60 == 0) {
          machine.run();
        }
        if (changes.isEmpty() || now - changes.get(changes.size() - 1) >= PROPAGATION_SECONDS) {
          effective.putAll(routes);
        }
        if (random.nextDouble() < requestsPerSecond) {
          request(random);
        }
        if (requestsPerSecond > 1 && random.nextDouble() < requestsPerSecond - 1) {
          request(random);
        }
      }
    }

    void fail() {
      healthyFrom = now + BOOT_SECONDS;
    }

    private void request(Random random) {
      requests.add(now);
      String route = ROUTES.get(random.nextInt(ROUTES.size()));
      if ("integrations/cpu".equals(effective.get(route))) {
        byCpu++;
        return;
      }
      byGpu++;
      if (containers == 0 || now < healthyFrom) {
        lost.add("a request at %d s found no container".formatted(now));
      }
      lastGpuEnd = Math.max(lastGpuEnd, now + 1 + random.nextInt(LONGEST_ANSWER_SECONDS));
    }

    private Map<String, Object> call(String resource, Map<String, Object> arguments) {
      return switch (resource.substring(resource.lastIndexOf("aws-sdk:") + 8)) {
        case "cloudwatch:describeAlarms" ->
            Map.of("MetricAlarms", List.of(Map.of("StateValue", wanted() ? "ALARM" : "OK")));
        case "elasticloadbalancingv2:describeTargetHealth" ->
            Map.of("TargetHealthDescriptions", health());
        case "apigatewayv2:getRoutes" ->
            Map.of(
                "Items",
                routes.entrySet().stream()
                    .map(one -> Map.of("RouteId", one.getKey(), "Target", one.getValue()))
                    .toList());
        case "apigatewayv2:updateRoute" -> {
          routes.put(arguments.get("RouteId") + "", arguments.get("Target") + "");
          changes.add(now);
          yield Map.of();
        }
        case "applicationautoscaling:registerScalableTarget" -> {
          scale(Integer.parseInt(arguments.get("MinCapacity") + ""));
          yield Map.of();
        }
        default -> throw new AssertionError(resource);
      };
    }

    private boolean wanted() {
      // Three periods of five minutes, one of which had enough requests.
      for (int end = now; end > now - ALARM_SECONDS; end -= 300) {
        int last = end;
        if (requests.stream().filter(at -> at <= last && at > last - 300).count()
            >= PoolSwitch.WAKING_REQUESTS) {
          return true;
        }
      }
      return false;
    }

    private List<Map<String, Object>> health() {
      if (containers == 0) {
        return List.of();
      }
      String state = now >= healthyFrom ? "healthy" : "initial";
      return List.of(Map.of("TargetHealth", Map.of("State", state)));
    }

    private void scale(int least) {
      if (least > 0 && containers == 0) {
        containers = least;
        healthyFrom = now + BOOT_SECONDS;
        starts++;
      }
      if (least == 0 && containers > 0) {
        containers = 0;
        if (effective.containsValue("integrations/gpu")) {
          lost.add("a container was stopped at %d s while routes led to it".formatted(now));
        }
        if (lastGpuEnd > now + DRAINING_SECONDS) {
          lost.add("an answer at %d s was cut off".formatted(lastGpuEnd));
        }
      }
    }

    @Override
    public String toString() {
      return "by CPU %d, by GPU %d".formatted(byCpu, byGpu);
    }
  }
}
