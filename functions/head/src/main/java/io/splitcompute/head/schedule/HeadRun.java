package io.splitcompute.head.schedule;

/**
 * What became of a request.
 *
 * @param hidden {@code [tokens, hiddenSize]} at the request's cut, or {@code [batch, hiddenSize]}
 *     where it asked for pooling
 * @param waitMilliseconds from its arrival to its first batch
 * @param runMilliseconds its share of its batches' time on the device, by tokens and layers
 */
public record HeadRun(float[] hidden, double waitMilliseconds, double runMilliseconds) {}
