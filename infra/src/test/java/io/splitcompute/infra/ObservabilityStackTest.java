package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import software.amazon.awscdk.App;
import software.amazon.awscdk.assertions.Match;
import software.amazon.awscdk.assertions.Template;

/** What wakes somebody, read off the template. */
final class ObservabilityStackTest {

  private static final String ALARM = "AWS::CloudWatch::Alarm";

  @Test
  void shouldAlarmOnErrorsLatencyThrottlesAndEgress() {
    assertEquals(
        List.of("Egress", "HeadThrottled", "ServerErrors", "Slow"), alarms(HeadHost.LAMBDA));
  }

  @Test
  void shouldAlarmOnThrottlesOfAFunctionOnManagedInstances() {
    assertEquals(
        List.of("Egress", "HeadThrottled", "ServerErrors", "Slow"), alarms(HeadHost.LAMBDA_GPU));
  }

  @Test
  void shouldAlarmOnQueueAndGpusWhereThereAreSome() {
    assertEquals(
        List.of("Egress", "GpusBusy", "HeadThrottled", "QueueLong", "ServerErrors", "Slow"),
        alarms(HeadHost.ECS_GPU));
  }

  @Test
  void shouldAlarmAtTheStatedSumOfEgress() {
    Template template =
        Template.fromStack(
            Stacks.in(new App(), Synthesised.settings(Map.of("egressUsdPerDay", "9")))
                .observability());

    double bytes = 9 / Prices.read().egressUsdPerGigabyte() * 1e9;
    template.hasResourceProperties(
        ALARM,
        Match.objectLike(
            Map.of(
                "AlarmDescription",
                "Egress costs more than 9.00 dollars a day",
                "Threshold",
                Math.rint(bytes))));
  }

  @Test
  void shouldWarnBeforeTheMonthsBudgetIsSpent() {
    Synthesised.with(HeadHost.LAMBDA)
        .template("Observability")
        .hasResourceProperties(
            "AWS::Budgets::Budget",
            Match.objectLike(
                Map.of(
                    "Budget",
                    Match.objectLike(
                        Map.of(
                            "TimeUnit",
                            "MONTHLY",
                            "BudgetLimit",
                            Map.of("Amount", 50, "Unit", "USD"))))));
  }

  private static List<String> alarms(HeadHost head) {
    return new TreeSet<>(
            Synthesised.with(head).template("Observability").findResources(ALARM).keySet())
        .stream().map(id -> id.replaceAll("[0-9A-F]{8}$", "")).toList();
  }
}
