package io.splitcompute.infra;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.budgets.CfnBudget;
import software.amazon.awscdk.services.cloudwatch.Alarm;
import software.amazon.awscdk.services.cloudwatch.ComparisonOperator;
import software.amazon.awscdk.services.cloudwatch.Dashboard;
import software.amazon.awscdk.services.cloudwatch.GraphWidget;
import software.amazon.awscdk.services.cloudwatch.IMetric;
import software.amazon.awscdk.services.cloudwatch.IWidget;
import software.amazon.awscdk.services.cloudwatch.MathExpression;
import software.amazon.awscdk.services.cloudwatch.Metric;
import software.amazon.awscdk.services.cloudwatch.MetricOptions;
import software.amazon.awscdk.services.cloudwatch.TreatMissingData;
import software.amazon.awscdk.services.cloudwatch.actions.SnsAction;
import software.amazon.awscdk.services.iam.PolicyStatement;
import software.amazon.awscdk.services.iam.ServicePrincipal;
import software.amazon.awscdk.services.lambda.IFunction;
import software.amazon.awscdk.services.s3.Bucket;
import software.amazon.awscdk.services.sns.Topic;
import software.amazon.awscdk.services.sns.subscriptions.EmailSubscription;
import software.constructs.Construct;

/** What is looked at and what wakes somebody: errors, p95, the queue, GPU use, egress, money. */
public final class ObservabilityStack extends Stack {

  private static final Duration PERIOD = Duration.minutes(5);
  private static final Duration DAY = Duration.days(1);
  private static final double P95_MILLISECONDS = 5_000;
  private static final double SERVER_ERRORS = 5;
  private static final double QUEUED_REQUESTS = 256;
  private static final int BUDGET_PERCENT = 80;
  private static final int WIDGET_WIDTH = 12;

  private final Topic topic;
  private final List<IWidget> widgets = new ArrayList<>();

  /**
   * @param head where the routes to the head lead
   */
  public ObservabilityStack(
      Construct scope,
      String id,
      StackProps props,
      Settings settings,
      StorageStack storage,
      ApiStack api,
      Head head) {
    super(scope, id, props);
    topic = Topic.Builder.create(this, "Alarms").enforceSsl(true).build();
    settings.alarmEmail().ifPresent(email -> topic.addSubscription(new EmailSubscription(email)));
    watchApi(api);
    api.cpuHead().ifPresent(this::watchFunction);
    if (head instanceof Head.Function managed) {
      watchFunction(managed.function());
    } else if (head instanceof Head.Balanced balanced) {
      watchGpus(balanced);
    }
    watchEgress(settings, storage, api);
    Dashboard.Builder.create(this, "Dashboard")
        .dashboardName("splitcompute-" + settings.head().word())
        .widgets(widgets.stream().map(List::of).toList())
        .build();
    budget(settings);
  }

  private void watchApi(ApiStack api) {
    MetricOptions sum = MetricOptions.builder().period(PERIOD).statistic("Sum").build();
    MetricOptions p95 = MetricOptions.builder().period(PERIOD).statistic("p95").build();
    draw(
        "Requests and errors",
        api.stage().metricCount(sum),
        api.stage().metricClientError(sum),
        api.stage().metricServerError(sum));
    draw("Latency p95 (ms)", api.stage().metricLatency(p95));
    alarm(
        "ServerErrors",
        "The API answers 5xx; its access log names the routes",
        api.stage().metricServerError(sum),
        SERVER_ERRORS);
    alarm("Slow", "The API's p95 is above 5 s", api.stage().metricLatency(p95), P95_MILLISECONDS);
  }

  private void watchFunction(IFunction head) {
    MetricOptions options = MetricOptions.builder().period(PERIOD).build();
    draw("Head function", head.metricErrors(options), head.metricThrottles(options));
    alarm(
        "HeadThrottled",
        "More requests than head functions may run at once: raise headConcurrency, or maxGpus",
        head.metricThrottles(options),
        SERVER_ERRORS);
  }

  private void watchGpus(Head.Balanced head) {
    draw("Waiting in the head", HeadMetrics.queuedRequests(), HeadMetrics.queuedTokens());
    MathExpression use =
        MathExpression.Builder.create()
            .expression("100 * busy / (PERIOD(busy) * healthy)")
            .label("GPU use (%)")
            .period(PERIOD)
            .usingMetrics(
                Map.of(
                    "busy",
                    HeadMetrics.deviceSeconds(),
                    "healthy",
                    head.targets().getMetrics().healthyHostCount()))
            .build();
    draw("GPU use (%)", use);
    alarm(
        "QueueLong",
        "Requests wait although the pool could grow: raise maxGpus",
        HeadMetrics.queuedRequests(),
        QUEUED_REQUESTS);
    alarm("GpusBusy", "GPUs are busy over 95 %: the pool is too small", use, 95);
  }

  private void watchEgress(Settings settings, StorageStack storage, ApiStack api) {
    Map<String, IMetric> metrics = new LinkedHashMap<>();
    metrics.put("weights", downloaded(storage.weights()));
    metrics.put("activations", downloaded(storage.activations()));
    metrics.put(
        "api",
        api.api()
            .metricDataProcessed(MetricOptions.builder().period(DAY).statistic("Sum").build()));
    MathExpression egress =
        MathExpression.Builder.create()
            .expression("FILL(weights, 0) + FILL(activations, 0) + FILL(api, 0)")
            .label("Egress (bytes a day)")
            .period(DAY)
            .usingMetrics(metrics)
            .build();
    draw("Egress (bytes a day)", egress);
    double bytes =
        settings.egressUsdPerDay() / Prices.read().egressUsdPerGigabyte() * Prices.GIGABYTE;
    alarm(
        "Egress",
        "Egress costs more than %.2f dollars a day".formatted(settings.egressUsdPerDay()),
        egress,
        Math.rint(bytes));
  }

  private static Metric downloaded(Bucket bucket) {
    return Metric.Builder.create()
        .namespace("AWS/S3")
        .metricName("BytesDownloaded")
        .dimensionsMap(
            Map.of("BucketName", bucket.getBucketName(), "FilterId", StorageStack.METRICS))
        .statistic("Sum")
        .period(DAY)
        .build();
  }

  private void draw(String title, IMetric... metrics) {
    widgets.add(
        GraphWidget.Builder.create()
            .title(title)
            .left(List.of(metrics))
            .width(WIDGET_WIDTH)
            .build());
  }

  private void alarm(String id, String description, IMetric metric, double threshold) {
    Alarm alarm =
        Alarm.Builder.create(this, id)
            .alarmDescription(description)
            .metric(metric)
            .threshold(threshold)
            .comparisonOperator(ComparisonOperator.GREATER_THAN_THRESHOLD)
            .evaluationPeriods(1)
            .treatMissingData(TreatMissingData.NOT_BREACHING)
            .build();
    alarm.addAlarmAction(new SnsAction(topic));
  }

  /** Of the whole account: a filter by tag counts nothing until somebody activates the tag. */
  private void budget(Settings settings) {
    topic.addToResourcePolicy(
        PolicyStatement.Builder.create()
            .principals(List.of(new ServicePrincipal("budgets.amazonaws.com")))
            .actions(List.of("sns:Publish"))
            .resources(List.of(topic.getTopicArn()))
            .conditions(Map.of("StringEquals", Map.of("aws:SourceAccount", getAccount())))
            .build());
    CfnBudget.Builder.create(this, "Budget")
        .budget(
            CfnBudget.BudgetDataProperty.builder()
                .budgetType("COST")
                .timeUnit("MONTHLY")
                .budgetLimit(
                    CfnBudget.SpendProperty.builder()
                        .amount(settings.monthlyBudgetUsd())
                        .unit("USD")
                        .build())
                .build())
        .resourceTags(
            List.of(
                CfnBudget.ResourceTagProperty.builder()
                    .key(Stacks.TAG)
                    .value(Stacks.TAG_VALUE)
                    .build()))
        .notificationsWithSubscribers(
            List.of(
                CfnBudget.NotificationWithSubscribersProperty.builder()
                    .notification(
                        CfnBudget.NotificationProperty.builder()
                            .notificationType("ACTUAL")
                            .comparisonOperator("GREATER_THAN")
                            .threshold(BUDGET_PERCENT)
                            .thresholdType("PERCENTAGE")
                            .build())
                    .subscribers(
                        List.of(
                            CfnBudget.SubscriberProperty.builder()
                                .subscriptionType("SNS")
                                .address(topic.getTopicArn())
                                .build()))
                    .build()))
        .build();
  }
}
